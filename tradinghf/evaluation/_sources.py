"""What a strategy knows beside its bars: files that it reads, and timing that nobody has."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tradinghf.market import Floats, MarketData
from tradinghf.strategies import held_targets

Result = TypeVar("Result")
_watching: list[list[str]] = []
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".nbc", ".nbi", ".zip", ".pth")
_SYSTEM = ("/dev/", "/proc/", "/sys/", "/etc/")


def reading(work: Callable[[], Result]) -> tuple[Result, list[str]]:
    """The result of `work`, and the data files that it opened on the way, each once.

    Code, and the files of Python and its packages, are left out.
    """
    _install()
    _watching.append([])
    try:
        return work(), list(dict.fromkeys(_watching[-1]))
    finally:
        _watching.pop()


@cache
def _install() -> None:
    """Python tells an audit hook of every file that it opens; a hook cannot be taken back."""
    paths = sysconfig.get_paths()
    roots = tuple(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))

    def hear(event: str, details: tuple[Any, ...]) -> None:
        if not _watching or event not in ("open", "sqlite3.connect", "socket.connect"):
            return
        name = details[0] if event != "socket.connect" else f"the network ({details[1]})"
        name = name.decode() if isinstance(name, bytes) else name
        ours = isinstance(name, str | Path) and not str(name).startswith((*roots, *_SYSTEM))
        if ours and not str(name).endswith(_CODE):
            _watching[-1].append(str(name))

    sys.addaudithook(hear)


def timing_score(weights: Floats, market: MarketData) -> float:
    """How many standard errors better than chance orders foresee the moves after they fill.

    Compares what the changes of position earned in the next bar with what they earn when the
    bars are drawn at random; orders are few where positions are long, and so is then the score.

    Args:
        weights: [T, A] of a strategy.
        market: the bars that it saw.

    """
    held = held_targets(weights)[:-2]
    moves = np.log(market.open[2:] / market.open[1:-1])  # an order of bar t fills at open t + 1
    away = moves - moves.mean(axis=0)
    spread = np.maximum(away.std(axis=0), 1e-12)
    lean = held - held.mean(axis=0)
    earned = (lean * away / spread).sum()
    chance = float(np.sqrt(np.square(lean).sum()))
    return float(earned / chance) if chance > 0 else 0.0
