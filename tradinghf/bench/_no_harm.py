"""How often the gate lets harm through, on markets whose truth is known: `tradinghf bench gate`.

In every made-up market a candidate is in or out of each asset, while the baseline holds half of it.
The market pays the candidate's timing by an edge, which is set so that its mean profit per window
is better than the baseline's, just at the edge of harm, or worse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tradinghf.episodes import EpisodeBatch
from tradinghf.errors import check_setting
from tradinghf.evaluation import GateConfig, harm_evidence, let_through
from tradinghf.executors import ExecutorLike, as_executor
from tradinghf.feedback import SyntheticTrader
from tradinghf.market import Floats

Row = dict[str, Any]
_BARS = 20  # of a window
_SIGMA = 0.01  # of a bar
_SPREAD = 0.5 * _SIGMA * _BARS**0.5  # of a window's difference in one asset
_FLIP = 0.1  # chance that the candidate changes its position in a bar
_COST = 2e-4  # of a whole position traded
_CHUNK = 250  # markets at a time
_AFTER = 250  # windows that the monitor is watched for


@dataclass(frozen=True)
class World:
    """A kind of market, and what is tested in it.

    Attributes:
        name: for the table.
        windows: N that the gate sees.
        assets: traded by everybody, each with an equal part.
        common: share of a shock's variance that all assets have in common.
        freedom: degrees of freedom of the shocks; 0: normal.
        calm: correlation of neighbouring bars' log volatility; 0: constant volatility.
        stay: chance that the sign of a regime's extra edge outlasts a window; 0: no regimes.
        crash: chance that a window costs the candidate a tenth of its equity.
        candidates: tested together; they share most of their positions.
        utility: also test the drawdown-averse trader's utility.
        worst: what the gate is told about the worst window (`GateConfig.worst`).

    """

    name: str
    windows: int = 40
    assets: int = 1
    common: float = 0.0
    freedom: float = 0.0
    calm: float = 0.0
    stay: float = 0.0
    crash: float = 0.0
    candidates: int = 1
    utility: bool = False
    worst: float = 0.02


WORLDS = (
    World("independent bars"),
    World("independent bars, as the gate is set", worst=0.1),
    World("few windows", windows=16),
    World("fat tails and clustered volatility", freedom=3.0, calm=0.98),
    World("ten correlated assets", assets=10, common=0.5),
    World("regimes of about two windows", stay=0.5),
    World("rare losses of 10 %", crash=0.02, worst=0.1),
    World("rare losses, few windows", windows=16, crash=0.02, worst=0.1),
    World("eight snapshots together", candidates=8),
    World("all of it", assets=5, common=0.5, freedom=3.0, calm=0.98, stay=0.5, candidates=4),
)
LONG_REGIMES = tuple(
    World(f"regimes of about {length} windows, {windows} windows", windows, stay=1 - 1 / length)
    for length in (8, 20)
    for windows in (40, 160)
)


def measure_gate(
    markets: int,
    seed: int = 0,
    harm: float = 0.05,
    *,
    executor: ExecutorLike = "local",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Row]]:
    """Tables of the gate: errors, worlds beyond its promise, power, and the monitor.

    Args:
        markets: made-up markets per row of errors; a quarter of them in the other tables.
        seed: of all of them.
        harm: what the gate promises.
        executor: where rows are measured, see `tradinghf.executors.as_executor`.
        progress: called with (rows done, rows).

    Raises:
        ConfigError: fewer markets than one, or a negative seed.

    """
    check_setting(markets >= 1, "markets", markets, "at least 1")
    check_setting(seed >= 0, "seed", seed, "0 or more")
    config, fewer = GateConfig(harm=harm), max(markets // 4, 1)
    by_utility = World("profit better, utility worse", utility=True)
    beyond = (World("rare losses larger than was said", crash=0.02), *LONG_REGIMES)
    tables: dict[str, list[tuple[Callable[..., Row], tuple[Any, ...]]]] = {
        "errors": [
            (_error_row, (world, effect, markets, config))
            for world, effects in [*((w, (0.0, -0.2)) for w in WORLDS), (by_utility, (0.1,))]
            for effect in effects
        ],
        "beyond": [(_error_row, (w, 0.0, markets, config)) for w in beyond],
        "power": [
            (_power_row, (windows, effect, worst, fewer, config))
            for worst in (0.02, 0.1)
            for windows in (16, 32, 64, 128, 256)
            for effect in (0.1, 0.2, 0.4, 0.8)
        ],
        "monitor": [(_alarm_row, (world, fewer, harm)) for world in WORLDS[:6]],
        "breaks": [(_break_row, (effect, fewer, config)) for effect in (0.2, 0.4, 0.8)],
    }
    asked = [row for rows in tables.values() for row in rows]
    found: dict[int, Row] = {}
    for number, row in as_executor(executor)(_measure_row, seed, list(enumerate(asked))):
        found[number] = row
        if progress is not None:
            progress(len(found), len(asked))
    rows = (found[number] for number in range(len(asked)))
    return {name: [next(rows) for _ in table] for name, table in tables.items()}


def _measure_row(seed: int, task: tuple[int, tuple[Callable[..., Row], tuple[Any, ...]]]) -> Row:
    """One row, of random numbers of its own; runs wherever the executor puts it."""
    number, (row, arguments) = task
    return row(*arguments, np.random.default_rng((seed, number)))


def _error_row(
    world: World, effect: float, markets: int, config: GateConfig, rng: np.random.Generator
) -> Row:
    """How often any harmful candidate is let through, in one kind of world."""
    config, through, means = replace(config, worst=world.worst), [], []
    for part in _worlds(world, effect, markets, rng):
        through.append(_passes(part, config))
        means.append([float(d.mean()) for d in part.values()])
    rate = float(np.concatenate(through).any(axis=1).mean())
    error = (config.harm * (1 - config.harm) / markets) ** 0.5
    return {
        "world": world.name,
        "windows": world.windows,
        "effect": effect,
        "mean_differences": [float(m) / _SPREAD for m in np.mean(means, axis=0)],
        "worst": world.worst,
        "markets": markets,
        "let_through": rate,
        "standard_error": error,
        "holds": bool(rate <= config.harm + 2 * error),
    }


def _power_row(
    windows: int,
    effect: float,
    worst: float,
    markets: int,
    config: GateConfig,
    rng: np.random.Generator,
) -> Row:
    """How often a candidate that is better by `effect` spreads is let through."""
    world, config = World("independent bars", windows=windows), replace(config, worst=worst)
    through = [_passes(part, config) for part in _worlds(world, effect, markets, rng)]
    rate = float(np.concatenate(through).mean())
    about = {"windows": windows, "effect": effect, "worst": worst, "markets": markets}
    return about | {"let_through": rate}


def _alarm_row(world: World, markets: int, harm: float, rng: np.random.Generator) -> Row:
    """The monitor: false alarms over 250 windows without harm, and how soon it sees harm."""
    world = replace(world, windows=_AFTER, candidates=1)
    bound = 4 * _SPREAD
    found: Row = {"world": world.name, "markets": markets, "windows": _AFTER}
    for name, effect in (("false_alarms", 0.0), ("alarms", -0.5)):
        parts = _worlds(world, effect, markets, rng)
        over = np.concatenate([harm_evidence(p["profit"][:, 0], 0.0, bound) for p in parts])
        over = over >= 1 / harm
        found[name] = float(over.any(axis=1).mean())
        if name == "alarms":
            delay = np.where(over.any(axis=1), over.argmax(axis=1) + 1, _AFTER + 1)
            found["median_delay"] = int(np.median(delay))
    return found


def _break_row(effect: float, markets: int, config: GateConfig, rng: np.random.Generator) -> Row:
    """The edge turns against the candidate right after the gate: what it and the monitor do."""
    before, after = World("before", windows=64), World("after", windows=_AFTER)
    config = replace(config, worst=before.worst)
    passed = np.concatenate(
        [_passes(part, config)[:, 0] for part in _worlds(before, effect, markets, rng)]
    )
    later = np.concatenate([part["profit"][:, 0] for part in _worlds(after, -effect, markets, rng)])
    evidence = harm_evidence(later, 0.0, 4 * _SPREAD)
    over = evidence >= 1 / config.harm
    alarmed = np.asarray(over.any(axis=1))
    delay = np.where(over.any(axis=1), over.argmax(axis=1) + 1, _AFTER)
    paths = np.cumsum(later, axis=1)
    lost = paths[np.arange(markets), delay - 1]
    return {
        "effect": effect,
        "markets": markets,
        "let_through": float(passed.mean()),
        "alarms": float(alarmed[passed].mean()) if passed.any() else None,
        "median_delay": int(np.median(delay[passed])) if passed.any() else None,
        "lost_until_alarm": float(lost[passed].mean()) if passed.any() else None,
        "lost_without_monitor": float(paths[passed, -1].mean()) if passed.any() else None,
    }


def _passes(differences: dict[str, Floats], config: GateConfig) -> np.ndarray[Any, Any]:
    """[M, C] which candidates the gate lets through in each of M markets."""
    count = next(iter(differences.values())).shape[0]
    return np.stack(
        [let_through({m: d[i] for m, d in differences.items()}, config) for i in range(count)]
    )


def _worlds(
    world: World, effect: float, markets: int, rng: np.random.Generator
) -> Iterator[dict[str, Floats]]:
    """Measure -> [M, C, N] differences, a few markets at a time.

    Args:
        world: kind of market.
        effect: mean profit per window less the baseline's, in spreads of one asset's difference.
        markets: M in all.
        rng: of everything random.

    """
    for start in range(0, markets, _CHUNK):
        yield _draw(world, effect, min(_CHUNK, markets - start), rng)


def _draw(world: World, effect: float, count: int, rng: np.random.Generator) -> dict[str, Floats]:
    bars = world.windows * _BARS
    shape = (count, bars, world.assets)
    shocks = _shocks(world, shape, rng)
    shared = _positions(shape, rng)
    gained = effect * _SPREAD / _BARS  # a bar
    premium = world.crash * 0.1 / _BARS
    edge = 2 * (gained + premium + _COST * _FLIP) + _regimes(world, count, bars, rng)
    utility = SyntheticTrader("drawdown").utilities if world.utility else None
    found: dict[str, list[Floats]] = {}
    for _ in range(world.candidates):
        position = shared if world.candidates == 1 else _mixed(shared, rng)
        market = shocks + edge * (2 * position - 1)
        change = np.abs(np.diff(position, axis=1, prepend=0.5))
        own = position * market - _COST * change
        if world.crash:
            falls = rng.random((count, bars, 1)) < world.crash / _BARS
            own = own - 0.1 * falls
        for name, values in _compare(own, 0.5 * market, utility).items():
            found.setdefault(name, []).append(values)
    return {name: np.stack(values, axis=1) for name, values in found.items()}


def _shocks(world: World, shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """[M, T, A] returns without an edge, of the volatility of a bar."""

    def draw(assets: int) -> Floats:
        size = (*shape[:2], assets)
        if not world.freedom:
            return rng.standard_normal(size)
        scale = (world.freedom / (world.freedom - 2)) ** 0.5
        return np.asarray(np.clip(rng.standard_t(world.freedom, size) / scale, -15, 15))

    own, common = draw(shape[2]), draw(1) if world.common else 0.0
    shocks = (1 - world.common) ** 0.5 * own + world.common**0.5 * common
    if world.calm:
        shocks = shocks * _volatility(world.calm, shape[0], shape[1], rng)
    return np.asarray(_SIGMA * shocks)


def _volatility(persistence: float, count: int, bars: int, rng: np.random.Generator) -> Floats:
    """[M, T, 1] log-normal volatility with a mean square of 1."""
    spread = 0.5
    state, found = spread * rng.standard_normal(count), np.empty((count, bars, 1))
    for bar in range(bars):
        found[:, bar, 0] = np.exp(state - spread**2)
        fresh = rng.standard_normal(count)
        state = persistence * state + spread * (1 - persistence**2) ** 0.5 * fresh
    return found


def _positions(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """[M, T, A] 0 or 1, changed in a tenth of the bars."""
    turns = np.cumsum(rng.random(shape) < _FLIP, axis=1)
    return np.asarray((turns + rng.integers(0, 2, (shape[0], 1, shape[2]))) % 2, dtype=np.float64)


def _mixed(shared: Floats, rng: np.random.Generator) -> Floats:
    """A candidate that holds what the others do in most windows, and its own in the rest."""
    count, bars, _ = shared.shape
    windows = rng.random((count, bars // _BARS, 1)) < 0.7
    return np.where(np.repeat(windows, _BARS, axis=1), shared, _positions(shared.shape, rng))


def _regimes(world: World, count: int, bars: int, rng: np.random.Generator) -> Floats:
    """[M, T, 1] extra edge with mean 0, of the same size and changing sign where regimes last."""
    if not world.stay:
        return np.zeros((count, bars, 1))
    windows = bars // _BARS
    fresh = rng.random((count, windows)) >= world.stay
    fresh[:, 0] = True
    last = np.maximum.accumulate(np.where(fresh, np.arange(windows), 0), axis=1)
    signs = np.take_along_axis(rng.choice([-1.0, 1.0], (count, windows)), last, axis=1)
    return np.asarray(np.repeat(_SPREAD / _BARS * signs, _BARS, axis=1)[..., None])


def _compare(
    own: Floats, base: Floats, utility: Callable[[EpisodeBatch], Floats] | None
) -> dict[str, Floats]:
    """Measure -> [M, N] mean over assets of the windows' results, own less the baseline's."""
    paths, count = [own, base], len(own)
    cut = [p.swapaxes(1, 2).reshape(count, p.shape[2], -1, _BARS) for p in paths]  # [M, A, N, L]
    wealth = [np.asarray(np.cumprod(1 + c, axis=-1), dtype=np.float64) for c in cut]
    found = {"profit": (wealth[0][..., -1] - wealth[1][..., -1]).mean(axis=1)}
    if utility is not None:
        values = [utility(_episodes(w)).reshape(w.shape[:3]) for w in wealth]
        found["utility"] = (values[0] - values[1]).mean(axis=1)
    return found


def _episodes(wealth: Floats) -> EpisodeBatch:
    """[M * A * N] windows as episodes; only their equity matters here."""
    flat = wealth.reshape(-1, _BARS)
    equity = np.concatenate([np.ones((len(flat), 1)), flat], axis=1)
    nothing = np.zeros_like(flat)
    return EpisodeBatch(equity, nothing, equity, nothing, nothing)
