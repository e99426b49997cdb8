"""The ledger carried from bar to bar, and the tape of one bar's trades."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tradinghf.simulation._account import Account, Fill
from tradinghf.simulation._costs import Liquidity


@dataclass(frozen=True)
class Bar:
    """One bar of every account's assets; each tensor [N, A].

    Attributes:
        open, high, low, close: prices [currency].
        volume: [shares].
        volatility: standard deviation of one bar's log return, known before this bar.
        funding: rate paid by longs on their value, received by shorts; None is none.
        split: new shares per old one, at the open; None is none.
        dividend: per share after the split, at the open [currency]; None is none.
        member: 1 where the asset may be held, 0 after its delisting; None is always.

    """

    open: Tensor
    high: Tensor
    low: Tensor
    close: Tensor
    volume: Tensor
    volatility: Tensor
    funding: Tensor | None = None
    split: Tensor | None = None
    dividend: Tensor | None = None
    member: Tensor | None = None

    @property
    def liquidity(self) -> Liquidity:
        """What market impact depends on."""
        return Liquidity(self.volume, self.volatility)


@dataclass(frozen=True)
class Working:
    """Orders that wait in the market, one per account and asset.

    Attributes:
        size: [N, A] signed shares left; 0 is no order.
        limit: [N, A] worst acceptable price; NaN is none.
        stop: [N, A] price that activates the order; NaN is active.
        stop_loss, take_profit: [N, A] exits of the position it opens; NaN is the setup's.
        begun: [N, A] bool, volume has filled it in part; an exit cancels such a rest.

    """

    size: Tensor
    limit: Tensor
    stop: Tensor
    stop_loss: Tensor
    take_profit: Tensor
    begun: Tensor

    @classmethod
    def none(cls, like: Tensor) -> Working:
        """No orders; `like` [N, A]."""
        return cls.market(torch.zeros_like(like))

    @classmethod
    def market(cls, size: Tensor) -> Working:
        """Market orders of which `size` [N, A] signed shares are left."""
        nothing = torch.full_like(size, torch.nan)
        return cls(size, nothing, nothing, nothing, nothing, begun=size != 0)

    def left(self, size: Tensor) -> Working:
        """The orders with `size` [N, A] signed shares left."""
        return replace(self, size=size, begun=self.begun & (size != 0))

    def after_exit(self, closed: Tensor) -> Working:
        """What is left once positions of `closed` [N, A] signed shares (0: none) were closed.

        The rest of an order that had begun to open one goes with it; of one that had begun to
        reduce or turn it, only what lies beyond flat is left.
        """
        beyond = torch.where(self.size * closed < 0, self.size + closed, 0.0)
        beyond = torch.where(beyond * self.size > 0, beyond, 0.0)
        return self.left(torch.where(self.begun & (closed != 0), beyond, self.size))


@dataclass(frozen=True)
class Exits:
    """Protective exits of open positions; meaningless while flat.

    Attributes:
        stop: [N, A] stop-loss price; NaN is none.
        target: [N, A] take-profit price; NaN is none.
        best: [N, A] best price since entry, up to the last close.

    """

    stop: Tensor
    target: Tensor
    best: Tensor

    @classmethod
    def none(cls, like: Tensor) -> Exits:
        """No levels; `like` [N, A]."""
        nothing = torch.full_like(like, torch.nan)
        return cls(nothing, nothing, nothing)


@dataclass(frozen=True)
class Ledger:
    """State of N accounts at a bar's close.

    Attributes:
        account: money and shares.
        close: [N, A] the bar's close [currency].
        flow: [N, A] cash that the open round trip of each asset has paid in, less what it cost
            [currency]; 0 while flat.
        owed: [N, 1] what a liquidation could not pay back [currency].
        ruined: [N, 1] bool; a ruined account trades no more.
        working: waiting orders; None where orders cannot wait.
        exits: protective exits; None where there are none.
        liquidity: of the last bar, for fills at its close; None where nothing depends on it.

    """

    account: Account
    close: Tensor
    flow: Tensor
    owed: Tensor
    ruined: Tensor
    working: Working | None = None
    exits: Exits | None = None
    liquidity: Liquidity | None = None

    @property
    def equity(self) -> Tensor:
        """[N, 1] cash + positions at the close [currency]."""
        return account_value(self.account, self.close)

    @property
    def open_profit(self) -> Tensor:
        """[N, A] profit of the open round trips at the close, net of costs so far [currency]."""
        return self.flow + self.account.shares * self.close


@dataclass(frozen=True)
class Tape:
    """What was traded in one bar.

    Attributes:
        size: [N, A] net signed shares.
        volume: [N, A] shares traded, buys and sells alike.
        notional: [N, A] value traded [currency].
        fees: [N, A] [currency].
        slippage: [N, A] paid through worse prices than the reference [currency].
        realised: [N, 1] net profit of round trips that closed [currency].
        financing: [N, 1] borrow, funding and interest paid less received [currency].
        exited: [N, A] bool, positions closed by an exit, a liquidation or a delisting.
        ambiguous: [N, A] bool, what happened depends on the path inside the bar.
        fills: each [N, A], in the order they happened.

    """

    size: Tensor
    volume: Tensor
    notional: Tensor
    fees: Tensor
    slippage: Tensor
    realised: Tensor
    financing: Tensor
    exited: Tensor
    ambiguous: Tensor
    fills: tuple[Fill, ...] = ()

    @classmethod
    def blank(cls, like: Tensor) -> Tape:
        """Nothing yet; `like` [N, A]."""
        none, one = torch.zeros_like(like), torch.zeros_like(like[:, :1])
        never = none.to(torch.bool)
        return cls(none, none, none, none, none, one, one, never, never)

    def plus(self, earlier: Tape) -> Tape:
        """The bar's tape: what came earlier, then this."""
        if not earlier.fills:
            return replace(self, realised=self.realised + earlier.realised)
        names = ("size", "volume", "notional", "fees", "slippage", "realised")
        return replace(self, **{n: getattr(self, n) + getattr(earlier, n) for n in names})

    @property
    def price(self) -> Tensor:
        """[N, A] average price of the bar's fills; NaN where nothing was traded [currency]."""
        return self.notional / self.volume  # 0/0 is NaN

    @property
    def costs(self) -> Tensor:
        """[N, 1] fees and slippage [currency]."""
        return sum_assets(self.fees + self.slippage)


