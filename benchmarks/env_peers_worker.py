"""One contender of env_peers.py, in a process of its own: answers lines on stdin with JSON.

    python benchmarks/env_peers_worker.py CONTENDER ENVS DATA.npz

"replay": trade a given sequence of long and flat without costs, and tell what came of it.
"time": step for a third of a second of processor time, and tell how many steps and how long.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import torch

WINDOW, HORIZON, TURN = 8, 64, 0.3
Bars = dict[str, Any]
Replay = Callable[[Sequence[int]], tuple[float, int]]


@dataclass(frozen=True)
class Contender:
    """What is timed, and what is compared before.

    Attributes:
        run: takes a number of calls of `step`, returns environment steps done.
        replay: takes targets (1 long, 0 flat, the last one 0), returns the final value and the bar
            at whose close the first of them fills. None: it wraps our environment.

    """

    run: Callable[[int], int]
    replay: Replay | None = None


def load(name: str, attribute: str) -> Any:
    """A peer's class; peers are not installed where this file is checked."""
    return getattr(importlib.import_module(name), attribute)


def frame(bars: Bars) -> pd.DataFrame:
    """OHLCV, with lower-case names and our features as `feature_*`."""
    columns = {name: bars[name] for name in ("open", "high", "low", "close", "volume")}
    columns |= {f"feature_{i}": bars["features"][:, i] for i in range(bars["features"].shape[1])}
    index = pd.date_range("2000-01-01", periods=len(bars["close"]), freq="h")
    return pd.DataFrame(columns, index=index)


def gym_runs(make: Callable[[], Any], count: int) -> Callable[[int], int]:
    """Random actions in one Gymnasium environment, or in `count` of them in a SyncVectorEnv."""
    vector = count > 1
    env: Any = gym.vector.SyncVectorEnv([make] * count) if vector else make()
    env.reset(seed=0)
    levels = env.single_action_space.n if vector else env.action_space.n
    drawn = np.random.default_rng(0).integers(levels, size=(1024, count))
    actions = itertools.cycle(drawn if vector else drawn[:, 0].tolist())

    def run(calls: int) -> int:
        for action in itertools.islice(actions, calls):
            _, _, terminated, truncated, _ = env.step(action)
            if not vector and (terminated or truncated):
                env.reset()
        return calls * count

    return run


# ---------------------------------------------------------------------- ours


def tradinghf(bars: Bars, count: int, engine: str, shows: Any = "flat") -> Contender:
    """`MarketEnv` with its default task and costs: bars, actions and observation as in `bench`."""
    from tradinghf.config import CostModel, EnvConfig
    from tradinghf.simulation import MarketEnv

    config = EnvConfig(observation=shows)
    env = MarketEnv(bars["market"], num_envs=count, config=config, seed=0, engine=engine)  # type: ignore[arg-type]
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(env.config.levels), (1024, count), generator=generator)
    actions = itertools.cycle(drawn.unbind())

    def run(calls: int) -> int:
        for action in itertools.islice(actions, calls):
            env.step(action)
        return calls * count

    def replay(targets: Sequence[int]) -> tuple[float, int]:
        start = 2 * WINDOW + 50
        task = EnvConfig(levels=(0.0, 1.0), fill="close", horizon=len(targets))
        free = CostModel(fee_bps=0.0, slippage_bps=0.0)
        one = MarketEnv(bars["market"], config=task, costs=free, engine=engine)  # type: ignore[arg-type]
        one.reset(seed=0, options={"start": start})
        info: dict[str, Any] = {}
        for target in targets:
            *_, info = one.step([target])
        return float(info["equity"][0]), start

    return Contender(run, replay)


def single(bars: Bars) -> Any:
    """Our single Gymnasium environment in NumPy."""
    importlib.import_module("tradinghf.simulation")
    return gym.make("tradinghf/Market-v0", market=bars["market"], disable_env_checker=True)


def torchrl(bars: Bars, count: int, _: str) -> Contender:
    """GymWrapper of torchrl around our single environment."""
    env = load("torchrl.envs", "GymWrapper")(single(bars))
    ended = load("torchrl.envs.utils", "step_mdp")
    state = env.reset()

    def run(calls: int) -> int:
        nonlocal state
        for _ in range(calls):
            after = env.step(env.rand_action(state))
            state = env.reset() if bool(after["next", "done"]) else ended(after)
        return calls

    return Contender(run)


