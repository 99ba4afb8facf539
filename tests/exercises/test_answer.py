"""A check survives whatever it is handed, says what happened, and leaves the kernel as it was."""

import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from medgan_course.errors import CourseError
from medgan_course.exercises import EXERCISES, CheckFailed, answer, check, hint

FUNCTIONS = sorted(EXERCISES)  # every answer may be a function


def generates(*arguments):
    yield 1.0


def gives(value):
    return lambda *arguments: value


def threads(*arguments):
    threading.Thread(target=over.wait, daemon=True).start()


over = threading.Event()
USELESS = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "text": "text",
    "flag": True,
    "complex": 1j,
    "generator": (n for n in range(3)),
    "empty tensor": torch.zeros(0),
    "tensor of nan": torch.full((2, 2), float("nan"), requires_grad=True),
    "tensor of halves": torch.full((3,), 0.5, dtype=torch.float16),
    "array of objects": np.array([None, "a"], dtype=object),
    "pair of nan": (torch.tensor(float("nan")), torch.tensor(float("nan"))),
    "pair of None": (None, None),
    "triple of text": ("a", "b", "c"),
    "pair of networks": [nn.Linear(2, 2).double(), nn.Linear(2, 2)],
    "pair of functions": (len, print),
    "nested": [[[[]]]],
    "dictionary": {"a": 1, None: torch.zeros(2)},
    "network of doubles": nn.Linear(64, 1).double(),
    "class": int,
}


def stub(title):
    def unsolved(*arguments):
        raise NotImplementedError(f"{title}: write it")

    return unsolved


def fails(*arguments):
    return 1 / 0


def spins(*arguments):
    while True:
        time.sleep(0.01)


def spins_stubbornly(*arguments):
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


def talks(*arguments):
    for n in range(5_000):
        print("line", n)
    print("no", "line end", file=sys.stderr)


def leaves(*arguments):
    sys.exit(3)


def recurses(*arguments):
    return recurses(*arguments)


class Unready(nn.Module):
    pass


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        0,
        float("nan"),
        "text",
        b"",
        [],
        {},
        set(),
        object(),
        int,
        print,
        torch.zeros(3),
        nn.Linear(2, 2),
        Unready(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nonsense_is_answered_with_a_sentence(name, nonsense):
    with pytest.raises(CheckFailed) as failure:
        check(name, nonsense)
    assert str(failure.value).strip()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (fails, "raised ZeroDivisionError.*: division by zero"),
        (leaves, r"tried to end the program with exit\(\)"),
        (recurses, "calls itself without end"),
        (talks, r"\w"),
    ],
)
def test_what_happens_in_the_students_function_is_said(name, function, reason):
    with pytest.raises(CheckFailed, match=reason):
        check(name, function)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("what", USELESS)
def test_whatever_a_function_returns_is_answered_with_a_sentence(name, what):
    with pytest.raises(CheckFailed) as failure:
        check(name, gives(USELESS[what]))
    assert str(failure.value).strip()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("function", [generates, threads])
def test_generators_and_threads_are_answered_with_a_sentence(name, function):
    with pytest.raises(CheckFailed) as failure:
        check(name, function)
    over.set()
    assert str(failure.value).strip()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_stub_is_still_to_do(name):
    chapter, number = name.split(".")
    title = f"Exercise {int(chapter)}.{number}"
    with pytest.raises(CheckFailed, match=f"^{title} is still to do: write it"):
        check(name, stub(title))


def test_another_not_implemented_error_is_no_stub():
    with pytest.raises(CheckFailed, match="raised NotImplementedError"):
        check("04.1", stub("Exercise 9.9"))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no POSIX timers")
@pytest.mark.parametrize("function", [spins, spins_stubbornly])
def test_an_endless_loop_is_stopped_and_the_alarm_put_back(function, monkeypatch):
    monkeypatch.setattr(answer, "SECONDS", 0.05)
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(CheckFailed, match=r"Exercise 4\.3 was stopped after 0\.05 s"):
        check("04.3", function)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no POSIX timers")
