"""DCGAN on chest X-rays, 32 px, base 32: the same training written five ways.

The networks are the same in every arm, the images PneumoniaMNIST's of 28 px with a border of 2, the loss is
binary cross-entropy on logits. All layers are torch's but in our arm, whose generator has its first and last
layer from :mod:`medgan_course.nets.dcgan`; one more arm shows what these do for the usual loop. Each reads
its images as its users do: ``medmnist`` behind a ``DataLoader``, MONAI's ``CacheDataset``, or in memory.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.optim import Adam
from torch.utils.data import DataLoader

from benchmarks.measure import Tick, endless, medmnist_folder
from medgan_course import data
from medgan_course.data.batches import Batches
from medgan_course.nets.dcgan import Discriminator, FoldedConvTranspose2d, Generator

TITLE = "DCGAN, 32 px, base 32, batch 64"
BATCH = 64
SIZE, BASE = 32, 32


def networks(our_layers: bool = False) -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    generator, discriminator = Generator(SIZE, base=BASE), Discriminator(SIZE, base=BASE)
    if not our_layers:
        for layer in generator.modules():
            if isinstance(layer, FoldedConvTranspose2d):
                layer.__class__ = nn.ConvTranspose2d
    return generator, discriminator


def adams(generator: nn.Module, discriminator: nn.Module) -> tuple[Adam, Adam]:
    return tuple(Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (generator, discriminator))


def usual_loader() -> DataLoader:
    from medmnist import PneumoniaMNIST
    from torchvision import transforms

    prepared = transforms.Compose(
        [transforms.Pad(2), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
    )
    images = PneumoniaMNIST(split="train", root=medmnist_folder("pneumoniamnist.npz"), transform=prepared)
    return DataLoader(images, BATCH, shuffle=True, drop_last=True)


def ours(device: torch.device, tick: Tick, steps: int) -> None:
    from medgan_course.systems.dcgan import dcgan
    from medgan_course.train import fit

    train = data.load("pneumoniamnist", size=28, split="train")
    images = pad(train.images, (2, 2, 2, 2), value=-1.0)
    batches = Batches(images, train.labels, BATCH)
    fit(
        dcgan(SIZE, base=BASE),
        batches,
        steps,
        device=device,
        watch=lambda game: tick(game.step),
        watch_every=1,
    )


def usual(device: torch.device, tick: Tick, steps: int, our_layers: bool = False) -> None:
    """Play PyTorch's DCGAN tutorial: two backward passes for D, fakes shared by both, losses read."""
    generator, discriminator = (net.to(device) for net in networks(our_layers))
    optimiser_g, optimiser_d = adams(generator, discriminator)
    criterion = nn.BCEWithLogitsLoss()
    losses_g, losses_d = [], []
    batches = endless(usual_loader(), device)
    for step in range(steps):
        tick(step)
        real, _ = next(batches)
        ones, zeros = torch.ones(BATCH, device=device), torch.zeros(BATCH, device=device)
        discriminator.zero_grad()
        loss_real = criterion(discriminator(real), ones)
        loss_real.backward()
        fake = generator(torch.randn(BATCH, generator.z_dim, device=device))
        loss_fake = criterion(discriminator(fake.detach()), zeros)
        loss_fake.backward()
        optimiser_d.step()
        generator.zero_grad()
        loss_g = criterion(discriminator(fake), ones)
        loss_g.backward()
        optimiser_g.step()
        losses_g.append(loss_g.item())
        losses_d.append((loss_real + loss_fake).item())
    tick(steps)