def pufferlib(bars: Bars, count: int, _: str) -> Contender:
    """PufferLib's serial vector of its emulation around our single environment."""
    wrap = load("pufferlib.emulation", "GymnasiumPufferEnv")

    def make(buf: Any = None, seed: int = 0) -> Any:
        return wrap(env=single(bars), buf=buf, seed=seed)

    backend = load("pufferlib.vector", "Serial")
    env = load("pufferlib.vector", "make")(make, num_envs=count, backend=backend)
    env.reset(seed=0)
    drawn = np.random.default_rng(0).integers(5, size=(1024, count)).astype(np.int32)
    actions = itertools.cycle(drawn)

    def run(calls: int) -> int:
        for action in itertools.islice(actions, calls):
            env.step(action)
        return calls * count

    return Contender(run)


# ---------------------------------------------------------------------- peers


def gym_anytrading(bars: Bars, count: int, _: str) -> Contender:
    """StocksEnv: sell or buy, a window of price and change."""
    table = pd.DataFrame({"Close": bars["close"]})
    stocks = load("gym_anytrading.envs", "StocksEnv")

    def make(length: int = HORIZON) -> Any:
        return stocks(df=table, window_size=WINDOW, frame_bound=(WINDOW, 2 * WINDOW + length))

    def replay(targets: Sequence[int]) -> tuple[float, int]:
        env = make(len(targets))
        env.trade_fee_bid_percent = env.trade_fee_ask_percent = 0.0
        env.reset(seed=0)
        for target in targets:
            env.step(target)
        return float(env._total_profit), WINDOW + 1

    return Contender(gym_runs(make, count), replay)


def gym_trading_env(bars: Bars, count: int, _: str) -> Contender:
    """TradingEnv: five target positions, fees and borrow interest."""
    trading = load("gym_trading_env.environments", "TradingEnv")
    warnings.resetwarnings()  # importing it turned every warning into an error
    warnings.simplefilter("ignore")
    table = frame(bars)
    shared: dict[str, Any] = {"df": table, "windows": WINDOW, "verbose": 0}

    def make() -> Any:
        levels = [-1, -0.5, 0, 0.5, 1]
        costs = {"trading_fees": 1e-4, "borrow_interest_rate": 1e-6}
        return trading(positions=levels, max_episode_duration=HORIZON, **costs, **shared)

    def replay(targets: Sequence[int]) -> tuple[float, int]:
        env = trading(positions=[0, 1], initial_position=0, **shared)
        env.reset(seed=0)
        info: dict[str, Any] = {}
        for target in targets:
            *_, info = env.step(target)
        return float(info["portfolio_valuation"]) / 1000, WINDOW - 1

    return Contender(gym_runs(make, count), replay)


def torchtrade(bars: Bars, count: int, _: str) -> Contender:
    """VectorizedSequentialTradingEnv with margin, so that it may go short."""
    module = "torchtrade.envs.offline.vectorized_sequential"
    settings = load(module, "VectorizedSequentialTradingEnvConfig")
    vectorised = load(module, "VectorizedSequentialTradingEnv")
    table = frame(bars)[["open", "high", "low", "close", "volume"]]
    table = table.rename_axis("timestamp").reset_index()
    shared = {"time_frames": "1Hour", "execute_on": "1Hour", "window_sizes": WINDOW}

    def make(**options: Any) -> Any:
        return vectorised(table, settings(**shared, **options))

    env = make(
        num_envs=count,
        max_traj_length=HORIZON,
        transaction_fee=1e-4,
        slippage=1e-4,
        leverage=2,
        action_levels=[-1, -0.5, 0, 0.5, 1],
    )
    state = env.reset()
    actions = itertools.cycle(torch.randint(5, (1024, count)).unbind())

    def run(calls: int) -> int:
        nonlocal state
        for action in itertools.islice(actions, calls):
            _, state = env.step_and_maybe_reset(state.set("action", action))
        return calls * count

    def replay(targets: Sequence[int]) -> tuple[float, int]:
        one = make(num_envs=1, random_start=False, action_levels=[0, 1])
        now = one.reset()
        first = int(one._obs_indices_torch[one._time_frames[0].obs_key_freq()][0])
        for target in targets:
            now = one.step(now.set("action", torch.tensor([target])))["next"]
        return float(one._portfolio_values[0]) / 10_000, first

    return Contender(run, replay)


