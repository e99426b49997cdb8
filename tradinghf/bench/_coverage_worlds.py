"""Worlds whose truth is known, for every interval that the product prints.

A world is a function of a random generator that returns, for each interval, whether it held the
truth (or the share that did, of several), or None where the product prints no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tradinghf._intervals import Ends, Floats, Interval, time_blocks
from tradinghf.config import EnvConfig
from tradinghf.episodes import Episode, EpisodeBatch
from tradinghf.evaluation import excess_growth, other_histories, track_intervals
from tradinghf.feedback import PROFIT, Ranking, leaderboard, matters, rater_agreement
from tradinghf.learning.config import AspectConfig, RewardConfig
from tradinghf.learning.reward import RewardModel, TradePaths, summarise
from tradinghf.loop import attained, collect, pool_actors, preferred
from tradinghf.loop.labels import iqm, iqm_interval
from tradinghf.market import load_market
from tradinghf.simulation import random_windows

Held = dict[str, float | None]
World = Callable[[np.random.Generator], Held]
_YEAR = 252.0
_AVERSION = 1.5  # of the trader to a window's deepest fall


def holds(ends: Ends | None, truth: float) -> bool | None:
    """Whether the truth lies within; None without an interval."""
    return None if ends is None else bool(ends[0] <= truth <= ends[1])


def _inside(found: Interval, truth: float) -> bool | None:
    ends = None if found.low is None or found.high is None else (found.low, found.high)
    return holds(ends, truth)


# Windows: four rules trade markets whose drift lasts; utility is profit less the deepest fall.


def _bars(rng: np.random.Generator, bars: int, assets: int, common: float) -> tuple[Floats, Floats]:
    """[T, A] drifts and returns of a bar, with correlation `common` between assets."""

    def shared(count: int) -> Floats:
        factor = rng.standard_normal((count, 1))
        return math.sqrt(common) * factor + math.sqrt(1 - common) * rng.standard_normal(
            (count, assets)
        )

    from scipy.signal import lfilter

    drift = lfilter([math.sqrt(1 - 0.96**2)], [1, -0.96], shared(bars + 100), axis=0)[100:]
    return 0.3 * drift, 0.01 * (0.3 * drift + shared(bars))


def _utilities(
    rng: np.random.Generator, bars: int, assets: int, common: float, horizon: int, count: int
) -> tuple[dict[str, Floats], NDArray[np.int64]]:
    """[B] utilities of the rules on random windows, and the windows' starts."""
    drift, returns = _bars(rng, bars, assets, common)
    smooth = np.cumsum(returns, axis=0)
    fast, slow = (smooth - np.vstack([np.zeros((n, assets)), smooth[:-n]]) for n in (3, 20))
    rules = {
        "random": rng.choice([-1.0, 0.0, 1.0], size=returns.shape),
        "pnl": np.sign(fast),
        "rlhf": np.sign(slow) * (np.abs(slow) > 0.02),
        "true": np.sign(drift) * (np.abs(drift) > 0.15),
    }
    places = bars - horizon - 20
    pick = rng.choice(assets * places, min(count, assets * places), replace=False)
    asset, start = pick // places, 20 + pick % places
    rows = start[:, None] + np.arange(1, horizon + 1)
    after = returns[rows, asset[:, None]]
    found = {}
    for name, position in rules.items():
        path = np.cumsum(position[rows - 1, asset[:, None]] * after, axis=1)
        fall = (np.maximum.accumulate(np.maximum(path, 0), axis=1) - path).max(axis=1)
        found[name] = path[:, -1] - _AVERSION * fall
    return found, start


