"""Generators of one image set, scored in one way wherever they are compared."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medgan_course import data, pretrained
from medgan_course.errors import CourseError
from medgan_course.experiments.claim import Outcome
from medgan_course.experiments.runner import Arm, Run
from medgan_course.metrics.distribution import frechet_distance
from medgan_course.metrics.features import FeatureNet, features


class Domain:
    """Real images to train on, others to compare with, and the features in which they are compared.

    Images are compared with those of ``val``: there the classes have the shares that they have in ``train``,
    in ``test`` they have not.

    Parameters
    ----------
    dataset : str
        A set for which the course ships a feature network.
    size : int
        Image side in pixels.
    n : int
        Images on each side of a comparison, if there are so many held out.

    Raises
    ------
    CourseError
        If there is no such set or size, or no feature network for it.
    """

    def __init__(self, dataset: str, size: int, n: int) -> None:
        self.train, self.held_out = (data.load(dataset, size=size, split=part) for part in ("train", "val"))
        self.net = feature_net(dataset, size)
        self.n = min(n, len(self.held_out))
        self.shape = tuple(self.train.images.shape[1:])
        self.real = features(self.net, self.held_out.images[: self.n])

    @torch.no_grad()
    def sample(self, generator: Any, seed: int) -> Tensor:
        """Return the features ``(n, 64)`` of a generator's images; the seed decides the latents."""
        return features(self.net, generator(generator.latent(self.n, seed=seed)).cpu())

    def fid(self, outcome: Outcome) -> float:
        """Return the Fréchet distance of ``outcome["features"]`` to the held-out real images."""
        return self.distance(outcome["features"])

    def distance(self, seen: Tensor) -> float:
        """Return the Fréchet distance of features ``(n, 64)`` to those of the held-out real images."""
        return frechet_distance(self.real, seen)

    @property
    def references(self) -> Mapping[str, Arm]:
        """Arms that train nothing and give pixels drawn one by one, or real images of the training set."""
        return {"mean image and noise": self._noise, "real images": self._real}

    def _noise(self, run: Run) -> Outcome:
        images = self.train.images
        pixels = images.mean(0) + images.std(0) * torch.randn(self.n, *self.shape)
        return {"features": features(self.net, pixels.clamp(-1, 1))}

    def _real(self, run: Run) -> Outcome:
        chosen = torch.randperm(len(self.train))[: self.n]
        return {"features": features(self.net, self.train.images[chosen])}


def feature_net(dataset: str, size: int) -> FeatureNet:
    """Return the network in whose features images of a set and size are compared.

    Raises
    ------
    CourseError
        If the course ships none for them; those that it ships are named.
    """
    shipped = sorted(
        path.stem.split("_", 1)[1].rsplit("_", 1) for path in pretrained.folder().glob("features_*.json")
    )
    if [dataset, str(size)] not in shipped:
        there = ", ".join(f"{name} at {pixels} px" for name, pixels in shipped)
        raise CourseError(f"There is no feature network for {dataset} at {size} px: there are {there}.")
    return pretrained.load(f"features_{dataset}_{size}", FeatureNet)
