"""Trained networks that the course ships: weights as safetensors, and a card that says where they come from."""

import hashlib
import json
import os
import platform
import shlex
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import medgan_course
from medgan_course.errors import CourseError

Net = TypeVar("Net", bound=nn.Module)


def folder() -> Path:
    """Return the folder of the shipped checkpoints: inside an installed package, or beside it in a checkout."""
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
    path = folder() / f"{name}.json"
    if not path.is_file():
        names = sorted(p.stem for p in folder().glob("*.json"))
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}."
        raise CourseError(f"No checkpoint is called {name!r}: {hint}")
    return json.loads(path.read_text())


def load(name: str, cls: type[Net]) -> Net:
    """Build ``cls`` from the card's ``config``, load the checked weights, and return it in evaluation mode, on the CPU.

    Raises
    ------
    CourseError
        If there is no such checkpoint, or its weights are not those that the card describes.
    """
    description = card(name)
    path = folder() / f"{name}.safetensors"
    if not path.is_file() or _sha256(path) != description["sha256"]:
        raise CourseError(f"{path} is missing or not the file its card describes: restore it with git, or reinstall.")
    net = cls(**description["config"])
    try:
        net.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    except (SafetensorError, RuntimeError) as error:
        raise CourseError(f"{path} does not fit {cls.__name__}(**{description['config']}).") from error
    return net.eval()


def save(net: nn.Module, path: Path, *, config: dict[str, Any], **facts: Any) -> None:
    """Write ``path`` (float16 weights) and its card: ``config`` to rebuild the net, ``facts``, and how it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    halved = {
        key: value.cpu().half().contiguous() if value.is_floating_point() else value.cpu().contiguous()
        for key, value in net.state_dict().items()
    }
    save_file(halved, partial)
    os.replace(partial, path)
    description = {
        "class": f"{type(net).__module__}.{type(net).__qualname__}",
        "config": config,
        "sha256": _sha256(path),
        "parameters": sum(p.numel() for p in net.parameters()),
        **facts,
        "command": "python " + shlex.join(["-m", _main_module(), *sys.argv[1:]]),
        "made": datetime.now(UTC).date().isoformat(),
        "medgan_course": medgan_course.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    path.with_suffix(".json").write_text(json.dumps(description, indent=2) + "\n")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _main_module() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else "medgan_course"
