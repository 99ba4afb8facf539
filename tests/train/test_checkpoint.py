import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from medgan_course.data.batches import Batches
from medgan_course.errors import CourseError
from medgan_course.train import Game, Player, Turn, checkpoint, fit

CPU = {"device": "cpu"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "running" / "game.safetensors"


def test_resumed_equals_uninterrupted_bit_for_bit(new_game, batches, path, state_of, same):
    whole = new_game()
    history = fit(whole, batches, 8, **CPU)
    fit(new_game(), batches, 5, checkpoint=path, **CPU)
    resumed = new_game(seed=9)  # other initial weights: all must come from the file
    torch.manual_seed(77)
    assert fit(resumed, batches, 8, checkpoint=path, **CPU) == history
    assert same(state_of(resumed), state_of(whole))
    for name in "GD":
        for a, b in zip(resumed[name].parameters(), whole[name].parameters(), strict=True):
            assert a.stride() == b.stride()


def test_loading_gives_back_what_was_saved(new_game, batches, path, state_of, same):
    game, other = new_game(), new_game(seed=9)
    fit(game, batches, 3, **CPU)
    checkpoint.save(game, path)
    checkpoint.load(other.to("cpu"), path)
    assert same(state_of(game), state_of(other))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "optimiser",
    [
        lambda p: torch.optim.SGD(p, lr=0.01),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        lambda p: torch.optim.RMSprop(p, lr=1e-3),
        lambda p: torch.optim.AdamW(p, lr=1e-3, amsgrad=True),
    ],
)
def test_other_optimisers_resume_too(optimiser, path):
    def game():
        torch.manual_seed(0)
        return Game(
            {"A": Player(nn.Conv2d(2, 3, 3), optimiser=optimiser)},
            [Turn("A", lambda g, x: {"a": g["A"](x).square().mean()})],
        )

    x = [torch.ones(1, 2, 5, 5)]
    whole, resumed = game(), game()
    fit(whole, x, 6, **CPU)
    fit(game(), x, 3, checkpoint=path, **CPU)
    fit(resumed, x, 6, checkpoint=path, **CPU)
    assert torch.equal(whole["A"].weight, resumed["A"].weight)


def test_players_that_share_weights_are_saved_whole(path):
    shared = nn.Linear(2, 2)

    def game():
        return Game(
            {name: nn.Sequential(nn.Linear(2, 2), shared) for name in "AB"},
            [Turn("A", lambda g, x: {"a": g["A"](x).mean()})],
        )

    a, b = game(), game()
    checkpoint.save(a, path)
    weight = shared.weight.clone()
    nn.init.zeros_(shared.weight)
    checkpoint.load(b, path)
    assert torch.equal(shared.weight, weight)
    assert torch.equal(a["B"][0].weight, b["B"][0].weight)


def test_written_as_often_as_asked_and_after_the_last_step(new_game, batches, path, monkeypatch):
    steps, save = [], checkpoint.save

    def counting(game, path, settings):
        steps.append(game.step)
        save(game, path, settings)
        assert {len(values) for values in game.history.values()} == {game.step}

    monkeypatch.setattr(checkpoint, "save", counting)
    fit(new_game(), batches, 7, checkpoint=path, checkpoint_every=3, **CPU)
    assert steps == [3, 6, 7]


