"""Histories, and the files and lines in which they are seen while a training runs."""

import json
import sys

import pytest
import torch
from torch import nn

from medgan_course.errors import CourseError
from medgan_course.train import Game, History, Player, Turn, engine, fit, log

CPU = {"device": "cpu"}
ONES = [torch.ones(2, 1)]


def game(bad=None):
    torch.manual_seed(0)

    def cost(game, x):
        return {"a": game["A"](x).square().mean() * (float("nan") if game.step == bad else 1)}

    lazy = Turn("A", lambda game, x: {"lazy": game["A"](x).mean()}, every=3)
    return Game({"A": Player(nn.Linear(1, 1))}, [Turn("A", cost), lazy])


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_of_a_history():
    history = History()
    for step, terms in ((2, {"a": 1.0}), (5, {"b": 2.0, "a": 3.0}), (6, {"b": 4.0})):
        history.add(step, terms)
    assert history == {"a": [1, 3], "b": [2, 4]}
    assert history.steps == {"a": [2, 5], "b": [5, 6]}
    assert history.rows() == [(2, {"a": 1}), (5, {"a": 3, "b": 2}), (6, {"b": 4})]
    assert history.rows(5) == history.rows(3) == [(5, {"a": 3, "b": 2}), (6, {"b": 4})]
    assert history.rows(7) == []
    copy = history.copy()
    history.add(7, {"a": 0.0})
    assert (len(copy["a"]), copy.steps["a"]) == (2, [2, 5])


def test_the_log_has_a_line_a_step_with_the_terms_of_that_step(tmp_path):
    path = tmp_path / "new" / "log.jsonl"
    history = fit(game(), ONES, 7, log=path, **CPU)
    assert [line["step"] for line in lines(path)] == list(range(7))
    assert [line["A.a"] for line in lines(path)] == history["A.a"]
    assert {line["step"]: line["A.lazy"] for line in lines(path) if "A.lazy" in line} == dict(
        zip((0, 3, 6), history["A.lazy"], strict=True)
    )


def test_it_is_written_at_each_reading_and_not_only_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "READ_EVERY", 4)
    path, seen = tmp_path / "log", []
    a_game = game()
    a_game.turns += (Turn("A", lambda g, x: seen.append(len(lines(path))) or {"c": g["A"](x).mean()}),)
    fit(a_game, ONES, 10, log=path, **CPU)
    assert seen == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]


@pytest.mark.parametrize(
    "cut", ["", '{"step": 5, "A.a"', '{"step": 5, "A.a": 1.0}\n{"step": 6, "A.a": 1.0}\n']
)
def test_resumed_no_step_is_missing_or_double(tmp_path, cut):
    """What a killed process wrote after its last checkpoint is played, and written, again."""
    path, running = tmp_path / "log", tmp_path / "game"
    fit(game(), ONES, 5, log=path, checkpoint=running, **CPU)
    with path.open("a") as file:
        file.write(cut)
    history = fit(game(), ONES, 9, log=path, checkpoint=running, **CPU)
    assert [line["step"] for line in lines(path)] == list(range(9))
    assert [line["A.a"] for line in lines(path)] == history["A.a"]


def test_a_log_begun_late_holds_the_steps_before_it(tmp_path):
    a_game = game()
    fit(a_game, ONES, 4, **CPU)
    fit(a_game, ONES, 6, log=tmp_path / "log", **CPU)
    assert [line["step"] for line in lines(tmp_path / "log")] == list(range(6))


@pytest.mark.parametrize("steps", [7, 60])
def test_after_divergence_the_log_and_the_history_end_with_the_last_good_step(tmp_path, steps):
    a_game = game(bad=steps - 2)
    with pytest.raises(CourseError, match=f"A.a became nan at step {steps - 2}"):
        fit(a_game, ONES, steps, log=tmp_path / "log", **CPU)
    assert len(a_game.history["A.a"]) == steps - 2
    assert [line["step"] for line in lines(tmp_path / "log")] == list(range(steps - 2))
    assert all(parameter.isfinite().all() for parameter in a_game["A"].parameters())


def test_a_log_in_an_impossible_place_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CourseError, match=r"The log .*file/log cannot be written"):
        fit(game(), ONES, 1, log=tmp_path / "file" / "log", **CPU)


def test_a_failed_training_is_not_blamed_on_the_log(tmp_path):
    def fails(game):
        raise OSError("the picture cannot be saved")

    with pytest.raises(OSError, match="the picture cannot be saved"):
        fit(game(), ONES, 2, log=tmp_path / "log", watch=fails, **CPU)


def test_tensorboard_shows_the_same_values_at_the_same_steps(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = fit(game(), ONES, 5, tensorboard=tmp_path, **CPU)
    events = EventAccumulator(str(tmp_path)).Reload()
    for name, values in history.items():
        shown = events.Scalars(name)
        assert [event.step for event in shown] == history.steps[name]
        assert [event.value for event in shown] == pytest.approx(values, rel=1e-6)


def test_without_tensorboard_it_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(CourseError, match="needs TensorBoard: pip install tensorboard, or leave it out"):
        fit(game(), ONES, 1, tensorboard=tmp_path, **CPU)


@pytest.fixture
def in_a_log(monkeypatch):
    monkeypatch.delattr("builtins.__IPYTHON__", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)


def test_a_long_training_in_a_log_says_a_line_at_each_tenth(in_a_log, monkeypatch, capsys):
    monkeypatch.setattr(log, "REPORT_EVERY", 0)
    monkeypatch.setattr(engine, "READ_EVERY", 1)
    fit(game(), ONES, 40, **CPU)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == [f"step {n} of 40" for n in range(4, 41, 4)]
    assert "A.a 0." in said[0]


def test_a_short_one_says_nothing(in_a_log, monkeypatch, capsys):
    monkeypatch.setattr(engine, "READ_EVERY", 1)
    fit(game(), ONES, 40, **CPU)
    assert capsys.readouterr().err == ""
