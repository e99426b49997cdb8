"""What a strategy knows beside its bars: files that it reads, and timing that nobody has."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tradinghf.evaluation._order_tables import OrderTables
from tradinghf.market import Floats, MarketData
from tradinghf.strategies import held_targets

Result = TypeVar("Result")
TOO_GOOD = 6.0  # standard errors: by chance once in a thousand million
_PERFECT = 0.5  # of what perfect foresight takes
_watching: list[list[str]] = []
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".nbc", ".nbi", ".zip", ".pth")
_CACHED = {"__pycache__", ".cache", ".config", ".matplotlib"}  # of libraries
_SYSTEM = ("/dev/", "/proc/", "/sys/", "/etc/")
_MEMORY = "/dev/shm/"  # a folder for anybody's files  # nosec B108


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


def _writes(mode: str | None, flags: int | None) -> bool:
    """Whether a file is opened to be written, or is a folder: compilers keep theirs."""
    if mode is not None:
        return any(letter in mode for letter in "wax")
    directory = getattr(os, "O_DIRECTORY", 0)
    return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | directory))


@cache
def _install() -> None:
    """Python tells an audit hook of every file that it opens; a hook cannot be taken back."""
    paths = sysconfig.get_paths()
    roots = tuple(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))

    def hear(event: str, details: tuple[Any, ...]) -> None:
        if not _watching or event not in ("open", "sqlite3.connect", "socket.connect"):
            return
        if event == "open" and _writes(*details[1:3]):
            return
        name = details[0] if event != "socket.connect" else f"the network ({details[1]})"
        name = name.decode() if isinstance(name, bytes) else name
        path = str(name)
        known = path.startswith((*roots, *_SYSTEM)) and not path.startswith(_MEMORY)
        ours = isinstance(name, str | Path) and not known
        if ours and not str(name).endswith(_CODE) and not _CACHED & set(Path(name).parts):
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
    lean, away = _bets(weights, market)
    chance = float(np.sqrt(np.square(lean).sum()))
    return float((lean * away).sum() / chance) if chance > 0 else 0.0


def share_of_perfect(weights: Floats, market: MarketData) -> float:
    """Of what orders of these sizes could have earned by knowing the next bars, the part they did.

    1 is perfect foresight, 0 is chance; real skill is a few hundredths. Arguments as above.
    """
    lean, away = _bets(weights, market)
    perfect = float(np.abs(lean * away).sum())
    return float((lean * away).sum() / perfect) if perfect > 0 else 0.0


def _bets(weights: Floats, market: MarketData) -> tuple[Floats, Floats]:
    """[T - 2, A] positions and moves while they are held, each less its mean; moves in spreads."""
    held = held_targets(weights)[:-2]
    moves = np.log(market.open[2:] / market.open[1:-1])  # an order of bar t fills at open t + 1
    away = moves - moves.mean(axis=0)
    return held - held.mean(axis=0), away / np.maximum(away.std(axis=0), 1e-12)


def unreal_timing(orders: OrderTables, market: MarketData) -> str:
    """A sentence where orders foresee the next bars as only their answers can; else nothing."""
    if market.bars < 3 or market.made_up:
        return ""
    weights = wanted(orders)
    z, share = timing_score(weights, market), share_of_perfect(weights, market)
    if z <= TOO_GOOD or share <= _PERFECT:
        return ""
    return (
        f"Its orders take {100 * share:.0f} % of what perfect foresight of the next bars would "
        f"({z:.0f} standard errors better than chance): look for answers in its code, in files "
        "that it reads, and in the data; `tradinghf check` looks too."
    )


def wanted(orders: OrderTables) -> Floats:
    """[T, A] what orders want to hold; of those that say what to trade, the side."""
    return orders.size if orders.targets_a_position else np.sign(orders.size)


def doubts(read: list[str]) -> list[str]:
    """A sentence about files that a strategy read while it decided."""
    if not read:
        return []
    return [
        f"It read {', '.join(read[:3])} while it decided; whether that was known at the time of "
        "each bar cannot be tested."
    ]


def lifted(market: MarketData) -> str:
    """A sentence about assets whose prices carry an offset."""
    found = [f"{s} {k:g}" for s, k in zip(market.symbols, market.offsets, strict=False) if k]
    if not found:
        return ""
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return (
        f"Units are held against their price and an offset ({', '.join(found[:3])}{more}): they "
        "pay differences of prices; weights and costs in basis points are of price plus offset."
    )


def survivors(market: MarketData) -> str:
    """A sentence about assets that were not listed all the time."""
    if market.listed is None:
        return ""
    late, gone = int((~market.listed[0]).sum()), int((~market.listed[-1]).sum())
    return (
        f"Of {market.assets} assets {late} were listed later and {gone} gone before the end; what "
        "was held of these was sold at the last close."
    )
