from copy import deepcopy

import pytest
import torch

from medgan_course.data.batches import Batches
from medgan_course.systems.dcgan import dcgan


@pytest.fixture
def batches():
    images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Batches(images, torch.zeros(20, dtype=torch.long), 4, seed=2)


@pytest.fixture(params=[False, True], ids=["plain", "stabilised"])
def new_game(request):
    """Return a maker of equal small DCGAN games; the stabilised one also has an average and draws more."""
    return lambda seed=0: dcgan(28, base=4, z_dim=6, stabilised=request.param, seed=seed)


@pytest.fixture
def state_of():
    """Everything that a game is, as one flat dict."""

    def flat(game):
        state = {"step": game.step, "history": deepcopy(game.history), **game.random_state}
        for name, player in game.players.items():
            state |= {f"{name}.{key}": value.clone() for key, value in player.net.state_dict().items()}
            if player.average is not None:
                state |= {
                    f"{name}~.{key}": value.clone() for key, value in player.average.state_dict().items()
                }
            for index, entries in player.optimiser.state_dict()["state"].items():
                state |= {f"{name}.{index}.{key}": value.clone() for key, value in entries.items()}
            groups = player.optimiser.state_dict()["param_groups"]
            state[f"{name}.groups"] = [group | {"betas": list(group["betas"])} for group in groups]
        return state

    return flat


@pytest.fixture
def same():
    """Whether two such states are equal to the last bit."""

    def equal(a, b):
        return a.keys() == b.keys() and all(
            torch.equal(a[key], b[key]) if isinstance(a[key], torch.Tensor) else a[key] == b[key] for key in a
        )

    return equal
