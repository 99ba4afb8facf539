"""Trained networks that the course ships: weights as safetensors, and a card that says where from."""

import hashlib
import json
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes
from torch import nn

import medgan_course
from medgan_course.errors import CourseError, did_you_mean
from medgan_course.writing import replacing

Net = TypeVar("Net", bound=nn.Module)


def folder() -> Path:
    """Return the shipped checkpoints' folder: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "checkpoints"
    return installed if installed.is_dir() else package.parent / "checkpoints"


def card(name: str) -> dict[str, Any]:
    """Return the card of checkpoint ``name``.

    Raises
    ------
    CourseError
        If there is no such checkpoint.
    """
    names = sorted(p.stem for p in folder().glob("*.json"))
    if name not in names:
        raise CourseError(f"No checkpoint is called {name!r}: {did_you_mean(name, names)}")
    return json.loads((folder() / f"{name}.json").read_text(encoding="utf-8"))


def load(name: str, build: Callable[..., Net]) -> Net:
    """Call ``build`` with the card's ``config`` and load the checked weights; in evaluation mode, on the CPU.

    ``build`` is the network's class, or the function that makes it: the card names it.

    Raises
    ------
    CourseError
        If there is no such checkpoint, or its weights are not those that the card describes.
    """
    description = card(name)
    path = folder() / f"{name}.safetensors"
    if not path.is_file() or _sha256(path) != description["sha256"]:
        raise CourseError(
            f"{path} is missing or not the file its card describes: restore it with git, or reinstall."
        )
    net = build(**description["config"])
    try:
        net.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    except (SafetensorError, RuntimeError) as error:
        raise CourseError(f"{path} does not fit {build.__name__}(**{description['config']}).") from error
    return net.eval()


def save(
    net: nn.Module, path: Path, *, build: Callable[..., nn.Module], config: dict[str, Any], **facts: Any
) -> None:
    """Write ``path`` (float16 weights) and its card.

    ``build(**config)`` is the same network, untrained; ``facts`` are whatever else the card must say, such as
    the ``command`` that made it.

    The weights' name ends in ``.safetensors``, added where it is missing; the card beside them is JSON.

    Raises
    ------
    CourseError
        If they cannot be written; files that were there before then still are.
    """
    if path.suffix != ".safetensors":
        path = path.with_name(path.name + ".safetensors")
    card_path = path.with_suffix(".json")
    halved = {
        key: value.cpu().half().contiguous() if value.is_floating_point() else value.cpu().contiguous()
        for key, value in net.state_dict().items()
    }
    try:
        with replacing(card_path) as partial_card, replacing(path) as partial:
            partial.write_bytes(as_bytes(halved))  # save_file would hide it from all other users
            description = json.dumps(_description(net, partial, build, config, facts), indent=2)
            partial_card.write_text(description + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise CourseError(f"{path} cannot be written ({error}): free space or name another.") from error


def _description(
    net: nn.Module,
    weights: Path,
    build: Callable[..., nn.Module],
    config: dict[str, Any],
    facts: dict[str, Any],
) -> dict[str, Any]:
    return {
        "build": f"{build.__module__}.{build.__qualname__}",
        "config": config,
        "sha256": _sha256(weights),
        "parameters": sum(p.numel() for p in net.parameters()),
        **facts,
        "made": datetime.now(UTC).date().isoformat(),
        "medgan_course": medgan_course.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
