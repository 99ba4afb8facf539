import pytest
import torch
from torch import nn

from medgan_course.data.batches import Batch
from medgan_course.systems.dcgan import dcgan
from medgan_course.systems.lsgan import lsgan

BATCH = Batch(torch.zeros(8, 1, 28, 28), torch.zeros(8))


def terms(game, logit):
    """Return all terms where the discriminator says ``logit`` whatever it sees."""
    for p in game["D"].parameters():
        nn.init.zeros_(p)
    nn.init.constant_(game["D"].head.bias, logit)
    return {k: v.item() for turn in game.turns for k, v in turn.cost(game, BATCH).items()}


@pytest.mark.parametrize("logit", [0.0, 1.0, 3.0])
def test_the_costs_are_half_squares(logit):
    assert terms(lsgan(28, base=4), logit) == pytest.approx(
        {
            "real": (logit - 1) ** 2 / 2,
            "fake": logit**2 / 2,
            "adversarial": (logit - 1) ** 2 / 2,
        }
    )


def test_nothing_but_the_loss_differs_from_dcgan():
    ours, theirs = lsgan(28, base=4, seed=3), dcgan(28, base=4, seed=3)
    for name in "GD":
        assert all(
            torch.equal(*pair)
            for pair in zip(ours[name].parameters(), theirs[name].parameters(), strict=True)
        )
        assert ours.players[name].settings == theirs.players[name].settings
    assert terms(ours, 3.0) != terms(theirs, 3.0)
