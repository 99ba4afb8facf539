"""A GAN is a game: players take turns, and in a turn only the movers lower their own cost."""

import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import reduce
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import LBFGS, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn, update_bn

from medgan_course import draws
from medgan_course.errors import CourseError
from medgan_course.train import processes

Cost = Callable[["Game", Any], dict[str, Tensor]]


def dcgan_adam(parameters: Iterable[nn.Parameter], lr: float = 2e-4) -> Adam:
    """Adam with betas (0.5, 0.999) and, unless told otherwise, learning rate 2e-4: Radford et al. (2016)."""
    return Adam(parameters, lr=lr, betas=(0.5, 0.999), fused=True)


class Player:
    r"""A network with all that belongs to it in the game.

    Parameters
    ----------
    net : nn.Module
        The network. Parameters that do not require a gradient now never will: a frozen backbone stays frozen.
    optimiser : callable
        Takes the trainable parameters and returns an optimiser. Clipping of weights or gradients is a hook
        that the callable registers on the optimiser it makes.
    schedule : callable, optional
        Takes the optimiser and returns one of torch's ``LRScheduler``, such as
        ``lambda o: torch.optim.lr_scheduler.LinearLR(o, 1, 0, steps)`` or :func:`linear_decay`. It advances
        once per step of the game, however often the player moves in it, so the schedules of all players
        count the steps that ``fit`` counts.
    ema : float, optional
        Decay :math:`\beta` of a moving average of the weights, updated after each of the player's moves,

        .. math:: \bar\theta \leftarrow \beta\,\bar\theta + (1 - \beta)\,\theta,

        from the initial weights on. Buffers (batch-norm statistics, the vectors of spectral norm) are copied,
        because they describe one network and an average of them describes none.
    replay : int, optional
        Number of the player's past images that :meth:`Game.replayed` mixes with its new ones.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimiser: Callable[[Any], Optimizer] = dcgan_adam,
        schedule: Callable[[Optimizer], LRScheduler] | None = None,
        ema: float | None = None,
        replay: int | None = None,
    ) -> None:
        if ema is not None and not 0 <= ema <= 1:
            raise CourseError(f"ema={ema} is no decay of an average: choose a number from 0 to 1.")
        if replay is not None and replay < 1:
            raise CourseError(f"replay={replay} keeps no image: choose 1 or more, or None for no replay.")
        self.net = net
        self.parameters = [p for p in net.parameters() if p.requires_grad]
        # A net without trainable parameters can play a part in others' costs, though it never moves. Torch
        # has optimisers of an empty group, but none of nothing.
        self.optimiser = optimiser(self.parameters or [{"params": []}])
        self.settings = {"ema": ema, "replay": replay} | _hyper_parameters(self.optimiser)
        self.schedule = schedule(self.optimiser) if schedule else None
        if isinstance(self.optimiser, LBFGS) or isinstance(self.schedule, ReduceLROnPlateau):
            raise CourseError(
                "LBFGS and ReduceLROnPlateau need to be shown a loss, and in a game no single number falls: "
                "choose an optimiser and a schedule that only count steps."
            )
        self.settings["schedule"] = type(self.schedule).__name__ if self.schedule else None
        self.replay = replay
        self.past: Tensor | None = None
        self.average: nn.Module | None = None
        if ema is not None:
            self.average = deepcopy(net).requires_grad_(False)
            self._averaged = list(self.average.parameters()), list(net.parameters())
            self._lerp = get_ema_multi_avg_fn(ema)

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

    def move(self, scaler: GradScaler) -> None:
        """Take one optimiser step and update the moving average."""
        # Unscaled here and not inside the step, so that a hook that clips gradients sees them as they are.
        scaler.unscale_(self.optimiser)
        scaler.step(self.optimiser)
        if self.average is not None:
            self._lerp(*self._averaged, None)
            for averaged, current in zip(self.average.buffers(), self.net.buffers(), strict=True):
                averaged.copy_(current)


def _hyper_parameters(optimiser: Optimizer) -> dict[str, Any]:
    """Return what two trainings must share to be one: how a step is computed is not part of it."""
    ways = ("params", "fused", "foreach", "capturable", "differentiable")
    settings: dict[str, Any] = {"optimiser": type(optimiser).__name__}
    for index, group in enumerate(optimiser.param_groups):
        prefix = f"group {index}: " if len(optimiser.param_groups) > 1 else ""
        settings |= {prefix + key: value for key, value in group.items() if key not in ways}
    return settings


def linear_decay(start: int, end: int) -> Callable[[Optimizer], LRScheduler]:
    r"""Return a schedule for :class:`Player`: constant, then linear to zero (CycleGAN, Zhu et al. 2017).

    At step :math:`s` the learning rate is that of the optimiser times

    .. math:: \min\!\left(1, \frac{\text{end} - s}{\text{end} - \text{start}}\right)

    and 0 from step ``end`` on. The paper: ``end`` is the length of the training, ``start`` its half.
    """
    if not 0 <= start < end:
        raise CourseError(f"linear_decay({start}, {end}) never falls: start must come before end.")
    return lambda optimiser: LambdaLR(optimiser, lambda s: min(1.0, max(0.0, (end - s) / (end - start))))


@dataclass(frozen=True)
class Turn:
    """Who moves, to lower what, and how often.

    Attributes
    ----------
    movers : str or tuple of str
        The players who move; several move together on the same cost. A parameter that two of them share is
        moved by the optimiser of the one named first.
    cost : callable
        ``cost(game, batch) -> dict`` of named scalar terms. Their sum is what the movers lower; their names
        are what the history logs, as ``"mover.term"``. Two turns of the same movers need different names.
    every : int
        The turn is taken in steps 0, ``every``, 2 ``every``, ... A lazy penalty (Karras et al. 2020, appendix
        B) is a turn of its own: ``Turn("D", penalty, every=16)``, with the penalty times 16 inside the cost,
        so that it weighs as much as in every step.
    times : int
        How often the turn is taken in such a step, each time on a fresh batch: ``times=5`` is the n-critic of
        Arjovsky et al. (2017). The history gets the mean of each term.

        A step reads as many batches as its most repeated turn takes. Every turn sees the last ``times`` of
        them, so a generator that moves once after five moves of the critic sees the critic's last batch.
    """

    movers: str | tuple[str, ...]
    cost: Cost
    every: int = 1
    times: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The movers, always as a tuple."""
        return (self.movers,) if isinstance(self.movers, str) else self.movers

    @property
    def label(self) -> str:
        """The movers as one word, ``"G_ab+G_ba"``."""
        return "+".join(self.names)


