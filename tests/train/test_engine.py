import signal
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from medgan_course.data.batches import Batch, Batches
from medgan_course.errors import CourseError
from medgan_course.train import Game, Player, Turn, engine, fit

CPU = {"device": "cpu"}


def line(cost, *more, **settings):
    """Return a game of one player with one weight, moved by plain gradient descent."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    return Game(
        {"A": Player(net, optimiser=lambda p: torch.optim.SGD(p, lr=0.1))},
        [Turn("A", cost, **settings), *more],
    )


def square(game, x):
    return {"a": game["A"](x).square().mean()}


ONES = [torch.ones(2, 1)]


def test_two_runs_are_equal_bit_for_bit(new_game, batches, state_of, same):
    a, b = new_game(), new_game()
    torch.manual_seed(1)
    fit(a, batches, 4, seed=5, **CPU)
    torch.manual_seed(2)
    fit(b, batches, 4, seed=5, **CPU)
    assert same(state_of(a), state_of(b))


def test_another_seed_is_another_run(new_game, batches, state_of, same):
    a, b = new_game(), new_game()
    fit(a, batches, 2, seed=5, **CPU)
    fit(b, batches, 2, seed=6, **CPU)
    assert not same(state_of(a), state_of(b))


def test_the_callers_random_state_is_left_as_it_was(new_game, batches):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    fit(new_game(), batches, 2, **CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_callers_random_state_survives_a_failure():
    def fails(game, x):
        torch.randn(1)
        raise ZeroDivisionError

    game = line(fails)
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        fit(game, ONES, 2, **CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_fit_twice_is_one_run(new_game, batches, state_of, same):
    once, twice = new_game(), new_game()
    history = fit(once, batches, 7, **CPU)
    fit(twice, batches, 3, **CPU)
    torch.randn(5)
    assert fit(twice, batches, 7, **CPU) == history
    assert same(state_of(once), state_of(twice))


def test_steps_are_counted_in_all(batches, new_game):
    game = new_game()
    assert {len(v) for v in fit(game, batches, 3, **CPU).values()} == {3}
    assert {len(v) for v in fit(game, batches, 5, **CPU).values()} == {5}
    assert {len(v) for v in fit(game, batches, 4, **CPU).values()} == {5}
    assert game.step == 5


def test_history_has_a_value_a_step_under_the_terms_name():
    game = line(square)
    history = fit(game, ONES, 60, **CPU)
    # w <- w - 0.1 * 2 w, and the term is w squared before the move.
    assert history == {"A.a": pytest.approx([0.8 ** (2 * i) for i in range(60)], rel=1e-4)}


@pytest.mark.parametrize("steps", [7, 26, 30])
def test_turns_every_few_steps(steps):
    moves = []
    later = Turn("A", lambda g, x: moves.append(g.step) or {"b": g["A"](x).mean()}, every=3)
    game = line(lambda g, x: {"a": g["A"](x).mean()}, later)
    history = fit(game, ONES, steps, **CPU)
    assert moves == list(range(0, steps, 3))
    assert (len(history["A.a"]), len(history["A.b"])) == (steps, len(moves))
    assert history.steps == {"A.a": list(range(steps)), "A.b": moves}


def test_a_repeated_turn_takes_fresh_batches_of_the_stream_and_of_any_iterable():
    stream = Batches(torch.arange(60.0)[:, None], torch.zeros(60), 2, seed=3)
    numbers = [stream[index].images for index in range(12)]
    for batches in (stream, [Batch(images, images) for images in numbers]):
        seen = []

        def cost(game, batch, seen=seen):
            seen.append(batch.images)
            return square(game, batch.images / 100)

        fit(line(cost, times=3), batches, 4, **CPU)
        assert all(map(torch.equal, seen, numbers))
        assert len(seen) == 12


def test_a_first_turn_later_than_the_first_reading(monkeypatch):
    monkeypatch.setattr(engine, "READ_EVERY", 1)
    game = line(square, Turn("A", lambda g, x: {"b": g["A"](x).mean()}, every=4))
    game.step = 1
    history = fit(game, ONES, 6, **CPU)
    assert (len(history["A.a"]), len(history["A.b"])) == (5, 1)


def test_watch_sees_the_right_steps_and_a_complete_history():
    seen = []
    fit(
        line(square),
        ONES,
        7,
        watch=lambda g: seen.append((g.step, len(g.history.get("A.a", [])))),
        watch_every=3,
        **CPU,
    )
    assert seen == [(0, 0), (3, 3), (6, 6), (7, 7)]


def test_watch_does_not_change_the_training(new_game, batches, state_of, same):
    def watch(game):
        torch.manual_seed(99)
        game.averaged("G")(game["G"].latent(3)).mean()
        game.history.get("G.adversarial")

    watched, alone = new_game(), new_game()
    fit(watched, batches, 4, watch=watch, watch_every=1, **CPU)
    fit(alone, batches, 4, **CPU)
    assert same(state_of(watched), state_of(alone))


def test_what_watch_raises_is_not_hidden():
    def watch(game):
        raise KeyError("oh")

    with pytest.raises(KeyError, match="oh"):
        fit(line(square), ONES, 2, watch=watch, **CPU)


@pytest.mark.parametrize(
    ("start", "value", "bad"), [(0, "nan", 40), (0, "inf", 0), (0, "-inf", 24), (30, "nan", 33)]
)
def test_divergence_names_term_and_step(start, value, bad):
    def cost(game, x):
        y = game["A"](x).mean()
        return {"fine": y, "bad": y * 0 + (float(value) if game.step == bad else 1)}

    game = line(cost)
    game.step = start
    with pytest.raises(CourseError, match=f"the term A.bad became {value} at step {bad};"):
        fit(game, ONES, 100, **CPU)
    assert len(game.history.get("A.bad", [])) == bad - start
    assert game.step <= bad + engine.READ_EVERY


def test_divergence_of_a_term_that_is_not_there_in_every_step():
    bad = Turn("A", lambda g, x: {"b": g["A"](x).mean() * (float("nan") if g.step == 9 else 1)}, every=3)
    game = line(lambda g, x: {"a": g["A"](x).mean()}, bad)
    with pytest.raises(CourseError, match=r"the term A\.b became nan at step 9;"):
        fit(game, ONES, 20, **CPU)


def test_out_of_memory_is_a_sentence():
    def cost(game, x):
        if game.step == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return square(game, x)

    game = line(cost)
    with pytest.raises(
        CourseError, match=r"ran out of memory at step 3: lower the batch size or the image size"
    ):
        fit(game, ONES, 9, **CPU)
    assert all(p.requires_grad for p in game["A"].parameters())


def test_out_of_memory_while_moving_there_is_a_sentence(monkeypatch):
    def full(self, device):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Game, "to", full)
    with pytest.raises(CourseError, match="ran out of memory"):
        fit(line(square), ONES, 9, **CPU)


def test_any_iterable_is_read_over_and_over():
    seen = []

    def cost(game, x):
        seen.append(x.item())
        return square(game, x)

    fit(line(cost), [torch.full((1, 1), float(i)) for i in range(3)], 7, **CPU)
    assert seen == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("nothing", [[], iter(ONES), (x for x in ONES)])
def test_batches_that_run_dry_are_a_sentence(nothing):
    with pytest.raises(CourseError, match=r"batches are empty.*again and again"):
        fit(line(square), nothing, 3, **CPU)


def test_a_data_loader_works():
    loader = DataLoader(TensorDataset(torch.ones(6, 1), torch.arange(6)), batch_size=2)
    history = fit(line(lambda g, batch: square(g, batch[0])), loader, 5, **CPU)
    assert len(history["A.a"]) == 5


def test_every_batch_is_sent_to_the_device():
    sent = []

    class Parcel:
        def to(self, device):
            sent.append(device)
            return torch.ones(2, 1)

    fit(line(square), [Parcel()], 3, **CPU)
    assert sent == [torch.device("cpu")] * 3


def test_batches_of_every_form_reach_the_device():
    x = torch.ones(2)
    Pair = namedtuple("Pair", "x y")
    for batch in (x, [x, x], (x, (x, x)), {"a": x, "b": [x]}, Pair(x, x), Pair(x, {"a": x})):
        moved = engine._on(torch.device("meta"), batch)
        assert type(moved) is type(batch)
        leaves = torch.utils._pytree.tree_leaves(moved)
        assert len(leaves) == len(torch.utils._pytree.tree_leaves(batch))
        assert all(leaf.is_meta for leaf in leaves)
    assert engine._on(torch.device("meta"), ["name", 3]) == ["name", 3]


@pytest.fixture(autouse=True)
def interrupts_arrive():
    """Give Ctrl-C Python's handler: a shell starts what runs in its background with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_training_goes_on_where_it_stopped(new_game, batches, state_of, same):
    stopped, whole = new_game(), new_game()
    first, second = stopped.turns

    def interrupted(game, batch):
        if game.step == 4:
            raise KeyboardInterrupt
        return first.cost(game, batch)

    stopped.turns = Turn(first.names, interrupted), second
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, batches, 8, **CPU)
    assert stopped.step == 4
    assert {len(values) for values in stopped.history.values()} == {4}
    stopped.turns = first, second
    fit(stopped, batches, 8, **CPU)
    fit(whole, batches, 8, **CPU)
    assert same(state_of(stopped), state_of(whole))


