"""A whole game in one safetensors file, written atomically."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.train.game import Game


def save(game: Game, path: Path) -> None:
    """Write networks, averages, optimisers, random state and history of ``game`` to ``path``.

    Whoever reads ``path``, at any moment, finds the old file or the new one, complete.

    Raises
    ------
    CourseError
        If it cannot be written; an older checkpoint at ``path`` is then still there.
    """
    tensors = game.random_state | _networks(game)
    groups = {}
    for name, player in game.players.items():
        optimiser = player.optimiser.state_dict()
        groups[name] = optimiser["param_groups"]
        for index, state in optimiser["state"].items():
            for key, value in state.items():
                tensors[f"{name}/optimiser/{index}/{key}"] = value
    for key, values in game.history.items():
        tensors[f"history/{key}"] = torch.tensor(values, dtype=torch.float64)
    metadata = {"step": str(game.step), "optimiser_groups": json.dumps(groups)}

    partial = path.with_name(path.name + ".partial")
    # Copied, because safetensors refuses tensors that share memory, as those of two players may.
    whole = torch.contiguous_format
    copies = {key: value.to("cpu", copy=True, memory_format=whole) for key, value in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(copies, partial, metadata)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        raise CourseError(
            f"The checkpoint {path} cannot be written ({error}): free space or name another."
        ) from error
    finally:
        if partial.exists():
            partial.unlink()


def load(game: Game, path: Path) -> None:
    """Put ``game`` into the state that :func:`save` wrote.

    Raises
    ------
    CourseError
        If the file is damaged or holds another game; ``game`` is then untouched.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
        step, groups = int(metadata["step"]), json.loads(metadata["optimiser_groups"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CourseError(
            f"{path} is damaged or no checkpoint ({error}): delete it to start afresh, or name another."
        ) from error

    def under(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    networks = _networks(game)
    shapes = {key: value.shape for key, value in networks.items()}
    found = {key: tensors[key].shape for key in tensors if key.split("/")[1:2] in (["net"], ["average"])}
    moved = {name: _sizes(player.optimiser.param_groups) for name, player in game.players.items()}
    if found != shapes or {name: _sizes(groups[name]) for name in groups} != moved:
        raise CourseError(
            f"{path} holds a game with other players than this one: delete it or name another checkpoint."
        )

    for key, value in networks.items():
        value.copy_(tensors[key])
    for name, player in game.players.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in under(f"{name}/optimiser/").items():
            index, entry = key.split("/")
            state.setdefault(int(index), {})[entry] = value
        player.restore({"state": state, "param_groups": groups[name]})
    game.step = step
    game.random_state = {key: value for key, value in tensors.items() if key.startswith("random_state")}
    game.history = {key: values.tolist() for key, values in under("history/").items()}


def _networks(game: Game) -> dict[str, Tensor]:
    """Return the live weights and buffers of players and averages by their names in the file."""
    tensors = {}
    for name, player in game.players.items():
        for part, net in (("net", player.net), ("average", player.average)):
            if net is not None:
                tensors |= {f"{name}/{part}/{key}": value for key, value in net.state_dict().items()}
    return tensors


def _sizes(groups: list[dict[str, Any]]) -> list[int]:
    return [len(group["params"]) for group in groups]
