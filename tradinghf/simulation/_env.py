"""`MarketEnv`: N trading environments as tensors on one device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig, settings_of
from tradinghf.errors import NamedOptions
from tradinghf.market import FeatureScaler, Floats, MarketLike, as_market
from tradinghf.simulation._actions import ActionMap, action_space
from tradinghf.simulation._arguments import device_of, environment_count, thread_count
from tradinghf.simulation._autoreset import Result, step_in_phase, step_out_of_phase
from tradinghf.simulation._bars import Extras
from tradinghf.simulation._bootstrap import with_bootstrap
from tradinghf.simulation._costs import check_volumes
from tradinghf.simulation._dynamics import Dynamics, EnvState, Info, merge_states
from tradinghf.simulation._engines import Engine, make_engine
from tradinghf.simulation._fused_task import TaskEngine
from tradinghf.simulation._given import given_for
from tradinghf.simulation._hooks import FillCost, Termination, early_end_of
from tradinghf.simulation._observe import Observation, market_features
from tradinghf.simulation._order_actions import OrderActions, with_prices
from tradinghf.simulation._overlay import Modulator, overlay_of, with_bases
from tradinghf.simulation._resets import environment_seeds, window_options
from tradinghf.simulation._rewards import Reward, check_rewards, find_reward
from tradinghf.simulation._sampling import Sampler
from tradinghf.simulation._windows import keys
from tradinghf.simulation._working_orders import PricedOrders

_AUTORESET = {
    "same_step": AutoresetMode.SAME_STEP,
    "next_step": AutoresetMode.NEXT_STEP,
    "disabled": AutoresetMode.DISABLED,
}


class MarketEnv(NamedOptions, VectorEnv[Any, Any, Any]):
    """N independent trading accounts, stepped together.

    Observation: [N, D] float32; W bars of scaled market features (oldest first), then position,
    open profit, time since the last trade and drawdown. Everything in it is known at the close of
    the decision bar.
    Action: a target position as signed fraction of equity: an index into `config.levels`, or a
    number in [-1, 1] times the leverage; NaN is no order. Of a portfolio one for each asset,
    scaled down together where they exceed the leverage in sum; see `Allocation` for more.
    With a `base`, what to make of its target: see `Overlay`; with prices: `EnvConfig.orders`.
    Reward: [N], see `tradinghf.simulation._rewards`.
    Termination: where `termination` says so; ruin is absorbing. Truncation: after
    `config.horizon` bars.
    State: `EnvState`, on `device`; a step synchronises nothing with the host as long as all
    environments are reset together.

    Args:
        market: bars to trade.
        num_envs: N.
        config: the task.
        costs: what trading and holding costs.
        reward: name of a registered reward, or a function of a `Transition`; None is
            "log_equity". One that is given is a reward of its own in `RLHF`, beside the learned
            one; its first values are checked.
        scaler: of a training market's features; None fits one on `market`.
        device: where tensors live.
        seed: of the first reset; None draws one.
        engine: how a step is carried out: "tensor" (any task, any device), "fused" (one compiled
            pass on a CPU, for any task with the costs of `CostModel`), "compiled" (the tensor
            step through `torch.compile`), "triton" (one kernel for a bar of such a task on a
            GPU); "auto" takes the fused one where it covers the task. All give the same numbers.
        threads: that the fused step takes where there is enough to do; None: at most as many as
            torch and as there are processors to use, and one where more were measured to be
            slower. Results do not depend on it.
        own_features: the user's features beside `config.features`, see `market_features`: an
            array for these bars, or a DataFrame by time that may hold other bars too.
        funding: [T, A] funding rates, or a DataFrame, see `Extras`; so are the next three.
        split: share splits, for raw prices.
        dividend: dividends per share, for raw prices.
        member: listed or not; episodes of single assets stay within their listing.
        base: a strategy, or several, that actions modulate: a `@strategy`, its name with
            parameters ("sma_cross:fast=10"), FILE.py:function, or an `Overlay`. Their targets are
            observed, and the first action is to do what the first of them does.
        termination: function of a `Transition` to [N] bool, the episodes that end at this bar
            before their time; what is open there counts as realised.
        sampler: draws where episodes start, in the place of `config.windows`: a function of
            (`Windows` [W], uniform numbers [N]) to [N] indices, such as `LabelledWindows`.
        fill_cost: function of `BarFills` to [N, A'], what they cost beside `costs` [currency].

    Attributes:
        dynamics: the environment as pure functions.
        base_targets: [T, A, K] standing targets of the bases at each close; None without a base.
        own_reward: whether a `reward` was given.
        early_end: the `termination`, told of each step; None without one.

    Raises:
        ConfigError: the market is shorter than an episode, or a name is unknown.

    """

    def __init__(
        self,
        market: MarketLike,
        *,
        num_envs: int = 1,
        config: EnvConfig | None = None,
        costs: CostModel | None = None,
        reward: str | Reward | None = None,
        scaler: FeatureScaler | None = None,
        device: str | torch.device = "cpu",
        seed: int | None = None,
        engine: Engine = "auto",
        threads: int | None = None,
        own_features: Any = None,
        funding: Any = None,
        split: Any = None,
        dividend: Any = None,
        member: Any = None,
        base: Any = None,
        termination: Termination | None = None,
        sampler: Sampler | None = None,
        fill_cost: FillCost | None = None,
    ) -> None:
        num_envs, device = environment_count(num_envs), device_of(device)
        seed = seed if seed is None else int(environment_seeds(seed, 1)[0])
        market = as_market(market)
        config = settings_of(EnvConfig, config, "config")
        costs = settings_of(CostModel, costs, "costs")
        check_volumes(market, costs.impact, config.rules.participation)
        if config.autoreset == "auto":
            config = replace(config, autoreset="same_step")
        if base is not None:
            config = replace(config, overlay=overlay_of(base))
        extras = Extras.of(market, funding=funding, split=split, dividend=dividend, member=member)
        own = {"own_features": own_features, "funding": funding, "split": split}
        own |= {"dividend": dividend, "member": member}
        self._given = {name: table for name, table in own.items() if table is not None}
        if config.randomise.bootstrap_paths:
            market = with_bootstrap(market, config.randomise, seed or 0, self._given)
        self.market, self.num_envs, self.config, self.costs = market, num_envs, config, costs
        self.device = device
        self.own_reward, self.reward = reward is not None, find_reward(reward)
        self.early_end = early_end_of(termination, self.reward)
        self.base_targets: Floats | None
        self.base_targets, shown = with_bases(market, config)
        values, self.scaler = market_features(market, config, scaler, own_features, shown)
        self.dynamics = Dynamics.of(
            market,
            values,
            extras,
            config,
            costs,
            self.reward if self.early_end is None else self.early_end.reward,
            tracks_moments=callable(reward) or reward == "differential_sharpe",
            device=self.device,
            sampler=sampler,
            fill_cost=fill_cost,
        )
        self._assets = self.dynamics.observer.assets
        self._dtype = (rows := self.dynamics.bars.rows).dtype
        self._modulator = Modulator.of(config, self.base_targets, num_envs, rows)
        self._map = ActionMap.of(config, num_envs, self._assets, rows, extras.member)
        self._prices = OrderActions.of(config, self._map)
        self._set_spaces()
        self._unpaid = True  # no reward has been looked at
        self._engine = make_engine(engine, self.dynamics, thread_count(threads))
        if isinstance(self._engine, TaskEngine):
            self._map = replace(self._map, compiled=True)
        self._seed, self._sampler = seed, sampler
        self._now: Any = None  # state in the form of the engine
        self._left: int | None = None  # bars left while all environments are in step, else None
        # [N] ended and not reset yet, while they are not in step
        self._waiting = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self._stopped = self._waiting  # [N] of them, those that ended before their time

    def _set_spaces(self) -> None:
        config = self.config
        self.metadata = {"autoreset_mode": _AUTORESET[config.autoreset], "render_modes": []}
        self.single_observation_space = self.dynamics.observer.space
        reader = self._modulator or self._prices
        self.single_action_space = (
            action_space(config, self._assets) if reader is None else reader.space
        )
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def obs_dim(self) -> int:
        """D."""
        return self.dynamics.observer.dim

    @property
    def state(self) -> EnvState:
        """Where the environments are; assign a saved state to go back to it.

        Raises:
            ResetNeeded: before the first reset.

        """
        return self._engine.unpack(self._packed())

    @state.setter
    def state(self, state: EnvState) -> None:
        done = state.bar - state.start
        together = bool((done == done[0]).all()) and self.early_end is None
        self._now, self._waiting = self._engine.pack(state), self._ended(state)
        self._left = self.config.horizon - int(done[0]) if together else None

    def like(
        self, market: MarketLike | None = None, *, num_envs: int, config: EnvConfig | None = None
    ) -> MarketEnv:
        """The same task once more: costs, reward, scaler, device, what was given beside the bars.

        Args:
            market: other bars; None: the same.
            num_envs: N.
            config: a changed task.

        Raises:
            ConfigError: an array such as `own_features` is not known at the other bars.

        """
        market = self.market if market is None else as_market(market)
        return MarketEnv(
            market,
            num_envs=num_envs,
            config=config or self.config,
            costs=self.costs,
            reward=self.reward if self.own_reward else None,
            scaler=self.scaler,
            device=self.device,
            termination=None if self.early_end is None else self.early_end.function,
            sampler=self._sampler if market is self.market else None,
            fill_cost=self.dynamics.fill_cost,
            **given_for(self._given, self.market, market),
        )

    def reset(
        self,
        *,
        seed: int | Sequence[int] | np.ndarray | Tensor | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observation, Info]:
        """Start new episodes.

        Args:
            seed: a number that the environments' seeds are drawn from, the first one's is itself
                (`spawned`); or a seed for each of them; None goes on to the next episodes.
            options: "start" and "asset": [N] bar and asset indices instead of draws;
                "reset_mask": [N] bool, environments to reset while the others stay.

        Returns:
            Observation and {"bar", "asset", "start", "close"}, each [N].

        Raises:
            ConfigError: a seed is no whole number >= 0; or an option is unknown, of the wrong
                shape, or outside the market.

        """
        given = window_options(options, self)
        if self._now is None or seed is not None:
            seed = self._seed if seed is None else seed
            seed = int(np.random.default_rng().integers(2**62)) if seed is None else seed
            key = keys(environment_seeds(seed, self.num_envs, self.device), self.device)
            episode = torch.zeros_like(key)
        else:
            key, episode = self._now.key, self._now.episode + 1
        fresh = self.dynamics.begin(key, episode, given.get("asset"), given.get("start"))
        mask = given.get("reset_mask")
        if self._now is None or mask is None or bool((mask > 0).all()):
            state, self._left = fresh, self.config.horizon
            self._waiting = torch.zeros_like(self._waiting)
        else:
            state = merge_states(mask > 0, fresh, self.state)
            self._left = None
            self._waiting = self._ended(state) | (self._waiting & (mask == 0))
        self._stopped = self._stopped & self._waiting
        self._left = self._left if self.early_end is None else None
        self._now = self._engine.pack(state)
        close = state.ledger.close if self.config.portfolio else state.ledger.close[:, 0]
        info = {"bar": state.bar, "asset": state.asset, "start": state.start, "close": close}
        return self._engine.observe(self._now), info

    def step(self, actions: Any) -> Result:
        """Act in every environment; see the class for actions and `step_weights` for results."""
        if self.config.portfolio or self._prices is not None:
            orders = self.orders(actions) if self._prices is None else self.priced_orders(actions)
            return self._step(orders, on_change=False)
        if self._modulator is not None:
            return self._step(self.targets(actions), on_change=not self.config.rebalance)
        return self._step(self._map.read(actions), on_change=not self.config.rebalance)

    def step_weights(self, weights: Any) -> Result:
        """Order target weights and carry every environment one bar on.

        Args:
            weights: [N] or [N, A'] signed fractions of equity; NaN is no order.

        Returns:
            Observation, reward [N], terminated [N], truncated [N], and info about the transition
            just made (never about a reset): equity (1 at the start), position, turnover, costs,
            financing, realised_pnl, debt, close, price (NaN: no fill), bar, asset, start; and
            when environments ended and were reset "final_obs" and "final_info", with the masks
            "_final_obs" and "_final_info".

        Raises:
            ResetNeeded: before the first reset, or after the end without autoreset.

        """
        orders = torch.as_tensor(weights, dtype=self._dtype, device=self.device)
        orders = self._map.each(orders, "targets")
        if self.config.portfolio:
            orders = self._map.orders(orders, self._standing()[0], None)
        return self._step(orders, on_change=False)

    def step_orders(self, weights: Any, *, limit: Any = None, stop: Any = None) -> Result:
        """Order target weights at prices, as `simulate` takes them, and go one bar on.

        Args:
            weights: [N] signed fractions of equity; NaN is no order: what waits goes on waiting.
            limit: [N] worst acceptable prices [currency]; NaN is none.
            stop: [N] prices that activate the orders; with a limit, stop-limit orders.

        Raises:
            ConfigError: orders of this environment cannot wait.

        """
        return self._step(with_prices(self._prices).given(weights, limit, stop), on_change=False)

    def priced_orders(self, actions: Any) -> PricedOrders:
        """The orders, with prices [currency], that actions amount to now; NaN is none."""
        on_change, prices = not self.config.rebalance, with_prices(self._prices)
        return prices.orders(actions, self.state, self.dynamics, on_change=on_change)

    def targets(self, actions: Any) -> Tensor:
        """[N, A'] target weights of [N] or [N, A'] actions; those of an overlay at present."""
        if self._modulator is not None:
            state = self.state
            return self._modulator.orders(actions, state.asset, state.bar)
        if self._prices is not None:
            return self._prices.targets(actions)
        return self._map.weights(self._map.read(actions), getattr(self._now, "bar", None))

    def orders(self, actions: Any) -> Tensor:
        """[N, A'] the orders that actions amount to now; NaN is none."""
        held, target = self._standing()
        if not self.config.portfolio:
            wanted = self.targets(actions)
            repeats = (wanted == target) & (not self.config.rebalance)
            return wanted.masked_fill(repeats, torch.nan)
        last = None if self.config.rebalance else target
        return self._map.orders(self.targets(actions), held, last)

    def _standing(self) -> tuple[Tensor, Tensor]:
        """[N, A'] weights of the positions at the last close, and the targets."""
        return self._engine.standing(self._packed())

    def market_obs(self, asset: Tensor, bar: Tensor) -> Tensor:
        """[N, W * F'] market part of the observation at [N] bars of [N] assets."""
        return self.dynamics.observer.market(asset, bar)

    def observe(self, state: EnvState) -> Observation:
        """Observation of a state."""
        return self.dynamics.observe(state)

    def dense(self, obs: Observation) -> Tensor:
        """[N, D] the flat observation that one of any kind (`EnvConfig.observation`) stands for.

        With "index", the market part is gathered here, from the one table that all steps share.
        """
        return self.dynamics.observer.dense(obs)

    def _packed(self) -> Any:
        if self._now is None:
            raise ResetNeeded("MarketEnv has no state yet. Call reset() first.")
        return self._now

    def _step(self, target: Tensor | PricedOrders, *, on_change: bool) -> Result:
        """One bar on, to target weights [N, A']; `on_change`: only changed targets are orders."""
        step = step_out_of_phase if self._left is None else step_in_phase
        return step(self, target, on_change=on_change)

    def _look_at(self, reward: Tensor) -> None:
        """Check the first rewards: a function of somebody's own may pay anything."""
        if self._unpaid:
            check_rewards(reward, self.num_envs, "MarketEnv(reward=...)")
            self._unpaid = False

    def _ended(self, state: EnvState) -> Tensor:
        """[N] bool: the episode is over and waits for a reset."""
        return state.bar - state.start >= self.config.horizon

    def _next(self, state: Any) -> EnvState:
        """The next episode of every environment."""
        return self.dynamics.begin(state.key, state.episode + 1)
