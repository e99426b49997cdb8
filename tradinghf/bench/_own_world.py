"""One world of `tradinghf bench own`: a trader, a base strategy, and what is made of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tradinghf._intervals import kept, time_blocks
from tradinghf.bench._own_bench import GRIDS, OwnBench
from tradinghf.config import EnvConfig

if TYPE_CHECKING:
    from tradinghf.episodes import EpisodeBatch
    from tradinghf.feedback import SyntheticTrader
    from tradinghf.learning.config import RLHFConfig
    from tradinghf.loop import RLHF
    from tradinghf.market import Floats, MarketData
    from tradinghf.simulation import Windows
    from tradinghf.strategies import Strategy

Row = dict[str, Any]
Score = Callable[["EpisodeBatch"], "Floats"]
TASK = EnvConfig(lookback=1, features=("momentum_5", "momentum_20", "volatility_20", "drawdown_60"))
TRAINED = 0.7  # of real bars, from the first; nothing is fitted to the rest
_CHOSEN_FROM = 0.55  # of real bars, on which policies learn; up to TRAINED one of each is chosen
_TUNED_ON = 1_024  # windows of one asset each on which parameters are compared
_HIDDEN, _RATE = (32, 32), 3e-3  # few steps, each of which has to count
_WARM = 256  # bars before the first window, for the slowest average
_UNSEEN = 1_000_000  # seeds of the bars that the gate sees; twice that, of those that judge


def measure_world(bench: OwnBench, seed: int, trader: str, base: str) -> Row:
    """Learn, tune, train, gate, and judge on bars that nothing has seen."""
    from tradinghf.evaluation import GateConfig, Taste, decide
    from tradinghf.feedback import SyntheticTrader
    from tradinghf.learning.config import PPOConfig, RLHFConfig
    from tradinghf.strategies import load_strategy

    began = time.process_time()
    markets = _markets(bench, seed)
    judge, rule = SyntheticTrader(trader, seed=seed), load_strategy(base)
    ppo = PPOConfig(hidden=_HIDDEN, learning_rate=_RATE)
    loop = RLHFConfig(
        rankings=bench.rankings, rounds=1, steps=bench.steps, uniform=0.0, seed=seed, ppo=ppo
    )
    agent = _trained(bench, markets, judge, loop, base)
    taste = Taste.of(agent.reward_model)
    contenders: dict[str, Any] = {"overlay": agent.policy}
    if bench.data:
        agent.choose(keep=bench.margin)
        contenders["overlay kept"] = agent.policy
        contenders |= _tuned_alone(rule, markets["tune"], GRIDS[base], taste, bench.margin)
        contenders["from nothing"] = _trained(bench, markets, judge, loop, None).policy
    else:
        contenders["tuned"] = _tuned(rule, markets["tune"], GRIDS[base], taste)
    if seed < bench.reached:
        contenders |= _reachable(bench, markets, judge, loop, base)
    rows = less_base(markets["truth"], contenders, rule, judge.utilities)
    found = {
        name: {key: value for m in rows for key, value in _mean(m, rows[m][k]).items()}
        for k, name in enumerate(contenders)
    }
    keeping = " kept" if bench.data else ""
    offered = {name: contenders[name] for name in (f"overlay{keeping}", f"tuned{keeping}")}
    config = GateConfig(margin=bench.margin)
    test = less_base(markets["test"], offered, rule, taste.score)
    chosen = decide(list(offered), test, config).chosen
    nothing = {"utility": 0.0, "profit": 0.0, "utility_error": 0.0, "profit_error": 0.0}
    bound = contenders["tuned"].bind()
    return {
        "seed": seed,
        "trader": trader,
        "base": base,
        "params": {name: float(bound[name]) for name in GRIDS[base]},
        "explained": agent.reward_model.explained,
        **found,
        "chosen": chosen,
        "deployed": nothing if chosen is None else found[chosen],
        "windows": _by_window(rows, contenders) if bench.data else {},
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def _trained(
    bench: OwnBench,
    markets: Mapping[str, MarketData],
    judge: SyntheticTrader,
    loop: RLHFConfig,
    base: str | None,
) -> RLHF:
    """A loop that has trained a policy, over a base or from nothing, by 15 rankings."""
    from tradinghf.loop import RLHF
    from tradinghf.simulation import MarketEnv

    env = MarketEnv(markets["train"], num_envs=bench.envs, config=TASK, base=base, seed=loop.seed)
    agent = RLHF(env, trader=judge, validation_market=markets.get("choose"), config=loop)
    agent.train()
    agent.choose()
    return agent


def _reachable(
    bench: OwnBench,
    markets: Mapping[str, MarketData],
    judge: SyntheticTrader,
    loop: RLHFConfig,
    base: str,
) -> dict[str, Any]:
    """What tuning and an overlay find that know the true utility."""
    from tradinghf.evaluation import Taste
    from tradinghf.learning.ppo import utility_stream
    from tradinghf.loop import train_baseline
    from tradinghf.simulation import MarketEnv
    from tradinghf.strategies import load_strategy

    env = MarketEnv(markets["train"], num_envs=bench.envs, config=TASK, base=base, seed=loop.seed)
    top = Taste(judge.utilities, window=TASK.horizon)
    stream, score = utility_stream(judge), judge.utilities
    return {
        "best overlay": train_baseline(env, "true", stream, loop, score=score),
        "best tuned": _tuned(load_strategy(base), markets["tune"], GRIDS[base], top),
    }


def _tuned(
    base: Strategy, market: MarketData, grid: Mapping[str, tuple[Any, ...]], taste: Any
) -> Strategy:
    """The base with the parameters that `tradinghf sweep --objective learned:RUN` finds."""
    from tradinghf.evaluation import sweep

    found = sweep(base, market, grid, objective=taste, record=False)
    return base.with_defaults(**found.params[found.best_row()])


def _tuned_alone(
    base: Strategy,
    market: MarketData,
    grid: Mapping[str, tuple[Any, ...]],
    taste: Any,
    margin: float,
) -> dict[str, Strategy]:
    """The same with each asset traded alone, as it will be judged; and `learned+keep`."""
    from tradinghf.loop import strategy_actor, traded
    from tradinghf.simulation import MarketEnv

    windows = _windows(market, _TUNED_ON)
    env = MarketEnv(market, num_envs=len(windows), config=TASK)
    every = (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))
    variants = [base.with_defaults(**p) for p in every if base.allows(base.typed(**p))]
    batches = (traded(env, strategy_actor(rule, market), windows) for rule in (base, *variants))
    found = [(float(taste.score(batch).mean()), batch.net_return) for batch in batches]
    liked = np.array([worth for worth, _ in found])
    lost = np.stack([profit - found[0][1] for _, profit in found])
    keeps = kept(lost, margin, time_blocks(windows.start, TASK.horizon))
    rules = (base, *variants)
    return {
        "tuned": variants[int(liked[1:].argmax())],
        "tuned kept": rules[int(np.where(keeps, liked, -np.inf).argmax())],
    }


def _markets(bench: OwnBench, seed: int) -> dict[str, MarketData]:
    """Bars to train on, to tune on, for the gate, and to judge by; of real ones, to choose on."""
    from tradinghf.market import load_market

    if bench.data:
        market = load_market(bench.data[seed % len(bench.data)])
        chosen, cut = int(_CHOSEN_FROM * market.bars), int(TRAINED * market.bars)
        test = market.rows(cut, market.bars)
        return {
            "train": market.rows(0, chosen),
            "choose": market.rows(chosen, cut),
            "tune": market.rows(0, cut),
            "test": test,
            "truth": test,
        }

    def drawn(number: int, assets: int, bars: int) -> MarketData:
        options = f"seed={number},regime={bench.regime},assets={assets},bars={bars}"
        return load_market(f"synthetic:{options}")

    train = drawn(seed, 1, bench.bars)
    return {
        "train": train,
        "tune": train,
        "test": drawn(seed + _UNSEEN, 8, bench.bars),
        "truth": drawn(seed + 2 * _UNSEEN, 8, bench.bars),
    }


def _windows(market: MarketData, most: int = 0) -> Windows:
    """Windows side by side, of every asset; `most` of them, evenly spread."""
    from tradinghf.simulation import Windows

    starts = np.arange(_WARM, market.bars - TASK.horizon, TASK.horizon)
    asset = np.tile(np.arange(market.assets), len(starts))
    start = np.repeat(starts, market.assets)
    every = -(-len(start) // most) if most else 1
    every += every > 1 and market.assets % every == 0  # not always the same assets
    return Windows(asset[::every], start[::every])


def less_base(
    market: MarketData, contenders: Mapping[str, Any], base: Strategy, utility: Score
) -> dict[str, Floats]:
    """Measure -> [C, N] differences to the base in windows side by side, each begun from flat."""
    from tradinghf.evaluation import PROFIT, UTILITY
    from tradinghf.learning.policy import Policy
    from tradinghf.loop import Actor, strategy_actor, traded
    from tradinghf.simulation import MarketEnv

    windows = _windows(market)
    found: dict[str, list[Floats]] = {PROFIT: [], UTILITY: []}
    for x in (*contenders.values(), base):
        policy = x if isinstance(x, Policy) else None
        env = MarketEnv(
            market,
            num_envs=len(windows),
            config=policy.config if policy else TASK,
            scaler=policy.scaler if policy else None,
        )
        actor = Actor("own", policy=policy) if policy else strategy_actor(x, market)
        batch = traded(env, actor, windows)
        for measure, values in ((PROFIT, batch.net_return), (UTILITY, utility(batch))):
            found[measure].append(values.reshape(-1, market.assets).mean(axis=1))
    return {m: np.stack([row - rows[-1] for row in rows[:-1]]) for m, rows in found.items()}


def _by_window(rows: Mapping[str, Floats], names: Mapping[str, Any]) -> dict[str, Any]:
    """Contender -> measure -> the differences to the base, window by window."""
    return {
        name: {measure: values[k].round(7).tolist() for measure, values in rows.items()}
        for k, name in enumerate(names)
    }


def _mean(measure: str, values: Floats) -> dict[str, float]:
    """A mean over windows, and its standard error."""
    error = float(values.std(ddof=1) / len(values) ** 0.5)
    return {measure: float(values.mean()), f"{measure}_error": error}