class TradeSimulator:
    """A simulator in the manner of FinRL Contest 2024's, task 1, written anew after its rules.

    Buys or sells one unit at a time up to a limit, at the price of the bar it steps to, with
    slippage; leaves after a longest holding time or a loss from the best price; all simulations
    restart together. It sees position, holding time and eight factors.
    """

    def __init__(self, price: torch.Tensor, factors: torch.Tensor, count: int) -> None:
        self.price, self.factors, self.count = price, factors, count
        self.limit, self.longest, self.slippage, self.loss = 2, 60, 5e-5, 1e-3
        self.steps = HORIZON
        self.rng = torch.Generator().manual_seed(0)

    def reset(self, start: int | None = None) -> torch.Tensor:
        """Flat simulations at random bars, or all at one."""
        high = len(self.price) - self.steps
        drawn = torch.randint(high, (self.count,), generator=self.rng)
        self.start = drawn if start is None else torch.full_like(drawn, start)
        self.now = 0
        self.position, self.held = torch.zeros_like(drawn), torch.zeros_like(drawn)
        self.cash, self.asset, self.best = (torch.zeros(self.count) for _ in range(3))
        return self.observe(self.start)

    def observe(self, bar: torch.Tensor) -> torch.Tensor:
        """[N, 10]."""
        own = (self.position / self.limit)[:, None], (self.held / self.longest)[:, None]
        return torch.cat([*own, self.factors[bar]], 1)

    def step(self, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, bool]:
        """[N] actions: 0 sells, 1 waits, 2 buys."""
        self.now += 1
        bar = self.start + self.now
        price, before = self.price[bar], self.position
        over = self.now >= self.steps
        wanted = (before + action - 1).clamp(-self.limit, self.limit)
        wanted = torch.where(wanted * before < 0, 0, wanted)
        self.held = torch.where(before == 0, 0, self.held + 1)
        better = torch.where(before > 0, torch.maximum(self.best, price), self.best)
        better = torch.where(before < 0, torch.minimum(self.best, price), better)
        self.best = torch.where(before == 0, price, better)
        lost = (self.best - price) * before.sign() > self.loss * price
        wanted = torch.where((self.held > self.longest) | lost | over, 0, wanted)
        trade = wanted - before
        self.cash = self.cash - trade * price * (1 + trade.sign() * self.slippage)
        asset = self.cash + wanted * price
        reward, self.asset, self.position = asset - self.asset, asset, wanted
        return (self.reset() if over else self.observe(bar)), reward, over


def finrl_contest_style(bars: Bars, count: int, _: str) -> Contender:
    """`TradeSimulator`; one unit is worth the price, so replays count profits in units."""
    price = torch.from_numpy(bars["close"].astype(np.float32))
    factors = torch.from_numpy(bars["features"].astype(np.float32))
    factors = torch.cat([factors, factors], 1)[:, :8].contiguous()
    env = TradeSimulator(price, factors, count)
    env.reset()
    actions = itertools.cycle(torch.randint(3, (1024, count)).unbind())

    def run(calls: int) -> int:
        for action in itertools.islice(actions, calls):
            env.step(action)
        return calls * count

    def replay(targets: Sequence[int]) -> tuple[float, int]:
        one = TradeSimulator(price.double(), factors, 1)
        one.steps, one.slippage, one.loss, one.longest = len(targets) + 1, 0.0, torch.inf, 10**6
        one.reset(start=20)
        value, held = 0.0, 0
        for target in targets:
            _, reward, _ = one.step(torch.tensor([1 + target - held]))
            value, held = value + float(reward), target
        return value, 21

    return Contender(run, replay)


MAKERS: dict[str, Callable[[Bars, int, str], Contender]] = {
    "tradinghf, fused": lambda bars, count, _: tradinghf(bars, count, "fused"),
    "tradinghf, fused, by index": lambda bars, count, _: tradinghf(bars, count, "fused", "index"),
    "tradinghf, tensor": lambda bars, count, _: tradinghf(bars, count, "tensor"),
    "gym-anytrading": gym_anytrading,
    "gym-trading-env": gym_trading_env,
    "torchtrade": torchtrade,
    "FinRL-Contest-style": finrl_contest_style,
    "torchrl around tradinghf": torchrl,
    "PufferLib around tradinghf": pufferlib,
}


def timed(run: Callable[[int], int]) -> dict[str, float]:
    """Steps and seconds of one turn."""
    calls, steps = 1, 0
    wall, cpu = time.perf_counter(), time.process_time()
    while (spent := time.process_time() - cpu) < TURN:
        steps += run(calls)
        calls = calls if spent > TURN / 10 else 2 * calls
    return {"steps": steps, "wall": time.perf_counter() - wall, "cpu": spent}


def main() -> None:
    """Answer until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stdout = sys.stderr  # peers print
    name, count, data = sys.argv[1:]
    torch.set_num_threads(1)
    with np.load(data, allow_pickle=False) as found:
        bars: Bars = dict(found)
    if "tradinghf" in name:
        market = load("tradinghf.market._synthetic", "synthetic")
        bars["market"] = market(seed=0, bars=len(bars["close"]), assets=1)
    contender = MAKERS[name](bars, int(count), name)
    contender.run(3)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "time":
            answer: Any = timed(contender.run)
        else:
            answer = contender.replay(order["targets"]) if contender.replay else None
        replies.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
