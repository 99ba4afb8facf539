"""What every experiment on images with a known truth is asked."""

import math
from functools import cache
from types import SimpleNamespace

import torch

from medgan_course import data
from medgan_course.data.phantom.head import phantoms
from medgan_course.experiments import Run, claim, run

AMPLITUDES = (0.2, 0.02)
STRIPES_DB = (20.0 + 40.0) / 2  # mean of 20 log10(2 / amplitude)


@cache
def eight_heads(split):
    """Eight phantoms with lesions; nobody is in two splits."""
    card = data.card("head2d")
    first = {"train": 0, "test": 8}[split]
    truth = phantoms(range(first, first + 8), size=32, seed=0, contrasts=card.contrasts, labels=[1] * 8)
    images = torch.cat([truth.images[name] for name in card.contrasts], 1)
    about = {"mask": truth.lesion, "subject": truth.subject, "truth": truth}
    return data.Dataset(card, 32, split, images, truth.labels, "Eight phantoms, for a test.", **about)


@cache
def stripes(split):
    r"""Images :math:`\frac12\cos(6\pi j/32) \pm A` of two amplitudes, the sign changing from row to row.

    Of 2 or 4 times fewer samples of k-space the cosine is left and the sign is not: zero filling is wrong by
    A in every pixel. A little noise, because nothing real has a spectrum of zeros.
    """
    place = torch.arange(32.0)
    wave, sign = torch.cos(6 * math.pi * place / 32) / 2, 1 - 2 * (place % 2)
    amplitude = torch.tensor(AMPLITUDES).repeat(4) if split == "test" else torch.full((8,), 0.3)
    noise = 1e-4 * torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    images = (wave if split == "test" else -wave) + amplitude.view(-1, 1, 1, 1) * sign[:, None] + noise
    card, labels = data.card("pneumoniamnist"), torch.arange(8) % 2
    return data.Dataset(card, 32, split, images, labels, "Stripes, for a test.", True)


def use(dataset, monkeypatch):
    """Let experiments load ``dataset(split)``, whatever set they ask for."""
    monkeypatch.setattr(data, "load", lambda name, *, size, split: dataset(split))


def experiment_on(dataset, name, monkeypatch, folder, **settings):
    """Run a whole experiment with the least of everything.

    Returns
    -------
    card : ResultsCard
    trained : dict
        ``(arm, training)`` to what was given to ``run.fit``: ``game``, after it, and ``whole``, its data.
    """
    trained, fit = {}, Run.fit

    def noted(run, game, batches, steps, *, name=None):
        history = fit(run, game, batches, steps, name=name)
        trained[run.arm, name or run.arm] = SimpleNamespace(game=game, whole=batches.whole, terms=history)
        return history

    use(dataset, monkeypatch)
    monkeypatch.setattr(Run, "fit", noted)
    monkeypatch.setattr(claim, "RESAMPLES", 3)
    least = {"steps": "1", "size": "32", "base": "2", "batch_size": "4", "n_score": "6"} | settings
    card = run(name, profile="smoke", seeds=[1], settings=least, out=folder, runs=folder)
    return card, trained


def judged(claims, outcomes):
    """Return each claim's compared quantity, were these the outcomes of all seeds, and its verdict."""
    found = []
    for each in claims:
        quantity = each.quantities({arm: [outcome] for arm, outcome in outcomes.items()}).item()
        settled = (each.kind, each.better, each.margin, each.fails, (quantity, quantity))
        found.append((round(quantity, 6), claim.verdict(*settled, seeds=3, profile="cpu")))
    return found


def decibels(images, truth):
    """Return the mean over images of the PSNR in [-1, 1], where 2 is the range."""
    squares = (images.clamp(-1, 1).double() - truth.double()).square().flatten(1).mean(1)
    return (10 * (4 / squares).log10()).mean().item()