@pytest.mark.parametrize("function", ["train.checkpoint.save_file", "writing.os.replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_file(
    new_game, batches, path, monkeypatch, state_of, same, function, failure
):
    game = new_game()
    fit(game, batches, 2, checkpoint=path, **CPU)
    old = state_of(game)
    fit(game, batches, 4, **CPU)

    def fails(*arguments):
        path.with_name(f"game.{os.getpid()}.partial.safetensors").write_bytes(b"half")
        raise failure

    monkeypatch.setattr(f"medgan_course.{function}", fails)
    expected = CourseError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        checkpoint.save(game, path)
    monkeypatch.undo()
    if expected is CourseError:
        assert "No space left on device" in str(caught.value)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    again = new_game(seed=9).to("cpu")
    checkpoint.load(again, path)
    assert same(state_of(again), old)


def test_a_checkpoint_in_an_impossible_place_is_a_sentence(new_game, batches, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CourseError, match=r"game\.safetensors cannot be written"):
        fit(new_game(), batches, 1, checkpoint=tmp_path / "file" / "game.safetensors", **CPU)


KILLED = """
import sys, torch
from pathlib import Path
from torch import nn
from medgan_course.train import Game, Turn, checkpoint
game = Game({"A": nn.Linear(700, 700)}, [Turn("A", lambda g, x: {"a": g["A"](x).mean()})])
while True:
    game.take(game.turns[0], torch.ones(1, 700))
    game.step += 1
    nn.init.constant_(game["A"].weight, game.step)
    checkpoint.save(game, Path(sys.argv[1]))
    print(game.step, flush=True)
"""


def test_the_file_is_complete_after_kill_9(path):
    with subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 7:
                process.kill()
                break
        last = max([7, *map(int, process.stdout.read().split())])
    game = Game({"A": nn.Linear(700, 700)}, [])
    checkpoint.load(game, path)
    assert game.step in (last, last + 1)
    assert game["A"].weight.eq(game.step).all()


def damage(path, how):
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(content[:-100])
    elif how == "noise":
        path.write_bytes(os.urandom(1000))
    elif how == "another format":
        torch.save({"a": 1}, path)
    elif how == "weights alone":
        save_file(load_file(path), path)
    elif how == "folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["empty", "truncated", "noise", "another format", "weights alone", "folder"])
def test_a_damaged_file_is_a_sentence_and_the_game_untouched(new_game, batches, path, state_of, same, how):
    fit(new_game(), batches, 2, checkpoint=path, **CPU)
    damage(path, how)
    game = new_game(seed=9)
    fit(game, batches, 1, **CPU)
    before = state_of(game)
    with pytest.raises(
        CourseError, match=r"is damaged or no checkpoint .*: delete it to start afresh"
    ) as caught:
        fit(game, batches, 4, checkpoint=path, **CPU)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert same(state_of(game), before)


def pair(width=3, *, names="AB", ema=None, frozen=False):
    nets = [nn.Linear(3, width) for _ in names]
    nets[0].bias.requires_grad_(not frozen)
    return Game({name: Player(net, ema=ema) for name, net in zip(names, nets, strict=True)}, [])


@pytest.mark.parametrize(
    "other",
    [{"width": 4}, {"names": "ABC"}, {"names": "A"}, {"names": "AC"}, {"ema": 0.9}, {"frozen": True}],
    ids=str,
)
@pytest.mark.parametrize("direction", [1, -1])
def test_another_games_file_is_a_sentence_and_the_game_untouched(path, other, direction):
    saved, game = (pair(), pair(**other))[::direction]
    checkpoint.save(saved, path)
    before = {name: game[name].weight.clone() for name in game.players}
    with pytest.raises(CourseError, match="holds a game with other players than this one: delete it or name"):
        checkpoint.load(game, path)
    assert all(torch.equal(game[name].weight, weight) for name, weight in before.items())
    assert game.step == 0


@pytest.mark.parametrize("gradient", [False, True])
def test_after_divergence_the_last_checkpoint_is_good(path, gradient):
    def cost(game, x):
        y = game["A"](x).mean()
        if game.step == 10:
            # sqrt at 0: a finite term with an infinite gradient, which poisons the weights unseen.
            y = y + ((y - y).sqrt() if gradient else float("nan"))
        return {"a": y}

    game = Game({"A": nn.Linear(1, 1)}, [Turn("A", cost)])
    what = (
        "A has weights that are not finite after step 10"
        if gradient
        else "the term A.a became nan at step 10"
    )
    with pytest.raises(CourseError, match=what):
        fit(game, [torch.ones(1, 1)], 11, checkpoint=path, checkpoint_every=5, **CPU)
    again = Game({"A": nn.Linear(1, 1)}, [Turn("A", cost)])
    checkpoint.load(again, path)
    assert again.step == 10
    assert again["A"].weight.isfinite().all()


def tiny(lr=0.01, *, kind=torch.optim.Adam, betas=(0.5, 0.9), **settings):
    def optimiser(parameters):
        return kind(parameters, lr=lr, **({"betas": betas} if kind is not torch.optim.SGD else {}))

    torch.manual_seed(0)
    return Game(
        {"A": Player(nn.Linear(1, 1), optimiser=optimiser, **settings)},
        [Turn("A", lambda game, batch: {"a": game["A"](batch.images).mean()})],
    )


def stream(n=8, batch_size=4, seed=0):
    return Batches(torch.zeros(n, 1), torch.zeros(n), batch_size, seed=seed)


def halved(optimiser):
    return torch.optim.lr_scheduler.StepLR(optimiser, 9, 0.5)


@pytest.mark.parametrize(
    ("game", "batches", "settings", "sentence"),
    [
        (tiny(lr=0.02), stream(), {}, "lr of A = 0.01, but this one has lr of A = 0.02"),
        (tiny(betas=(0.0, 0.9)), stream(), {}, r"betas of A = \[0.5, 0.9\], but .* = \[0.0, 0.9\]"),
        (tiny(kind=torch.optim.AdamW), stream(), {}, "optimiser of A = 'Adam', but .* 'AdamW'"),
        (tiny(schedule=halved), stream(), {}, "schedule of A = None, but .* 'StepLR'"),
        (tiny(replay=50), stream(), {}, "replay of A = None, but .* 50"),
        (tiny(), stream(), {"seed": 7}, "seed = 0, but this one has seed = 7"),
        (tiny(), stream(), {"precision": "bfloat16"}, "precision = 'float32', but .* 'bfloat16'"),
        (tiny(), stream(seed=5), {}, "seed of the batches = 0, but .* = 5"),
        (tiny(), stream(batch_size=2), {}, "batch size = 4, but .* = 2"),
        (tiny(), stream(n=9), {}, r"samples = \[8, 8\], but .* = \[9, 9\]"),
    ],
)
def test_a_resumed_training_with_other_settings_is_refused_by_name(path, game, batches, settings, sentence):
    fit(tiny(), stream(), 2, checkpoint=path, **CPU)
    before = [parameter.clone() for parameter in game["A"].parameters()]
    with pytest.raises(CourseError, match=f"is of a training with {sentence}: ask for the same, delete"):
        fit(game, batches, 4, checkpoint=path, **settings, **CPU)
    assert all(map(torch.equal, before, game["A"].parameters()))
    assert game.step == 0
    assert fit(tiny(), stream(), 4, checkpoint=path, **CPU).steps["A.a"] == [0, 1, 2, 3]


def test_other_turns_are_refused(path):
    fit(tiny(), stream(), 2, checkpoint=path, **CPU)
    other = tiny()
    other.turns = (Turn("A", other.turns[0].cost, times=2),)
    with pytest.raises(CourseError, match=r"turns = \['A every 1, 1 times'\], but .*'A every 1, 2 times'"):
        fit(other, stream(), 4, checkpoint=path, **CPU)


@pytest.mark.parametrize("key", ["fused", "foreach"])
def test_how_a_step_is_computed_may_change(path, key):
    def made(**how):
        game = tiny()
        game.players["A"] = Player(game["A"], optimiser=lambda p: torch.optim.Adam(p, lr=0.01, **how))
        return game

    fit(made(), stream(), 2, checkpoint=path, **CPU)
    fit(made(**{key: True}), stream(), 4, checkpoint=path, **CPU)


def test_groups_of_an_optimiser_are_compared_each(path):
    def made(lr):
        def optimiser(parameters):
            weight, bias = parameters
            return torch.optim.SGD([{"params": [weight]}, {"params": [bias], "lr": lr}], lr=0.1)

        game = tiny()
        game.players["A"] = Player(game["A"], optimiser=optimiser)
        return game

    fit(made(0.5), stream(), 2, checkpoint=path, **CPU)
    with pytest.raises(CourseError, match=r"group 1: lr of A = 0\.5, but .* = 0\.25"):
        fit(made(0.25), stream(), 4, checkpoint=path, **CPU)


def test_a_checkpoint_says_what_wrote_it(path):
    fit(tiny(), stream(), 2, checkpoint=path, **CPU)
    with safe_open(path, framework="pt") as file:
        metadata = {key: json.loads(value) for key, value in file.metadata().items()}
    assert metadata["step"] == 2
    assert metadata["versions"]["torch"] == torch.__version__
    assert metadata["settings"]["optimiser of A"] == "Adam"


def test_history_comes_back_in_its_order_and_with_its_steps(path):
    def made():
        game = tiny()
        game.turns += (
            Turn("A", lambda game, batch: {"z": game["A"](batch.images).mean()}, every=3),
            Turn("A", lambda game, batch: {"b": game["A"](batch.images).mean()}),
        )
        return game

    whole = fit(made(), stream(), 8, **CPU)
    fit(made(), stream(), 5, checkpoint=path, **CPU)
    resumed = fit(made(), stream(), 8, checkpoint=path, **CPU)
    assert list(resumed.items()) == list(whole.items())
    assert list(resumed) == ["A.a", "A.z", "A.b"]
    assert list(resumed.steps.items()) == list(whole.steps.items())
    assert resumed.steps["A.z"] == [0, 3, 6]
