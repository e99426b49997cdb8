"""The environment as pure functions of its state: begin an episode, step, observe.

Everything here takes and returns tensors, synchronises nothing with the host and compiles with
`torch.compile(fullgraph=True)`; `MarketEnv` wraps it in Gymnasium's interface.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.market import MarketData
from tradinghf.simulation._bars import Bars, Extras, Floats
from tradinghf.simulation._forced_trades import close_ruined
from tradinghf.simulation._hooks import FillCost, charge
from tradinghf.simulation._ledger import Bar, Ledger, Tape, sum_assets
from tradinghf.simulation._observe import Observation, Observer
from tradinghf.simulation._rewards import Reward, Transition, moments
from tradinghf.simulation._sampling import Sampler, WindowDraw
from tradinghf.simulation._setup import Setup
from tradinghf.simulation._step import step_account
from tradinghf.simulation._windows import WindowSpace, uniform
from tradinghf.simulation._working_orders import BarOrders, waiting_part

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
        fee, slippage: [N, 1] costs of this episode; None where they are not randomised.
        manner: [N, A'] of the last order, beside its target; None where all are market orders.

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
    fee: Tensor | None = None
    slippage: Tensor | None = None
    manner: Tensor | None = None


def merge_states(mask: Tensor, yes: Tree, no: Tree) -> Tree:
    """Per environment: `yes` where mask [N] holds, else `no`, through nested tensors."""
    if isinstance(yes, Tensor) and isinstance(no, Tensor):
        chosen: Any = torch.where(mask.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)
        return chosen  # type: ignore[no-any-return]
    if is_dataclass(yes) and not isinstance(yes, type):
        names = [f.name for f in fields(yes)]
        parts = {name: merge_states(mask, getattr(yes, name), getattr(no, name)) for name in names}
        return replace(yes, **parts)
    if isinstance(yes, dict) and isinstance(no, dict):
        each: Any = {name: merge_states(mask, value, no[name]) for name, value in yes.items()}
        return each  # type: ignore[no-any-return]
    return yes


@dataclass(frozen=True)
class Dynamics:
    """A trading task on a device.

    Attributes:
        config: the task.
        setup: what an account step consists of.
        bars: prices.
        observer: observations.
        windows: where episodes may start.
        reward: of a transition.
        tracks_moments: the reward needs moving averages of the return.
        fill_cost: what a user charges for fills, beside the costs of `setup`.
        sampler: draws windows in the place of `windows`.

    """

    config: EnvConfig
    setup: Setup
    bars: Bars
    observer: Observer
    windows: WindowSpace
    reward: Reward
    tracks_moments: bool
    fill_cost: FillCost | None = None
    sampler: WindowDraw | None = None

    @classmethod
    def of(
        cls,
        market: MarketData,
        values: Floats,
        extras: Extras,
        config: EnvConfig,
        costs: CostModel,
        reward: Reward,
        *,
        tracks_moments: bool,
        device: torch.device,
        sampler: Sampler | None = None,
        fill_cost: FillCost | None = None,
    ) -> Dynamics:
        """Lay a market with scaled features [T, A, F] out on a device.

        Raises:
            ConfigError: a setting that does not suit the market, or a hook that is no function.

        """
        if not callable(fill_cost) and fill_cost is not None:
            raise ConfigError(
                f"fill_cost is {fill_cost!r:.60}; expected a function of BarFills to a tensor "
                "[N, A'] of what they cost [currency], or None."
            )
        dtype = torch.float64 if config.dtype == "float64" else torch.float32
        assets = 1 if config.portfolio else market.assets
        windows = WindowSpace.of(
            market.bars,
            assets,
            config.lookback,
            config.horizon,
            market.name,
            member=None if config.portfolio else extras.member,
            device=device,
        )
        return cls(
            config=config,
            setup=Setup.of(
                config,
                costs,
                bars_per_year=market.bars_per_year,
                funding=extras.funding is not None,
                waits=config.orders != ("market",),
            ),
            bars=Bars.of(market, extras, portfolio=config.portfolio, dtype=dtype, device=device),
            observer=Observer.of(market, values, config, device, extras.member),
            windows=windows,
            reward=reward,
            tracks_moments=tracks_moments,
            fill_cost=fill_cost,
            sampler=None if sampler is None else WindowDraw.of(sampler, windows),
        )

    # ------------------------------------------------------------------ begin

    def begin(
        self,
        key: Tensor,
        episode: Tensor,
        asset: Tensor | None = None,
        start: Tensor | None = None,
    ) -> EnvState:
        """Flat accounts at the first bar of an episode.

        Args:
            key: [N] of each environment's seed.
            episode: [N] number of the episode.
            asset: [N] instead of a draw.
            start: [N] bar of the first decision, instead of a draw.

        """
        if self.sampler is not None:
            drawn = self.sampler(key, episode)
        elif self.config.windows == "sequential":
            drawn = self.windows.sequential(episode)
        else:
            drawn = self.windows.random(key, episode)
        asset = drawn[0] if asset is None else asset
        start = drawn[1] if start is None else start
        bar = self.bars.at(self.bars.row(asset, start))
        cash = torch.full_like(bar.close[:, :1], self.config.cash)
        nothing = torch.zeros_like(bar.close)
        zero = torch.zeros_like(cash) if self.tracks_moments else None
        random, costs = self.config.randomise, self.setup.rates
        return EnvState(
            ledger=self.setup.open(cash, bar),
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
            fee=self._draw(key, episode, 1, random.fee_bps, 0.0),
            slippage=self._draw(key, episode, 2, random.slippage_bps, costs.half_spread),
            manner=torch.full_like(nothing, torch.nan) if self.observer.waits else None,
        )

    def _draw(
        self,
        key: Tensor,
        episode: Tensor,
        number: int,
        bps: tuple[float, float] | None,
        base: float,
    ) -> Tensor | None:
        """[N, 1] a randomised cost [fraction]; None where it is not randomised."""
        if bps is None:
            return None
        rate = uniform(key, episode, number, bps[0] / 1e4 + base, bps[1] / 1e4 + base)
        return rate[:, None].to(self.bars.rows.dtype)

    # ------------------------------------------------------------------ one bar on

    @property
    def resets_targets(self) -> bool:
        """Where an exit left nothing the target is flat: an action that repeats it enters again.

        A base's target stands until the base changes it, as in a backtest of the base.
        """
        return self.setup.forces and self.config.overlay is None

    def transition(
        self, state: EnvState, orders: Tensor | BarOrders, last: bool | Tensor
    ) -> tuple[EnvState, Tensor, Info]:
        """`advance`, with the reward [N] instead of the `Transition`."""
        after, happened, info = self.advance(state, orders, last)
        return after, self.reward(happened), info

    def advance(
        self, state: EnvState, orders: Tensor | BarOrders, last: bool | Tensor
    ) -> tuple[EnvState, Transition, Info]:
        """One bar for every environment, without resets.

        Args:
            state: at the close of the decision bar.
            orders: [N, A'] target weights, or orders with prices; NaN is no order.
            last: whether this step ends the episode, for all or [N, 1] bool.

        Returns:
            The state at the next close, what rewards are made of, and info as
            `MarketEnv.step_weights` describes it.

        """
        bar = self.bars.at(self.bars.row(state.asset, state.bar + 1))
        setup = self._setup(state)
        orders = BarOrders(orders) if isinstance(orders, Tensor) else orders
        ledger, tape = step_account(state.ledger, orders, bar, setup)
        if self.fill_cost is not None:
            ledger, tape = charge(self.fill_cost, state.ledger, ledger, tape)
            ledger, tape = close_ruined(ledger, tape, setup)
        after = self._carry(state, ledger, tape, bar, orders)
        happened = self._transition(state, after, tape, last)
        return after, happened, self._info(happened, after, tape)

    def _setup(self, state: EnvState) -> Setup:
        """The setup with the costs of each environment's episode."""
        rates = self.setup.rates
        if state.fee is not None:
            rates = replace(rates, fee=state.fee)
        if state.slippage is not None:
            rates = replace(rates, slippage=state.slippage)
        return replace(self.setup, rates=rates)

    def _carry(
        self, state: EnvState, ledger: Ledger, tape: Tape, bar: Bar, orders: BarOrders
    ) -> EnvState:
        """The state after the bar: account, targets, review period and moving averages."""
        equity, index = ledger.equity, state.bar + 1
        peak = torch.maximum(state.peak, equity)
        if self.observer.review < self.config.horizon:
            begins = ((index - state.start) % self.observer.review == 0)[:, None]
            peak = torch.where(begins, equity.clamp_min(self.setup.ruin), peak)
        mean, square = state.mean, state.square
        if mean is not None and square is not None:
            change = equity / state.ledger.equity.clamp_min(self.setup.ruin) - 1.0
            mean, square = moments(mean, square, change)
        none = orders.size.isnan()
        target = torch.where(none, state.target, orders.size)
        if self.resets_targets:
            out = tape.exited & (ledger.account.shares == 0)
            out = out if ledger.working is None else out & (ledger.working.size == 0)
            target = target.masked_fill(out, 0.0)
        manner = state.manner
        if manner is not None:
            came = getattr(orders, "manner", None)
            manner = torch.where(none, manner, torch.nan if came is None else came)
        return replace(
            state,
            ledger=ledger,
            bar=index,
            target=target,
            peak=peak,
            since=(state.since + 1.0).masked_fill(tape.volume > 0, 0.0),
            volatility=bar.volatility,
            mean=mean,
            square=square,
            manner=manner,
        )

    def _transition(
        self, state: EnvState, after: EnvState, tape: Tape, last: bool | Tensor
    ) -> Transition:
        """The quantities that rewards and info are computed from."""
        cash, floor = self.config.cash, self.setup.ruin
        before, equity = state.ledger.equity, after.ledger.equity
        realised = tape.realised
        if isinstance(last, Tensor):
            realised = realised + torch.where(last, sum_assets(after.ledger.open_profit), 0.0)
        elif last:
            realised = realised + sum_assets(after.ledger.open_profit)
        shares, close = after.ledger.account.shares, after.ledger.close
        none = before if state.mean is None else state.mean
        return Transition(
            previous=(before / cash)[:, 0],
            equity=(equity / cash)[:, 0],
            drawdown_before=(1.0 - before / state.peak)[:, 0],
            drawdown=(1.0 - equity / torch.maximum(state.peak, equity))[:, 0],
            realised=(realised / cash)[:, 0],
            costs=(tape.costs / cash)[:, 0],
            turnover=(sum_assets(tape.notional) / before.clamp_min(floor))[:, 0],
            financing=(tape.financing / cash)[:, 0],
            position=shares * close / equity.clamp_min(floor),
            mean=none[:, 0],
            square=(none if state.square is None else state.square)[:, 0],
            floor=self.config.ruin,
        )

    def _info(self, happened: Transition, after: EnvState, tape: Tape) -> Info:
        def each(values: Tensor) -> Tensor:
            return values if self.config.portfolio else values[:, 0]

        return happened.info(
            after,
            position=each(happened.position),
            debt=(after.ledger.owed / self.config.cash)[:, 0],
            close=each(after.ledger.close),
            price=each(tape.price),
            bar=after.bar,
        )

    # ------------------------------------------------------------------ observe

    def account_obs(self, state: EnvState) -> Tensor:
        """[N, 3 A' + 1 or 2] account part of the observation."""
        ledger = state.ledger
        equity = ledger.equity
        safe = equity.clamp_min(self.setup.ruin)
        return self.observer.account(
            position=self.held(state),
            open_profit=ledger.open_profit / safe,
            volatility=state.volatility,
            since=state.since,
            drawdown=1.0 - equity / state.peak,
            elapsed=state.bar - state.start,
            waiting=waiting_part(ledger, state.volatility, self.setup.ruin)
            if self.observer.waits
            else (),
        )

    def held(self, state: EnvState) -> Tensor:
        """[N, A'] weights of the positions."""
        ledger = state.ledger
        equity = ledger.equity.clamp_min(self.setup.ruin)
        return ledger.account.shares * ledger.close / equity

    def observe(self, state: EnvState) -> Observation:
        """Observation of a state."""
        return self.observer.join(state.asset, state.bar, self.account_obs(state))