def accelerate(device: torch.device, tick: Tick, steps: int) -> None:
    """Play the usual loop with Accelerate's prepare() and backward()."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=device.type == "cpu")
    generator, discriminator = networks()
    optimisers = adams(generator, discriminator)
    generator, discriminator, optimiser_g, optimiser_d, loader = accelerator.prepare(
        generator, discriminator, *optimisers, usual_loader()
    )
    criterion = nn.BCEWithLogitsLoss()
    batches = endless(loader, accelerator.device)
    for step in range(steps):
        tick(step)
        real, _ = next(batches)
        ones, zeros = torch.ones(BATCH, device=real.device), torch.zeros(BATCH, device=real.device)
        optimiser_d.zero_grad()
        fake = generator(torch.randn(BATCH, generator.z_dim, device=real.device))
        loss_d = criterion(discriminator(real), ones) + criterion(discriminator(fake.detach()), zeros)
        accelerator.backward(loss_d)
        optimiser_d.step()
        optimiser_g.zero_grad()
        loss_g = criterion(discriminator(fake), ones)
        accelerator.backward(loss_g)
        optimiser_g.step()
        loss_d.item(), loss_g.item()
    tick(steps)


def monai(device: torch.device, tick: Tick, steps: int) -> None:
    """Play MONAI's GanTrainer on a CacheDataset, as in its MedNIST GAN tutorial."""
    from ignite.engine import Events
    from monai.data import CacheDataset
    from monai.data import DataLoader as MonaiLoader
    from monai.engines import GanTrainer
    from monai.transforms import BorderPad, Compose, EnsureType, ScaleIntensityRange

    pixels = ((data.load("pneumoniamnist", size=28, split="train").images + 1) * 127.5).round()
    prepared = Compose(
        [ScaleIntensityRange(0, 255, -1, 1), BorderPad(2, value=-1), EnsureType(track_meta=False)]
    )
    cached = CacheDataset(list(pixels), prepared, progress=False)
    loader = MonaiLoader(cached, batch_size=BATCH, shuffle=True, drop_last=True)
    generator, discriminator = (net.to(device) for net in networks())
    optimiser_g, optimiser_d = adams(generator, discriminator)
    criterion = nn.BCEWithLogitsLoss()

    def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
        on_real, on_fake = discriminator(real), discriminator(fake.detach())
        return (
            criterion(on_real, torch.ones_like(on_real)) + criterion(on_fake, torch.zeros_like(on_fake))
        ) / 2

    def generator_loss(fake: Tensor) -> Tensor:
        on_fake = discriminator(fake)
        return criterion(on_fake, torch.ones_like(on_fake))

    trainer = GanTrainer(
        device,
        max_epochs=steps // len(loader) + 1,
        train_data_loader=loader,
        g_network=generator,
        g_optimizer=optimiser_g,
        g_loss_function=generator_loss,
        d_network=discriminator,
        d_optimizer=optimiser_d,
        d_loss_function=discriminator_loss,
        d_prepare_batch=lambda batch, device, non_blocking, **_: batch.to(device, non_blocking=non_blocking),
        latent_shape=generator.z_dim,
        decollate=False,
    )

    def count(engine) -> None:
        tick(engine.state.iteration)
        if engine.state.iteration == steps:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, count)
    trainer.run()


def lightning(device: torch.device, tick: Tick, steps: int) -> None:
    """Play Lightning with manual optimisation, as in its GAN example; bars, logger and checkpoints off."""
    import logging
    import warnings

    import lightning as L

    class Gan(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.generator, self.discriminator = networks()
            self.criterion = nn.BCEWithLogitsLoss()

        def configure_optimizers(self):
            return list(adams(self.generator, self.discriminator))

        def training_step(self, batch, index):
            real, _ = batch
            optimiser_g, optimiser_d = self.optimizers()
            ones = torch.ones(len(real), device=self.device)
            fake = self.generator(torch.randn(len(real), self.generator.z_dim, device=self.device))
            self.toggle_optimizer(optimiser_g)
            loss_g = self.criterion(self.discriminator(fake), ones)
            optimiser_g.zero_grad()
            self.manual_backward(loss_g)
            optimiser_g.step()
            self.untoggle_optimizer(optimiser_g)
            self.toggle_optimizer(optimiser_d)
            loss_d = self.criterion(self.discriminator(real), ones) + self.criterion(
                self.discriminator(fake.detach()), torch.zeros_like(ones)
            )
            optimiser_d.zero_grad()
            self.manual_backward(loss_d)
            optimiser_d.step()
            self.untoggle_optimizer(optimiser_d)
            self.log_dict({"g_loss": loss_g, "d_loss": loss_d})

        def on_train_batch_end(self, outputs, batch, index) -> None:
            tick(self.global_step // 2)  # it counts the steps of both optimisers

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    trainer = L.Trainer(
        accelerator="cpu" if device.type == "cpu" else "gpu",
        devices=1,
        max_steps=2 * steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Gan(), usual_loader())


ARMS: dict[str, Callable[[torch.device, Tick, int], None]] = {
    "ours": ours,
    "usual loop": usual,
    "usual loop with our layers": partial(usual, our_layers=True),
    "MONAI GanTrainer": monai,
    "Accelerate": accelerate,
    "Lightning": lightning,
}
