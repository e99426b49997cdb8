"""Generated accounts, and their fills written as brokers write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tradinghf import MarketData
from tradinghf.config import CostModel
from tradinghf.market import synthetic
from tradinghf.simulation import simulate

CASH = 50_000.0


@dataclass(frozen=True)
class Account:
    """A generated account: its market, and what the simulator says happened."""

    market: MarketData
    result: Any

    def rows(self) -> list[dict[str, Any]]:
        """One dict per fill, with the account after it."""
        fills, out = self.result.fills, []
        cash, held = CASH, dict.fromkeys(self.market.symbols, 0.0)
        for fill in fills.itertuples():
            symbol = self.market.symbols[fill.asset]
            signed = fill.side * fill.size
            cash -= signed * fill.price + fill.fee
            held[symbol] += signed
            out.append(
                {
                    "date": str(self.market.timestamps[fill.bar])[:10],
                    "symbol": symbol,
                    "side": "buy" if fill.side > 0 else "sell",
                    "quantity": fill.size,
                    "price": fill.price,
                    "fee": fill.fee,
                    "cash": cash,
                    "position_after": held[symbol],
                }
            )
        return out


def random_account(seed: int, *, assets: int = 1, long_only: bool = True) -> Account:
    """Random orders on generated bars, filled by the simulator."""
    rng = np.random.default_rng(seed)
    market = synthetic(seed=seed, bars=int(rng.integers(40, 160)), assets=assets)
    lowest = 0.0 if long_only else -0.9
    weights = rng.uniform(lowest, 0.9, (market.bars, assets)) / assets
    weights[rng.random(weights.shape) < rng.uniform(0.5, 0.9)] = np.nan
    weights[5] = 0.5 / assets
    costs = CostModel(fee_bps=float(rng.uniform(0, 20)), slippage_bps=0.0, fixed_fee=1.0)
    return Account(market, simulate(market, weights, costs=costs, cash=CASH))


def write_generic(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    """Any table with the usual names; numbers in full."""
    pd.DataFrame(rows).to_csv(path, index=False, **options)
    return path


def write_interactive_brokers(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The section Trades of an activity statement, with what stands around it."""
    lines = [
        "Statement,Header,Field Name,Field Value",
        "Statement,Data,BrokerName,Interactive Brokers",
        "Trades,Header,DataDiscriminator,Asset Category,Currency,Symbol,Date/Time,Quantity,"
        "T. Price,C. Price,Proceeds,Comm/Fee,Basis,Realized P/L,MTM P/L,Code",
    ]
    for row in rows:
        size = row["quantity"] if row["side"] == "buy" else -row["quantity"]
        cells = [row["symbol"], f'"{row["date"]}, 09:30:05"', f"{size!r}", f"{row['price']!r}"]
        money = [f"{row['price']!r}", f"{-size * row['price']!r}", f"{-row['fee']!r}"]
        lines.append(f"Trades,Data,Order,Stocks,USD,{','.join([*cells, *money])},0,0,0,O")
        lines.append(f"Trades,Data,Trade,Stocks,USD,{','.join([*cells, *money])},0,0,0,O")
    lines.append("Trades,SubTotal,,Stocks,USD,X,,0,,,0,0,0,0,0,")
    lines.append("Trades,Total,,Stocks,USD,,,,,,0,0,0,0,0,")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_metatrader5(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The deals of a MetaTrader 5 history, newest last, tabs, a deposit first."""
    head = "Time,Deal,Symbol,Type,Direction,Volume,Price,Order,Commission,Fee,Swap,Profit,Balance"
    deposit = f"1999.12.31 00:00:00,1,,balance,,,,,0.00,0.00,0.00,{CASH!r},{CASH!r}"
    lines = [head.replace(",", "\t"), deposit.replace(",", "\t")]
    for i, row in enumerate(rows):
        time = f"{row['date'].replace('-', '.')} 10:{i % 60:02}:00"
        lines.append(
            f"{time}\t{i + 2}\t{row['symbol']}\t{row['side']}\tin\t{row['quantity']!r}\t"
            f"{row['price']!r}\t{i + 100}\t{-row['fee']!r}\t0.00\t0.00\t0.00\t"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def write_binance(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Spot trades as Binance exports them, newest first, units behind the numbers."""
    lines = ["Date(UTC),Pair,Side,Price,Executed,Amount,Fee"]
    for i, row in reversed(list(enumerate(rows))):
        pair, base = f"{row['symbol']}USDT", row["symbol"]
        lines.append(
            f"{row['date']} 12:00:{i % 60:02},{pair},{row['side'].upper()},{row['price']!r},"
            f"{row['quantity']:.12f}{base},{row['quantity'] * row['price']:.8f}USDT,"
            f"{row['fee']:.12f}USDT"
        )
    path.write_text("\n".join(lines) + "\n")
    return path
