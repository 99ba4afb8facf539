"""A whole game in one safetensors file, written atomically: networks, optimisers, averages, randomness, history."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.train.game import Game


def save(game: Game, path: Path) -> None:
    """Write ``game`` to ``path``; whoever reads it, at any moment, finds the old file or the new one, complete."""
    tensors: dict[str, Tensor] = {"random_state": game.random_state}
    groups = {}
    for name, player in game.players.items():
        for key, value in player.net.state_dict().items():
            tensors[f"{name}/net/{key}"] = value
        if player.average is not None:
            for key, value in player.average.state_dict().items():
                tensors[f"{name}/average/{key}"] = value
        optimiser = player.optimiser.state_dict()
        groups[name] = optimiser["param_groups"]
        for index, state in optimiser["state"].items():
            for key, value in state.items():
                tensors[f"{name}/optimiser/{index}/{key}"] = value
    for key, values in game.history.items():
        tensors[f"history/{key}"] = torch.tensor(values, dtype=torch.float64)
    metadata = {"step": str(game.step), "optimiser_groups": json.dumps(groups)}

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({key: value.contiguous() for key, value in tensors.items()}, partial, metadata)
    os.replace(partial, path)


def load(game: Game, path: Path) -> None:
    """Put ``game`` into the state that :func:`save` wrote.

    Raises
    ------
    CourseError
        If the file is damaged or holds another game; ``game`` is then untouched.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
        expected = {
            f"{name}/net/{key}": value.shape
            for name, player in game.players.items()
            for key, value in player.net.state_dict().items()
        }
        found = {key: tensors[key].shape for key in tensors if key.split("/")[1:2] == ["net"]}
        if found != expected:
            raise CourseError(
                f"{path} holds a game with other networks than this one: delete it or name another checkpoint."
            )
        groups = json.loads(metadata["optimiser_groups"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CourseError(f"{path} is no readable checkpoint ({error}): delete it to start afresh.") from error

    def under(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    for name, player in game.players.items():
        player.net.load_state_dict(under(f"{name}/net/"))
        if player.average is not None:
            player.average.load_state_dict(under(f"{name}/average/"))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in under(f"{name}/optimiser/").items():
            index, entry = key.split("/")
            state.setdefault(int(index), {})[entry] = value
        player.optimiser.load_state_dict({"state": state, "param_groups": groups[name]})
    game.step = int(metadata["step"])
    game.random_state = tensors["random_state"]
    game.history.clear()
    for key, values in under("history/").items():
        game.history[key] = values.tolist()
