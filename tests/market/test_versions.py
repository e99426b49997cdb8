"""Two versions of the same bars: known again, and what changed is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.evaluation import make_market
from support.versions import rescaled, with_close, without

from tradinghf import MarketData, load_market
from tradinghf.market import (
    BarTrace,
    VersionChange,
    change_sentence,
    compare_versions,
    likely_columns,
    traces,
)

MARKET = make_market(300, seed=3)


def change(old: MarketData, new: MarketData) -> VersionChange | None:
    return compare_versions(traces(old)[0], traces(new)[0])


def day(bar: int) -> str:
    return f"{MARKET.index[bar]:%Y-%m-%d}"


def test_a_trace_is_written_and_read() -> None:
    trace = traces(MARKET)[0]
    again = BarTrace.from_bytes(trace.symbol, trace.to_bytes())
    for name in ("times", "closes", "prints"):
        np.testing.assert_array_equal(getattr(again, name), getattr(trace, name))
    assert len(trace.to_bytes()) < 10 * MARKET.bars, "regular times take next to no room"


@pytest.mark.parametrize(("first", "stop"), [(0, 299), (0, 2), (120, 300), (50, 60), (0, 300)])
def test_parts_and_growth_change_nothing(first: int, stop: int) -> None:
    part = MARKET.rows(first, stop)
    renamed = replace(part, symbols=("elsewhere",), name="other")
    for old, new in ((part, MARKET), (MARKET, part), (MARKET, renamed)):
        if stop - first == 2 and new is renamed:
            continue  # one return is too little to know a renamed asset by
        found = change(old, new)
        assert found == VersionChange()


def test_float32_is_the_same_data_and_a_millionth_is_not() -> None:
    short = replace(
        MARKET,
        **{
            name: getattr(MARKET, name).astype(np.float32).astype(float)
            for name in ("open", "high", "low", "close", "volume")
        },
    )
    assert change(MARKET, short) == VersionChange()
    found = change(MARKET, rescaled(MARKET, 300, 1 + 1e-6))
    assert found is not None
    assert found.changed == 300


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_the_first_bar_that_differs_is_named_whatever_its_column(column: str) -> None:
    values = getattr(MARKET, column).copy()
    nudge = {"high": 1.001, "low": 0.999, "volume": 2.0}.get(column)
    for bar in (217, 120):
        if nudge is None:
            values[bar] = (MARKET.high[bar] + MARKET.low[bar]) / 2
        else:
            values[bar] *= nudge
    found = change(MARKET, replace(MARKET, **{column: values}))
    assert found is not None
    assert found.changed == 2
    assert f"2 bars are different, the first on {day(120)}" in found.said
    was = f"was {MARKET.close[120, 0]:.7g}"
    assert (was if column == "close" else "same close") in found.said


def test_a_dividend_rescales_the_past_and_is_named_as_that() -> None:
    for bars in (299, 300, 150):
        found = change(MARKET, rescaled(MARKET, bars, 0.98))
        assert found is not None
        assert found.changed == bars
        assert f"the first on {day(0)} and the last on {day(bars - 1)}" in found.said
        assert "multiplied by 0.98" in found.said
        assert "dividend or a split" in found.said
    renamed = replace(rescaled(MARKET, 300, 0.5), symbols=("copy",))
    assert change(MARKET, renamed) is not None, "a renamed file after a split"
    grown = rescaled(MARKET, 280, 0.98)
    found = change(MARKET.rows(0, 250), grown)
    assert found is not None
    assert found.changed == 250, "all known bars, then more"


def test_gone_and_new_bars_are_named() -> None:
    less = without(MARKET, 100)
    gone, added = change(MARKET, less), change(less, MARKET)
    assert gone is not None
    assert added is not None
    assert gone.said == f"1 bar is gone, the first on {day(100)}"
    assert added.said == f"1 bar is new in between, the first on {day(100)}"


def test_a_last_bar_that_had_not_closed_is_told_apart() -> None:
    found = change(with_close(MARKET.rows(0, 200), 199), MARKET)
    assert found is not None
    assert "as after a bar that had not closed yet" in found.said


def test_other_data_are_other_data() -> None:
    other = make_market(300, seed=4)
    assert change(MARKET, other) is None
    sp500, nasdaq = load_market("sp500"), load_market("nasdaq")
    same_name = replace(nasdaq, symbols=sp500.symbols)
    assert change(sp500, nasdaq) is None
    assert change(sp500, same_name) is None
    late = replace(MARKET, timestamps=MARKET.timestamps + np.timedelta64(10_000, "D"))
    assert change(MARKET, late) is None, "no bar in common"
    flat = replace(MARKET, **{n: np.ones((300, 1)) for n in ("open", "high", "low", "close")})
    assert change(MARKET, flat) is None


def test_weekly_bars_are_the_same_asset_and_say_nothing_of_the_daily_ones() -> None:
    daily = load_market("sp500")
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    weekly = MarketData.from_frame(daily.to_frame().resample("W-FRI").agg(how).dropna())
    for old, new in ((daily, weekly), (weekly, daily)):
        found = change(old, new)
        assert found is not None
        assert found.resampled
        assert not found.said


def test_an_update_replaces_what_it_covers() -> None:
    known, new = traces(MARKET.rows(0, 200))[0], traces(with_close(MARKET, 150).rows(100, 300))[0]
    joined = known.updated(new)
    assert joined.bars == 300
    wanted = traces(with_close(MARKET, 150))[0]
    np.testing.assert_array_equal(joined.prints, wanted.prints)
    np.testing.assert_array_equal(joined.times, wanted.times)


def test_columns_are_found_by_probes() -> None:
    wide = make_market(100, assets=5, seed=1)
    fresh = traces(wide.rows(20, 100))
    prints = np.stack([trace.prints for trace in fresh], axis=1)
    for column, known in enumerate(traces(wide.rows(0, 60))):
        assert likely_columns(known, fresh[0].times, prints) == [column]
    early = traces(wide.rows(0, 10))[0]
    assert likely_columns(early, fresh[0].times, prints) == []


def test_the_sentence_names_the_earliest_asset_and_counts_the_others() -> None:
    quiet = VersionChange()
    late, early = VersionChange(1, 20, "late"), VersionChange(2, 10, "early")
    assert change_sentence("x", [("A", quiet)]) == ""
    one = change_sentence("x", [("A", late)])
    assert one.startswith("The past of x has changed since it was last seen: late. Its seals")
    three = change_sentence("x", [("A", late), ("B", quiet), ("C", early)])
    assert "early of C. 2 of its 3 assets changed." in three
