"""The image pool: what it shows, what it keeps, and that it holds no gradient."""

import pytest
import torch
from torch import nn

from medgan_course import draws
from medgan_course.data.batches import Batch, Stream
from medgan_course.errors import CourseError
from medgan_course.train import Game, Player, Turn, fit


def game(replay=50):
    return Game({"G": Player(nn.Linear(2, 2), replay=replay)}, [])


def numbered(start, n):
    """Return images that are told apart by their value."""
    return torch.arange(start, start + n, dtype=torch.float32)[:, None, None, None].expand(n, 1, 2, 2)


def numbers(images):
    return images[:, 0, 0, 0].int().tolist()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_the_first_images_fill_the_buffer_and_are_shown():
    a_game = game(replay=5)
    for start in (0, 2):
        assert numbers(a_game.replayed("G", numbered(start, 2))) == [start, start + 1]
    assert numbers(a_game.players["G"].past) == [0, 1, 2, 3]
    shown = numbers(a_game.replayed("G", numbered(4, 2)))
    assert shown[0] == 4  # the last that fills it
    assert len(a_game.players["G"].past) == 5


def test_half_of_the_images_shown_are_past_ones_from_anywhere_in_the_buffer():
    a_game, places = game(), []
    a_game.replayed("G", numbered(0, 50))
    n, new = 4000, 0
    for start in range(50, 50 + n, 8):
        before = numbers(a_game.players["G"].past)
        shown = numbers(a_game.replayed("G", numbered(start, 8)))
        new += sum(number >= start for number in shown)
        places += [before.index(number) for number in shown if number < start]
    # Binomial: 2000 +- 4 standard deviations of 32; a few of the new were swapped in and out at once.
    assert abs(new - n / 2) < 126 + n / 100
    counts = torch.bincount(torch.tensor(places), minlength=50)
    assert counts.min() > 10  # of 40 expected for each of the 50 places


def test_nothing_is_lost_or_doubled():
    """Each image is shown as new and forgotten, or kept until it is shown: one by one, as in the paper."""
    a_game, shown = game(replay=7), []
    for start in range(0, 300, 10):
        shown += numbers(a_game.replayed("G", numbered(start, 10)))
    first, rest = shown[:7], shown[7:]
    assert first == list(range(7))
    assert len(set(rest)) == len(rest)  # those of the filling are shown a second time at most
    kept = numbers(a_game.players["G"].past)
    assert sorted(rest + kept) == list(range(300))


def test_it_equals_the_loop_of_the_paper():
    a_game, pool = game(replay=6), []
    for start in range(0, 80, 8):
        images = numbered(start, 8)
        state = torch.get_rng_state()
        shown = numbers(a_game.replayed("G", images))
        torch.set_rng_state(state)
        swaps, places = torch.rand(8) < 0.5, torch.randint(6, (8,))
        expected = []
        for number, swap, place in zip(numbers(images), swaps, places, strict=True):
            if len(pool) < 6:
                pool.append(number)
                expected.append(number)
            elif swap:
                expected.append(pool[place])
                pool[place] = number
            else:
                expected.append(number)
        assert shown == expected
        assert numbers(a_game.players["G"].past) == pool


def test_no_gradient_and_no_memory_of_the_batch_is_kept():
    a_game = game()
    images = numbered(0, 4).clone().requires_grad_()
    made = images * 2
    shown = a_game.replayed("G", made)
    assert not shown.requires_grad
    assert not a_game.players["G"].past.requires_grad
    with torch.no_grad():
        made.fill_(9)
    assert numbers(a_game.players["G"].past) == [0, 2, 4, 6]


def test_volumes_are_kept_too():
    a_game = game(replay=2)
    volumes = torch.randn(3, 1, 4, 4, 4)
    assert a_game.replayed("G", volumes).shape == volumes.shape


@pytest.mark.parametrize(
    ("replay", "sentence"),
    [
        (None, r"G keeps no past images: make it Player\(net, replay=50\)"),
        (5, r"past images of G are \(1, 4, 4\), the new ones \(1, 8, 8\)"),
    ],
)
def test_mistakes_are_sentences(replay, sentence):
    a_game = game(replay)
    a_game.players["G"].past = torch.zeros(2, 1, 4, 4)
    with pytest.raises(CourseError, match=sentence):
        a_game.replayed("G", torch.zeros(2, 1, 8, 8))


def test_the_past_is_in_the_checkpoint(tmp_path):
    def training(steps, checkpoint=None):
        torch.manual_seed(0)

        def cost(game, batch):
            fake = game["G"](draws.normal(4, 2))
            seen.append(game.replayed("G", fake.unflatten(1, (1, 2, 1))))
            return {"a": fake.square().mean()}

        a_game = Game({"G": Player(nn.Linear(2, 2), replay=5)}, [Turn("G", cost)])
        stream = Stream(Batch(torch.zeros(8, 1), torch.zeros(8)), 4)
        fit(a_game, stream, steps, device="cpu", checkpoint=checkpoint)
        return a_game.players["G"].past

    seen = []
    whole = training(12)
    training(7, tmp_path / "game")
    resumed = training(12, tmp_path / "game")
    assert torch.equal(resumed, whole)
    torch.testing.assert_close(seen[:12], seen[12:], rtol=0, atol=0)