def test_a_late_alarm_interrupts_neither_the_verdict_nor_the_clearing_up(monkeypatch):
    class RungInto(CheckFailed):
        def __init__(self, message):
            signal.raise_signal(signal.SIGALRM)
            super().__init__(message)

    def rung_into(which, seconds, *interval):
        if seconds == 0:
            signal.raise_signal(signal.SIGALRM)
        return setitimer(which, seconds, *interval)

    setitimer = signal.setitimer
    monkeypatch.setattr(answer, "SECONDS", 0.05)
    monkeypatch.setattr(answer, "CheckFailed", RungInto)
    monkeypatch.setattr(signal, "setitimer", rung_into)
    before = signal.getsignal(signal.SIGALRM)
    try:
        with pytest.raises(CheckFailed, match="was stopped after"):
            check("04.3", spins)
        assert signal.getsignal(signal.SIGALRM) is before
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_alarm_that_was_running_goes_on():
    signal.setitimer(signal.ITIMER_REAL, 100.0)
    try:
        with pytest.raises(CheckFailed):
            check("04.3", None)
        left, _ = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert 0 < left <= 100


def test_what_an_exercise_needs_is_imported_before_the_clock_starts(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text(
        "import signal\nbefore = signal.getitimer(signal.ITIMER_REAL)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    clock = []

    def ask(asked):
        clock.extend([sys.modules["slow_to_import"].before, signal.getitimer(signal.ITIMER_REAL)])
        return "that is it."

    monkeypatch.setitem(EXERCISES, "04.3", answer.Exercise(ask, ("a", "b", "c"), needs=("slow_to_import",)))
    check("04.3", None)
    assert clock[0] == (0.0, 0.0) < clock[1]


def test_a_check_works_outside_the_main_thread():
    failures = []

    def work():
        try:
            check("04.3", None)
        except CheckFailed as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(failures) == 1


def test_thousands_of_printed_lines_are_cut(capsys):
    with pytest.raises(CheckFailed):
        check("04.3", talks)
    shown = capsys.readouterr().out.splitlines()
    assert shown[: answer.LINES_SHOWN] == [f"line {n}" for n in range(answer.LINES_SHOWN)]
    assert shown[answer.LINES_SHOWN :] == [
        f"(Your code printed {5_000 - answer.LINES_SHOWN} more lines during the check; they are left out.)"
    ]


def test_the_stream_is_what_it_was_but_for_its_length(capsys):
    asked = []

    def asks(*arguments):
        asked.append((sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.writable()))

    expected = (sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.writable())
    with pytest.raises(CheckFailed, match="None"):
        check("04.1", asks)
    assert asked == [expected]


def test_a_check_is_repeatable_and_leaves_the_random_state():
    drawn = []

    def draws(*arguments):
        drawn.append(torch.rand(3))

    torch.manual_seed(5)
    expected = torch.rand(2)
    for seed in (5, 6):
        torch.manual_seed(seed)
        with pytest.raises(CheckFailed):
            check("04.1", draws)
    assert torch.equal(drawn[0], drawn[1])
    torch.manual_seed(5)
    with pytest.raises(CheckFailed):
        check("04.1", draws)
    assert torch.equal(torch.rand(2), expected)


def test_hints_come_one_by_one_and_the_last_stays(capsys, monkeypatch):
    monkeypatch.setattr("medgan_course.exercises._hints_given", type(check.__globals__["_hints_given"])())
    for _ in range(4):
        hint("04.3")
    hint("04.1")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "Exercise 4.3, hint 1 of 3",
        "Exercise 4.3, hint 2 of 3",
        "Exercise 4.3, hint 3 of 3",
        "Exercise 4.3, hint 3 of 3",
        "Exercise 4.1, hint 1 of 3",
    ]
    assert len(set(lines)) == 4


@pytest.mark.parametrize("call", [lambda name: check(name, None), hint])
def test_an_unknown_exercise_is_answered_with_the_nearest(call):
    with pytest.raises(CourseError, match=r"did you mean '04\.3'"):
        call("04.3x")
    with pytest.raises(CourseError, match=r"there are \d\d\.1, "):
        call(None)


def ask(method, function, *arguments, **named):
    return getattr(answer.Answer(function, "Exercise 9.9"), method)("f(x)", function, *arguments, **named)


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, r"f\(x\) must return a tensor, but returns None: is a return missing\?"),
        (3.0, "must return a tensor, but returns a float"),
        ([1, 2], "must return a tensor, but returns a list"),
        (torch.zeros(2) + 1j, "must return a tensor of real numbers"),
        (torch.zeros(2, 1), r"must return shape \(2,\), but returns \(2, 1\)"),
        (torch.tensor([0.0, float("nan")]), "values that are not finite"),
    ],
)
def test_what_is_no_tensor_of_the_shape_is_said(returned, sentence):
    with pytest.raises(CheckFailed, match=sentence):
        ask("tensor", lambda: returned, shape=(2,))


