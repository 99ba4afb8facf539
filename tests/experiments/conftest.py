"""A system that costs nothing: a package of one file in the place of ``medgan_course.systems``."""

import importlib
import sys

import pytest

from medgan_course.experiments import claim, runner

TOY = '''"""S90, toy (Nobody 2000).

Numbers around the seed.
"""

import torch
from torch import nn

from medgan_course.budgets import Budget, choose
from medgan_course.experiments import Claim, Experiment
from medgan_course.train import Game, Player, Turn
from toy_systems import helpers

ran = []
fails_in = set()
surrogate = False


def budget():
    small = Budget(steps=4, size=8, base=2, batch_size=3, n_score=6)
    return choose(smoke=small, cpu=small, gpu=small)


def experiment(budget, *, shift: float = 1.0, word: str = "plain", flag: bool = False):
    def cost(game, batch):
        return {"loss": (game["P"](batch) - 3).square().mean()}

    def trained(run):
        ran.append(("trained", run.seed))
        torch.manual_seed(run.seed)
        game = Game({"P": Player(nn.Linear(2, 1))}, [Turn("P", cost)])
        run.fit(game, [torch.ones(3, 2)], budget.steps)
        if "trained" in fails_in:
            raise KeyboardInterrupt
        return {"score": torch.arange(6.0) + run.seed + shift, "steps": torch.tensor([float(game.step)])}

    def fixed(run):
        ran.append(("fixed", run.seed))
        return {"score": torch.arange(6.0)}

    data = {
        "name": "numbers",
        "split": "all",
        "size": budget.size,
        "n": 6,
        "source": "Counted.",
        "surrogate": surrogate,
    }
    claim = Claim(
        "More.",
        metric="score",
        variant="trained",
        baseline="the fixed one",
        better="higher",
        margin=0.5,
        references=["nothing"],
    )
    arms = {"trained": trained, "the fixed one": fixed, "nothing": lambda run: {"score": torch.zeros(6)}}
    return Experiment(arms=arms, claims=[claim], data=[data])
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Return the module ``toy`` of a package of systems that takes the place of the course's."""
    package = tmp_path / "package" / "toy_systems"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Systems."""\n')
    (package / "toy.py").write_text(TOY)
    (package / "helpers.py").write_text('"""Something else."""\nNUMBER = 0\n')
    (package / "unfinished.py").write_text('"""S91, not there yet (Nobody 2001)."""\n')
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(runner, "systems", importlib.import_module("toy_systems"))
    monkeypatch.setattr(claim, "RESAMPLES", 40)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDGAN_PROFILE", raising=False)
    yield importlib.import_module("toy_systems.toy")
    for name in [name for name in sys.modules if name.startswith("toy_systems")]:
        del sys.modules[name]
