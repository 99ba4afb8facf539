"""Training speed and memory of this library beside the usual loops, in one table.

.. code-block:: console

    python -m benchmarks.training --out benchmarks/results/training-cpu.json

Every measurement is a fresh process, so that nobody warms another's caches and peak memory is an arm's own;
arms take turns, and the table gives medians over the rounds. Needs ``pip install -e ".[bench]"``.
"""

import importlib
import json
import statistics
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.measure import alone, keep, measure
from medgan_course.viz.table import Table

ROWS = ("dcgan", "pix2pix", "cyclegan", "volumes")


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
                measured[name][arm].append(
                    alone("benchmarks.training", options | {"device": device}, threads)
                )
                click.echo(f"round {round_ + 1} of {rounds}: {name}, {arm}", err=True)
        click.echo(f"{table(_row(name).TITLE, measured[name])}\n")
    if out is not None:
        facts = {
            "measured": measured,
            "rounds": rounds,
            "warm_up": warm_up,
            "steps": steps,
            "threads": threads,
        }
        keep(out, "benchmarks.training", device, facts)
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


if __name__ == "__main__":
    main()
