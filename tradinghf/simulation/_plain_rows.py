"""Plain tasks as rows of one matrix: what the engines that step them in one pass have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tradinghf.simulation._account import Account
from tradinghf.simulation._dynamics import Dynamics, EnvState, Info
from tradinghf.simulation._ledger import Ledger
from tradinghf.simulation._observe import LIMIT, PROFIT_BARS
from tradinghf.simulation._rewards import MOMENT_RATE, Transition
from tradinghf.simulation._tolerance import ABSOLUTE, RELATIVE, is_off

_PLAIN_COLUMNS = ("open", "high", "low", "close", "volume", "volatility")
# Rows of the state's matrix: what an account carries from bar to bar, then what rewards and info
# are made of. Those that not every task needs come first, and the close last of the first part, so
# that what info shows is in one piece.
CARRIED = (
    *("volatility", "mean", "square"),
    *("cash", "shares", "flow", "owed", "ruined", "peak", "since", "target", "close"),
)
_FOUND = (
    *("equity", "drawdown_before", "drawdown", "realised", "costs", "turnover"),
    *("financing", "position", "debt", "price"),
)
ROWS = (*CARRIED, *_FOUND)
# Settings, all of the accounts' precision so that no operation is done in another.
SETTINGS = (
    *("zero", "one", "none", "relative", "absolute", "fixed", "per_share", "least", "ruin"),
    *("start_cash", "borrow", "margin", "interest", "funding", "moment_rate", "profit_unit"),
    *("review", "limit"),
)
SWITCHES = (
    *("bars", "side", "fill_at_close", "finances", "moments", "review", "lookback", "width"),
)
_SHOWN = CARRIED.index("close")


def is_plain(dynamics: Dynamics) -> bool:
    """Whether the plain kernel does all that this task's step consists of."""
    setup, limits = dynamics.setup, dynamics.setup.limits
    unlimited = all(
        is_off(x) for x in (limits.lot, limits.max_size, limits.max_position, limits.min_notional)
    )
    return (
        dynamics.bars.columns == _PLAIN_COLUMNS
        and not dynamics.config.portfolio
        and unlimited
        and limits.allow_partial
        and not (limits.lock_cash or setup.waits or setup.forces)
        and setup.margin.leverage == 1.0
        and is_off(setup.rates.impact)
    )


class PlainRows:
    """Accounts of a task that `is_plain` allows, as the rows `ROWS` of one matrix [R, N].

    Attributes:
        dynamics: of the task.

    """

    dynamics: Dynamics

    def _settings(self) -> tuple[float, ...]:
        """One number for each of `SETTINGS`."""
        setup, config = self.dynamics.setup, self.dynamics.config
        rates, held = setup.rates, setup.financing
        relative = RELATIVE[self.dynamics.bars.rows.dtype]
        least = float(setup.limits.min_size)
        least -= max(abs(least) * relative, ABSOLUTE)
        holding = (held.borrow, held.margin, held.cash, held.funding) if held else (0.0,) * 4
        return (
            *(0.0, 1.0, float("nan"), relative, ABSOLUTE),
            *(float(rates.fixed), float(rates.per_share), least, setup.ruin),
            *(config.cash, *holding, MOMENT_RATE, PROFIT_BARS**0.5),
            *(float(self.dynamics.observer.review), LIMIT),
        )

    def _rows(self, state: EnvState) -> Tensor:
        """[R, N] the rows of a state."""
        ledger, none = state.ledger, torch.zeros_like(state.peak)
        account = ledger.account
        equity = (account.cash + account.shares * ledger.close) / self.dynamics.config.cash
        columns = (
            *(none if x is None else x for x in (state.volatility, state.mean, state.square)),
            *(account.cash, account.shares, ledger.flow, ledger.owed),
            *(ledger.ruined.to(none.dtype), state.peak, state.since, state.target, ledger.close),
            *(equity, *[none] * (len(ROWS) - _SHOWN - 2)),
        )
        return torch.cat(columns, 1).T.contiguous()

    def facts(self, state: Any, after: Any) -> tuple[Transition, Info]:
        """The quantities that rewards and info are computed from."""
        (rows,), (rows_before,) = after.tables, state.tables
        close, *found = rows[_SHOWN:].unbind()
        equity, drawdown_before, drawdown, realised, costs, turnover = found[:6]
        financing, position, debt, price = found[6:]
        previous = rows_before[_SHOWN + 1]
        mean = square = previous  # of no meaning where no moments are kept
        if self.dynamics.tracks_moments:
            mean, square = rows_before[1:3].unbind()
        happened = Transition(
            previous=previous,
            equity=equity,
            drawdown_before=drawdown_before,
            drawdown=drawdown,
            realised=realised,
            costs=costs,
            turnover=turnover,
            financing=financing,
            position=position[:, None],
            mean=mean,
            square=square,
            floor=self.dynamics.config.ruin,
        )
        shown = {"position": position, "debt": debt, "close": close, "price": price}
        return happened, happened.info(after.episodes, **shown, bar=after.bar)

    def unpack(self, state: Any) -> EnvState:
        """See `engines.StepEngine`."""
        carried = state.tables[0][: _SHOWN + 1, :, None].unbind()
        volatility, mean, square, cash, shares, flow, owed, ruined, peak, since, target, close = (
            carried
        )
        episodes, tracked = state.episodes, self.dynamics.tracks_moments
        return EnvState(
            ledger=Ledger(Account(cash, shares), close, flow, owed, ruined != 0),
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
