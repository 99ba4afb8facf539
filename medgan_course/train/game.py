"""A GAN is a game: players take turns, and in a turn only the movers lower their own cost."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from medgan_course.errors import CourseError

Cost = Callable[["Game", Any], dict[str, Tensor]]


def dcgan_adam(parameters: Iterable[nn.Parameter]) -> Adam:
    """Adam with learning rate 2e-4 and betas (0.5, 0.999), the setting of Radford et al. (2016)."""
    return Adam(parameters, lr=2e-4, betas=(0.5, 0.999), fused=True)


class Player:
    """A network with the optimiser that moves it.

    Parameters
    ----------
    net : nn.Module
        The network. Parameters that do not require a gradient now never will: a frozen backbone stays frozen.
    optimiser : callable
        Takes the trainable parameters and returns an optimiser.
    ema : float, optional
        Decay of an exponential moving average of the weights, updated after each of the player's moves.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimiser: Callable[[Iterable[nn.Parameter]], Optimizer] = dcgan_adam,
        ema: float | None = None,
    ) -> None:
        self.net = net
        self.parameters = [p for p in net.parameters() if p.requires_grad]
        self.optimiser = optimiser(self.parameters)
        self.decay = ema
        self.average = None if ema is None else deepcopy(net).requires_grad_(False)

    def move(self) -> None:
        """Take one optimiser step and update the moving average."""
        self.optimiser.step()
        if self.average is not None:
            averaged, current = self.average.state_dict(), self.net.state_dict()
            for name, value in current.items():
                if value.is_floating_point():
                    averaged[name].lerp_(value, 1 - self.decay)
                else:
                    averaged[name].copy_(value)


@dataclass(frozen=True)
class Turn:
    """Who moves, to lower what, and how often.

    Attributes
    ----------
    movers : str or tuple of str
        The players who move; several move together on the same cost.
    cost : callable
        ``cost(game, batch) -> dict`` of named scalar terms. Their sum is what the movers lower; their names are what
        the history logs, as ``"mover.term"``.
    every : int
        The turn is taken in steps 0, ``every``, 2 ``every``, ...
    """

    movers: str | tuple[str, ...]
    cost: Cost
    every: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The movers, always as a tuple."""
        return (self.movers,) if isinstance(self.movers, str) else self.movers


class Game:
    """Players and the turns they take.

    Parameters
    ----------
    players : mapping of str to nn.Module or Player
        A bare network plays with :func:`dcgan_adam` and without averaging.
    turns : sequence of Turn
        Played in this order in every step.

    Examples
    --------
    >>> game = Game(
    ...     players={"G": generator, "D": discriminator},
    ...     turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    ... )
    """

    def __init__(self, players: Mapping[str, nn.Module | Player], turns: Sequence[Turn]) -> None:
        self.players = {
            name: player if isinstance(player, Player) else Player(player) for name, player in players.items()
        }
        self.turns = list(turns)
        for turn in self.turns:
            for name in turn.names:
                if name not in self.players:
                    raise CourseError(
                        f"A turn moves player {name!r}, but the players are {', '.join(map(repr, self.players))}."
                    )
        self.step = 0
        self.history: dict[str, list[float]] = defaultdict(list)
        self.random_state: Tensor | None = None

    def __getitem__(self, name: str) -> nn.Module:
        """Return a player's network, as costs use it: ``game["D"](images)``."""
        return self.players[name].net

    def averaged(self, name: str) -> nn.Module:
        """Return the moving average of a player's network in evaluation mode, or a copy of the network where there is none."""
        player = self.players[name]
        return deepcopy(player.average or player.net).eval()

    @contextmanager
    def moving(self, names: tuple[str, ...]) -> Iterator[None]:
        """Let gradients reach the named players' parameters and nobody else's."""
        for name, player in self.players.items():
            for parameter in player.parameters:
                parameter.requires_grad_(name in names)
        try:
            yield
        finally:
            for player in self.players.values():
                for parameter in player.parameters:
                    parameter.requires_grad_(True)

    def take(
        self, turn: Turn, batch: Any, autocast: AbstractContextManager[Any] = nullcontext()  # noqa: B008 (stateless)
    ) -> dict[str, Tensor]:
        """Play one turn on one batch and return its terms, detached and named ``"mover.term"``.

        The cost is computed under ``autocast``, its gradient outside it.
        """
        movers = [self.players[name] for name in turn.names]
        with self.moving(turn.names):
            with autocast:
                terms = turn.cost(self, batch)
            for player in movers:
                player.optimiser.zero_grad(set_to_none=True)
            sum(terms.values()).backward()
        for player in movers:
            player.move()
        label = "+".join(turn.names)
        return {f"{label}.{name}": term.detach() for name, term in terms.items()}

    def to(self, device: torch.device | str) -> "Game":
        """Move every network and average to ``device``, 4-D weights in channels-last order."""
        for player in self.players.values():
            for net in filter(None, (player.net, player.average)):
                net.to(device, memory_format=torch.channels_last)
        return self
