"""A whole game in one safetensors file, old or new at any moment and never half of each."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.train.game import Game, History
from medgan_course.writing import replacing


def save(game: Game, path: Path, settings: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Write all that ``game`` is to ``path``: a safetensors file with JSON in its header.

    Tensors: weights, averages, past images, optimisers and schedules, random state, history. JSON: the step,
    the scale of float16 gradients, versions, and the settings that a resumed training must share.

    Whoever reads ``path``, at any moment, finds the old file or the new one, complete.

    Parameters
    ----------
    game : Game
        What to write.
    path : path
        The file; missing folders are made.
    settings : mapping
        What :func:`load` compares beside the players' own settings, such as the seed.

    Raises
    ------
    CourseError
        If it cannot be written; an older checkpoint at ``path`` is then still there.
    """
    tensors = game.random_state | _networks(game)
    groups = {}
    for name, player in game.players.items():
        if player.past is not None:
            tensors[f"{name}/past"] = player.past
        optimiser = player.optimiser.state_dict()
        groups[name] = optimiser["param_groups"]
        for index, state in optimiser["state"].items():
            for key, value in state.items():
                tensors[f"{name}/optimiser/{index}/{key}"] = value
        if player.schedule is not None:
            # Pickled, because JSON would turn the keys of MultiStepLR's milestones into strings.
            pickled = BytesIO()
            torch.save(player.schedule.state_dict(), pickled)
            tensors[f"{name}/schedule"] = torch.frombuffer(pickled.getbuffer(), dtype=torch.uint8)
    for key, values in game.history.items():
        tensors[f"history/{key}"] = torch.tensor(values, dtype=torch.float64)
        tensors[f"history_steps/{key}"] = torch.tensor(game.history.steps[key])
    described = {
        "step": game.step,
        "optimiser_groups": groups,
        "scaler": game.scaler.state_dict(),
        "history": list(game.history),
        "settings": _settings(game, settings),
        "versions": {"medgan_course": version("medgan-course"), "torch": torch.__version__},
    }
    metadata = {key: json.dumps(value) for key, value in described.items()}

    # Copied, because safetensors refuses tensors that share memory, as those of two players may.
    whole = torch.contiguous_format
    copies = {key: value.to("cpu", copy=True, memory_format=whole) for key, value in tensors.items()}
    try:
        with replacing(path) as partial:
            save_file(copies, partial, metadata)
    except (OSError, SafetensorError) as error:
        raise CourseError(
            f"The checkpoint {path} cannot be written ({error}): free space or name another."
        ) from error


def load(game: Game, path: Path, settings: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Put ``game`` into the state that :func:`save` wrote.

    Parameters
    ----------
    game, path
        As for :func:`save`.
    settings : mapping
        Compared with those that were saved, as are the players' optimisers, hyper-parameters, schedules
        (their kind; a function inside one cannot be compared), averages and replay.

    Raises
    ------
    CourseError
        If the file is damaged, or holds another game or one with other settings; ``game`` is then untouched.
    """
    try:
        with safe_open(path, framework="pt") as file:
            described = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
        step, groups, saved = described["step"], described["optimiser_groups"], described["settings"]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CourseError(
            f"{path} is damaged or no checkpoint ({error}): delete it to start afresh, or name another."
        ) from error

    def under(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    networks = _networks(game)
    shapes = {key: value.shape for key, value in networks.items()}
    found = {key: tensors[key].shape for key in tensors if key.split("/")[1:2] in (["net"], ["average"])}
    moved = {name: _sizes(p.optimiser.param_groups) for name, p in game.players.items()}
    if found != shapes or {name: _sizes(groups[name]) for name in groups} != moved:
        raise CourseError(
            f"{path} holds a game with other players than this one: delete it or name another checkpoint."
        )
    for key, value in _settings(game, settings).items():
        if key in saved and saved[key] != value:
            raise CourseError(
                f"{path} is of a training with {key} = {saved[key]!r}, but this one has {key} = {value!r}: "
                "ask for the same, delete the file to start afresh, or name another."
            )

    for key, value in networks.items():
        value.copy_(tensors[key])
    for name, player in game.players.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in under(f"{name}/optimiser/").items():
            index, entry = key.split("/")
            state.setdefault(int(index), {})[entry] = value
        player.restore({"state": state, "param_groups": groups[name]})
        if player.schedule is not None:
            pickled = BytesIO(tensors[f"{name}/schedule"].numpy().tobytes())
            player.schedule.load_state_dict(torch.load(pickled, weights_only=True))
        player.past = tensors.get(f"{name}/past")
    game.step = step
    game.random_state = {key: value for key, value in tensors.items() if key.startswith("random_state")}
    if game.scaler.is_enabled():
        game.scaler.load_state_dict(described["scaler"])
    game.history = History()
    for key in described["history"]:
        game.history[key] = tensors[f"history/{key}"].tolist()
        game.history.steps[key] = tensors[f"history_steps/{key}"].tolist()


def _settings(game: Game, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that is compared, by the name an error gives it, as JSON gives it back."""
    of_players = {
        f"{key} of {name}": value
        for name, player in game.players.items()
        for key, value in player.settings.items()
    }
    return json.loads(json.dumps(of_players | dict(settings), default=str))


def _networks(game: Game) -> dict[str, Tensor]:
    """Return the live weights and buffers of players and averages by their names in the file."""
    tensors: dict[str, Tensor] = {}
    for name, player in game.players.items():
        for part, net in (("net", player.net), ("average", player.average)):
            if net is not None:
                tensors |= {f"{name}/{part}/{key}": value for key, value in net.state_dict().items()}
    return tensors


def _sizes(groups: list[dict[str, Any]]) -> list[int]:
    return [len(group["params"]) for group in groups]
