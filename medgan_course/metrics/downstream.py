r"""What generated images are good for: obeying their condition, and teaching a classifier.

Classifiers here return probabilities ``(n, classes)`` of test images;
:mod:`medgan_course.metrics.classification` turns those into numbers with intervals, as in
``auc(test.labels, probabilities[:, 1])``.

Conditional accuracy, how often a classifier sees in generated images the class they were asked to show, is
``accuracy(asked, classify(net, images).argmax(1))``. That classifier must have been trained on real images
without the generator. What it reaches on real test images is the ceiling, the floor is a generator that
ignores its label. One image of each class, repeated, scores 1: this is no measure of variety.
"""

from collections.abc import Callable

import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from medgan_course.data.batches import Batch, Batches
from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score, bootstrap, repeated


def downstream(
    real: Batch,
    synthetic: Batch,
    test: Batch,
    *,
    classifier: Callable[[], nn.Module] | None = None,
    steps: int = 300,
    batch_size: int = 64,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Train one classifier on real images, on synthetic ones and on both; return what each says of the test.

    The test images must be real, and of other subjects than those that trained classifier *or generator*: a
    generator trained on a test subject carries that subject into the training set. All arms take the same
    number of steps from the same start. "shuffled" is the control, trained on the synthetic images with their
    labels permuted: if it beats chance, the evaluation leaks.

    Parameters
    ----------
    real, synthetic, test : Batch
        All images ``(n, C, ...)`` in [-1, 1] and labels ``(n,)`` of each set.
    classifier : callable, optional
        Makes an untrained network from images to logits ``(n, classes)``; :func:`small_classifier` by
        default.
    steps, batch_size : int
        Training of every arm: Adam, learning rate 2e-3 falling to 0 along a cosine.
    seed : int
        Seed of weights, order and permutation. Results differ between seeds: repeat with several.

    Returns
    -------
    dict of str to Tensor
        Probabilities ``(len(test), classes)`` of "real", "synthetic", "real + synthetic" and "shuffled".
    """
    shapes = {tuple(part.images.shape[1:]) for part in (real, synthetic, test)}
    if len(shapes) > 1:
        raise CourseError(f"Real, synthetic and test images must be of one shape, not {sorted(shapes)}.")
    channels, *sides = real.images.shape[1:]
    n_classes = int(max(part.labels.max() for part in (real, synthetic, test))) + 1
    make = classifier or (lambda: small_classifier(n_classes, channels=channels, dim=len(sides)))
    order = torch.randperm(len(synthetic.labels), generator=torch.Generator().manual_seed(seed))
    arms = {
        "real": real,
        "synthetic": synthetic,
        "real + synthetic": Batch(*(torch.cat(parts) for parts in zip(real, synthetic, strict=True))),
        "shuffled": Batch(synthetic.images, synthetic.labels[order.to(synthetic.labels.device)]),
    }
    probabilities = {}
    for arm, training in arms.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = make().to(real.images.device)
            _train(net, training, steps=steps, batch_size=min(batch_size, len(training.labels)), seed=seed)
        probabilities[arm] = classify(net, test.images)
    return probabilities


def small_classifier(n_classes: int, *, channels: int = 1, dim: int = 2, base: int = 16) -> nn.Module:
    """Return an untrained classifier: three strided convolutions, global average pooling, one linear layer.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    channels : int
        Image channels.
    dim : int
        2 for images, 3 for volumes.
    base : int
        Width of the first layer; the others have twice and four times as many.
    """
    convolution, norm, pool = {
        2: (nn.Conv2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d),
        3: (nn.Conv3d, nn.BatchNorm3d, nn.AdaptiveAvgPool3d),
    }[dim]
    layers: list[nn.Module] = []
    for width in (base, 2 * base, 4 * base):
        layers += [convolution(channels, width, 3, 2, 1, bias=False), norm(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, pool(1), nn.Flatten(), nn.Linear(channels, n_classes))


@torch.no_grad()
def classify(classifier: nn.Module, images: Tensor) -> Tensor:
    """Return the probabilities ``(n, classes)`` that a network of logits gives, in batches, on the CPU."""
    was_training = classifier.training
    classifier.eval()
    logits = torch.cat([classifier(part).cpu() for part in images.split(256)])
    classifier.train(was_training)
    return logits.softmax(1)


def linear_probe(features: Tensor, labels: Tensor, test_features: Tensor) -> Tensor:
    """Return the class probabilities that logistic regression on features gives to test images.

    How much of the label a representation holds in a form that a linear layer can read (Alain & Bengio 2016).
    Features are standardised with mean and standard deviation of the training split alone, the regression has
    scikit-learn's default penalty.

    Parameters
    ----------
    features, labels : Tensor
        ``(n, d)`` and ``(n,)`` of the training split.
    test_features : Tensor
        ``(m, d)``.

    Returns
    -------
    Tensor
        ``(m, classes)`` float64; columns are the classes 0, 1, ..., one without training images has 0.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    probe.fit(features.double().cpu().numpy(), labels.cpu().numpy())
    found = torch.from_numpy(probe.predict_proba(test_features.double().cpu().numpy()))
    probabilities = torch.zeros(len(found), int(labels.max()) + 1, dtype=torch.float64)
    probabilities[:, torch.from_numpy(probe.classes_)] = found
    return probabilities


def rank_correlation(codes: Tensor, factors: Tensor) -> Tensor:
    r"""Return Spearman's correlation of each code with each factor (Spearman 1904).

    Pearson's correlation of the ranks, equal values sharing their mean rank.

    Parameters
    ----------
    codes, factors : Tensor
        ``(n, k)`` and ``(n, f)``.

    Returns
    -------
    Tensor
        ``(k, f)`` float64 in [-1, 1]; 0 where a code or factor is constant.
    """
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or len(codes) < 2:
        raise CourseError(
            "Codes (n, k) and factors (n, f) belong to the same n images, two or more, not "
            f"{tuple(codes.shape)} and {tuple(factors.shape)}."
        )
    return _correlation(_ranks(codes)[None], _ranks(factors)[None])[0]


def factor_correlation(codes: Tensor, factors: Tensor, *, seed: int = 0) -> Score:
    r"""Score the strongest link between a code and a factor measured on the image (S09).

    .. math:: \max_{k,f}|\rho_{kf}|, \qquad \rho=\text{Spearman's correlation}

    The maximum over many pairs is large by chance. The floor is the same maximum after the factors have been
    permuted among the images, 200 times. The interval resamples images with the ranks they have in the
    whole set.

    Parameters
    ----------
    codes : Tensor
        ``(n, k)`` latent codes of the generated images.
    factors : Tensor
        ``(n, f)``, such as radius or contrast of the lesion.
    """
    rank_correlation(codes, factors)  # refuses shapes that do not belong together
    ranks, k = torch.cat((_ranks(codes), _ranks(factors)), 1), codes.shape[1]

    def strongest(samples: Tensor) -> Tensor:
        return _correlation(samples[..., :k], samples[..., k:]).abs().amax((1, 2))

    draw = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(ranks), generator=draw) for _ in range(200)]
    permuted = torch.stack([torch.cat((ranks[:, :k], ranks[order, k:]), 1) for order in orders])
    return bootstrap(
        ranks, strongest, seed=seed, floor=repeated(strongest(permuted).tolist(), len(ranks), seed=seed)
    )


def _ranks(values: Tensor) -> Tensor:
    return torch.from_numpy(stats.rankdata(values.double().cpu().numpy(), axis=0))


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a, b = (part - part.mean(1, keepdim=True) for part in (a, b))
    norms = a.norm(dim=1)[..., :, None] * b.norm(dim=1)[..., None, :]
    return (a.transpose(1, 2) @ b / norms).nan_to_num(0.0)


def _train(net: nn.Module, training: Batch, *, steps: int, batch_size: int, seed: int) -> None:
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    batches = Batches(training.images, training.labels, batch_size, seed=seed)
    net.train()
    for step in range(steps):
        batch = batches[step]
        optimiser.zero_grad()
        cross_entropy(net(batch.images), batch.labels).backward()
        optimiser.step()
        schedule.step()