def test_a_tensor_of_the_shape_is_returned_as_it_is():
    found = torch.tensor([1.0, 2.0])
    assert ask("tensor", lambda: found, shape=[2]) is found
    assert ask("tensor", lambda x: x + 1, found).tolist() == [2, 3]


@pytest.mark.parametrize(
    "returned", [2, 2.0, torch.tensor(2.0), torch.tensor([[2]]), np.float64(2), np.array([2.0])]
)
def test_one_number_may_come_in_any_form(returned):
    assert ask("number", lambda: returned) == 2.0


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, r"must return a number, but returns None: is a return missing\?"),
        ("2", "must return a finite number, but returns '2'"),
        (True, "must return a finite number, but returns True"),
        (float("inf"), "must return a finite number, but returns inf"),
        ({}, "must return a number, but returns a dict"),
        (torch.zeros(3), r"must return one number, but returns shape \(3,\)"),
        (torch.tensor(1j), "must return a number, but returns a Tensor"),
    ],
)
def test_what_is_no_number_is_said(returned, sentence):
    with pytest.raises(CheckFailed, match=sentence):
        ask("number", lambda: returned)


@pytest.mark.parametrize("value", [None, 3, torch.zeros(1), nn.ReLU(), nn.ReLU])
def test_what_is_no_function_is_said(value):
    with pytest.raises(CheckFailed, match="Hand in the function `f` itself; this is "):
        answer.Answer(value, "Exercise 9.9").function("f")


def test_a_result_is_compared_with_the_right_one_and_with_what_mistakes_give():
    mistakes = {"the sum is taken": 6.0, "the sign is wrong": -2.0}
    told = {"seen": "On 1, 2, 3 ", "otherwise": "Look at the mean."}
    answer.compare(2.0002, 2.0, mistakes, **told)
    answer.compare(torch.tensor(2.0), 2.0, mistakes, **told)
    with pytest.raises(CheckFailed, match=r"^On 1, 2, 3 it looks as if the sum is taken\.$"):
        answer.compare(6.0001, 2.0, mistakes, **told)
    with pytest.raises(
        CheckFailed, match=r"^On 1, 2, 3 the result is 5, which is not right\. Look at the mean"
    ):
        answer.compare(5.0, 2.0, mistakes, **told)
    with pytest.raises(CheckFailed, match=r"^On 1, 2, 3 the result is not finite: look for a log"):
        answer.compare(torch.tensor([0.0, float("nan")]), torch.ones(2), mistakes, **told)
    with pytest.raises(CheckFailed, match="the result is another tensor than it should be"):
        answer.compare(torch.zeros(2), torch.ones(2), {"the order is turned": torch.zeros(3)}, **told)
