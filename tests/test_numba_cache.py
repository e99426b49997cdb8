"""Processes that compile one function for two types at once never load each other's code."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from numba.core import event
from numba.core.caching import IndexDataCacheFile

from tradinghf import _compiling
from tradinghf._compiling import tell_of_compiling, watch_compiling
from tradinghf.numba_cache import use_unique_files

STEPS = ("_load_index", "_save_index", "_save_data")


def save_two(monkeypatch: pytest.MonkeyPatch, folder: Path, before: str, late: str) -> None:
    """Save "first"; before its step `before` save "second", whose step `late` comes at the end."""
    first, second = (IndexDataCacheFile(str(folder), "f", "stamp") for _ in range(2))
    left = []

    def interrupt(*args: object) -> object:
        monkeypatch.setattr(first, before, original)
        step = getattr(second, late)
        monkeypatch.setattr(second, late, lambda *a: left.append((step, a)))
        second.save("second", "second's code")
        return original(*args)

    original = getattr(first, before)
    monkeypatch.setattr(first, before, interrupt)
    first.save("first", "first's code")
    for step, arguments in left:
        step(*arguments)


@pytest.mark.parametrize(("before", "late"), list(itertools.product(STEPS, STEPS[1:])))
def test_no_type_loads_the_code_of_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str, late: str
) -> None:
    use_unique_files()
    save_two(monkeypatch, tmp_path, before, late)
    file = IndexDataCacheFile(str(tmp_path), "f", "stamp")
    loaded = {key: file.load(key) for key in ("first", "second")}
    assert set(loaded.values()) - {None}
    assert all(code in (None, f"{key}'s code") for key, code in loaded.items())


def test_long_compiling_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short compilation, and one within another, say nothing of their own."""
    said: list[str] = []
    monkeypatch.setattr(_compiling, "_PATIENCE", 0.2)
    monkeypatch.setattr(_compiling, "_listeners", [])
    monkeypatch.setattr(event, "_registered", type(event._registered)(list))
    tell_of_compiling(said.append)
    watch_compiling()
    with event.trigger_event("numba:compile"), event.trigger_event("numba:compile"):
        pass
    time.sleep(0.4)
    assert said == []
    for _ in range(2):
        with event.trigger_event("numba:compile"):
            with event.trigger_event("numba:compile"):
                pass
            time.sleep(0.4)
    assert len(said) == 1
    assert "Compiling" in said[0]