def test_an_interrupted_training_is_in_its_checkpoint(new_game, batches, state_of, same, tmp_path):
    path = tmp_path / "stopped.safetensors"
    stopped = new_game()
    first, second = stopped.turns

    def interrupted(game, batch):
        if game.step == 4:
            signal.raise_signal(signal.SIGINT)
        return first.cost(game, batch)

    stopped.turns = Turn(first.names, interrupted), second
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, batches, 8, checkpoint=path, **CPU)
    resumed, whole = new_game(), new_game()
    fit(resumed, batches, 8, checkpoint=path, **CPU)
    fit(whole, batches, 8, **CPU)
    assert same(state_of(resumed), state_of(whole))
    assert stopped.step == 5


def test_a_checkpoint_is_written_once_a_minute(new_game, batches, monkeypatch, tmp_path):
    game, written = new_game(), []
    monkeypatch.setattr(engine.time, "monotonic", lambda: 35.0 * game.step)
    monkeypatch.setattr(engine.checkpoints, "save", lambda game, path, settings: written.append(game.step))
    fit(game, batches, 7, checkpoint=tmp_path / "game.safetensors", **CPU)
    assert written == [2, 4, 6, 7]  # of steps that take 35 seconds each; and the last


def test_a_checkpoint_from_beyond_the_steps_is_refused(new_game, batches, tmp_path):
    path = tmp_path / "game.safetensors"
    fit(new_game(), batches, 4, checkpoint=path, **CPU)
    with pytest.raises(CourseError, match=r"holds step 4 .* beyond steps=3"):
        fit(new_game(), batches, 3, checkpoint=path, **CPU)


