"""Killed with SIGKILL at any moment and resumed, a training ends where the uninterrupted one ends."""

import json
import os
import subprocess
import sys

import pytest
from safetensors import safe_open

# One process imports torch once and forks the trainings that it kills.
SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from torch import nn
from medgan_course import draws
from medgan_course.data.batches import Batch, Stream
from medgan_course.train import Game, Player, Turn, fit, linear_decay

torch.set_num_threads(1)
STEPS, folder = 40, Path(sys.argv[1])


def train(name, steps=STEPS):
    torch.manual_seed(os.getpid())  # no luck: weights and draws must come from file and seed
    generator = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    critic = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1))
    for number, parameter in enumerate([*generator.parameters(), *critic.parameters()]):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))

    def fakes(game, batch):
        return game["G"](draws.normal(len(batch.images), 3))

    def critic_cost(game, batch):
        fake = game.replayed("G", fakes(game, batch))
        return {"gap": game["D"](fake).mean() - game["D"](batch.images).mean()}

    adam = lambda p: torch.optim.Adam(p, lr=0.01, fused=True)
    decay = lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [7, 21])
    game = Game(
        {
            "G": Player(generator, optimiser=adam, schedule=linear_decay(5, 50), ema=0.9, replay=9),
            "D": Player(critic, optimiser=adam, schedule=decay),
        },
        [
            Turn("D", critic_cost, times=2),
            Turn("D", lambda game, batch: {"lazy": game["D"](batch.images).square().mean()}, every=3),
            Turn("G", lambda game, batch: {"fool": -game["D"](fakes(game, batch)).mean()}),
        ],
    )
    whole = Batch(torch.randn(30, 2, generator=torch.Generator().manual_seed(0)), torch.arange(30))
    fit(
        game, Stream(whole, 6, seed=3), steps, seed=4, device="cpu",
        checkpoint=folder / (name + ".safetensors"), checkpoint_every=1, log=folder / (name + ".jsonl"),
    )


def killed(name, seconds):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            train(name)
            code = 0
        finally:
            os._exit(code)
    if seconds:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


train("warm", 1)  # what torch imports late is imported before the forks
killed("whole", None)
chance, kills, longest = random.Random(1), 0, 0.2
while killed("resumed", chance.uniform(0.01, longest)):
    kills, longest = kills + 1, longest * 1.2
print(kills)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the trainings are forked")
def test_killed_again_and_again_it_ends_where_the_uninterrupted_training_ends(tmp_path):
    # Without a GPU, autograd has no threads that a fork would lose.
    alone = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    ran = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], capture_output=True, text=True, env=alone)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 0
    states = []
    for name in ("whole", "resumed"):
        with safe_open(tmp_path / f"{name}.safetensors", framework="pt") as file:
            tensors = {key: file.get_tensor(key).numpy().tobytes() for key in file.keys()}  # noqa: SIM118
            states.append((file.metadata(), tensors))
    assert states[0] == states[1]
    assert {"G/average/0.weight", "G/past", "G/schedule", "history/D.lazy"} <= states[0][1].keys()
    log = (tmp_path / "resumed.jsonl").read_text()
    assert log == (tmp_path / "whole.jsonl").read_text()
    assert [json.loads(line)["step"] for line in log.splitlines()] == list(range(40))
    assert not list(tmp_path.glob("whole.*partial*"))
