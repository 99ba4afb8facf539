"""The harness counts what it says; what it finds is no test's business."""

import importlib
import inspect
import time

import pytest
import torch

from benchmarks.measure import measure
from benchmarks.training import ROWS, table

CPU = torch.device("cpu")


def test_only_the_steps_after_the_warm_up_are_timed(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def arm(device, tick, steps):
        assert steps == 5
        tick(0)
        for step in range(1, steps + 1):
            now[0] += 100.0 if step <= 3 else 0.5
            tick(step)

    found = measure(arm, batch=8, warm_up=3, timed=2, device=CPU)
    assert found["images_per_second"] == pytest.approx(2 * 8 / 1.0)
    assert found["peak_mib"] >= found["training_mib"] >= 0


def test_an_arm_that_stops_early_is_no_result():
    with pytest.raises(RuntimeError, match="stopped before step 5"):
        measure(lambda device, tick, steps: tick(3), batch=8, warm_up=3, timed=2, device=CPU)


def test_ratios_are_taken_round_by_round():
    def rounds(*speeds):
        return [{"images_per_second": s, "peak_mib": 900.0, "training_mib": 50.0} for s in speeds]

    # The machine was slow in round 2, for both: each round gives 2, and the medians alone 2.5.
    shown = table("title", {"ours": rounds(200, 20, 250), "usual loop": rounds(80, 10, 125)})
    assert [row[2] for row in shown.rows] == ["1.00", "2.00"]
    assert shown.rows[1][1] == "80 (10-125)"


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_ours_and_the_usual_loop(row):
    module = importlib.import_module(f"benchmarks.{row}")
    assert {"ours", "usual loop"} <= module.ARMS.keys()
    for arm in module.ARMS.values():
        needed = [p for p in inspect.signature(arm).parameters.values() if p.default is p.empty]
        assert len(needed) == 3