def sum_assets(values: Tensor) -> Tensor:
    """[N, A] to [N, 1]: sum over assets, one after another.

    A running sum has one order on a processor, where torch's own sum takes one that depends on
    the machine; the compiled step adds up in the same order and precision (float64).
    """
    return values if values.shape[-1] == 1 else values.cumsum(-1)[:, -1:]


def account_value(account: Account, price: Tensor) -> Tensor:
    """[N, 1] cash + positions at `price` [N, A] [currency]."""
    return account.cash + sum_assets(account.shares * price)


def book_fills(
    ledger: Ledger, tape: Tape, account: Account, fill: Fill, reference: Tensor
) -> tuple[Ledger, Tape]:
    """Enter fills: the account after them, its round trips, and the tape.

    A round trip runs from flat to flat. A fill that flips a position closes one and opens the
    next, its fee shared by size; profit is realised when a trip closes.

    Args:
        ledger: before the fills.
        tape: of the bar so far.
        account: after the fills.
        fill: [N, A].
        reference: [N, A] prices before slippage [currency].

    """
    before, after = ledger.account.shares, account.shares
    paid = fill.size * fill.price
    size = fill.size.abs()
    stays = (before == 0) | (before * after > 0)
    # Share of the fill that closes the old trip; 0/0 (no fill) never counts.
    part = before.abs() / size
    gained = ledger.flow + before * fill.price - fill.fee * part
    gained = gained.masked_fill(stays, 0.0)
    flow = (ledger.flow - (paid + fill.fee) - gained).masked_fill(after == 0, 0.0)
    happened = Tape(
        size=fill.size,
        volume=size,
        notional=paid.abs(),
        fees=fill.fee,
        slippage=size * (fill.price - reference).abs(),
        realised=sum_assets(gained),
        financing=tape.financing,
        exited=tape.exited,
        ambiguous=tape.ambiguous,
        fills=(*tape.fills, replace(fill, reference=reference)),
    )
    return replace(ledger, account=account, flow=flow), happened.plus(tape)