class History(dict[str, list[float]]):
    """The terms of a training: ``"mover.term"`` to the list of its values.

    Attributes
    ----------
    steps : dict
        ``"mover.term"`` to the steps of these values, for not every turn is taken in every step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[str, list[int]] = {}

    def add(self, step: int, terms: Mapping[str, float]) -> None:
        """Append the terms of one step."""
        for name, value in terms.items():
            self.setdefault(name, []).append(value)
            self.steps.setdefault(name, []).append(step)

    def rows(self, start: int = 0) -> list[tuple[int, dict[str, float]]]:
        """Return ``(step, terms)`` for every step from ``start`` on in which there were terms."""
        rows: dict[int, dict[str, float]] = {}
        for name, values in self.items():
            steps = self.steps[name]
            first = bisect_left(steps, start)
            for step, value in zip(steps[first:], values[first:], strict=True):
                rows.setdefault(step, {})[name] = value
        return sorted(rows.items())

    def copy(self) -> "History":
        """Return a copy that further steps do not change."""
        return deepcopy(self)


class Game:
    """Players and the turns they take.

    In a turn no gradient reaches a parameter that is not a mover's, whatever the cost does. What a network
    gathers in passing is not held back: in training mode, batch-norm statistics and the vectors of spectral
    norm follow every forward pass, in other players' turns too, as in any PyTorch loop. Modules that belong
    to no mover of any turn are put into evaluation mode, so a segmentor inside a generator's cost stands
    still.

    Parameters
    ----------
    players : mapping of str to nn.Module or Player
        A bare network plays with :func:`dcgan_adam` and without averaging.
    turns : sequence of Turn
        Played in this order in every step.

    Attributes
    ----------
    kept : dict
        What a turn keeps for later turns of the same step, such as images that need not be generated twice:
        ``game.kept["fake"] = fake.detach()``. Emptied when a step begins.

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
        self.turns = tuple(turns)
        for turn in self.turns:
            for name in turn.names:
                _check_movable(name, self._player(name))
            if turn.every < 1:
                raise CourseError(
                    f"The turn of {turn.label} is taken every {turn.every} steps: every must be 1 or more."
                )
            if turn.times < 1:
                raise CourseError(
                    f"The turn of {turn.label} is taken {turn.times} times: times must be 1 or more."
                )
        moving = {module for turn in self.turns for name in turn.names for module in self[name].modules()}
        for player in self.players.values():
            for module in player.net.modules():
                if module not in moving:
                    module.training = False
        self.step = 0
        self.history = History()
        self.kept: dict[str, Tensor] = {}
        self.random_state: dict[str, Tensor] = {}
        self.scaler = GradScaler(enabled=False)

    @property
    def batches_per_step(self) -> int:
        """How many batches :meth:`play` takes, as many as the most repeated turn."""
        return max((turn.times for turn in self.turns), default=1)

    def _player(self, name: str) -> Player:
        if name not in self.players:
            raise CourseError(
                f"No player is called {name!r}: the players are {', '.join(map(repr, self.players))}."
            )
        return self.players[name]

    # Any, not nn.Module: a cost calls methods that networks of its own kind have, such as ``latent``.
    def __getitem__(self, name: str) -> Any:
        """Return a player's network, as costs use it: ``game["D"](images)``."""
        return self._player(name).net

    def averaged(self, name: str, inputs: Iterable[Tensor] | None = None) -> Any:
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

    def replayed(self, name: str, images: Tensor) -> Tensor:
        """Mix a player's new images with its past ones (Shrivastava et al. 2017; CycleGAN, Zhu et al. 2017).

        The first ``replay`` images fill the player's buffer and are returned as they are. From then on each
        image, one after the other, is returned itself with probability 1/2; else a random one of the buffer
        is returned and the new one takes its place. So a discriminator goes on seeing what the generator
        made some time ago. The images returned carry no gradient.

        Parameters
        ----------
        name : str
            A player with ``replay``.
        images : Tensor
            ``(N, ...)``, of the same shape ``...`` in every call.
        """
        player = self._player(name)
        if player.replay is None:
            raise CourseError(
                f"{name} keeps no past images: make it Player(net, replay=50), or leave replayed out."
            )
        whole = processes.gathered(images.detach())
        if player.past is None:
            player.past = whole[:0].clone()
        if player.past.shape[1:] != images.shape[1:]:
            raise CourseError(
                f"The past images of {name} are {tuple(player.past.shape[1:])}, "
                f"the new ones {tuple(images.shape[1:])}: they must be of one shape."
            )
        # Which of `pool` is shown, and which is kept, is decided on the CPU; the device copies twice.
        pool = torch.cat([player.past.to(whole.device), whole])
        with draws.share(0, 1):  # every process keeps the past of all
            swapped = (draws.uniform(len(whole)) < 0.5).tolist()
            places = draws.integers(player.replay, len(whole)).tolist()
        kept, shown = list(range(len(player.past))), []
        for new, swap, place in zip(range(len(kept), len(pool)), swapped, places, strict=True):
            if len(kept) < player.replay:
                kept.append(new)
                shown.append(new)
            elif swap:
                shown.append(kept[place])
                kept[place] = new
            else:
                shown.append(new)
        player.past = pool[kept]
        return pool[processes.rows(torch.tensor(shown))]

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

    def play(
        self,
        batches: Sequence[Any],
        autocast: AbstractContextManager[Any] = nullcontext(),  # noqa: B008 (stateless)
    ) -> dict[str, Tensor]:
        """Play one step: every turn that is due, then the schedules. Return the terms as :meth:`take` does.

        Parameters
        ----------
        batches : sequence
            As many as ``batches_per_step``.
        autocast : context manager
            See :meth:`take`.
        """
        self.kept.clear()
        values: dict[str, list[Tensor]] = {}
        owners: dict[str, Turn] = {}
        for turn in self.turns:
            if self.step % turn.every:
                continue
            for batch in batches[-turn.times :]:
                for name, term in self.take(turn, batch, autocast).items():
                    if owners.setdefault(name, turn) != turn:
                        raise CourseError(
                            f"Two turns call a term {name}: give it another name in the cost of one of them."
                        )
                    values.setdefault(name, []).append(term)
        averages = {name: v[0] if len(v) == 1 else torch.stack(v).mean() for name, v in values.items()}
        processes.average([*averages.values(), *self._statistics()])
        for player in self.players.values():
            if player.schedule is not None:
                with warnings.catch_warnings():
                    # Of a player whose first move is yet to come, or was skipped by the gradient scaler.
                    warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
                    player.schedule.step()
        self.step += 1
        return averages

    def _statistics(self) -> list[Tensor]:
        nets = [net for player in self.players.values() for net in (player.net, player.average) if net]
        return [buffer for net in nets for buffer in net.buffers() if buffer.is_floating_point()]

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
            If the cost is no dict of scalars, does not depend on each of the movers, or, on the CPU, is not
            finite. Nobody has then moved in this turn.
        """
        movers = [self.players[name] for name in turn.names]
        for name, player in zip(turn.names, movers, strict=True):
            _check_movable(name, player)
        with self.moving(turn.names):
            with autocast:
                terms = turn.cost(self, batch)
            total = _sum(terms, turn.label)
            if total.device.type == "cpu" and not total.isfinite():
                # Free here. Elsewhere looking would make the device wait, so fit looks now and then.
                raise diverged(self.step, {f"{turn.label}.{name}": t.item() for name, t in terms.items()})
            for player in movers:
                player.optimiser.zero_grad(set_to_none=True)
            # Named inputs keep the gradient from networks that are no player's, too.
            self.scaler.scale(total).backward(
                inputs=[p for player in movers for p in player.parameters if p.requires_grad]
            )
        for name, player in zip(turn.names, movers, strict=True):
            if all(p.grad is None for p in player.parameters):
                raise _independent(turn.label, name)
        processes.average([p.grad for player in movers for p in player.parameters if p.grad is not None])
        moved: set[nn.Parameter] = set()
        for player in movers:
            for parameter in moved.intersection(player.parameters):
                parameter.grad = None  # so that the second owner of a shared part does not move it again
            player.move(self.scaler)
            moved.update(player.parameters)
        self.scaler.update()
        return {f"{turn.label}.{name}": term.detach() for name, term in terms.items()}

    def to(self, device: torch.device | str) -> "Game":
        """Move every network, average and optimiser to ``device``, 4-D weights in channels-last order.

        5-D weights stay as they are: on a CPU the other order made no measurable difference.
        """
        for player in self.players.values():
            for net in (player.net, player.average):
                if net is not None:
                    net.to(device)
                    for parameter in net.parameters():
                        if parameter.ndim == 4:
                            # A copy, because contiguous() leaves weights of one channel in the other order.
                            last = torch.empty_like(parameter.data, memory_format=torch.channels_last)
                            parameter.data = last.copy_(parameter.data)
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
    total = reduce(torch.add, terms.values())
    if not total.requires_grad:
        raise _independent(label, label)
    return total


def _check_movable(name: str, player: Player) -> None:
    if not any(parameter.requires_grad for parameter in player.parameters):
        raise CourseError(
            f"{name} cannot move, because none of its parameters requires a gradient: "
            "take it out of the movers, or unfreeze it before it becomes a player."
        )


def diverged(step: int, terms: Mapping[str, float]) -> CourseError:
    """Return the sentence for terms of which one at least is not finite."""
    name, value = next(((n, v) for n, v in terms.items() if not isfinite(v)), ("sum", inf))
    return CourseError(
        f"Training diverged: the term {name} became {value} at step {step}; "
        "lower the learning rate, or look at the terms before it in game.history."
    )


def _independent(label: str, name: str) -> CourseError:
    return CourseError(f"The cost of {label} does not depend on {name}: look for a detach() or no_grad().")
