"""Right answers, however written, are accepted; the usual wrong ones are rejected with the fitting reason."""

import math

import torch
from torch import nn

from medgan_course.exercises import check
from medgan_course.exercises.recorded_runs import recorded_runs


def up(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(channels_in, channels_out, 4, 2, 1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


def doubling_net(
    start: int, doublings: int, *, base: int = 8, channels: int = 1, last: nn.Module | None = None
):
    width = base * 2 ** (doublings - 1)
    layers = [nn.ConvTranspose2d(64, width, start), nn.ReLU()]
    for _ in range(doublings - 1):
        layers += up(width, width // 2)
        width //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1), last or nn.Tanh())


class DenseStart(nn.Module):
    """A linear layer, a reshape, nearest-neighbour enlargement and a skip from the latent."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.start = nn.Linear(64, 8 * 64)
        self.blocks = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1) for _ in range(int(math.log2(size // 8)))])
        self.to_grey = nn.Conv2d(8, 1, 1)

    def forward(self, z):
        h = self.start(z.flatten(1)).view(-1, 8, 8, 8)
        for block in self.blocks:
            h = torch.relu(block(nn.functional.interpolate(h, scale_factor=2)))
        return torch.tanh(self.to_grey(h))


def shuffled(size: int) -> nn.Module:
    doublings = int(math.log2(size // 4))
    layers: list[nn.Module] = [nn.ConvTranspose2d(64, 16, 4), nn.LeakyReLU(0.1)]
    for _ in range(doublings - 1):
        layers += [nn.Conv2d(16, 64, 3, padding=1), nn.PixelShuffle(2), nn.InstanceNorm2d(16), nn.ELU()]
    return nn.Sequential(*layers, nn.Conv2d(16, 4, 3, padding=1), nn.PixelShuffle(2), nn.Hardtanh())


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.randn(1, 16, 16, 16))
        self.layers = nn.Sequential(*up(16, 8), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh())

    def forward(self, z):
        return self.layers(self.image).expand(len(z), 1, 64, 64)


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.forgotten = doubling_net(4, 4), nn.Conv2d(8, 8, 3)

    def forward(self, z):
        return self.net(z)


class Ungraded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = doubling_net(4, 4)

    @torch.no_grad()
    def forward(self, z):
        return self.net(z)


class Overwriting(nn.Module):
    """Overwrites what its own backward pass needs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = doubling_net(4, 4)

    def forward(self, z):
        x = self.net(z)
        return x.mul_(0.5)


class Pyramid(nn.Module):
    """Too large in the middle, then reduced."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.big = doubling_net(4, int(math.log2(size // 2)), base=4, channels=4, last=nn.ReLU())
        self.reduce = nn.Conv2d(4, 1, 4, 2, 1)

    def forward(self, z):
        return torch.tanh(self.reduce(self.big(z)))


class Stretched(nn.Module):
    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, z):
        return nn.functional.interpolate(self.net(z), size=self.size)


RIGHT_4_1 = {
    "four doublings": lambda: doubling_net(4, 4, base=32),
    "eight to start": lambda: doubling_net(8, 3),
    "dense start": lambda: DenseStart(64),
    "pixel shuffle": lambda: shuffled(64),
    "no activation but a bound": lambda: doubling_net(4, 4, last=nn.Softsign()),
    "a network, not a function": doubling_net(4, 4),
}
WRONG_4_1 = {
    "unrepaired": (lambda: doubling_net(7, 2), "no number of doublings"),
    "one doubling more": (lambda: doubling_net(7, 3), "no number of doublings"),
    "one doubling short": (lambda: doubling_net(4, 3), "count how often it doubles"),
    "one too many": (lambda: doubling_net(4, 5), "doubles too often"),
    "three channels": (lambda: doubling_net(4, 4, channels=3), "one channel"),
    "sigmoid": (lambda: doubling_net(4, 4, last=nn.Sigmoid()), "never negative"),
    "no bound": (lambda: doubling_net(4, 4, last=nn.Identity()), r"lie in \[-1, 1\]"),
    "over budget": (lambda: doubling_net(4, 4, base=64), "may have 1,000,000"),
    "stretched": (lambda: Stretched(doubling_net(7, 2), 64), "enlargement"),
    "no weights": (lambda: Stretched(nn.Flatten(0), 64), "raised"),
    "constant": (Constant, "same image"),
    "flat": (lambda: nn.Sequential(doubling_net(4, 4), nn.Flatten(1)), "number of axes"),
    "unused layer": (Unused, "forgotten.weight"),
    "without gradients": (Ungraded, "No gradient reaches"),
    "overwritten": (Overwriting, "raised RuntimeError.* inplace"),
    "channels do not fit": (lambda: nn.Sequential(nn.ConvTranspose2d(100, 8, 4)), "raised RuntimeError"),
    "forgot to return": (lambda: None, "return missing"),
    "returned images": (lambda: torch.zeros(8, 1, 64, 64), "nn.Module"),
    "called it": (torch.zeros(8, 1, 64, 64), "Hand in the function"),
}
RIGHT_4_2 = {
    "transposed": lambda size: doubling_net(4, int(math.log2(size // 4)), base=8),
    "from one point": lambda size: nn.Sequential(
        *(layer for n in range(int(math.log2(size)) - 1) for layer in up(64 if n == 0 else 8, 8)),
        nn.ConvTranspose2d(8, 1, 4, 2, 1),
        nn.Tanh(),
    ),
    "dense start": DenseStart,
    "pixel shuffle": shuffled,
}
WRONG_4_2 = {
    "unrepaired": (
        lambda size: nn.Sequential(
            *(nn.Conv2d(64, 64, 4, 2, 2) for _ in range(3)),
            *up(64, 8),
            nn.ConvTranspose2d(8, 1, 4, 2, 1),
            nn.Tanh(),
        ),
        "count how often it doubles",
    ),
    "no padding": (lambda size: nn.Conv2d(64, 64, 4, 2), "Kernel size"),
    "one size only": (lambda size: doubling_net(4, 4), r"generator\(32\): .* doubles too often"),
    "128 only": (lambda size: doubling_net(4, 5), "doubles too often"),
    "one doubling short": (lambda size: doubling_net(4, int(math.log2(size // 8))), "count how often"),
    "reduces at the end": (Pyramid, "makes its map smaller"),
    "stretched": (lambda size: Stretched(doubling_net(4, 2), size), "enlargement"),
    "sigmoid": (lambda size: doubling_net(4, int(math.log2(size // 4)), last=nn.Sigmoid()), "never negative"),
    "no size": (lambda: doubling_net(4, 4), "raised TypeError"),
    "one network": (doubling_net(4, 4), "several sizes"),
}


def penalty(
    *,
    share=lambda n: torch.rand(n, 1, 1, 1),
    norm=lambda g: g.flatten(1).norm(dim=1),
    end=None,
    graph=True,
    scores=torch.sum,
):
    """Return a gradient penalty with exchangeable parts, to make mistakes with."""

    def gradient_penalty(critic, real, fake):
        e = share(len(real))
        mixed = (e * real + (1 - e) * fake).requires_grad_()
        (g,) = torch.autograd.grad(scores(critic(mixed)), mixed, create_graph=graph)
        return end(norm(g)) if end else (norm(g) - 1).square().mean()

    return gradient_penalty


def by_ones(critic, real, fake):
    eps = torch.rand(real.shape[0], device=real.device)
    mixed = torch.lerp(real, fake, eps.reshape(-1, 1, 1, 1))
    mixed.requires_grad = True
    score = critic(mixed)
    g = torch.autograd.grad(
        outputs=score, inputs=mixed, grad_outputs=torch.ones_like(score), create_graph=True
    )[0]
    norms = torch.sqrt((g**2).sum(dim=(1, 2, 3)) + 1e-12)
    return torch.mean((norms - 1) ** 2)


def one_by_one(critic, real, fake):
    total = 0
    for x, y in zip(real, fake, strict=True):
        e = torch.rand(())
        point = (x + e * (y - x))[None].requires_grad_(True)
        (g,) = torch.autograd.grad(critic(point)[0], point, create_graph=True, retain_graph=True)
        total = total + (torch.linalg.vector_norm(g) - 1) ** 2
    return total / len(real)


def functional(critic, real, fake):
    e = torch.empty(len(real), 1, 1, 1).uniform_()
    mixed = e * real + (1 - e) * fake
    g = torch.func.grad(lambda x: critic(x).sum())(mixed)
    return nn.functional.mse_loss(g.flatten(1).norm(dim=1), torch.ones(len(real)))


def through_grad(critic, real, fake):
    mixed = torch.lerp(real, fake, torch.rand(len(real), 1, 1, 1)).requires_grad_()
    critic(mixed).sum().backward(create_graph=True)
    return (mixed.grad.flatten(1).norm(dim=1) - 1).square().mean()


def in_place(critic, real, fake):
    e = torch.rand(len(real), 1, 1, 1)
    mixed = real.mul_(e).add_((1 - e) * fake).clone().requires_grad_()
    (g,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return (g.flatten(1).norm(dim=1) - 1).square().mean()


def half_detached(critic, real, fake):
    mixed = torch.lerp(real, fake, torch.rand(len(real), 1, 1, 1)).requires_grad_()
    (g,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    norm = g.flatten(1).norm(dim=1)
    return (norm * (norm.detach() - 2) + 1).mean()


RIGHT_4_3 = {"plain": penalty(), "by ones": by_ones, "one by one": one_by_one, "functional": functional}
WRONG_4_3 = {
    "one share": (penalty(share=lambda n: torch.rand(1)), "same share"),
    "half way": (penalty(share=lambda n: torch.full((n, 1, 1, 1), 0.5)), "same share"),
    "share for each pixel": (
        penalty(share=lambda n: torch.rand(n, 1, 4, 4)),
        "one share for the whole image",
    ),
    "normal shares": (penalty(share=lambda n: torch.randn(n, 1, 1, 1)), "outside the line"),
    "half the line": (penalty(share=lambda n: torch.rand(n, 1, 1, 1) / 2), "uniformly"),
    "only real": (penalty(share=lambda n: torch.ones(n, 1, 1, 1)), "none between"),
    "whole batch": (penalty(norm=lambda g: g.norm()), "whole batch"),
    "channels only": (penalty(norm=lambda g: g.norm(2, dim=1)), "its own norm|channels only"),
    "mean of norms": (penalty(end=lambda n: (n.mean() - 1).square()), "averaged before 1"),
    "zero-centred": (penalty(end=lambda n: n.square().mean()), "slope 1, and not slope 0"),
    "no square": (penalty(end=lambda n: (n - 1).abs().mean()), "not squared"),
    "no root": (penalty(norm=lambda g: g.flatten(1).square().sum(1)), "root is missing"),
    "sum": (penalty(end=lambda n: (n - 1).square().sum()), "added up"),
    "one-sided": (penalty(end=lambda n: (n - 1).relu().square().mean()), "two-sided"),
    "with lambda": (penalty(end=lambda n: 10 * (n - 1).square().mean()), "weight 10"),
    "mean score": (penalty(scores=torch.mean), "divided by the batch size"),
    "1-norm": (penalty(norm=lambda g: g.flatten(1).norm(p=1, dim=1)), "Euclidean"),
    "root mean square": (
        penalty(norm=lambda g: g.flatten(1).square().mean(1).sqrt()),
        "mean over the pixels",
    ),
    "not reduced": (penalty(end=lambda n: (n - 1).square()), "one number for the batch"),
    "no graph": (penalty(graph=False), "no gradient of the penalty"),
    "half detached": (half_detached, "cut off"),
    "number": (penalty(end=lambda n: (n - 1).square().mean().item()), "return a tensor"),
    "backward": (through_grad, "left gradients"),
    "in place": (in_place, "in place"),
    "28 px only": (
        lambda c, r, f: penalty(norm=lambda g: g.view(-1, 784).norm(dim=1))(c, r, f),
        "raised|not right",
    ),
    "no return": (lambda c, r, f: None, "return missing"),
    "without the critic": (lambda c, r, f: (r - f).square().mean(), "never called"),
}


def diagnosis(**changes):
    right = {
        "A": ("discriminator too strong", "G.adversarial"),
        "B": ("healthy", None),
        "C": ("mode collapse", "spread"),
    }
    return right | changes


RIGHT_4_4 = {
    "a function": diagnosis,
    "a dictionary": diagnosis(),
    "the fakes' cost": diagnosis(A=("discriminator too strong", "D.fake")),
    "a list": diagnosis(C=["mode collapse", "spread"]),
}
WRONG_4_4 = {
    "A collapsed": (
        diagnosis(A=("mode collapse", "spread")),
        "Run A is not a case of 'mode collapse': look at `G.adversarial`",
    ),
    "B collapsed": (
        diagnosis(B=("mode collapse", "spread")),
        "Run B is not a case of 'mode collapse': .* is anything amiss",
    ),
    "C healthy": (
        diagnosis(C=("healthy", "D.real")),
        "Run C is not a case of 'healthy': the losses alone do not tell",
    ),
    "C by its losses": (
        diagnosis(C=("mode collapse", "D.real")),
        "Run C: 'mode collapse' is right, but `D.real` does not show it",
    ),
    "no such label": (diagnosis(B=("overfitted", "D.real")), "'overfitted' is no label"),
    "no such curve": (diagnosis(B=("healthy", "loss")), "'loss' is no curve"),
    "a tensor for a curve": (diagnosis(B=("healthy", torch.zeros(2))), "is no curve"),
    "a curve of the healthy": (
        diagnosis(B=("healthy", "spread")),
        "Run B: 'healthy' is right, but the curve is not",
    ),
    "A without a curve": (
        diagnosis(A=("discriminator too strong", None)),
        "Run A: .* is right, but the curve is not",
    ),
    "A by its spread": (
        diagnosis(A=("discriminator too strong", "spread")),
        "Run A: .* `spread` does not show it",
    ),
    "no pair": (diagnosis(B="healthy"), "as a pair"),
    "a list for a label": (diagnosis(B=(["healthy"], "spread")), "no label"),
    "one run only": ({"A": ("healthy", "spread")}, "The runs are called A, B, C"),
    "no run": ({}, "The runs are called A, B, C"),
    "no dictionary": ([("A", "healthy")], "is a dictionary"),
    "a function without return": (lambda: None, "is a dictionary"),
}


RIGHT = {"04.1": RIGHT_4_1, "04.2": RIGHT_4_2, "04.3": RIGHT_4_3, "04.4": RIGHT_4_4}
WRONG = {"04.1": WRONG_4_1, "04.2": WRONG_4_2, "04.3": WRONG_4_3, "04.4": WRONG_4_4}


def test_a_network_handed_in_is_left_as_it_was():
    net = doubling_net(4, 4)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    check("04.1", net)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_recorded_runs_are_what_their_labels_say():
    runs = {run.label: run for run in recorded_runs().values()}
    last = {
        label: {term: curve[-len(curve) // 4 :].mean() for term, curve in run.curves.items()}
        for label, run in runs.items()
    }
    assert last["mode collapse"]["spread"] < 0.5 < 0.8 < last["healthy"]["spread"] < 1.2
    strong = last["discriminator too strong"]
    assert strong["D.real"] + strong["D.fake"] < 0.1
    assert strong["G.adversarial"] > 3 * last["healthy"]["G.adversarial"]
    for run in runs.values():
        assert run.samples.shape[1:] == (16, 1, 28, 28)
        assert -1 <= run.samples.min() < run.samples.max() <= 1
