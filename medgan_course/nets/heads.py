"""Several read-outs of one trunk: encoders, auxiliary classifiers, and networks that find codes again.

=================================  ==========================================================
encoder of a VAE                   ``Heads(Trunk(28), mean=32, log_variance=32)``
discriminator of an ACGAN          ``Heads(Trunk(28), source=1, label=8)``
discriminator and Q of an InfoGAN  ``Heads(Trunk(28), source=1, category=6, mean=2, log_variance=2)``
K+1 discriminator                  ``Heads(Trunk(28), label=2)``
=================================  ==========================================================
"""

from torch import Tensor, nn

from medgan_course.nets.dcgan import Trunk


class Heads(nn.Module):
    """A trunk with a linear head for each named output.

    ``net.trunk(images)`` are the features that all heads read, ``net.heads["label"]`` is one of them.

    Parameters
    ----------
    trunk : Trunk
        Maps images to features, and makes heads for them.
    **outputs : int
        Name of each head and the number of its outputs.
    """

    def __init__(self, trunk: Trunk, **outputs: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleDict({name: trunk.head(number) for name, number in outputs.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map images ``(N, C, H, W)``, or volumes, to a dict of ``(N, outputs)`` by the heads' names."""
        features = self.trunk(images)
        return {name: head(features) for name, head in self.heads.items()}