@cache
def _mean_utilities(horizon: int) -> tuple[dict[str, float], float]:
    """True means, and true share of windows preferred, from 100,000 windows of many assets."""
    rng = np.random.default_rng(987)
    parts = [_utilities(rng, 2000, 64, 0.0, horizon, 2500)[0] for _ in range(40)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    wins = np.where(whole["rlhf"] == whole["pnl"], 0.5, whole["rlhf"] > whole["pnl"])
    return {name: float(v.mean()) for name, v in whole.items()}, float(wins.mean())


def windows(bars: int, assets: int, common: float, horizon: int, count: int) -> World:
    """S, G, the gap below the best, and the preferred share, on random windows of one market."""

    def world(rng: np.random.Generator) -> Held:
        truth, share = _mean_utilities(horizon)
        found, start = _utilities(rng, bars, assets, common, horizon, count)
        blocks = time_blocks(start, horizon)
        held: Held = {}
        for letter, bottom in (("S", "random"), ("G", "pnl")):
            got = attained(found["rlhf"], found["true"], found[bottom], blocks)
            gap = truth["true"] - truth[bottom]
            held[letter] = holds(got.interval, (truth["rlhf"] - truth[bottom]) / gap)
            held[f"{letter}, its gap"] = holds(got.gap_interval, gap)
        held["preferred share"] = holds(preferred(found["rlhf"], found["pnl"], blocks)[1], share)
        return held

    return world


# Bars: a track record, and one to compare it with.


def _volatility(kind: str, shocks: Floats, own: Floats) -> Floats:
    """[T] its level, which stays for weeks; with "leverage" it rises after falls."""
    from scipy.signal import lfilter

    if kind not in {"clustered", "leverage"}:
        return np.ones_like(shocks)
    if kind == "leverage":
        own = math.sqrt(0.51) * own
        own[1:] -= 0.7 * shocks[:-1]
    level = lfilter([math.sqrt(1 - 0.95**2)], [1, -0.95], own)
    return np.asarray(np.exp(0.4 * level - 0.16))


def _returns(rng: np.random.Generator, kind: str, bars: int) -> tuple[Floats, Floats]:
    """[T] returns of a strategy and of its benchmark, which have shocks in common."""
    from scipy.signal import lfilter

    bars += 100
    draw = rng.standard_normal if kind != "fat tails" else lambda n: rng.standard_t(4, n) / 2**0.5
    both, own, other = draw(bars), draw(bars), draw(bars)
    scale = _volatility(kind, both, rng.standard_normal(bars))
    paths = [scale * (0.7 * both + 0.714 * x) for x in (own, other)]
    if kind == "autocorrelated":
        paths = [lfilter([math.sqrt(1 - 0.3**2)], [1, -0.3], path) for path in paths]
    first, second = (m + 0.01 * p[100:] for m, p in zip((0.0006, 0.0003), paths, strict=True))
    return np.asarray(first), np.asarray(second)


@cache
def _true_track(kind: str) -> dict[str, float]:
    first, second = _returns(np.random.default_rng(654), kind, 4_000_000)
    growth = [100 * math.expm1(_YEAR * float(np.log1p(r).mean())) for r in (first, second)]
    down = math.sqrt(float(np.mean(np.minimum(first, 0) ** 2)))
    mean = float(first.mean()) * math.sqrt(_YEAR)
    ratios = {"sharpe_annual": mean / float(first.std()), "sortino_annual": mean / down}
    return ratios | {"cagr_pct": growth[0], "excess": growth[0] - growth[1]}


def track(kind: str, bars: int) -> World:
    """Sharpe and Sortino ratio, CAGR, growth above a benchmark; deepest fall and Calmar."""

    def world(rng: np.random.Generator) -> Held:
        truth = _true_track(kind)
        returns, other = _returns(rng, kind, bars)
        found = track_intervals(returns, _YEAR)
        held: Held = {name: _inside(interval, truth[name]) for name, interval in found.items()}
        held["excess growth"] = _inside(excess_growth(returns, other, _YEAR), truth["excess"])
        again, _ = _returns(rng, kind, bars)
        seed = int(rng.integers(2**31))
        fresh = other_histories(again, _YEAR, draws=1)
        for name, interval in other_histories(returns, _YEAR, draws=200, seed=seed).items():
            held[name] = _inside(interval, float(fresh[name].value or 0.0))
        return held

    return world


# Rankings: scores of a model on answers that it has not seen; raters; a leaderboard; weights.


def _answers(
    rng: np.random.Generator, count: int, skill: float
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """What a model says of all pairs of `count` rankings of five, what came true, and whose."""
    value = rng.standard_normal((count, 5)) * rng.gamma(4, 0.25, (count, 1))
    guess = skill * value + math.sqrt(1 - skill**2) * rng.standard_normal((count, 5))
    noisy = 3 * value + rng.gumbel(size=value.shape)
    i, j = np.triu_indices(5, 1)
    gap, said = noisy[:, i] - noisy[:, j], 3 * (guess[:, i] - guess[:, j])
    outcome = np.where(np.abs(gap) < 0.3, 1, np.where(gap > 0, 0, 2))
    log = np.stack([said / 2, np.full_like(said, -0.5), -said / 2], axis=-1)
    odds = np.exp(log - log.max(axis=-1, keepdims=True))
    probabilities = odds / odds.sum(axis=-1, keepdims=True)
    owner = np.repeat(np.arange(count), len(i))
    return probabilities.reshape(-1, 3), outcome.reshape(-1).astype(np.int64), owner


@cache
def _true_scores(skill: float) -> dict[str, float]:
    return summarise(_answers(np.random.default_rng(321), 20_000, skill))


def scores(rankings: int, skill: float) -> World:
    """Accuracy, precision, recall, F1, log-loss and Brier score on held-out rankings."""

    def world(rng: np.random.Generator) -> Held:
        found, truth = summarise(_answers(rng, rankings, skill)), _true_scores(skill)
        names = ("accuracy", "precision", "recall", "f1", "log_loss", "brier")
        return {name: holds(found.get(f"{name}_interval"), truth[name]) for name in names}

    return world


def _episodes(number: int, size: int) -> tuple[str, ...]:
    return tuple(f"{number:060x}{k:04x}" for k in range(size))


def _ranked(rater: str, number: int, values: Floats, ties: float = 0.0) -> Ranking:
    """An answer that orders the episodes by value, tied where they are close."""
    order = np.argsort(-values)
    steps = np.concatenate([[1], (-np.diff(values[order]) > ties).astype(np.int64)])
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.cumsum(steps)
    names = _episodes(number, len(values))
    placed = tuple(int(rank) for rank in ranks)
    return Ranking(f"{rater}-{number}", names, placed, f"q{number}", rater)


def _two_raters(rng: np.random.Generator, queries: int) -> Iterable[Ranking]:
    for number in range(queries):
        value = rng.standard_normal(4)
        for rater in ("ann", "bob"):
            yield _ranked(rater, number, value + 0.5 * rng.standard_normal(4), 0.1)


@cache
def _true_agreement() -> float:
    return rater_agreement(_two_raters(np.random.default_rng(222), 4_000)).alpha or 0.0


def agreement(queries: int) -> World:
    """Krippendorff's alpha of two raters."""

    def world(rng: np.random.Generator) -> Held:
        found = rater_agreement(_two_raters(rng, queries))
        interval = Interval(found.alpha, found.low, found.high)
        return {"agreement of raters": _inside(interval, _true_agreement())}

    return world


def ratings(rankings: int, sources: int = 6, size: int = 4) -> World:
    """Ratings of all sources, which are as different as the leaderboard's prior expects."""

    def world(rng: np.random.Generator) -> Held:
        strength = np.log(rng.gamma(2.0, size=sources) / rng.gamma(2.0, size=sources))
        answers: list[Ranking] = []
        owner: dict[str, str] = {}
        for number in range(rankings):
            who = rng.choice(sources, size, replace=False)
            answers.append(_ranked("ann", number, strength[who] + rng.gumbel(size=size)))
            owner |= dict(zip(_episodes(number, size), (f"s{w}" for w in who), strict=True))
        rating = 1000 + 400 / math.log(10) * (strength - strength.mean())
        found = leaderboard(answers, owner).standings
        inside = [s.low <= rating[int(s.source[1:])] <= s.high for s in found]
        return {"ratings": float(np.mean(inside)) if inside else None}

    return world


_TASK = EnvConfig(horizon=32)
_PLAIN = RewardConfig(
    aspects=("profit", "max_drawdown", "turnover", "time_in_market", "short_exposure"),
    learned=0.0,
    head=AspectConfig(shapes=0, conditions=0, thresholds=0, levels=0, whiles=0, noise=(0.02,)),
)


@cache
def _pool() -> tuple[list[list[Episode]], Floats, Floats]:
    """Episodes of 40 windows, their totals of each aspect [W][K, Q], and one unit of each [Q]."""
    market = load_market("synthetic:bars=1024,assets=4")
    spans = random_windows(market, _TASK, 40, 0)
    rows = collect(market, pool_actors(market, _TASK, 0), spans, config=_TASK)
    rows = [list({episode.id: episode for episode in row}.values())[:8] for row in rows]
    rows = [row for row in rows if len(row) == 8]
    known = {episode.id: episode for row in rows for episode in row}
    names = [tuple(episode.id for episode in row[:4]) for row in rows[:5]]
    model = RewardModel(_PLAIN).fit([Ranking("ann", each, (1, 2, 3, 4)) for each in names], known)
    totals = np.stack(
        [
            model.term_values(TradePaths.from_episodes(EpisodeBatch.stack(row))).sum(1)
            for row in rows
        ]
    )
    return rows, totals, np.array([term.unit for term in model.terms])


def _taste(rng: np.random.Generator, scale: Floats) -> Floats:
    """[Q] weights of a hidden trader, as the model expects them, in the aspects' own units."""
    head = _PLAIN.head
    spread = rng.choice(head.prior_scales)
    weights = spread * rng.standard_normal(len(scale)) * (rng.random(len(scale)) < head.inclusion)
    weights[0] = spread * (head.profit_prior + rng.standard_normal())
    return np.asarray(weights / scale)


def _choose(rng: np.random.Generator, utility: Floats) -> tuple[int, ...]:
    """Ranks by choosing the best of what is left, with the model's share of slips."""
    left, ranks = list(range(len(utility))), [0] * len(utility)
    for rank in range(1, len(utility) + 1):
        slip = rng.random() < _PLAIN.head.noise[0]
        drawn = rng.gumbel(size=len(left)) + (0 if slip else utility[left])
        ranks[left.pop(int(np.argmax(drawn)))] = rank
    return tuple(ranks)


def weights(rankings: int) -> World:
    """What the explanation says one unit is worth, of every aspect that likely matters."""

    def world(rng: np.random.Generator) -> Held:
        rows, totals, unit = _pool()
        taste = _taste(rng, totals.std(axis=1).mean(axis=0))
        answers: list[Ranking] = []
        known: dict[str, Episode] = {}
        for number in rng.choice(len(rows), rankings):
            pick = rng.choice(len(rows[number]), 5, replace=False)
            shown = [rows[number][k] for k in pick]
            known |= {episode.id: episode for episode in shown}
            ranks = _choose(rng, totals[number][pick] @ taste)
            answers.append(Ranking("ann", tuple(episode.id for episode in shown), ranks))
        model = RewardModel(_PLAIN).fit(answers, known)
        spread = float(np.sqrt(taste @ model.together.numpy() @ taste))
        place = {term.name: i for i, term in enumerate(model.terms)}
        held: Held = {}
        for row in model.explain():
            if row["name"] == row["yardstick"] or not matters(row):
                continue
            yard = taste[0] * unit[0] if row["yardstick"] == PROFIT else spread / 100
            truth = taste[place[row["name"]]] * unit[place[row["name"]]] / yard
            name = "profit" if row["name"] == PROFIT else "aspects"
            held[f"worth of {name}"] = holds((row["low"], row["high"]), float(truth))
        return held

    return world


def runs(seeds: int, strata: int = 16) -> World:
    """The interquartile mean over trainings, some seeds for each trader and market."""
    middle = np.random.default_rng(111).beta(8, 2, strata)

    def drawn(rng: np.random.Generator, count: int) -> list[Floats]:
        return [m + 0.08 * (1.0 - rng.exponential(size=count)) for m in middle]

    truth = iqm(np.concatenate(drawn(np.random.default_rng(110), 50_000)))

    def world(rng: np.random.Generator) -> Held:
        return {"IQM of trainings": holds(iqm_interval(drawn(rng, seeds)), truth)}

    return world
