import json
import os
from pathlib import Path

import pytest
import torch

from medgan_course import budgets
from medgan_course.errors import CourseError
from medgan_course.experiments import Claim, Experiment, ResultsCard, run, runner


def toy_run(**options):
    return run("toy", profile="cpu", **options)


def test_every_arm_and_seed_then_the_card(toy):
    lines = []
    card = toy_run(say=lines.append)
    assert toy.ran == [(arm, seed) for seed in (0, 1, 2) for arm in ("trained", "fixed")]
    assert ResultsCard.read(Path("results/toy-cpu.json")) == card
    (claim,) = card.claims
    assert claim["values"] == {
        "trained": [3.5, 4.5, 5.5],  # seed + shift on top
        "the fixed one": [2.5] * 3,
        "nothing": [0.0] * 3,
    }
    assert claim["quantities"] == [1, 2, 3]
    assert claim["interval"] == pytest.approx([1, 3])  # paired: the images cancel
    assert claim["verdict"] == "supported"
    assert card.settings == {
        "steps": 4,
        "size": 8,
        "base": 2,
        "batch_size": 3,
        "n_score": 6,
        "shift": 1.0,
        "word": "plain",
        "flag": False,
    }
    assert card.parameters == {"trained": {"P": 3}, "the fixed one": {}, "nothing": {}}
    assert card.command == "medgan run toy --profile cpu --seeds 0 1 2"
    assert "SUPPORTED: More." in lines[-1]


def test_what_is_done_is_not_done_again(toy):
    first = toy_run(seeds=[0, 1, 2])
    toy.ran.clear()
    second = toy_run(seeds=[0, 1, 2, 3])
    assert toy.ran == [("trained", 3), ("fixed", 3)]
    assert second.claims[0]["values"]["trained"][:3] == first.claims[0]["values"]["trained"]
    assert second.seconds["trained"][:3] == first.seconds["trained"]


def test_a_training_that_was_cut_off_goes_on(toy):
    toy.fails_in.add("trained")
    with pytest.raises(KeyboardInterrupt):
        toy_run(seeds=[0])
    assert not Path("results").exists()
    (saved,) = Path("runs").rglob("*.checkpoint.safetensors")
    (clock,) = Path("runs").rglob("trained.seconds.json")
    written = json.loads(clock.read_text())
    assert written["killed_after"] is None  # it stopped in order: nothing is left to guess
    clock.write_text(json.dumps(written | {"seconds": 100.0}))
    os.utime(saved, (2e9, 2e9))
    before = saved.stat().st_mtime_ns
    toy.fails_in.clear()
    card = toy_run(seeds=[0])
    assert toy.ran == [("trained", 0), ("trained", 0), ("fixed", 0)]
    assert saved.stat().st_mtime_ns == before  # complete already: nothing was trained
    assert 100 <= card.seconds["trained"][0] < 110


def test_a_run_that_was_killed_counts_up_to_its_last_checkpoint(toy):
    toy.fails_in.add("trained")
    with pytest.raises(KeyboardInterrupt):
        toy_run(seeds=[0])
    (saved,) = Path("runs").rglob("*.checkpoint.safetensors")
    (clock,) = Path("runs").rglob("trained.seconds.json")
    state = json.loads(clock.read_text()) | {"seconds": 5.0, "killed_after": saved.stat().st_mtime - 60}
    assert state["checkpoints"] == [saved.name]
    clock.write_text(json.dumps(state))
    other = saved.with_name("other.checkpoint.safetensors")
    other.touch()
    os.utime(other, (2e9, 2e9))  # another arm's
    toy.fails_in.clear()
    assert toy_run(seeds=[0]).seconds["trained"][0] == pytest.approx(65, abs=3)


@pytest.mark.parametrize(
    "what", ["settings", "data", "code", "imported code", "feature network", "library", "torch"]
)
def test_what_a_run_depends_on_starts_it_afresh(toy, what, monkeypatch):
    toy_run(seeds=[0])
    toy.ran.clear()
    if what == "data":
        toy.surrogate = True
    if what == "code":
        change(Path(toy.__file__), "- 3)", "- 4)")
    if what == "imported code":  # by a module that the system imports
        change(Path(toy.__file__).with_name("helpers.py"), "0", "1")
    if what == "feature network":
        monkeypatch.setattr(runner.pretrained, "folder", Path.cwd)
        Path("features_numbers_8.json").write_text('{"sha256": "abc"}')
    if what == "library":
        monkeypatch.setattr(runner.medgan_course, "__version__", "99")
    if what == "torch":
        monkeypatch.setattr(torch, "__version__", "99")
    card = toy_run(seeds=[0], settings={"shift": "2"} if what == "settings" else {})
    assert len(toy.ran) == 2
    assert card.versions["medgan-course"] == runner.medgan_course.__version__


