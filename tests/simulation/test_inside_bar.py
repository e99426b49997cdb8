"""Every row of the table in docs/simulation.md: what one bar does to an order and its exits.

The values were worked out by hand from the paths that a bar's four prices allow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.markets import bars_of
from support.orders import backtesting_fills

from tradinghf.config import Brackets, CostModel, EnvConfig, Margin
from tradinghf.simulation import simulate
from tradinghf.simulation._simulate import Simulation

DOCS = Path(__file__).parents[2] / "docs" / "simulation.md"
FREE = CostModel(fee_bps=0, slippage_bps=0)
NAN = float("nan")
Fills = list[tuple[float, float]]


@dataclass(frozen=True)
class Row:
    """One row: an order, its exits, a bar, and the fills expected in each reading."""

    order: str
    stop: float
    target: float
    bar: tuple[float, ...]
    fills: str
    optimistic: str
    backtesting: str

    @property
    def held(self) -> bool:
        return self.order.startswith("holding")

    @property
    def size(self) -> float:
        return -10.0 if "sell" in self.order else 10.0

    def price(self, kind: str) -> float:
        found = re.search(rf"{kind} ([\d.]+)", self.order)
        return float(found[1]) if found else NAN


def _rows() -> list[Row]:
    text = DOCS.read_text().partition("## Inside one bar")[2]
    cells = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    number = lambda cell: float(cell) if cell else NAN  # noqa: E731
    return [
        Row(c[0], number(c[1]), number(c[2]), tuple(map(float, c[3].split())), *c[4:7])
        for c in cells[2:]
    ]


ROWS = _rows()


def _parsed(cell: str) -> Fills:
    if cell == "none":
        return []
    pairs = (part.split("@") for part in cell.split(","))
    return [(float(size), float(price)) for size, price in pairs]


def _simulated(row: Row) -> Simulation:
    """The row's order before the row's bar; a position that is held was bought at 100 before."""
    calm = [(100.0, 100.0, 100.0, 100.0)] * 2
    rows = [*calm, row.bar] if row.held else [calm[0], row.bar]
    column = np.full(len(rows), NAN)

    def given(first: float, then: float) -> np.ndarray:
        prices = column.copy()
        prices[0], prices[-2] = (first, then) if row.held else (then, then)
        return prices

    exits = (row.stop, NAN) if row.held else (row.stop, row.stop)
    aims = (row.target, NAN) if row.held else (row.target, row.target)
    return simulate(
        bars_of(rows),
        given(10.0, row.size),
        kind="amount",
        cash=10_000.0,
        costs=FREE,
        limit=given(NAN, row.price("limit")),
        stop=given(NAN, row.price("stop")),
        stop_loss=given(*exits),
        take_profit=given(*aims),
    )


def _fills(done: Simulation, row: Row) -> Fills:
    table = done.fills[done.fills["bar"] == (2 if row.held else 1)]
    return [
        (s * q, p) for s, q, p in zip(table["side"], table["size"], table["price"], strict=True)
    ]


def _gain(fills: Fills, close: float) -> float:
    return sum(size * (close - price) for size, price in fills)


def test_the_table_is_long_and_no_row_is_there_twice() -> None:
    assert len(ROWS) >= 60
    assert len({(r.order, r.stop, r.target, r.bar) for r in map(_keyed, ROWS)}) == len(ROWS)


def _keyed(row: Row) -> Row:
    stop, target = (-1.0 if np.isnan(x) else x for x in (row.stop, row.target))
    return Row(row.order, stop, target, row.bar, "", "", "")


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.order} {r.stop} {r.target} {r.bar}")
def test_one_bar(row: Row) -> None:
    done = _simulated(row)
    assert _fills(done, row) == _parsed(row.fills)
    assert int(done.ambiguous) == bool(row.optimistic)
    if row.optimistic:
        close = row.bar[-1]
        more = _gain(_parsed(row.optimistic), close) - _gain(_parsed(row.fills), close)
        assert float(done.optimistic_gain) == pytest.approx(more)


@pytest.mark.parametrize(
    "row",
    [r for r in ROWS if r.backtesting != "n/a"],
    ids=lambda r: f"{r.order} {r.stop} {r.target} {r.bar}",
)
def test_backtesting_py_does_what_the_table_says_of_it(row: Row) -> None:
    named = {
        "limit": row.price("limit"),
        "stop": row.price("stop"),
        "sl": row.stop,
        "tp": row.target,
    }
    options = {k: v for k, v in named.items() if not np.isnan(v)}
    calm = (100.0, 100.0, 100.0, 100.0)
    found = backtesting_fills([calm, row.bar], row.size, **options)
    expected = row.fills if row.backtesting == "same" else row.backtesting
    assert [(size, price) for bar, size, price in found if bar == 1] == _parsed(expected)


def test_trailing_stop_of_an_entry_inside_the_bar_starts_at_what_the_position_saw() -> None:
    """The high of 112 came before the limit filled: the trail starts at 100, not at 112."""
    rows = [(105, 105, 105, 105), (105, 112, 100, 101), (101, 102, 97, 98), (98, 98, 89, 90)]
    done = simulate(
        bars_of(rows),
        np.array([10.0, NAN, NAN, NAN]),
        kind="amount",
        costs=FREE,
        limit=np.array([100.0, NAN, NAN, NAN]),
        config=EnvConfig(brackets=Brackets(trailing_stop=0.1)),
    )
    # Best price seen: 101 at the close of the entry, then 102; the stop at 91.8 is reached last.
    assert done.fills["bar"].tolist() == [1, 3]
    assert done.fills["price"].tolist() == pytest.approx([100, 91.8])


def test_margin_call_of_an_entry_inside_the_bar_happens_in_that_bar() -> None:
    """300 at 100 with 20,000 borrowed: 20 % of the exposure is left at 83.33."""
    rows = [(103, 103, 103, 103), (103, 104, 70, 90), (90, 90, 90, 90)]
    done = simulate(
        bars_of(rows),
        np.array([300.0, NAN, NAN]),
        kind="amount",
        cash=10_000.0,
        costs=FREE,
        limit=np.array([100.0, NAN, NAN]),
        config=EnvConfig(margin=Margin(leverage=3, maintenance=0.2)),
    )
    assert done.fills["bar"].tolist() == [1, 1]
    assert done.fills["price"].tolist() == pytest.approx([100, 20_000 / 240])


def test_brackets_of_the_config_count_in_the_bar_of_a_limit_entry() -> None:
    rows = [(103, 103, 103, 103), (103, 104, 95, 103)]
    done = simulate(
        bars_of(rows),
        np.array([10.0, NAN]),
        kind="amount",
        costs=FREE,
        limit=np.array([100.0, NAN]),
        config=EnvConfig(brackets=Brackets(stop_loss=0.03)),
    )
    assert done.fills["price"].tolist() == pytest.approx([100, 97])
    assert done.equity[-1] == pytest.approx(100_000 - 30)


def test_several_accounts_count_and_hope_each_for_itself() -> None:
    both, calm = (100.0, 112.0, 94.0, 104.0), (100.0, 100.0, 100.0, 100.0)
    orders = np.array([[10.0, NAN], [NAN, NAN]])[:, :, None]
    done = simulate(
        bars_of([calm, both]),
        orders,
        kind="amount",
        costs=FREE,
        stop_loss=np.full((2, 2, 1), 95.0),
        take_profit=np.full((2, 2, 1), 110.0),
    )
    assert done.ambiguous.tolist() == [1, 0]
    assert done.optimistic_gain.tolist() == pytest.approx([150.0, 0.0])