@pytest.mark.parametrize("name", ["watch_every", "checkpoint_every"])
def test_never_is_no_number_of_steps(name):
    with pytest.raises(CourseError, match=f"{name}=0 is no number of steps"):
        fit(line(square), ONES, 2, **{name: 0}, **CPU)


@pytest.mark.parametrize("player", [0, 1], ids=["in the first turn", "in the second turn"])
def test_an_interrupt_waits_until_the_step_is_complete(new_game, batches, state_of, same, player):
    stopped, whole = new_game(), new_game()
    turns = list(stopped.turns)
    turn = turns[player]

    def interrupted(game, batch):
        if game.step == 4:
            signal.raise_signal(signal.SIGINT)
        return turn.cost(game, batch)

    turns[player] = Turn(turn.names, interrupted)
    stopped.turns = tuple(turns)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, batches, 8, **CPU)
    assert signal.getsignal(signal.SIGINT) is handler
    assert stopped.step == 5
    assert {len(values) for values in stopped.history.values()} == {5}
    fit(stopped, batches, 8, **CPU)
    fit(whole, batches, 8, **CPU)
    assert same(state_of(stopped), state_of(whole))


def test_an_interrupt_while_terms_are_read_duplicates_none():
    class Slow:
        def item(self):
            signal.raise_signal(signal.SIGINT)
            return 1.0

    game = line(square)
    game.step = 2
    unread = [{"A.a": torch.tensor(0.0)}, {"A.a": Slow(), "A.b": torch.tensor(2.0)}]
    with pytest.raises(KeyboardInterrupt):
        engine._read(unread, game)
    engine._read(unread, game)
    assert game.history == {"A.a": [0.0, 1.0], "A.b": [2.0]}


