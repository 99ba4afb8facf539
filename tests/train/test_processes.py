"""Two processes that share every batch train as one process does on the whole of it."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from medgan_course import draws
from medgan_course.errors import CourseError
from medgan_course.train import processes

# WGAN-GP with augmentation and past images: every kind of draw, and a second derivative.
SCRIPT = """
import os, sys
from pathlib import Path
import torch
from torch import nn
from medgan_course import draws
from medgan_course.data.augment import diff_augment
from medgan_course.data.batches import Batch, Stream
from medgan_course.losses.penalties import gradient_penalty
from medgan_course.train import Game, Player, Turn, fit

torch.set_num_threads(1)
torch.manual_seed(0)
generator = nn.Sequential(nn.Linear(4, 36), nn.Tanh(), nn.Unflatten(1, (1, 6, 6)))
critic = nn.Sequential(nn.Conv2d(1, 3, 3), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(48, 1))
segmentor = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
# A player apart whose statistics are those of each process's rows, until they are averaged.
normed = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def fakes(game, batch):
    return game["G"](draws.normal(len(batch.images), 4))


def critic_cost(game, batch):
    real, fake = diff_augment(batch.images), diff_augment(game.replayed("G", fakes(game, batch)))
    return {
        "gap": game["D"](fake).mean() - game["D"](real).mean(),
        "penalty": 10 * gradient_penalty(game["D"], real=real, fake=fake),
    }


def generator_cost(game, batch):
    fake = fakes(game, batch)
    return {"fool": -game["D"](diff_augment(fake)).mean(), "shape": game["S"](fake).square().mean()}


adam = lambda p: torch.optim.Adam(p, lr=0.01)
game = Game(
    {
        "G": Player(generator, optimiser=adam, ema=0.9, replay=10),
        "D": Player(critic, optimiser=adam),
        "S": Player(segmentor),
        "B": Player(normed, optimiser=adam),
    },
    [
        Turn("D", critic_cost, times=2),
        Turn("G", generator_cost),
        Turn("B", lambda game, batch: {"apart": (game["B"](batch.images) - 1).abs().mean()}),
    ],
)
images = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
name, rank, watched = sys.argv[1], int(os.environ.get("RANK", 0)), []
# The second process is given names of its own, to see that it writes nothing.
own = name if rank == 0 else name + "-not-written"
fit(
    game, Stream(Batch(images, torch.zeros(40)), 8), 6, device="cpu",
    checkpoint=Path(own), checkpoint_every=4, log=Path(own + ".jsonl"),
    watch=lambda game: watched.append((game.step, *draws.shared())), watch_every=3,
)
assert watched == ([] if rank else [(0, 0, 1), (3, 0, 1), (6, 0, 1)]), watched
assert Path(name).exists()  # as soon as any process is done
apart = [game.history.pop("B.apart"), game["B"].state_dict()]
torch.save([game.history, game["D"].state_dict(), game.players["G"].past, apart], f"{name}.{rank}")
"""


def run(*command):
    alone = {key: value for key, value in os.environ.items() if key not in ("WORLD_SIZE", "RANK")}
    # Two processes on one machine find each other without its name, which may not resolve.
    alone |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else ""}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=alone)


def test_two_processes_train_as_one(tmp_path):
    pytest.importorskip("accelerate")
    script = tmp_path / "training.py"
    script.write_text(SCRIPT)
    twice = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2)
    for launcher, name in ((), "one"), (twice, "two"):
        ran = run(sys.executable, *launcher, script, tmp_path / name)
        assert ran.returncode == 0, ran.stderr
    alone, *ranks = (torch.load(tmp_path / name, weights_only=False) for name in ("one.0", "two.0", "two.1"))
    # Both processes end in one state, to the last bit.
    torch.testing.assert_close(ranks[0], ranks[1], rtol=0, atol=0)
    # It is that of one process, up to the rounding of sums in another order.
    torch.testing.assert_close(dict(ranks[0][0]), dict(alone[0]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ranks[0][1:3], alone[1:3], rtol=1e-3, atol=1e-5)
    one, two = (
        {
            key: value
            for key, value in load_file(tmp_path / name).items()
            if "B/" not in key and ".apart" not in key
        }
        for name in ("one", "two")
    )
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-5)
    assert not list(tmp_path.glob("*-not-written*"))
    assert len((tmp_path / "two.jsonl").read_text().splitlines()) == 6


def test_without_accelerate_several_processes_are_a_sentence(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with (
        pytest.raises(CourseError, match="needs Accelerate: pip install accelerate"),
        processes.joined(torch.device("cpu")),
    ):
        pass


def test_rows_of_a_nested_batch():
    x = torch.arange(6)
    with draws.share(1, 2):
        mine = processes.rows({"x": x, "pair": (x, [x]), "name": "a", "scalar": torch.tensor(3)})
    assert mine["x"].tolist() == mine["pair"][0].tolist() == mine["pair"][1][0].tolist() == [3, 4, 5]
    assert mine["name"] == "a"
    assert mine["scalar"] == 3
    assert processes.rows(x) is x


def test_an_unequal_share_is_a_sentence():
    with (
        draws.share(0, 4),
        pytest.raises(
            CourseError, match=r"A batch of 6 cannot be shared equally by 4 processes: .* that 4 divides"
        ),
    ):
        processes.rows(torch.zeros(6, 1))