@pytest.mark.parametrize("what", ["comments", "docstrings", "others"])
def test_what_it_does_not_depend_on(toy, what, monkeypatch):
    toy_run(seeds=[0])
    toy.ran.clear()
    path = Path(toy.__file__)
    if what == "comments":
        change(path, "import torch", "# A thought.\nimport torch")
    if what == "docstrings":
        change(path, "Numbers around", "Numerals around")
    if what == "others":
        change(path.with_name("unfinished.py"), "2001", "2002")
    toy_run(seeds=[0])
    assert not toy.ran


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_code_of_a_system_is_all_it_imports_and_no_more():
    found = runner._code("medgan_course.systems.lsgan").keys()
    assert {
        "medgan_course.systems.lsgan",
        "medgan_course.systems.dcgan",  # imported by the system
        "medgan_course.nets.dcgan",  # and by that
        "medgan_course.losses.adversarial",
        "medgan_course.train.engine",
        "medgan_course.data.batches",
        "medgan_course.metrics.distribution",
        "medgan_course.experiments.domain",
    } <= found
    assert not {"medgan_course.systems.vdsr", "medgan_course.cli", "medgan_course.experiments.card"} & found


def test_every_outcome_keeps_its_own_versions(toy, monkeypatch):
    for version, arms in {"3.98": ["trained"], "3.99": ["the fixed one", "nothing"]}.items():
        monkeypatch.setattr(runner.platform, "python_version", lambda version=version: version)
        card = toy_run(seeds=[0], arms=arms)
    assert card.versions["python"] == "3.98; 3.99"
    assert card.versions["torch"] == torch.__version__


def test_the_order_of_seeds_and_a_default_that_is_spelt_out_change_nothing(toy):
    card = toy_run(seeds=[2, 0, 1], settings={"shift": "1.0", "steps": "4"})
    assert card.seeds == [0, 1, 2]
    assert card.claims[0]["quantities"] == [1, 2, 3]
    assert card.command == "medgan run toy --profile cpu --seeds 0 1 2"
    assert [path.name for path in Path("results").iterdir()] == ["toy-cpu.json"]


@pytest.mark.parametrize("value", [(1, 2), None])
def test_a_setting_no_card_can_hold_is_refused_before_anything_runs(toy, value, monkeypatch):
    def experiment(budget, *, odd=value):
        raise AssertionError("too late")

    monkeypatch.setattr(toy, "experiment", experiment)
    with pytest.raises(CourseError, match=r"setting odd of toy is"):
        toy_run()


def test_a_baseline_of_nothing_has_no_ratio(toy, monkeypatch):
    claim = Claim(
        "So.", metric="x", variant="a", baseline="b", compare="ratio", better="lower", references=["c"]
    )
    arms = {"a": lambda run: {"x": torch.ones(3)}, "b": lambda run: {"x": torch.zeros(3)}}
    arms["c"] = arms["a"]
    monkeypatch.setattr(toy, "experiment", lambda budget: Experiment(arms=arms, claims=[claim], data=[]))
    with pytest.raises(CourseError, match="x of b is 0"):
        toy_run()


def test_a_trial_never_takes_the_place_of_the_real_card(toy):
    toy_run()
    toy_run(seeds=[0], settings={"shift": "2", "word": "a/b"})
    toy.surrogate = True
    toy_run()
    assert {path.name for path in Path("results").iterdir()} == {
        "toy-cpu.json",
        "toy-cpu-shift=2.0-word=a_b-seeds=0.json",
        "toy-cpu-surrogate.json",
    }


def test_settings_have_the_types_of_what_they_set(toy):
    card = toy_run(settings={"steps": "2", "shift": "0", "flag": "true", "word": "4"}, seeds=[0])
    changed = {key: card.settings[key] for key in ("steps", "shift", "flag", "word")}
    assert changed == {"steps": 2, "shift": 0.0, "flag": True, "word": "4"}
    assert [type(value) for value in changed.values()] == [int, float, bool, str]
    assert card.command.endswith("--seeds 0 --set steps=2 --set shift=0.0 --set word=4 --set flag=True")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"step": "2"}, "no setting 'step': did you mean 'steps'"),
        ({"steps": "2.5"}, "steps is '2.5': it must be a whole number"),
        ({"shift": "much"}, "it must be a number"),
        ({"flag": "perhaps"}, "it must be true or false"),
    ],
)
def test_a_setting_that_is_none(toy, settings, sentence):
    with pytest.raises(CourseError, match=sentence):
        toy_run(settings=settings)
    assert not toy.ran


