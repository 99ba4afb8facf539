"""Training speed and memory of this library beside the usual loops, in one table.

.. code-block:: console

    python -m benchmarks.training --out benchmarks/results/training-cpu.json

Every measurement is a fresh process, so that nobody warms another's caches and peak memory is an arm's own;
arms take turns, and the table gives medians over the rounds. Needs ``pip install -e ".[bench]"``.
"""

import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.measure import measure
from medgan_course.errors import CourseError
from medgan_course.viz.table import Table
from medgan_course.writing import replacing

ROWS = ("dcgan", "pix2pix", "cyclegan", "volumes")
LIBRARIES = ("medgan-course", "torch", "torchvision", "monai", "medmnist", "accelerate", "lightning")


@click.command(help=__doc__.partition("\n")[0])
@click.option("--row", "rows", multiple=True, type=click.Choice(ROWS), help="Only these; else all.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--warm-up", default=20, show_default=True, type=click.IntRange(min=1), help="Steps not timed.")
@click.option("--steps", default=60, show_default=True, type=click.IntRange(min=1), help="Steps timed.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file for everything measured.")
@click.option("--arm", hidden=True, help="Measure one arm of one row in this process and print JSON.")
def main(
    rows: tuple[str, ...],
    rounds: int,
    warm_up: int,
    steps: int,
    threads: int,
    device: str,
    out: Path | None,
    arm: str | None,
) -> None:
    if arm is not None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        row = _row(rows[0])
        click.echo(json.dumps(measure(row.ARMS[arm], row.BATCH, warm_up, steps, torch.device(device))))
        return

    measured: dict[str, dict[str, list[dict[str, float]]]] = {}
    for name in rows or ROWS:
        arms = _row(name).ARMS
        measured[name] = {arm: [] for arm in arms}
        for round_ in range(rounds):
            for arm in arms:
                options = {"row": name, "arm": arm, "warm-up": warm_up, "steps": steps, "threads": threads}
                measured[name][arm].append(_alone(options | {"device": device}, threads))
                click.echo(f"round {round_ + 1} of {rounds}: {name}, {arm}", err=True)
        click.echo(f"{table(_row(name).TITLE, measured[name])}\n")
    if out is not None:
        facts = {
            "measured": measured,
            "rounds": rounds,
            "warm_up": warm_up,
            "steps": steps,
            "threads": threads,
            "device": torch.cuda.get_device_name() if device == "cuda" else _processor(),
            "versions": {name: _version(name) for name in LIBRARIES},
            "python": platform.python_version(),
            "made": datetime.now(UTC).date().isoformat(),
            "command": "python -m benchmarks.training " + " ".join(sys.argv[1:]),
        }
        with replacing(out) as partial:
            partial.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        click.echo(f"Wrote {out}.")


def table(title: str, arms: dict[str, list[dict[str, float]]]) -> Table:
    """Return one line an arm: medians and ranges, and how many times faster ours is, round by round."""
    rows = []
    for arm, rounds in arms.items():
        speed = [one["images_per_second"] for one in rounds]
        ratios = [ours["images_per_second"] / one for ours, one in zip(arms["ours"], speed, strict=True)]
        rows.append(
            [
                arm,
                f"{statistics.median(speed):,.0f} ({min(speed):,.0f}-{max(speed):,.0f})",
                f"{statistics.median(ratios):.2f}",
                f"{statistics.median(one['peak_mib'] for one in rounds):,.0f}",
                f"{statistics.median(one['training_mib'] for one in rounds):,.0f}",
            ]
        )
    columns = ["arm", "images/s (range)", "ours is faster by", "peak MiB", "of it training MiB"]
    return Table(columns, rows, caption=title)


def _row(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name}")


def _alone(options: dict[str, Any], threads: int) -> dict[str, float]:
    """Measure one arm in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CourseError(f"{options['arm']} ({options['row']}) could not be measured: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
