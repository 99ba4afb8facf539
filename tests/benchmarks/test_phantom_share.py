"""What making phantoms costs beside a training is counted as it says; what is found is no test's business."""

import importlib
import inspect
import sys
import time
from functools import lru_cache
from types import ModuleType

import pytest
import torch

from benchmarks import phantoms
from medgan_course import data
from medgan_course.budgets import Budget
from medgan_course.data import surrogate
from medgan_course.data.batches import Batches
from medgan_course.experiments import Claim, Experiment
from medgan_course.train import Game, Player, Turn


@pytest.fixture
def clock(monkeypatch):
    """Return the CPU time, ``[seconds]``, that only the test makes pass."""
    now = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: now[0])
    return now


def training(clock, run):
    """Train with ``run`` for 1 000 steps: 100 s each of the first four, 0.25 s each after."""
    step = iter(range(10_000))

    def cost(game, batch):
        clock[0] += 100.0 if next(step) < phantoms.WARM_UP else 0.25
        return {"cost": game["net"](batch.images).square().mean()}

    net = Player(torch.nn.Linear(2, 1), optimiser=lambda p: torch.optim.SGD(p, lr=0.1))
    stream = Batches(torch.ones(4, 2), torch.zeros(4), 2)
    run.fit(Game({"net": net}, [Turn("net", cost)]), stream, 1_000)
    raise AssertionError("a training that is measured goes no further")


@pytest.fixture
def tiny(monkeypatch, clock):
    """Have a system whose second arm trains on phantoms and stand-ins, which take 2 s and 3 s to make."""
    module = ModuleType("medgan_course.systems.tiny")
    module.budget = lambda: Budget(steps=1_000, size=32, base=1, batch_size=2, n_score=2)

    @lru_cache
    def phantoms_of(name):
        clock[0] += 2.0

    @lru_cache
    def arrays(name):
        clock[0] += 3.0

    def load(name, *, size, split):
        (arrays if data.card(name).files else phantoms_of)(name)
        made.append((name, size, split))
        return data.Dataset(data.card(name), size, split, torch.zeros(2, 1, size, size), torch.zeros(2), "")

    made = []
    monkeypatch.setattr(data, "_phantoms", phantoms_of)
    monkeypatch.setattr(surrogate, "arrays", arrays)
    module.experiment = lambda budget: Experiment(
        data=[
            load("xray2d", size=budget.size, split="train"),
            load("busi", size=budget.size, split="val"),
            {"name": "points"},
        ],
        arms={"real images": lambda run: {}, "GAN": lambda run: training(clock, run)},
        claims=[Claim("It is.", metric="m", variant="GAN", better="lower", references=["real images"])],
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(data, "load", load)
    return made


def test_a_training_is_as_long_as_its_steps_after_the_warm_up(tiny):
    found = phantoms.shared("tiny")
    assert found["training_seconds"] == pytest.approx(250.0)
    assert found["arm"] == "GAN"  # the first that trains


def test_data_are_made_anew_and_timed_alone(tiny):
    found = phantoms.shared("tiny")
    assert found["data_seconds"] == pytest.approx(5.0)
    assert found["data"] == "xray2d train at 32 px, busi val at 32 px"
    assert tiny == [("xray2d", 32, "train"), ("busi", 32, "val")] * 2


@pytest.mark.parametrize("name", ["nodule2d", "breastmnist"])
def test_subjects_are_counted_by_the_cpu_and_by_the_clock(name, clock, monkeypatch):
    monkeypatch.setattr(phantoms, "SUBJECTS", {2: 6, 3: 2})
    wall = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: wall[0])
    family = importlib.import_module(f"medgan_course.data.phantom.{data.card(name).phantom}")
    function = "render" if data.card(name).files else "phantoms"
    draw, drawn = getattr(family, function), []

    def timed(*arguments, **options):
        clock[0] += 3.0
        wall[0] += 2.0
        drawn.append(len(options.get("labels", arguments[0])))
        return draw(*arguments, **options)

    monkeypatch.setattr(family, function, timed)
    assert phantoms.made(name) == {
        "size": min(data.card(name).files, default=64),
        "per_cpu_second": 2.0,
        "per_second": 3.0,
    }
    assert drawn == [2, 6]


def test_every_family_is_measured():
    cards = [data.card(name) for name in data.names()]
    measured = {data.card(name).phantom.partition(".")[0] for name in phantoms.sets()}
    assert measured == {card.phantom.partition(".")[0] for card in cards}
    assert {card.name for card in cards if not card.files} <= set(phantoms.sets())
    assert len(set(phantoms.sets())) == len(phantoms.sets())


@pytest.mark.parametrize("system", phantoms.SYSTEMS)
def test_systems_have_an_experiment_that_needs_its_budget_alone(system):
    experiment = importlib.import_module(f"medgan_course.systems.{system}").experiment
    needed = [p for p in inspect.signature(experiment).parameters.values() if p.default is p.empty]
    assert len(needed) == 1


def test_tables():
    rounds = [{"size": 64, "per_cpu_second": speed, "per_second": 2 * speed} for speed in (90, 120, 100)]
    faster = [each | {"per_cpu_second": 1.0, "per_second": 2 * each["per_second"]} for each in rounds]
    assert phantoms.speeds({"head2d": {"1": rounds, "2": faster}}).rows == [
        ["head2d", "64", "100.0 (90.0-120.0)", "200.0 (180.0-240.0)", "400.0 (360.0-480.0)", "150"]
    ]
    assert set(phantoms.LEAST) <= set(phantoms.sets())
    cost = {"data": "head2d", "arm": "cGAN", "data_seconds": 12.0, "training_seconds": 240.0}
    assert phantoms.shares({"pix2pix": cost}).rows == [["pix2pix, cGAN", "head2d", "12.0", "240", "4.8%"]]
