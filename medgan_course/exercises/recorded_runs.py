"""Three real trainings that exercise 4.4 asks to diagnose, as ``record_runs`` recorded them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FILE = Path(__file__).with_name("runs_04.npz")  # and its card, runs_04.json
TERMS = ("D.real", "D.fake", "G.adversarial", "spread")


@dataclass(frozen=True)
class RecordedRun:
    """One recorded training.

    Attributes
    ----------
    label : str
        What was the matter with it: the answer to exercise 4.4.
    curves : dict of str to Tensor
        ``"D.real"``, ``"D.fake"``, ``"G.adversarial"`` (costs) and ``"spread"`` (of generated images
        relative to real ones, see :func:`medgan_course.metrics.diversity.spread`), against ``steps``.
    steps : dict of str to Tensor
        The step numbers of each curve.
    samples : Tensor
        ``(moments, n, 1, 28, 28)`` in [-1, 1]: the same latents at the steps ``sampled_at``.
    sampled_at : list of int
        The steps of ``samples``.
    """

    label: str
    curves: dict[str, Tensor]
    steps: dict[str, Tensor]
    samples: Tensor
    sampled_at: list[int]


def card() -> dict[str, Any]:
    """Return how the runs were recorded: data, settings, seed, command, versions."""
    return json.loads(FILE.with_suffix(".json").read_text("utf-8"))


def recorded_runs() -> dict[str, RecordedRun]:
    """Return the three recorded runs, by name."""
    facts = card()
    with np.load(FILE) as file:
        curves = {
            name: {term: torch.from_numpy(file[f"{name}/{term}"]) for term in TERMS} for name in facts["runs"]
        }
        samples = {
            name: torch.from_numpy(file[f"{name}/samples"]).float() / 127.5 - 1 for name in facts["runs"]
        }
    every = {term: facts["watch_every"] if term == "spread" else 1 for term in TERMS}
    return {
        name: RecordedRun(
            label=settings["label"],
            curves=curves[name],
            steps={term: torch.arange(len(curve)) * every[term] for term, curve in curves[name].items()},
            samples=samples[name],
            sampled_at=facts["sampled_at"],
        )
        for name, settings in facts["runs"].items()
    }
