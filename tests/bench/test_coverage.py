"""The benchmark of intervals: it finds one that is too narrow, goes on, and says what it found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tradinghf.bench import _coverage as coverage
from tradinghf.bench import coverage_table, measure_coverage, measure_gate
from tradinghf.errors import ConfigError


def half_covered(rng: np.random.Generator) -> dict[str, bool | None]:
    return {"a coin": bool(rng.random() < 0.5), "withheld": None}


def test_an_interval_that_is_too_narrow_is_marked_and_done_kinds_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "WORLDS", {"coins": lambda: half_covered})
    file = tmp_path / "found.json"
    found = measure_coverage(200, file=file)
    coin, withheld = found["rows"]
    assert coin["covered"] == pytest.approx(0.5, abs=0.12)
    assert withheld["covered"] is None
    table = coverage_table(found["rows"])
    assert "outside 93 to 97 %" in table
    assert "withheld" in table
    assert json.loads(file.read_text())["rows"] == found["rows"]
    monkeypatch.setattr(coverage, "WORLDS", {"coins": lambda: pytest.fail("drawn again")})
    assert measure_coverage(200, file=file)["rows"] == found["rows"]
    with pytest.raises(ConfigError, match="Did you mean 'coins'"):
        measure_coverage(1, names=["coin"])


@pytest.mark.parametrize("kind", ["40 held-out rankings", "15 queries to two raters"])
def test_a_world_prints_intervals_that_mostly_hold(kind: str) -> None:
    for row in coverage.measure(kind, 40, seed=1):
        assert row["printed"] == 40
        assert row["covered"] >= 0.8


@pytest.mark.parametrize("text", ["", "[1]", '{"rows": [1e400]}', '{"a": "\\ud800"}'])
def test_a_file_that_holds_something_else_is_not_overwritten(tmp_path: Path, text: str) -> None:
    file = tmp_path / "found.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match="holds no results"):
        measure_coverage(1, file=file)
    assert file.read_text() == text


def test_absurd_sizes_of_benchmarks_are_refused() -> None:
    for measure in (measure_gate, measure_coverage):
        for sizes in ((-1, 0), (0, 0), (1, -1)):
            with pytest.raises(ConfigError, match=r"at least 1|0 or more"):
                measure(sizes[0], seed=sizes[1])
