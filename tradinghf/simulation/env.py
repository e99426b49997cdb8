"""`MarketEnv`: N trading environments as tensors on one device."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.market.data import MarketData
from tradinghf.market.features import FeatureScaler
from tradinghf.simulation.bars import Bars
from tradinghf.simulation.ledger import Bar, Ledger, Tape, total
from tradinghf.simulation.observe import (
    AccountView,
    Observation,
    Observer,
    market_features,
)
from tradinghf.simulation.rewards import REWARDS, Reward, Transition, moments
from tradinghf.simulation.step import Setup, step_account
from tradinghf.simulation.windows import Windows, keys

Tree = TypeVar("Tree")
Info = dict[str, Any]


@dataclass(frozen=True)
class EnvState:
    """Everything that changes from step to step.

    Attributes:
        ledger: the accounts.
        key, episode: [N] seed and number of each environment's episode.
        asset, start, bar: [N] window, and the bar whose close was last seen.
        target: [N, A'] last target, for `rebalance=False`.
        peak: [N, 1] highest equity of the review period [currency].
        since: [N, A'] bars since the last trade.
        volatility: [N, A'] of one bar, for the observation.
        mean, square: [N, 1] moving averages for differential Sharpe; None where not needed.

    """

    ledger: Ledger
    key: Tensor
    episode: Tensor
    asset: Tensor
    start: Tensor
    bar: Tensor
    target: Tensor
    peak: Tensor
    since: Tensor
    volatility: Tensor
    mean: Tensor | None = None
    square: Tensor | None = None


def choose(mask: Tensor, yes: Tree, no: Tree) -> Tree:
    """Per environment: `yes` where mask [N] holds, else `no`, through dataclasses of tensors."""
    if isinstance(yes, Tensor) and isinstance(no, Tensor):
        shape = (-1, *[1] * (yes.ndim - 1))
        return torch.where(mask.reshape(shape), yes, no)  # type: ignore[return-value]
    if is_dataclass(yes) and not isinstance(yes, type):
        parts = {
            f.name: choose(mask, getattr(yes, f.name), getattr(no, f.name)) for f in fields(yes)
        }
        return replace(yes, **parts)
    if isinstance(yes, dict) and isinstance(no, dict):
        return {k: choose(mask, v, no[k]) for k, v in yes.items()}  # type: ignore[return-value]
    return yes


class MarketEnv(VectorEnv[Any, Any, Any]):
    """N independent trading accounts, stepped together.

    Observation: [N, D] float32; W bars of scaled market features (oldest first), then position,
    open profit, time since the last trade and drawdown. Everything in it is known at the close of
    the decision bar.
    Action: a target position as signed fraction of equity: an index into `config.levels`, or a
    number in [-1, 1] times the leverage; NaN is no order.
    Reward: [N], see `tradinghf.simulation.rewards`.
    Termination: never; ruin is absorbing. Truncation: after `config.horizon` bars.
    State: `EnvState`, on `device`; a step synchronises nothing with the host.

    Args:
        market: bars to trade.
        num_envs: N.
        config: the task.
        costs: what trading and holding costs.
        reward: name of a registered reward, or a function of a `Transition`.
        scaler: of a training market's features; None fits one on `market`.
        device: where tensors live.
        seed: of the first reset; None draws one.
        compile: run the step through `torch.compile`.

    Raises:
        ConfigError: the market is shorter than an episode, or a name is unknown.

    """

    def __init__(
        self,
        market: MarketData,
        *,
        num_envs: int = 1,
        config: EnvConfig | None = None,
        costs: CostModel | None = None,
        reward: str | Reward = "log_equity",
        scaler: FeatureScaler | None = None,
        device: str | torch.device = "cpu",
        seed: int | None = None,
        compile: bool = False,  # noqa: A002 - torch's own word for it
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"MarketEnv: num_envs is {num_envs}; expected at least 1.")
        self.market, self.num_envs = market, num_envs
        self.config, self.costs = config or EnvConfig(), costs or CostModel()
        config = self.config
        self.device = torch.device(device)
        self.dtype = torch.float64 if config.dtype == "float64" else torch.float32
        self.reward: Reward = REWARDS[reward] if isinstance(reward, str) else reward
        self._tracks_moments = not isinstance(reward, str) or reward == "differential_sharpe"
        values, self.scaler = market_features(market, config, scaler)
        self.observer = Observer.of(market, values, config, self.device)
        self.bars = Bars.of(
            market, portfolio=config.portfolio, dtype=self.dtype, device=self.device
        )
        self.setup = Setup.of(config, self.costs)
        own_assets = 1 if config.portfolio else market.assets
        self.windows = Windows.of(
            market.bars, own_assets, config.lookback, config.horizon, market.name
        )
        self._levels = torch.tensor(config.levels, dtype=self.dtype, device=self.device)
        self._spaces()
        self._advance = (
            torch.compile(self.transition, dynamic=False) if compile else self.transition
        )
        self._seed = seed
        self._state: EnvState | None = None
        self._left: int | None = None  # bars left when all environments are in step, else None
        self._waiting: Tensor | None = None

    def _spaces(self) -> None:
        config, assets = self.config, self.observer.assets
        modes = {
            "same_step": AutoresetMode.SAME_STEP,
            "next_step": AutoresetMode.NEXT_STEP,
            "disabled": AutoresetMode.DISABLED,
        }
        self.metadata = {"autoreset_mode": modes[config.autoreset], "render_modes": []}
        self.single_observation_space = self.observer.space
        if config.actions == "continuous":
            self.single_action_space = spaces.Box(-1.0, 1.0, (assets,), np.float32)
        elif config.portfolio:
            self.single_action_space = spaces.MultiDiscrete([len(config.levels)] * assets)
        else:
            self.single_action_space = spaces.Discrete(len(config.levels))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def obs_dim(self) -> int:
        """D."""
        return self.observer.dim

    @property
    def state(self) -> EnvState:
        """Where the environments are; assign a saved state to go back to it.

        Raises:
            ResetNeeded: before the first reset.

        """
        if self._state is None:
            raise ResetNeeded("MarketEnv has no state yet. Call reset() first.")
        return self._state

    @state.setter
    def state(self, state: EnvState) -> None:
        self._state = state
        done = state.bar - state.start
        together = bool((done == done[0]).all())
        self._left = self.config.horizon - int(done[0]) if together else None
        self._waiting = None

    # ------------------------------------------------------------------ gymnasium interface

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Start new episodes.

        Args:
            seed: environment i draws as a single environment seeded with seed + i; None goes on
                to the next episodes of the current seed.
            options: "start" and "asset": [N] bar and asset indices instead of draws;
                "reset_mask": [N] bool, environments to reset while the others stay.

        Returns:
            Observation and {"bar", "asset", "start", "close"}, each [N].

        Raises:
            ConfigError: an option is unknown, of the wrong shape, or outside the market.

        """
        options = options or {}
        if unknown := sorted(set(options) - {"start", "asset", "reset_mask"}):
            raise ConfigError(
                f"Unknown reset options {unknown}; expected start, asset or reset_mask."
            )
        mask = options.get("reset_mask")
        if self._state is None or seed is not None:
            seed = seed if seed is not None else self._seed
            seed = int(np.random.default_rng().integers(2**62)) if seed is None else int(seed)
            key = keys(seed, self.num_envs, self.device)
            episode = torch.zeros_like(key)
        else:
            key, episode = self._state.key, self._state.episode + 1
        fresh = self.fresh(key, episode, *self._window_options(options, key, episode))
        whole = mask is None or self._state is None
        if whole:
            self._state, self._left, self._waiting = fresh, self.config.horizon, None
        else:
            chosen = torch.as_tensor(mask, dtype=torch.bool, device=self.device)
            self._state, self._left = choose(chosen, fresh, self.state), None
            if self._waiting is not None:
                self._waiting = self._waiting & ~chosen
        state = self.state
        close = state.ledger.close
        info = {
            "bar": state.bar,
            "asset": state.asset,
            "start": state.start,
            "close": close if self.config.portfolio else close[:, 0],
        }
        return self.observe(state), info

    def step(self, actions: Any) -> tuple[Observation, Tensor, Tensor, Tensor, Info]:
        """Act in every environment; see the class for actions and `step_weights` for results."""
        target = self.targets(actions)
        if self.config.rebalance:
            return self.step_weights(target)
        same = target == self.state.target
        return self.step_weights(torch.where(same, torch.nan, target))

    def step_weights(self, weights: Any) -> tuple[Observation, Tensor, Tensor, Tensor, Info]:
        """Order target weights and carry every environment one bar on.

        Args:
            weights: [N] or [N, A'] signed fractions of equity; NaN is no order.

        Returns:
            Observation, reward [N], terminated [N], truncated [N], and info about the transition
            just made (never about a reset): equity (1 at the start), position, turnover, costs,
            financing, realised_pnl, debt, close, price (NaN: no fill), bar, asset, start; and
            "final_obs" with its mask "_final_obs" when environments ended and were reset.

        Raises:
            ResetNeeded: before the first reset, or after the end without autoreset.

        """
        orders = torch.as_tensor(weights, dtype=self.dtype, device=self.device)
        orders = orders.reshape(self.num_envs, self.observer.assets)
        if self._left is None:
            return self._step_apart(orders)
        return self._step_together(orders)

    # ------------------------------------------------------------------ pure parts

    def targets(self, actions: Any) -> Tensor:
        """[N, A'] target weights of [N] or [N, A'] actions."""
        given = torch.as_tensor(actions, device=self.device)
        if self.config.actions == "discrete":
            target = self._levels.index_select(0, given.reshape(-1).long())
        else:
            leverage = self.config.margin.leverage
            target = given.to(self.dtype).clamp(-1.0, 1.0)
            target = target if leverage == 1.0 else target * leverage
        return target.reshape(self.num_envs, self.observer.assets)

    def market_obs(self, asset: Tensor, bar: Tensor) -> Tensor:
        """[N, W * F'] market part of the observation at [N] bars of [N] assets."""
        return self.observer.market(asset, bar)

    def account_obs(self, state: EnvState) -> Tensor:
        """[N, 3 A' + 1] account part of the observation."""
        equity = state.ledger.equity
        safe = equity.clamp_min(self.setup.ruin)
        return self.observer.account(
            AccountView(
                position=state.ledger.account.shares * state.ledger.close / safe,
                open_profit=state.ledger.open_profit / safe,
                volatility=state.volatility,
                drawdown=1.0 - equity / state.peak,
                since=state.since,
            )
        )

    def observe(self, state: EnvState) -> Observation:
        """Observation of a state."""
        return self.observer.join(self.market_obs(state.asset, state.bar), self.account_obs(state))

    def fresh(
        self,
        key: Tensor,
        episode: Tensor,
        asset: Tensor | None = None,
        start: Tensor | None = None,
    ) -> EnvState:
        """Flat accounts at the first bar of episode `episode` [N] of environments `key` [N]."""
        if self.config.windows == "sequential":
            drawn = self.windows.sequential(episode)
        else:
            drawn = self.windows.random(key, episode)
        asset, start = drawn[0] if asset is None else asset, drawn[1] if start is None else start
        bar = self.bars.at(self.bars.row(asset, start))
        cash = torch.full_like(bar.close[:, :1], self.config.cash)
        nothing = torch.zeros_like(bar.close)
        zero = torch.zeros_like(cash) if self._tracks_moments else None
        return EnvState(
            ledger=Ledger.open(cash, bar.close, track_shorts=self.config.rules.lock_cash),
            key=key,
            episode=episode,
            asset=asset,
            start=start,
            bar=start,
            target=nothing,
            peak=cash,
            since=nothing,
            volatility=bar.volatility,
            mean=zero,
            square=zero,
        )

    def transition(
        self, state: EnvState, orders: Tensor, last: bool | Tensor
    ) -> tuple[EnvState, Tensor, Info]:
        """One bar for every environment: pure, without resets.

        Args:
            state: at the close of the decision bar.
            orders: [N, A'] target weights; NaN is no order.
            last: whether this step ends the episode, for all or [N, 1] bool.

        Returns:
            The state at the next close, reward [N], and info [N] as `step_weights` describes.

        """
        bar = self.bars.at(self.bars.row(state.asset, state.bar + 1))
        before = state.ledger.equity
        ledger, tape = step_account(state.ledger, orders, bar, self.setup)
        after = self._carry(state, ledger, tape, bar, orders)
        equity = ledger.equity
        held = total(ledger.open_profit)
        if isinstance(last, Tensor):
            held = torch.where(last, held, 0.0)
        realised = tape.realised + held if last is not False else tape.realised
        cash = self.config.cash
        position = ledger.account.shares * bar.close / equity.clamp_min(self.setup.ruin)
        happened = Transition(
            previous=(before / cash)[:, 0],
            equity=(equity / cash)[:, 0],
            drawdown_before=(1.0 - before / state.peak)[:, 0],
            drawdown=(1.0 - equity / torch.maximum(state.peak, equity))[:, 0],
            realised=(realised / cash)[:, 0],
            costs=(tape.costs / cash)[:, 0],
            turnover=(total(tape.notional) / before.clamp_min(self.setup.ruin))[:, 0],
            financing=(tape.financing / cash)[:, 0],
            position=position,
            mean=(state.mean if state.mean is not None else before)[:, 0],
            square=(state.square if state.square is not None else before)[:, 0],
            floor=self.config.ruin,
        )
        each = position.shape[1] == 1 and not self.config.portfolio
        info = {
            "equity": happened.equity,
            "position": position[:, 0] if each else position,
            "turnover": happened.turnover,
            "costs": happened.costs,
            "financing": happened.financing,
            "realised_pnl": happened.realised,
            "debt": (ledger.owed / cash)[:, 0],
            "close": bar.close[:, 0] if each else bar.close,
            "price": tape.price[:, 0] if each else tape.price,
            "bar": after.bar,
            "asset": after.asset,
            "start": after.start,
        }
        return after, self.reward(happened), info

    def _carry(
        self, state: EnvState, ledger: Ledger, tape: Tape, bar: Bar, orders: Tensor
    ) -> EnvState:
        """The environment's own bookkeeping around the account."""
        equity, index = ledger.equity, state.bar + 1
        peak = torch.maximum(state.peak, equity)
        if self.observer.review < self.config.horizon:
            begins = ((index - state.start) % self.observer.review == 0)[:, None]
            peak = torch.where(begins, equity.clamp_min(self.setup.ruin), peak)
        mean, square = state.mean, state.square
        if mean is not None and square is not None:
            change = equity / state.ledger.equity.clamp_min(self.setup.ruin) - 1.0
            mean, square = moments(mean, square, change)
        return replace(
            state,
            ledger=ledger,
            bar=index,
            target=torch.where(orders.isnan(), state.target, orders),
            peak=peak,
            since=torch.where(tape.volume > 0, 0.0, state.since + 1.0),
            volatility=bar.volatility,
            mean=mean,
            square=square,
        )

    # ------------------------------------------------------------------ stepping and resetting

    def _step_together(self, orders: Tensor) -> tuple[Observation, Tensor, Tensor, Tensor, Info]:
        """All environments are at the same bar of their episodes: their end is known here."""
        state = self.state
        if self._left == 0:
            if self.config.autoreset == "disabled":
                raise ResetNeeded("The episodes have ended. Call reset(), autoreset is disabled.")
            self._state, self._left = self._next(state), self.config.horizon
            none = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
            zero = torch.zeros(self.num_envs, dtype=self.dtype, device=self.device)
            return self.observe(self._state), zero, none, none, {}
        last = self._left == 1
        after, reward, info = self._advance(state, orders, last)
        terminated = torch.zeros_like(after.bar, dtype=torch.bool)
        truncated = torch.full_like(terminated, last)
        self._state, self._left = after, (self._left or 0) - 1
        if last and self.config.autoreset == "same_step":
            info["final_obs"], info["_final_obs"] = self.observe(after), truncated
            self._state, self._left = self._next(after), self.config.horizon
        return self.observe(self._state), reward, terminated, truncated, info

    def _step_apart(self, orders: Tensor) -> tuple[Observation, Tensor, Tensor, Tensor, Info]:
        """Environments are at different bars of their episodes (after a masked reset)."""
        state, mode = self.state, self.config.autoreset
        waiting = self._waiting if self._waiting is not None else state.bar < 0
        ends = state.bar + 1 - state.start >= self.config.horizon
        stays = replace(state, bar=state.bar - waiting.long())
        after, reward, info = self._advance(stays, orders, ends[:, None])
        reward = torch.where(waiting, 0.0, reward)
        if mode == "same_step":
            info["final_obs"], info["_final_obs"] = self.observe(after), ends
            after = choose(ends, self._next(after), after)
            truncated = ends
        elif mode == "next_step":
            after = choose(waiting, self._next(state), after)
            truncated = ends & ~waiting
            self._waiting = truncated
        else:
            after = choose(waiting, state, after)
            truncated = ends | waiting
            self._waiting = truncated
        self._state = after
        terminated = torch.zeros_like(truncated)
        return self.observe(after), reward, terminated, truncated, info

    def _next(self, state: EnvState) -> EnvState:
        """The next episode of every environment."""
        return self.fresh(state.key, state.episode + 1)

    def _window_options(
        self, options: dict[str, Any], key: Tensor, episode: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """Checked "asset" and "start" options."""
        found: list[Tensor | None] = []
        last_start = self.windows.first + self.windows.count - 1
        limits = {"asset": (0, self.windows.assets - 1), "start": (self.windows.first, last_start)}
        for name, (low, high) in limits.items():
            if name not in options:
                found.append(None)
                continue
            value = torch.as_tensor(options[name], dtype=torch.int64, device=self.device)
            value = value.expand(self.num_envs).contiguous()
            if int(value.min()) < low or int(value.max()) > high:
                raise ConfigError(
                    f"reset option {name!r} runs from {int(value.min())} to {int(value.max())}; "
                    f"expected {low} to {high} ({self.market.bars} bars, lookback "
                    f"{self.config.lookback}, horizon {self.config.horizon})."
                )
            found.append(value)
        return found[0], found[1]
