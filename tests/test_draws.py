"""Processes that share a batch draw the rows of what one process draws."""

import pytest
import torch

from medgan_course import draws

DRAWS = {
    "normal": lambda n: draws.normal(n, 3, 2),
    "uniform": lambda n: draws.uniform(n, 4, low=-2, high=5),
    "integers": lambda n: draws.integers(7, n, 2),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("processes", [2, 3])
def test_the_shares_are_the_whole_in_order(draw, processes):
    torch.manual_seed(0)
    whole, after = draw(6), torch.rand(1)
    shares = []
    for rank in range(processes):
        torch.manual_seed(0)
        with draws.share(rank, processes):
            shares.append(draw(6 // processes))
        assert torch.equal(torch.rand(1), after)  # all processes go on alike
    assert torch.equal(torch.cat(shares), whole)


def test_a_share_ends_with_its_context_even_after_an_error():
    def fails():
        with draws.share(1, 2):
            assert draws.shared() == (1, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert draws.shared() == (0, 1)


def test_the_distributions():
    torch.manual_seed(0)
    normal, uniform, whole = (
        draws.normal(20_000),
        draws.uniform(20_000, low=-2, high=6),
        draws.integers(3, 9000),
    )
    # Four standard errors.
    assert abs(normal.mean()) < 4 / 20_000**0.5
    assert abs(normal.std() - 1) < 4 / 40_000**0.5
    assert abs(uniform.mean() - 2) < 4 * 8 / 12**0.5 / 20_000**0.5
    assert -2 <= uniform.min() < -1.99
    assert 5.99 < uniform.max() < 6
    assert whole.dtype == torch.int64
    counts = torch.bincount(whole)
    assert len(counts) == 3
    assert (counts - 3000).abs().max() < 4 * (9000 * 2 / 9) ** 0.5


def test_shapes_and_device():
    assert draws.normal(2).shape == draws.uniform(2).shape == draws.integers(5, 2).shape == (2,)
    assert draws.normal(2, 3, device="meta").is_meta