def test_one_arm_first_the_others_later(toy):
    lines = []
    assert toy_run(arms=["the fixed one", "nothing"], say=lines.append) is None
    assert lines[-1] == "No card yet: trained not run."
    assert {arm for arm, _ in toy.ran} == {"fixed"}
    assert toy_run(arms=["trained"]) is not None
    assert len(toy.ran) == 6


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"arms": ["trainee"]}, "did you mean 'trained'"),
        ({"seeds": [1, 1]}, "name one twice"),
    ],
)
def test_an_arm_or_seed_that_is_wrong(toy, options, sentence):
    with pytest.raises(CourseError, match=sentence):
        toy_run(**options)


def test_only_the_first_of_several_processes_writes(toy, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert toy_run() is None
    assert not Path("results").exists()
    assert not [*Path("runs").rglob("*.json"), *Path("runs").rglob("trained.safetensors")]


def test_the_profile_is_in_force_only_while_it_runs(toy, monkeypatch):
    monkeypatch.setenv("MEDGAN_PROFILE", "gpu")
    card = run("toy", profile="smoke")
    assert (card.profile, card.seeds) == ("smoke", [0])
    assert card.claims[0]["verdict"] == "not shown at this scale"
    assert budgets.profile() == "gpu"


def test_a_damaged_outcome_is_named(toy):
    toy_run(seeds=[0])
    (path,) = Path("runs").rglob("seed-0/trained.safetensors")
    path.write_bytes(b"no")
    with pytest.raises(CourseError, match=r"trained\.safetensors is damaged .* delete it"):
        toy_run(seeds=[0])


@pytest.mark.parametrize("tensor", [torch.tensor(1.0), torch.empty(0), torch.tensor([1.0, float("nan")])])
def test_an_outcome_without_items_is_refused(toy, tensor, monkeypatch):
    def bad(budget):
        return Experiment(arms={"bad": lambda run: {"x": tensor}}, claims=[], data=[])

    monkeypatch.setattr(toy, "experiment", bad)
    with pytest.raises(CourseError, match="first axis must count the scored items"):
        toy_run()


def test_stages_come_again_after_an_interruption(toy, monkeypatch):
    from medgan_course.train import Game, Player, Turn

    seen = []

    def follow(run):
        torch.manual_seed(0)
        net = torch.nn.Linear(1, 1)
        game = Game({"P": Player(net)}, [Turn("P", lambda g, b: {"loss": g["P"](b).square().mean()})])
        for steps in run.stages(game, [torch.ones(2, 1)], 5, 2):
            seen.append((steps, float(net.weight.detach())))
            if len(seen) == 2:
                raise KeyboardInterrupt
        return {"x": torch.ones(1)}

    def experiment(budget):
        return Experiment(arms={"follow": follow}, claims=[], data=[])

    monkeypatch.setattr(toy, "experiment", experiment)
    with pytest.raises(KeyboardInterrupt):
        runner._outcome("follow", follow, 0, Path("runs"), print)
    runner._outcome("follow", follow, 0, Path("runs"), print)
    assert [steps for steps, _ in seen] == [2, 5, 2, 5]
    assert seen[:2] == seen[2:]
    assert seen[0][1] != seen[1][1]


def test_a_claim_about_an_arm_that_is_not_there():
    claim = Claim("So.", metric="x", variant="a", baseline="bee", better="lower", references=["a"])
    with pytest.raises(CourseError, match="'bee': did you mean 'be'"):
        Experiment(arms={"a": print, "be": print}, claims=[claim], data=[])


def test_a_claim_without_a_reference_row_is_refused():
    claim = Claim("So.", metric="x", variant="a", baseline="b", better="lower")
    with pytest.raises(CourseError, match=r"'So\.' has no reference row"):
        Experiment(arms={"a": print, "b": print}, claims=[claim], data=[])


@pytest.mark.parametrize("name", ["toy", "TOY", "S90", "s90"])
def test_a_system_has_a_number_and_a_name(toy, name):
    assert runner.find(name) == "toy"


def test_no_such_system(toy):
    with pytest.raises(CourseError, match="'toi': did you mean 'toy'"):
        run("toi")
    with pytest.raises(CourseError, match="unfinished has no experiment"):
        run("S91")


def test_titles_come_without_an_import(toy):
    assert runner.titles() == {
        "toy": "S90, toy (Nobody 2000)",
        "unfinished": "S91, not there yet (Nobody 2001)",
    }
    assert list(runner.titles()) == ["toy", "unfinished"]


def test_every_system_of_the_course_says_which_it_is():
    titles = runner.titles()
    assert titles["dcgan"] == "S03, DCGAN (Radford, Metz & Chintala 2016)"
    files = {path.stem for path in Path(runner.systems.__file__).parent.glob("*.py")} - {"__init__"}
    assert titles.keys() == files
    numbers = [title.partition(",")[0] for title in titles.values()]
    assert len(set(numbers)) == len(numbers)
