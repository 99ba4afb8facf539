import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from medgan_course import data, experiments
from medgan_course.cli import main
from medgan_course.experiments import doctor


@pytest.fixture(autouse=True)
def denormals_stay(monkeypatch):
    monkeypatch.setattr(torch, "set_flush_denormal", lambda on: None)


def medgan(*arguments):
    return CliRunner().invoke(main, arguments)


def seeds_of(result):
    return [
        int(line.split()[1])
        for line in result.output.splitlines()
        if line.startswith("seed") and "trained" in line
    ]


@pytest.mark.parametrize(
    ("arguments", "seeds"),
    [
        (["run", "toy", "--seeds", "0", "1", "4"], [0, 1, 4]),
        (["run", "--seeds", "0", "1", "4", "toy"], [0, 1, 4]),
        (["run", "toy", "--seeds", "0", "--seeds", "1"], [0, 1]),
        (["run", "toy", "--seeds", "2", "--set", "word=1"], [2]),
        (["run", "S90", "--profile", "cpu"], [0, 1, 2]),
        (["run", "S90", "--profile", "smoke"], [0]),
    ],
)
def test_seeds_as_they_are_written(toy, arguments, seeds):
    result = medgan(*arguments, *([] if "--profile" in arguments else ["--profile", "cpu"]))
    assert result.exit_code == 0, result.output
    assert seeds_of(result) == seeds


def test_a_run_ends_with_its_report(toy):
    result = medgan("run", "toy", "--profile", "cpu", "--set", "shift=2", "--out", "there")
    assert "Wrote there/toy-cpu-shift=2.0.json." in result.output
    assert "SUPPORTED: More." in result.output
    assert json.loads(Path("there/toy-cpu-shift=2.0.json").read_text())["settings"]["shift"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["toi"], 1, "There is no system 'toi': did you mean 'toy'"),
        (["s99"], 1, "There is no system 's99': did you mean 'S9"),
        (["toy", "--set", "steps=0"], 1, "The budget's steps is 0: it must be 1 or more"),
        (["toy", "--set", "n_score=1"], 1, "The budget's n_score is 1: it must be 2 or more"),
        (["toy", "--set", "steps"], 1, "--set steps gives no value: write --set steps=VALUE"),
        (["toy", "--set", "stesp=3"], 1, "did you mean 'steps'"),
        (["toy", "--seeds"], 2, "--seeds needs whole numbers"),
        (["toy", "--seeds", "one"], 2, "--seeds needs whole numbers"),
        (["toy", "--seeds=-1"], 2, "not in the range"),
        (["toy", "--profile", "tpu"], 2, "'tpu' is not one of"),
        (["toy", "--arm", "trainee"], 1, "did you mean 'trained'"),
    ],
)
def test_a_mistake_is_one_sentence(toy, arguments, code, sentence):
    result = medgan("run", *arguments)
    assert (result.exit_code, isinstance(result.exception, SystemExit)) == (code, True)
    assert sentence in result.output
    assert not toy.ran


def test_stopped_it_says_how_to_go_on(toy):
    toy.fails_in.add("trained")
    result = medgan("run", "toy")
    assert result.exit_code == 130
    assert "Give the same command again" in result.output


