"""The fused engine of all other tasks: limits, margin, exits, portfolios; `_task_kernel`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.simulation._account import Account
from tradinghf.simulation._dynamics import Dynamics, EnvState, Info
from tradinghf.simulation._financing import Financing
from tradinghf.simulation._fused import SIDES, EpisodeConstants, FusedEngine, FusedState
from tradinghf.simulation._ledger import Exits, Ledger, Working
from tradinghf.simulation._observe import LIMIT, PROFIT_BARS
from tradinghf.simulation._rewards import MOMENT_RATE, Transition
from tradinghf.simulation._tolerance import ABSOLUTE, RELATIVE

_EXTRAS = {
    "funding": ("FUNDED", "FUNDING_RATE"),
    "split": ("SPLITS", "SPLIT_RATIO"),
    "dividend": ("PAYS_DIVIDENDS", "DIVIDEND_PAID"),
    "member": ("DELISTS", "LISTED"),
}  # columns of prices: their switch and their place in a block
_ACCOUNTS_PER_THREAD = 512  # of one asset


class TaskEngine(FusedEngine):
    """The step of any task on a processor, a block of accounts at a time.

    Args:
        dynamics: of the task.
        threads: that it may take; None: as many as torch.

    """

    def __init__(self, dynamics: Dynamics, threads: int | None = None) -> None:
        from tradinghf.simulation import _layout_kernel as layout
        from tradinghf.simulation import _task_kernel as kernel

        self._assets = dynamics.observer.assets
        super().__init__(dynamics, threads, max(1, _ACCOUNTS_PER_THREAD // self._assets))
        self._advance, self._at = kernel.advance, layout
        self._static = (
            self._levels,
            dynamics.bars.rows.numpy(),
            self._features(),
            self._numbers(),
            self._integers(),
            self._columns(),
            self._carried(),
        )
        self._choices = np.empty((0, self._assets), np.int64)
        self._orders = np.empty((0, self._assets), self._kind)
        rates = dynamics.setup.rates
        self._costs = self._rates(rates.fee, rates.slippage)

    def _numbers(self) -> Any:
        """The kernel's `x`."""
        setup, config, at = self.dynamics.setup, self.dynamics.config, self._at
        limits, rates, exits = setup.limits, setup.rates, setup.brackets
        held = setup.financing or Financing()
        relative, span = RELATIVE[self._dtype], self.dynamics.observer.review
        x = np.zeros(at.NUMBERS, self._kind)
        x[: at.RELATIVE] = 0.0, 1.0, 2.0, np.nan
        x[[at.RELATIVE, at.ABSOLUTE, at.LOT_ERROR]] = relative, ABSOLUTE, 1e-9
        x[[at.MOST_SLIP, at.LEAST_VOLUME, at.LEAST_SHARE]] = 0.99, 1e-12, 1e-30
        x[[at.FIXED, at.PER_SHARE, at.IMPACT]] = rates.fixed, rates.per_share, rates.impact
        for place, least in (
            (at.LEAST, limits.min_size),
            (at.LEAST_NOTIONAL, limits.min_notional),
        ):
            x[place] = float(least) - max(abs(float(least)) * relative, ABSOLUTE)
        if not limits.min_notional:
            x[at.LEAST_NOTIONAL] = 0.0
        x[[at.MAX_SIZE, at.MAX_POSITION, at.LOT]] = limits.max_size, limits.max_position, limits.lot
        x[at.PARTICIPATION], x[at.RUIN] = setup.participation, setup.ruin
        x[[at.LEVERAGE, at.MAINTENANCE]] = setup.margin.leverage, setup.margin.maintenance
        x[[at.STOP_LOSS, at.TAKE_PROFIT]] = exits.stop_loss, exits.take_profit
        x[at.TRAILING] = exits.trailing_stop
        x[[at.BORROW, at.MARGIN, at.INTEREST]] = held.borrow, held.margin, held.cash
        x[[at.FUNDING, at.START_CASH, at.SPAN]] = held.funding, config.cash, float(span)
        x[[at.MOMENT_RATE, at.PROFIT_UNIT, at.LIMIT]] = MOMENT_RATE, PROFIT_BARS**0.5, LIMIT
        return x

    def _integers(self) -> Any:
        """The kernel's `i`."""
        setup, observer, at = self.dynamics.setup, self.dynamics.observer, self._at
        limits, bars = setup.limits, self.dynamics.bars
        i = np.zeros(at.INTEGERS, np.int64)
        i[[at.SIDE, at.EXACT_LOTS]] = SIDES[limits.side], limits.exact_lots
        i[[at.PARTIAL, at.LOCKS]] = limits.allow_partial, limits.lock_cash
        i[[at.AT_CLOSE, at.WAITS, at.EXITS]] = setup.fill == "close", setup.waits, setup.exits
        i[[at.FINANCES, at.FORCES]] = setup.financing is not None, setup.forces
        i[at.MOMENTS] = self.dynamics.tracks_moments
        for name, (switch, _) in _EXTRAS.items():
            i[getattr(at, switch)] = name in bars.columns
        i[[at.BARS, at.LOOKBACK, at.WIDTH]] = bars.bars, observer.lookback, observer.width
        i[at.REVIEW] = observer.review if observer.review < self.dynamics.config.horizon else 0
        return i

    def _columns(self) -> Any:
        """[., 3] the kernel's `columns`: what it reads of a bar and of the one before."""
        at, setup, names = self._at, self.dynamics.setup, self.dynamics.bars.columns
        inside = setup.exits or setup.margin.maintenance
        liquid = setup.waits or setup.rates.impact
        wanted = [(1, "open", at.OPENED), (1, "close", at.CLOSED), (1, "volatility", at.SIGMA)]
        wanted += [(1, "high", at.HIGHEST), (1, "low", at.LOWEST)] if inside else []
        if liquid:
            wanted += [(1, "volume", at.TRADED), (0, "volume", at.OLD_TRADED)]
            wanted += [(0, "volatility", at.OLD_SIGMA)]
        wanted += [(1, n, getattr(at, place)) for n, (_, place) in _EXTRAS.items() if n in names]
        return np.array([(later, names.index(n), place) for later, n, place in wanted], np.int64)

    def _carried(self) -> Any:
        """The kernel's `carried`."""
        at, setup = self._at, self.dynamics.setup
        places = [at.SHARES, at.FLOW, at.CLOSE, at.TARGET, at.SINCE, at.RISK]
        places += [at.DEBT] if setup.limits.lock_cash else []
        places += [at.STOP, at.TAKE, at.BEST] if setup.exits else []
        places += [at.WAITING] if setup.waits else []
        return np.array([place // at.LANES for place in places], np.int64)

    def _rates(self, fee: float | Tensor, slippage: float | Tensor) -> Any:
        """[1 or N, 7] the kernel's `costs`."""
        penalty = fee + self.dynamics.setup.margin.penalty_bps / 1e4
        parts = (fee, 1.0 + fee, 1.0 - fee, 1.0 + slippage, 1.0 - slippage, slippage, penalty)
        count = max((len(p) for p in parts if isinstance(p, Tensor)), default=1)
        columns = [
            (p if isinstance(p, Tensor) else torch.tensor([[p]], dtype=torch.float64)).to(
                self._dtype
            )
            for p in parts
        ]
        return torch.cat([c.expand(count, 1) for c in columns], 1).contiguous().numpy()

    def _blank(self, count: int) -> tuple[Any, ...]:
        """See `FusedEngine._blank`."""
        at, assets = self._at, self._assets
        return (
            np.empty((at.ACCOUNT_ROWS, count), self._kind),
            np.empty((at.POSITION_ROWS, assets, count), self._kind),
        )

    def _given(self, target: Tensor) -> tuple[Any, Any]:
        """See `FusedEngine._given`."""
        given = target.contiguous().numpy()
        return (self._choices, given) if target.is_floating_point() else (given, self._orders)

    def facts(self, state: FusedState, after: FusedState) -> tuple[Transition, Info]:
        """See `FusedEngine.facts`."""
        at, first = self._at, self._at.EQUITY // self._at.LANES
        equity, drawdown_before, drawdown, realised, costs, turnover, financing, debt = (
            after.tables[0][first:].unbind()
        )
        previous = state.tables[0][first]
        close, position, price = (
            after.tables[1][k // at.LANES].T for k in (at.CLOSE, at.POSITION, at.PRICE_SHOWN)
        )
        mean = square = previous  # of no meaning where no moments are kept
        if self.dynamics.tracks_moments:
            mean, square = state.tables[0][first - 2 : first].unbind()
        happened = Transition(
            previous=previous,
            equity=equity,
            drawdown_before=drawdown_before,
            drawdown=drawdown,
            realised=realised,
            costs=costs,
            turnover=turnover,
            financing=financing,
            position=position,
            mean=mean,
            square=square,
            floor=self.dynamics.config.ruin,
        )
        shown = {"position": position, "close": close, "price": price}
        if not self.dynamics.config.portfolio:
            shown = {name: values[:, 0] for name, values in shown.items()}
        in_order = {"position": shown["position"], "debt": debt, **shown}
        return happened, happened.info(after.episodes, **in_order, bar=after.bar)

    def standing(self, state: FusedState) -> tuple[Tensor, Tensor]:
        """See `engines.StepEngine`."""
        held, target = (
            state.tables[1][place // self._at.LANES].T
            for place in (self._at.POSITION, self._at.TARGET)
        )
        return held, target

    # ------------------------------------------------------------------ to and from tensors

    def pack(self, state: EnvState) -> FusedState:
        """See `engines.StepEngine`."""
        ledger, none = state.ledger, torch.zeros_like(state.peak)
        account, flat = ledger.account, torch.zeros_like(ledger.close)
        exits, waits = ledger.exits, ledger.working
        equity = ledger.equity / self.dynamics.config.cash
        money = (
            *(account.cash, account.free, ledger.owed, ledger.ruined.to(self._dtype)),
            *(state.peak, state.mean, state.square, equity),
        )
        positions = (
            *(account.shares, ledger.flow, account.debt, ledger.close),
            *((exits.stop, exits.target, exits.best) if exits else (None,) * 3),
            *(waits.size if waits else None, state.target, state.since, state.volatility),
            self.dynamics.held(state),
        )
        blank = self._blank(len(state.peak))
        accounts, places = (torch.from_numpy(x) for x in blank)
        for row, values in zip(accounts, money, strict=False):
            row.copy_((none if values is None else values)[:, 0])
        for row, values in zip(places, positions, strict=False):
            row.copy_((flat if values is None else values).T)
        rates, setup = self._costs, self.dynamics.setup.rates
        if state.fee is not None or state.slippage is not None:
            fee = setup.fee if state.fee is None else state.fee
            slip = setup.slippage if state.slippage is None else state.slippage
            rates = self._rates(fee, slip)
        episodes = EpisodeConstants(state, (rates,))
        return FusedState(blank, state.bar.contiguous().numpy(), episodes)

    def unpack(self, state: FusedState) -> EnvState:
        """See `engines.StepEngine`."""
        cash, free, owed, ruined, peak, mean, square = state.tables[0][
            : self._at.EQUITY // self._at.LANES, :, None
        ].unbind()
        places = state.tables[1][: self._at.POSITION // self._at.LANES].mT.unbind()
        shares, flow, debt, close, stop, take, best, waiting, target, since, volatility = places
        setup, episodes = self.dynamics.setup, state.episodes
        locks, tracked = setup.limits.lock_cash, self.dynamics.tracks_moments
        account = Account(cash, shares, debt, free) if locks else Account(cash, shares)
        bars = self.dynamics.bars
        row = bars.row(episodes.asset, state.bar)
        return EnvState(
            ledger=Ledger(
                *(account, close, flow, owed, ruined != 0),
                working=Working.market(waiting) if setup.waits else None,
                exits=Exits(stop, take, best) if setup.exits else None,
                liquidity=bars.at(row).liquidity if setup.keeps_liquidity else None,
            ),
            key=episodes.key,
            episode=episodes.episode,
            asset=episodes.asset,
            start=episodes.start,
            bar=state.bar,
            target=target,
            peak=peak,
            since=since,
            volatility=volatility,
            mean=mean if tracked else None,
            square=square if tracked else None,
            fee=episodes.fee,
            slippage=episodes.slippage,
        )
