"""A GAN is a game: players take turns, and in a turn only the movers lower their own cost."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.swa_utils import update_bn

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

    def restore(self, state: dict[str, Any]) -> None:
        """Load an optimiser's state, on the weights' device and in their memory layout.

        A fused step runs through weights and moments side by side in memory: moments in another layout would
        silently belong to other weights.
        """
        self.optimiser.load_state_dict(state)
        for parameter, entries in self.optimiser.state.items():
            for key, value in entries.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    entries[key] = torch.empty_like(parameter).copy_(value)

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
        ``cost(game, batch) -> dict`` of named scalar terms. Their sum is what the movers lower; their names
        are what the history logs, as ``"mover.term"``.
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

    @property
    def label(self) -> str:
        """The movers as one word, ``"G_ab+G_ba"``."""
        return "+".join(self.names)


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
                self._player(name)
            if turn.every < 1:
                raise CourseError(
                    f"The turn of {turn.label} is taken every {turn.every} steps: every must be 1 or more."
                )
        self.step = 0
        self.history: dict[str, list[float]] = {}
        self.random_state: dict[str, Tensor] = {}

    def _player(self, name: str) -> Player:
        if name not in self.players:
            raise CourseError(
                f"No player is called {name!r}: the players are {', '.join(map(repr, self.players))}."
            )
        return self.players[name]

    def __getitem__(self, name: str) -> nn.Module:
        """Return a player's network, as costs use it: ``game["D"](images)``."""
        return self._player(name).net

    def averaged(self, name: str, inputs: Iterable[Tensor] | None = None) -> nn.Module:
        """Return a frozen copy of a player's moving average, or of its network, in evaluation mode.

        Parameters
        ----------
        name : str
            The player.
        inputs : iterable of Tensor, optional
            Batches of network inputs from which the copy's batch-norm statistics are computed anew. The
            running statistics are those of networks some steps ago; and an average of statistics belongs to
            no network at all: paired with averaged weights it gives washed-out images (Izmailov et al. 2018
            recompute it for the same reason).
        """
        player = self._player(name)
        net = deepcopy(player.net if player.average is None else player.average).requires_grad_(False)
        if inputs is not None:
            update_bn(inputs, net.train())
        return net.eval()

    @contextmanager
    def moving(self, names: tuple[str, ...]) -> Iterator[None]:
        """Freeze every parameter that none of the named players has, for as long as the context lasts."""
        moving = {parameter for name in names for parameter in self._player(name).parameters}
        frozen = [
            parameter
            for player in self.players.values()
            for parameter in player.parameters
            if parameter.requires_grad and parameter not in moving
        ]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def take(
        self,
        turn: Turn,
        batch: Any,
        autocast: AbstractContextManager[Any] = nullcontext(),  # noqa: B008 (stateless)
    ) -> dict[str, Tensor]:
        """Play one turn on one batch and return its terms, detached and named ``"mover.term"``.

        The cost is computed under ``autocast``, its gradient outside it.

        Raises
        ------
        CourseError
            If the cost is no dict of scalars, or does not depend on the movers.
        """
        movers = [self.players[name] for name in turn.names]
        with self.moving(turn.names):
            with autocast:
                terms = turn.cost(self, batch)
            total = _sum(terms, turn.label)
            for player in movers:
                player.optimiser.zero_grad(set_to_none=True)
            # Named inputs keep the gradient from networks that are no player's, too.
            total.backward(inputs=[p for player in movers for p in player.parameters if p.requires_grad])
        for player in movers:
            player.move()
        return {f"{turn.label}.{name}": term.detach() for name, term in terms.items()}

    def to(self, device: torch.device | str) -> "Game":
        """Move every network, average and optimiser to ``device``, 4-D weights in channels-last order."""
        for player in self.players.values():
            player.net.to(device, memory_format=torch.channels_last)
            if player.average is not None:
                player.average.to(device, memory_format=torch.channels_last)
            player.restore(player.optimiser.state_dict())
        return self


def _sum(terms: Any, label: str) -> Tensor:
    if not isinstance(terms, dict) or not terms:
        raise CourseError(
            f"The cost of {label} returned {type(terms).__name__}: it must return a dict of named terms."
        )
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            raise CourseError(
                f"The term {label}.{name} is no scalar tensor: a term is one number, such as a mean."
            )
    total = sum(terms.values())
    if not total.requires_grad:
        raise CourseError(
            f"The cost of {label} does not depend on {label}: look for a detach() or no_grad()."
        )
    return total
