"""Any task as rows of two tables: what the engines that step it in one pass have in common.

`_layout_kernel` says which row is what: accounts are [ACCOUNT_ROWS, N], their positions
[POSITION_ROWS, A, N].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tradinghf.simulation import _layout_kernel as at
from tradinghf.simulation._account import Account
from tradinghf.simulation._dynamics import Dynamics, EnvState, Info
from tradinghf.simulation._financing import Financing
from tradinghf.simulation._ledger import Exits, Ledger, Working
from tradinghf.simulation._observe import LIMIT, PROFIT_BARS
from tradinghf.simulation._rewards import MOMENT_RATE, Transition
from tradinghf.simulation._tolerance import ABSOLUTE, RELATIVE

EQUITY, POSITION = at.EQUITY // at.LANES, at.POSITION // at.LANES  # first rows of what is found


def settings_of(dynamics: Dynamics) -> list[float]:
    """The kernels' `x`, one number for each of its places."""
    setup, config, dtype = dynamics.setup, dynamics.config, dynamics.bars.rows.dtype
    limits, rates, exits = setup.limits, setup.rates, setup.brackets
    held, relative = setup.financing or Financing(), RELATIVE[dtype]

    def least(size: Any) -> float:
        return float(size) - max(abs(float(size)) * relative, ABSOLUTE)

    x: dict[int, Any] = {at.ZERO: 0.0, at.ONE: 1.0, at.TWO: 2.0, at.NONE: float("nan")}
    x |= {at.RELATIVE: relative, at.ABSOLUTE: ABSOLUTE, at.LOT_ERROR: 1e-9}
    x |= {at.MOST_SLIP: 0.99, at.LEAST_VOLUME: 1e-12, at.LEAST_SHARE: 1e-30}
    x |= {at.FIXED: rates.fixed, at.PER_SHARE: rates.per_share, at.IMPACT: rates.impact}
    x |= {at.LEAST: least(limits.min_size), at.LOT: limits.lot}
    x |= {at.LEAST_NOTIONAL: least(limits.min_notional) if limits.min_notional else 0.0}
    x |= {at.MAX_SIZE: limits.max_size, at.MAX_POSITION: limits.max_position}
    x |= {at.PARTICIPATION: setup.participation, at.RUIN: setup.ruin}
    x |= {at.LEVERAGE: setup.margin.leverage, at.MAINTENANCE: setup.margin.maintenance}
    x |= {at.STOP_LOSS: exits.stop_loss, at.TAKE_PROFIT: exits.take_profit}
    x |= {at.TRAILING: exits.trailing_stop, at.BORROW: held.borrow, at.MARGIN: held.margin}
    x |= {at.INTEREST: held.cash, at.FUNDING: held.funding, at.START_CASH: config.cash}
    x |= {at.SPAN: float(dynamics.observer.review), at.MOMENT_RATE: MOMENT_RATE}
    x |= {at.PROFIT_UNIT: PROFIT_BARS**0.5, at.LIMIT: LIMIT}
    return [float(x[place]) for place in range(at.NUMBERS)]


def rates_of(dynamics: Dynamics, state: EnvState | None = None) -> Tensor:
    """[1 or N, RATES] what fills cost, of an episode where costs are drawn for each."""
    rates, like = dynamics.setup.rates, dynamics.bars.rows
    fee: Any = rates.fee if state is None or state.fee is None else state.fee
    slip: Any = rates.slippage if state is None or state.slippage is None else state.slippage
    penalty = fee + dynamics.setup.margin.penalty_bps / 1e4
    parts = (fee, 1.0 + fee, 1.0 - fee, 1.0 + slip, 1.0 - slip, slip, penalty)
    count = max((len(p) for p in parts if isinstance(p, Tensor)), default=1)
    columns = [p if isinstance(p, Tensor) else like.new_full((1, 1), p) for p in parts]
    return torch.cat([c.expand(count, 1) for c in columns], 1).contiguous()


class TaskRows:
    """Accounts of any task, and their positions, as the rows of two tables.

    Attributes:
        dynamics: of the task.

    """

    dynamics: Dynamics

    def _tables(self, state: EnvState) -> tuple[Tensor, Tensor]:
        """A state's tables; rows that the task has no use for are not written."""
        ledger, none = state.ledger, torch.zeros_like(state.peak)
        account, flat = ledger.account, torch.zeros_like(ledger.close)
        exits, waits = ledger.exits, ledger.working
        equity = ledger.equity / self.dynamics.config.cash
        money = (
            *(account.cash, account.free, ledger.owed, ledger.ruined.to(none.dtype)),
            *(state.peak, state.mean, state.square, equity),
        )
        positions = (
            *(account.shares, ledger.flow, account.debt, ledger.close),
            *((exits.stop, exits.target, exits.best) if exits else (None,) * 3),
            *(waits.size if waits else None, state.target, state.since, state.volatility),
            self.dynamics.held(state),
        )
        count, assets = flat.shape
        accounts = none.new_empty(at.ACCOUNT_ROWS, count)
        places = none.new_empty(at.POSITION_ROWS, assets, count)
        for row, values in zip(accounts, money, strict=False):
            row.copy_((none if values is None else values)[:, 0])
        for row, values in zip(places, positions, strict=False):
            row.copy_((flat if values is None else values).T)
        return accounts, places

    def facts(self, state: Any, after: Any) -> tuple[Transition, Info]:
        """The quantities that rewards and info are computed from."""
        equity, drawdown_before, drawdown, realised, costs, turnover, financing, debt = (
            after.tables[0][EQUITY:].unbind()
        )
        previous = state.tables[0][EQUITY]
        close, position, price = (
            after.tables[1][k // at.LANES].T for k in (at.CLOSE, at.POSITION, at.PRICE_SHOWN)
        )
        mean = square = previous  # of no meaning where no moments are kept
        if self.dynamics.tracks_moments:
            mean, square = state.tables[0][EQUITY - 2 : EQUITY].unbind()
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

    def standing(self, state: Any) -> tuple[Tensor, Tensor]:
        """See `engines.StepEngine`."""
        held, target = (state.tables[1][place // at.LANES].T for place in (at.POSITION, at.TARGET))
        return held, target

    def unpack(self, state: Any) -> EnvState:
        """See `engines.StepEngine`."""
        money = state.tables[0][:EQUITY, :, None].unbind()
        cash, free, owed, ruined, peak, mean, square = money
        places = state.tables[1][:POSITION].mT.unbind()
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