def test_fit_works_outside_the_main_thread():
    with ThreadPoolExecutor(1) as pool:
        history = pool.submit(fit, line(square), ONES, 3, **CPU).result()
    assert len(history["A.a"]) == 3


@pytest.mark.parametrize(("terminal", "shown"), [(True, True), (False, False)])
def test_a_bar_is_shown_in_a_terminal_and_not_in_a_log(monkeypatch, capsys, terminal, shown):
    monkeypatch.delattr("builtins.__IPYTHON__", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    fit(line(square), ONES, 2, **CPU)
    assert ("step/s" in capsys.readouterr().err) == shown


@pytest.mark.parametrize(
    ("precision", "hint"),
    [("float61", "did you mean 'float16'"), ("bf", "there are float32, bfloat16, float16"), (16, "float")],
)
def test_an_unknown_precision_is_a_sentence(precision, hint):
    with pytest.raises(CourseError, match=f"{precision!r} is not known to fit: .*{hint}"):
        fit(line(square), ONES, 1, precision=precision, **CPU)


def test_precision_reaches_the_cost():
    kinds = []

    def cost(game, x):
        y = game["A"](x)
        kinds.append(y.dtype)
        return {"a": y.float().mean()}

    for precision in ("float32", "bfloat16", None):
        fit(line(cost), ONES, 2, precision=precision, **CPU)
    assert kinds == [torch.float32] * 2 + [torch.bfloat16] * 2 + [torch.float32] * 2


def test_fused_channels_last_training_equals_the_plain_one(batches):
    def play(adam, moved):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 6, 4, 2), nn.ReLU(), nn.Conv2d(6, 3, 4, 2))
        game = Game(
            {"A": Player(net, optimiser=adam)},
            [Turn("A", lambda g, batch: {"a": g["A"](batch.images).square().mean()})],
        )
        if moved:
            fit(game, batches, 5, **CPU)
            fit(game, batches, 10, **CPU)
        else:
            for step in range(10):
                game.take(game.turns[0], batches[step])
        return net

    ours = play(lambda p: torch.optim.Adam(p, lr=1e-2, fused=True), True)
    plain = play(lambda p: torch.optim.Adam(p, lr=1e-2, foreach=False), False)
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_fit_twice_draws_what_one_run_draws():
    def drawn(*stops):
        draws = []

        def cost(game, x):
            draws.append(torch.randn(3, device=x.device).tolist())
            return square(game, x)

        game = line(cost)
        for stop in stops:
            before = torch.cuda.get_rng_state()
            fit(game, ONES, stop, device="cuda")
            assert torch.equal(torch.cuda.get_rng_state(), before)
            torch.randn(2, device="cuda")
        return draws

    assert drawn(6) == drawn(2, 6)
