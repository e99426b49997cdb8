"""The two backtest engines: from target weights to an account's equity, shares and fills.

`vectorbt` is fast and familiar; `simulator` is the accounting that agents are trained in. Where
both can express a case they agree to 1e-9 (tests/evaluation/test_engines.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Literal

import numpy as np
import pandas as pd

from tradinghf.config import CostModel, EnvConfig, Fill
from tradinghf.errors import StrategyError
from tradinghf.evaluation._contingent import OTHER, reached_first
from tradinghf.evaluation._order_tables import OrderTables
from tradinghf.evaluation._terms import Terms
from tradinghf.market import Floats, MarketData
from tradinghf.numba_cache import use_unique_files
from tradinghf.registry import Registry

EngineName = Literal["auto", "vectorbt", "simulator"]


@dataclass(frozen=True, eq=False)
class BacktestAccount:
    """The account of a backtest bar by bar, whichever engine ran it.

    Attributes:
        equity: [T] cash plus positions at the close [currency].
        cash: [T] after the bar's fills [currency].
        shares: [T, A] held at the close [units].
        fills: one row per fill: bar, asset (indices), side (+1 bought, -1 sold), size [units],
            price [currency, slippage included], fee [currency].
        portfolio: the `vectorbt.Portfolio`, or None.
        financing: [T] interest, borrow fees and funding paid less received [currency], or None.
        ambiguous: fills that depend on the path inside a bar, taken pessimistically.
        optimistic_gain: what the optimistic reading of them would add [currency].

    """

    equity: Floats
    cash: Floats
    shares: Floats
    fills: pd.DataFrame
    portfolio: Any = None
    financing: Floats | None = None
    ambiguous: int = 0
    optimistic_gain: float = 0.0


_VECTORBT_COSTS = {"fee_bps", "fixed_fee", "slippage_bps", "spread_bps"}

_Runner = Callable[[MarketData, Floats, CostModel, Fill, float], BacktestAccount]
ENGINES: Registry[_Runner] = Registry("backtest engine", StrategyError)


def order_rows(market: MarketData, orders: Floats, fill: Fill) -> tuple[Floats, Floats]:
    """Orders and their reference prices on the bar where they fill, both [T, A].

    With `next_open` an order of row t moves to row t+1 and the last row's is never filled.
    """
    if fill == "close":
        return orders, market.close
    later = np.full_like(orders, np.nan)
    later[1:] = orders[:-1]
    return later, market.open


@ENGINES.register("vectorbt")
def _run_vectorbt(
    market: MarketData, orders: Floats, costs: CostModel, fill: Fill, cash: float
) -> BacktestAccount:
    """Run [T, A] target weights through `vectorbt.Portfolio.from_orders` with shared cash.

    Raises:
        StrategyError: the account was ruined, which vectorbt does not liquidate, or a cost is
            set that vectorbt cannot express.

    """
    use_unique_files()
    import vectorbt

    slippage_bps = vectorbt_slippage_bps(costs)
    if costs.fee_bps < 0:
        raise StrategyError(
            f"CostModel.fee_bps is {costs.fee_bps!r}, a rebate, which vectorbt cannot express; "
            'use engine="simulator".'
        )
    size, price = order_rows(market, orders, fill)
    portfolio = vectorbt.Portfolio.from_orders(
        pd.DataFrame(market.close, index=market.index, columns=list(market.symbols)),
        size=size,
        size_type="targetpercent",
        price=price,
        fees=costs.fee_bps / 1e4,
        fixed_fees=costs.fixed_fee,
        slippage=slippage_bps / 1e4,
        init_cash=cash,
        cash_sharing=True,
        group_by=True,
        call_seq="auto",
        # vectorbt's year has 365 days: this makes it annualise by our bars per year.
        freq=pd.Timedelta(days=365) / market.bars_per_year,
        engine="numba",
    )
    records = portfolio.orders.records
    fills = pd.DataFrame(
        {
            "bar": records["idx"].to_numpy(np.int64),
            "asset": records["col"].to_numpy(np.int64),
            "side": np.where(records["side"].to_numpy() == 0, 1, -1),
            "size": records["size"].to_numpy(np.float64),
            "price": records["price"].to_numpy(np.float64),
            "fee": records["fees"].to_numpy(np.float64),
        }
    )
    account = _from_fills(market, fills, cash, portfolio)
    if (account.equity <= 0).any():
        bar = int(np.argmax(account.equity <= 0))
        raise StrategyError(
            f"The account was ruined at bar {bar} ({market.index[bar]}): its equity fell to "
            f"{account.equity[bar]:.2f}. vectorbt would trade on with a negative balance; "
            'use engine="simulator", which liquidates.'
        )
    return account


@ENGINES.register("simulator")
def _run_simulator(
    market: MarketData, orders: Floats, costs: CostModel, fill: Fill, cash: float
) -> BacktestAccount:
    """Run [T, A] target weights through the accounting that environments use; ruin is final."""
    return run_orders(market, OrderTables(orders), costs, fill, cash)


def run_orders(
    market: MarketData,
    orders: OrderTables,
    costs: CostModel,
    fill: Fill,
    cash: float,
    terms: Terms | None = None,
) -> BacktestAccount:
    """Run orders of any kind through the accounting that environments use; ruin is final.

    Args:
        market: the bars.
        orders: what was decided.
        costs, fill, cash: as in `backtest`.
        terms: rules, margin, exits and events.

    Raises:
        ConfigError: sizes of a kind that cannot wait, or events that do not fit the market.

    """
    terms = Terms() if terms is None else terms
    plain = orders.are_weights and terms.plain and market.listed is None
    if plain and vectorbt_expresses(costs):
        return _plain_account(market, orders.size, costs, fill, cash)
    return run_together(market, [orders], costs, fill, cash, terms)[0]


def run_together(
    market: MarketData,
    orders: Sequence[OrderTables],
    costs: CostModel,
    fill: Fill,
    cash: float,
    terms: Terms,
) -> list[BacktestAccount]:
    """One account for each of several orders of the same kind, all stepped at once."""
    from tradinghf.simulation import simulate

    resolved = [_pairs_resolved(market, each, fill, terms) for each in orders]
    orders = [each for each, _, _ in resolved]
    names = sorted({name for each in orders for name in each.prices})
    none = np.full(market.close.shape, np.nan)
    prices: dict[str, Any] = {
        name: np.stack([each.prices.get(name, none) for each in orders]) for name in names
    }
    options: dict[str, Any] = {"kind": orders[0].kind, "fill": fill, "cash": cash, "costs": costs}
    config = EnvConfig(rules=terms.rules, margin=terms.margin, brackets=terms.brackets)
    sizes = np.stack([each.size for each in orders])
    done = simulate(market, sizes, config=config, **options, **prices, **terms.events)
    of_account = dict(tuple(done.fills.groupby("account", sort=False)))
    empty = done.fills.iloc[:0]
    return [
        BacktestAccount(
            done.equity[s],
            done.cash[s],
            done.shares[s],
            of_account.get(s, empty).drop(columns="account").reset_index(drop=True),
            financing=done.financing[s],
            ambiguous=int(done.ambiguous[s]) + resolved[s][1],
            optimistic_gain=float(done.optimistic_gain[s]) + resolved[s][2],
        )
        for s in range(len(orders))
    ]


def _pairs_resolved(
    market: MarketData, orders: OrderTables, fill: Fill, terms: Terms
) -> tuple[OrderTables, int, float]:
    """Orders without pairs, how many bars left open which leg came first, and by how much."""
    if OTHER + "size" not in orders.prices:
        return orders, 0, 0.0
    size, prices, open_, better = reached_first(
        orders.size,
        orders.prices,
        market,
        fill,
        flipped=terms.rules.side == "short",
        values=orders.kind == "value",
        split=terms.share_counts(market)[0],
    )
    return OrderTables(size, orders.kind, prices), open_, better


def _plain_account(
    market: MarketData, orders: Floats, costs: CostModel, fill: Fill, cash: float
) -> BacktestAccount:
    """What `simulate` would answer to target weights at plain costs, without loading torch."""
    from tradinghf.simulation import trade_weights

    size, price = order_rows(market, orders, fill)
    done = trade_weights(
        size, price, market.close, costs=costs, cash=cash, at_close=fill == "close"
    )
    bar, asset, signed, paid, fee, forced = done.fills.T
    before = price[bar.astype(np.int64), asset.astype(np.int64)]
    before = np.where(forced > 0, paid, before)
    fills = pd.DataFrame(
        {
            "bar": bar.astype(np.int64),
            "asset": asset.astype(np.int64),
            "side": np.sign(signed).astype(np.int64),
            "size": np.abs(signed),
            "price": paid,
            "fee": fee,
            "slippage": np.abs(signed) * np.abs(paid - before),
        }
    )
    # Within a bar the order is that of the assets, ruin last, as in `simulate`.
    fills = fills.take(np.lexsort((asset, forced, bar))).reset_index(drop=True)
    return BacktestAccount(done.equity, done.cash, done.shares, fills, financing=done.financing)


def vectorbt_expresses(costs: CostModel) -> bool:
    """Whether vectorbt has every cost that is not the default."""
    return all(
        item.name in _VECTORBT_COSTS or getattr(costs, item.name) == _default(item)
        for item in fields(costs)
    )


def _default(item: Field[Any]) -> Any:
    return {} if item.default is MISSING else item.default


def vectorbt_slippage_bps(costs: CostModel) -> float:
    """Slippage with half the spread [bps]; raises where vectorbt has no such cost."""
    for item in fields(costs):
        value = getattr(costs, item.name)
        if item.name not in _VECTORBT_COSTS and value != _default(item):
            raise StrategyError(
                f"CostModel.{item.name} is {value!r}, which vectorbt cannot express; "
                'use engine="simulator".'
            )
    return costs.slippage_bps + float(getattr(costs, "spread_bps", 0.0)) / 2


def _from_fills(
    market: MarketData, fills: pd.DataFrame, cash: float, portfolio: Any
) -> BacktestAccount:
    """The account's path from its fills alone."""
    signed = (fills["side"] * fills["size"]).to_numpy()
    traded = np.zeros((market.bars, market.assets))
    where = (fills["bar"].to_numpy(), fills["asset"].to_numpy())
    np.add.at(traded, where, signed)
    shares = np.cumsum(traded, axis=0)
    # Sums of sizes that cancel leave rounding dust; vectorbt snaps it to zero as well.
    scale = np.cumsum(np.abs(traded), axis=0)
    shares = np.where(np.abs(shares) <= 1e-12 * np.maximum(scale, 1.0), 0.0, shares)
    spent = np.zeros(market.bars)
    np.add.at(spent, where[0], (signed * fills["price"] + fills["fee"]).to_numpy())
    left = cash - np.cumsum(spent)
    equity = left + (shares * market.close).sum(axis=1)
    return BacktestAccount(equity, left, shares, fills.astype({"side": np.int64}), portfolio)


def run_engine(
    engine: str, market: MarketData, orders: Floats, costs: CostModel, fill: Fill, cash: float
) -> BacktestAccount:
    """Run `orders` ([T, A] target weights, NaN = no order) through the named engine.

    Raises:
        StrategyError: unknown engine.

    """
    return ENGINES[engine](market, orders, costs, fill, cash)
