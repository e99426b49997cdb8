"""Shared by all tests: one place for paths, and no state outside the test's own folder."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before torch is imported anywhere: pytest-xdist's workers already fill the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


MEMORY = Path("/dev/shm")  # nosec B108
ROOM = 4 << 30
"""What tests may fill: a wheel in an environment of its own, runs, stores [bytes]."""


def memory_is_roomy() -> bool:
    """Whether files in memory can take the place of a disk: large enough, and may be executed."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return False
    place = os.statvfs(MEMORY)
    return not place.f_flag & os.ST_NOEXEC and place.f_bavail * place.f_frsize >= ROOM


# Stores and checkpoints wait for the disk at every write: in memory, their tests wait for nothing.
if memory_is_roomy() and "TMPDIR" not in os.environ:
    os.environ["TMPDIR"], tempfile.tempdir = str(MEMORY), None


def pytest_configure() -> None:
    """Let workers compile side by side."""
    from tradinghf.numba_cache import use_unique_files

    use_unique_files()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Spare the garbage collector what imports leave: millions of objects, and all of them stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


pytest_plugins = ("support.extras", "support.store_fixtures")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(autouse=True)
def _main_stays_main() -> Iterator[None]:
    """Streamlit's AppTest puts its page in place of `__main__`; spawned processes would run it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(autouse=True)
def _no_store_in_the_checkout() -> Iterator[None]:
    """A store left in the checkout would count later tests' trials and know their data again."""
    place = ROOT / "store"
    before = place.exists()
    yield
    assert before or not place.exists(), f"a test that ran just now made {place}; use tmp_path"


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Run this interpreter in an empty folder; returns the finished process with its text."""

    def run(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *args],
            cwd=cwd or tmp_path,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
