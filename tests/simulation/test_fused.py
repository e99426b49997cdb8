"""The fused step against the tensor step, which defines the accounting: bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import crashing, pair, same, walk

from tradinghf.config import Brackets, CostModel, EnvConfig, Margin, Randomisation, TradingRules
from tradinghf.errors import ConfigError
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv
from tradinghf.simulation._costs import Rates
from tradinghf.simulation._engines import fused_covers, make_engine
from tradinghf.simulation._plain_rows import is_plain

MARKET = synthetic(0, 220, 3)


CRASHING = crashing()


@settings(max_examples=60, deadline=None)
@given(
    costs=st.builds(
        CostModel,
        fee_bps=st.sampled_from([0.0, 2.0, 81.2, 250.0]),
        slippage_bps=st.sampled_from([0.0, 1.0, 90.0]),
        spread_bps=st.sampled_from([0.0, 3.0]),
        fixed_fee=st.sampled_from([0.0, 5.0, 60_000.0]),
        per_share_fee=st.sampled_from([0.0, 0.01]),
        borrow_rate=st.sampled_from([0.0, 0.5]),
        margin_rate=st.sampled_from([0.0, 0.3]),
        cash_rate=st.sampled_from([0.0, 0.2]),
        funding_bps=st.sampled_from([0.0, -3.0]),
    ),
    side=st.sampled_from(["both", "long", "short"]),
    fill=st.sampled_from(["next_open", "close"]),
    dtype=st.sampled_from(["float32", "float64"]),
    review=st.sampled_from([None, 3]),
    random_costs=st.booleans(),
    market=st.sampled_from([MARKET, CRASHING]),
    reward=st.sampled_from(["log_equity", "differential_sharpe", "sparse_pnl"]),
    seed=st.integers(0, 99),
)
def test_fused_equals_tensor_step_bit_for_bit(
    costs: CostModel,
    side: Any,
    fill: Any,
    dtype: Any,
    review: int | None,
    random_costs: bool,
    market: MarketData,
    reward: str,
    seed: int,
) -> None:
    ranges = Randomisation(fee_bps=(0, 30), slippage_bps=(0, 20))
    config = EnvConfig(
        horizon=9,
        lookback=4,
        dtype=dtype,
        fill=fill,
        review=review,
        rules=TradingRules(side=side),
        randomise=ranges if random_costs else Randomisation(),
    )
    envs = pair(market, num_envs=17, config=config, costs=costs, reward=reward)
    walk(envs, 21, seed)


def test_ruin_happens_in_the_crashing_market() -> None:
    """Otherwise the test above would not see it."""
    env = MarketEnv(CRASHING, num_envs=64, config=EnvConfig(horizon=9, lookback=4), engine="fused")
    env.reset(seed=0)
    for _ in range(8):
        env.step_weights(np.full(64, -1.0))
    assert bool(env.state.ledger.ruined.any())
    assert float(env.state.ledger.owed.max()) > 0


@pytest.mark.parametrize("lot", [0.0, 0.01])
def test_costs_of_fills_at_the_close_ruin_alike(lot: float) -> None:
    """The plain kernel and that of tasks; see test_a_fill_at_the_close_may_ruin_there."""
    close = np.array([100.0, 101.0, 99.0, 100.0, 199.6, 150.0, 149.0])[:, None]
    market = replace(synthetic(0, 7, 1), open=close, high=close, low=close, close=close)
    envs = pair(
        market,
        num_envs=3,
        config=EnvConfig(horizon=3, lookback=4, fill="close", rules=TradingRules(lot=lot)),
        costs=CostModel(fee_bps=0.0, slippage_bps=20.0),
    )
    for env in envs:
        env.reset(seed=0, options={"start": np.full(3, 3)})
    for step in range(2):
        a, b = (env.step_weights(np.array([-1.0, -0.5, np.nan])) for env in envs)
        same(a, b, f"step {step}")
    ledger = envs[1].state.ledger
    assert ledger.ruined[:, 0].tolist() == [True, False, False]
    assert float(ledger.owed[0]) > 190
    assert float(ledger.owed[1:].sum()) == 0


@pytest.mark.parametrize("autoreset", ["same_step", "next_step", "disabled"])
def test_environments_out_of_step_agree(autoreset: Any) -> None:
    config = EnvConfig(horizon=6, lookback=4, autoreset=autoreset)
    envs = pair(MARKET, num_envs=8, config=config)
    rng = np.random.default_rng(0)
    for env in envs:
        env.reset(seed=1)
    mask = torch.tensor([True, False] * 4)
    for step in range(14):
        if step == 3:
            infos = [env.reset(options={"reset_mask": mask}) for env in envs]
            same(infos[0], infos[1], "masked reset")
        actions = rng.integers(0, 5, 8)
        a, b = (env.step(actions) for env in envs)
        for x, y in zip(a, b, strict=True):
            same(x, y, f"step {step}")


@pytest.mark.parametrize("observation", ["flat", "index"])
def test_several_threads_give_the_same_numbers(observation: Any) -> None:
    """4,133 accounts are two threads' shares, and no whole number of the kernel's blocks."""
    config = EnvConfig(horizon=5, lookback=4, observation=observation)
    settings = {"num_envs": 4133, "config": config}
    alone = MarketEnv(MARKET, engine="tensor", **settings)
    for threads in (1, 2, 3):
        walk([alone, MarketEnv(MARKET, engine="fused", threads=threads, **settings)], 7, 0)


@pytest.mark.parametrize("engine", ["tensor", "auto"])
@pytest.mark.parametrize("portfolio", [False, True])
def test_observations_of_every_kind_are_the_same_numbers(engine: Any, portfolio: bool) -> None:
    plain = EnvConfig(horizon=5, lookback=4, portfolio=portfolio, actions="continuous", review=3)
    envs = {
        kind: MarketEnv(MARKET, num_envs=6, config=replace(plain, observation=kind), engine=engine)
        for kind in ("flat", "index", "dict")
    }
    rng = np.random.default_rng(0)
    for env in envs.values():
        env.reset(seed=3)
    for _ in range(9):
        actions = rng.uniform(-1, 1, (6, envs["flat"].action_space.shape[-1] if portfolio else 1))
        found = {kind: env.step(actions) for kind, env in envs.items()}
        flat, reward, *_, info = found["flat"]
        for kind, env in envs.items():
            obs, other, *_, facts = found[kind]
            assert torch.equal(env.dense(obs), flat), kind
            assert torch.equal(other, reward), kind
            if "final_obs" in info:
                assert torch.equal(env.dense(facts["final_obs"]), info["final_obs"]), kind
            single = {k: v[0].numpy() for k, v in obs.items()} if kind != "flat" else obs[0].numpy()
            assert env.single_observation_space.contains(
                single | {"window": int(single["window"])} if kind == "index" else single
            )


def test_a_saved_state_goes_on_alike() -> None:
    env = MarketEnv(MARKET, num_envs=5, config=EnvConfig(horizon=20, lookback=4), engine="fused")
    env.reset(seed=0)
    env.step_weights(np.full(5, 0.7))
    saved = env.state
    once = [env.step_weights(np.full(5, w)) for w in (0.2, -0.4)]
    env.state = saved
    again = [env.step_weights(np.full(5, w)) for w in (0.2, -0.4)]
    for a, b in zip(once, again, strict=True):
        same(a[0], b[0])
        same(a[4], b[4])


PLAIN = EnvConfig(horizon=6, lookback=4)


@pytest.mark.parametrize(
    ("config", "costs"),
    [
        (replace(PLAIN, brackets=Brackets(stop_loss=0.1)), CostModel()),
        (replace(PLAIN, margin=Margin(leverage=2.0)), CostModel()),
        (replace(PLAIN, margin=Margin(maintenance=0.2)), CostModel()),
        (replace(PLAIN, rules=TradingRules(lot=1.0)), CostModel()),
        (replace(PLAIN, rules=TradingRules(participation=0.1)), CostModel()),
        (replace(PLAIN, rules=TradingRules(lock_cash=True)), CostModel()),
        (replace(PLAIN, rules=TradingRules(max_position=5)), CostModel()),
        (replace(PLAIN, portfolio=True), CostModel()),
        (PLAIN, CostModel(impact=0.5)),
    ],
)
def test_only_what_is_plain_takes_the_plain_kernel(config: EnvConfig, costs: CostModel) -> None:
    assert is_plain(MarketEnv(MARKET, num_envs=2, config=PLAIN).dynamics)
    env = MarketEnv(MARKET, num_envs=2, config=config, costs=costs)
    assert not is_plain(env.dynamics)
    assert fused_covers(env.dynamics)


def test_unknown_engines_are_refused() -> None:
    with pytest.raises(ConfigError, match="fusedd"):
        MarketEnv(MARKET, num_envs=2, engine="fusedd")  # type: ignore[arg-type]


def test_a_cost_that_the_kernel_does_not_know_takes_the_tensor_step() -> None:
    @dataclass(frozen=True)
    class Taxed(Rates):
        stamp_tax: float = 0.0

    env = MarketEnv(MARKET, config=PLAIN)
    setup = env.dynamics.setup
    for tax in (0.0, 0.005):
        taxed = replace(setup, rates=Taxed(fee=setup.rates.fee, stamp_tax=tax))
        dynamics = replace(env.dynamics, setup=taxed)
        assert fused_covers(dynamics) == (tax == 0.0)
        if tax:
            with pytest.raises(ConfigError, match="engine='auto'"):
                make_engine("fused", dynamics)


def test_what_a_step_returned_stays_as_it_was() -> None:
    env = MarketEnv(MARKET, num_envs=3, config=replace(PLAIN, horizon=20), engine="fused")
    env.reset(seed=0)
    first = env.step_weights(np.full(3, 0.5))
    state = env.state
    kept = [x.clone() for x in (*first[:4], first[4]["equity"], state.ledger.equity)]
    for weight in (-0.5, 0.0, 1.0):
        env.step_weights(np.full(3, weight))
    for a, b in zip((*first[:4], first[4]["equity"], state.ledger.equity), kept, strict=True):
        assert torch.equal(a, b)


def test_actions_are_checked() -> None:
    env = MarketEnv(MARKET, num_envs=3, config=PLAIN, engine="fused")
    env.reset(seed=0)
    with pytest.raises(IndexError):
        env.step([0, 1, 5])
    with pytest.raises(ConfigError, match="2 actions"):
        env.step([0, 1])