def test_of_several_processes_one_speaks(toy, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    result = medgan("run", "toy", "--seeds", "0")
    assert (result.exit_code, result.output) == (0, "")
    assert toy.ran


def test_without_a_system_all_are_listed(toy):
    medgan("run", "toy", "--profile", "cpu")
    assert medgan("run").output.splitlines() == [
        "toy         S90, toy (Nobody 2000)  [card: cpu]",
        "unfinished  S91, not there yet (Nobody 2001)",
    ]


def test_results_as_a_table_and_in_full(toy):
    medgan("run", "toy", "--profile", "cpu")
    table = medgan("results").output
    assert "trained minus the fixed one" in table
    assert "2 [1, 3]" in table
    full = medgan("results", "S90").output
    assert "SUPPORTED: More." in full
    shutil.move("results", "elsewhere")
    assert medgan("results", "--from", "elsewhere").output == table
    assert "no results card of unfinished" in medgan("results", "unfinished", "--from", "elsewhere").output


def test_what_is_no_card_is_said_and_the_others_are_printed(toy):
    medgan("run", "toy", "--profile", "cpu")
    table = medgan("results").output
    card = Path("results/toy-cpu.json").read_text()
    Path("results/a.json").write_text("{")
    Path("results/b.json").write_text('{"somebody": "else\'s"}')
    Path("results/z.json").write_text(card.replace('"supported"', '"contradicted"'))
    for arguments in ([], ["toy"]):
        result = medgan("results", *arguments)
        assert result.exit_code == 0
        said = result.stderr.splitlines()
        assert len(said) == 3
        assert "results/a.json is no readable" in said[0]
        assert "results/b.json is no results card" in said[1]
        assert "contradicts itself" in said[2]
    assert medgan("results").stdout == table
    Path("results/toy-cpu.json").unlink()
    result = medgan("results")
    assert result.exit_code == 1
    assert "no results card in results" in result.output


@pytest.fixture
def quick(monkeypatch):
    """No training and no downloads: what the doctor says, not how fast this machine is."""
    monkeypatch.setattr(doctor, "fit", lambda game, batches, steps: setattr(game, "step", steps))


def said(monkeypatch):
    return list(doctor.examine(seconds=0))


def test_the_doctor_says_what_the_machine_is_and_what_follows(empty_home, quick, monkeypatch):
    monkeypatch.setenv("MEDGAN_PROFILE", "smoke")
    lines = said(monkeypatch)
    sentences = dict(lines)
    assert {
        "Python",
        "Library",
        "Device",
        "CPU",
        "Disk",
        "Data",
        "Profile",
        "Speed",
        "So",
    } <= sentences.keys()
    assert sentences["Profile"] == "smoke, from MEDGAN_PROFILE"
    assert torch.__version__ in sentences["Library"]
    datasets = [sentence for name, sentence in lines if name == "Data"]
    assert datasets[0].startswith("MEDGAN_DATA is not set")
    files = sum(bool(data.card(name).files) for name in data.names())
    assert datasets[1:] == [
        "here: no set",
        f"not here: {files} sets, for which phantoms stand in; medgan data list says how to get them",
    ]


def test_the_doctor_names_the_sets_that_are_here(empty_home, quick, monkeypatch):
    folder = empty_home / ".medmnist"
    folder.mkdir()
    (folder / "breastmnist_64.npz").touch()
    (folder / "bloodmnist.npz").mkdir()  # not a file: said, and the others all the same
    datasets = [sentence for name, sentence in said(monkeypatch) if name == "Data"]
    assert "bloodmnist.npz" in datasets[1]
    assert datasets[2] == "here: breastmnist (64 px)"


def test_a_data_folder_that_is_none_is_said_and_the_rest_too(empty_home, quick, monkeypatch):
    monkeypatch.setenv("MEDGAN_DATA", str(empty_home / "nowhere"))
    monkeypatch.setattr(doctor, "version", no_package)
    lines = said(monkeypatch)
    assert any("cannot be used as a folder" in sentence for _, sentence in lines)
    assert ("Optional", "accelerate is not installed (for several GPUs)") in lines
    assert lines[-1][0] == "So"


def test_a_profile_that_is_none_is_said_and_the_rest_too(empty_home, quick, monkeypatch):
    monkeypatch.setenv("MEDGAN_PROFILE", "smok")
    lines = said(monkeypatch)
    assert "did you mean 'smoke'" in dict(lines)["Profile"]
    assert lines[-1][0] == "So"


def no_package(name):
    raise doctor.PackageNotFoundError(name)


def test_doctor_is_a_command(monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: iter([("Python", "3.x"), ("So", "fine")]))
    result = medgan("doctor")
    assert (result.exit_code, result.output) == (0, "Python    3.x\nSo        fine\n")


def test_a_training_is_kept_where_it_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(experiments, "train", lambda *name, **how: asked.append((name, how)) or Path("x.st"))
    result = medgan(
        "train", "dcgan", "--seed", "2", "--set", "steps=5", "--set", "data=a=b", "--out", "there"
    )
    assert result.exit_code == 0, result.output
    assert asked == [
        (("dcgan",), {"seed": 2, "settings": {"steps": "5", "data": "a=b"}, "out": Path("there")})
    ]
    assert result.output == "Wrote x.st.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["toy"], "The system toy trains no network to be kept: medgan run makes its card.\n"),
        (["toi"], "There is no system 'toi': did you mean "),
        (["toy", "--set", "steps"], "--set steps gives no value: write --set steps=VALUE.\n"),
    ],
)
def test_a_training_that_cannot_be_is_one_sentence(toy, arguments, sentence):
    result = medgan("train", *arguments)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {sentence}")
    assert isinstance(result.exception, SystemExit)


def test_a_training_that_is_stopped_says_how_to_go_on(monkeypatch):
    def stopped(*name, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "train", stopped)
    result = medgan("train", "dcgan")
    assert result.exit_code == 130
    assert "Give the same command again to go on from the last checkpoint." in result.output
