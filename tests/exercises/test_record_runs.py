"""A recording is written whole or not at all."""

import numpy as np
import pytest

from medgan_course.exercises import record_runs


def test_a_card_that_cannot_be_written_leaves_the_old_recording(tmp_path, monkeypatch):
    file = tmp_path / "runs.npz"
    monkeypatch.setattr(record_runs, "FILE", file)
    record_runs.write({"a": np.arange(3)}, {"steps": 1})
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(old) == {"runs.npz", "runs.json"}
    with pytest.raises(TypeError):
        record_runs.write({"a": np.arange(4)}, {"steps": object()})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old
