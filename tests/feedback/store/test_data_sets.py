"""Data sets known by their bars: seals and trials survive growth, renaming and restatement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from support.evaluation import make_market
from support.versions import rescaled, with_close, without

from tradinghf import MarketData, load_market
from tradinghf.feedback.store import Store, locate
from tradinghf.feedback.store._engine import connect
from tradinghf.feedback.store._migrate import migrate
from tradinghf.market import FIELDS, save_market

MARKET = make_market(300, seed=5)


def counted(store: Store, market: MarketData, kind: str | None = None) -> int:
    """Trials of bars that the store is shown first."""
    store.recognise(market)
    return store.trials(market.sha256, kind=kind)


def test_appended_bars_other_names_and_formats_are_the_same_data(
    store: Store, tmp_path: Path
) -> None:
    first = MARKET.rows(0, 250)
    store.recognise(first)
    store.count_trial("backtest", "x", first.sha256, {"fast": 5})
    store.count_trial("seal", "2010-06-01", first.sha256)
    for suffix in ("csv", "parquet"):
        save_market(MARKET, tmp_path / f"copy.{suffix}")
        grown = load_market(tmp_path / f"copy.{suffix}")
        known = store.recognise(grown)
        assert known.said == ""
        assert known.id == first.sha256
        assert counted(store, grown) == 1
        assert [seal.name for seal in store.trial_log(grown.sha256, "seal")] == ["2010-06-01"]
        assert not store.count_trial("backtest", "x", grown.sha256, {"fast": 5}), "counted before"
    known = store.recognise(MARKET)
    assert (known.first, known.last) == (str(first.index[0]), str(first.index[-1]))
    assert (known.known_first, known.known_last) == (str(MARKET.index[0]), str(MARKET.index[-1]))
    assert counted(store, make_market(300, seed=6)) == 0, "other bars on the same days"


def test_slices_overlaps_and_a_bridge_belong_together(store: Store) -> None:
    early, late = MARKET.rows(0, 100), MARKET.rows(180, 300)
    for part in (early, late):
        store.recognise(part)
        store.count_trial("backtest", part.name, part.sha256)
    assert counted(store, early) == counted(store, late) == 1, "no bar in common"
    assert counted(store, MARKET.rows(90, 150)) == 1
    assert counted(store, MARKET) == 2
    assert counted(store, MARKET.rows(50, 250)) == 2
    assert counted(store, early) == counted(store, late) == 1


def test_a_changed_past_is_said_every_time_and_seals_stay(store: Store) -> None:
    store.recognise(MARKET)
    store.count_trial("seal", "2010-06-01", MARKET.sha256)
    restated = with_close(MARKET, 77)
    for _ in range(2):
        said = store.recognise(restated).said
        assert f"1 bar is different, the first on {MARKET.index[77]:%Y-%m-%d}" in said
    assert counted(store, restated, "seal") == 1
    adjusted = rescaled(restated, 290, 0.99)
    assert "dividend or a split" in store.recognise(adjusted).said
    assert counted(store, adjusted, "seal") == 1
    assert store.recognise(MARKET).said == "", "the file of before is known as it was"
    grown = rescaled(with_close(make_market(300, seed=5), 77), 290, 0.99).rows(3, 299)
    assert store.recognise(grown).said == "", "the newest version is what later ones are held to"


def test_assets_of_a_universe_carry_its_seal_and_order_does_not_matter(store: Store) -> None:
    wide = make_market(120, assets=4, seed=2)
    store.recognise(wide)
    store.count_trial("backtest", "x", wide.sha256)
    turned = wide.select(wide.symbols[::-1])
    assert store.recognise(turned).id == wide.sha256
    one = wide.select(["A2"])
    store.recognise(one)
    store.count_trial("backtest", "y", one.sha256)
    assert counted(store, one) == counted(store, wide) == 2
    other = wide.select(["A1"])
    assert counted(store, other) == 1, "what was tried on another asset alone is not its trial"
    said = store.recognise(with_close(wide, 50, column=3)).said
    assert f"the first on {wide.index[50]:%Y-%m-%d}" in said
    assert "of A3." in said
    stranger = make_market(120, seed=9)
    joined = replace(
        wide.select(["A0", "A1"]),
        symbols=("A0", "Z"),
        **{
            name: np.stack([getattr(wide, name)[:, 0], getattr(stranger, name)[:, 0]], axis=1)
            for name in FIELDS
        },
    )
    assert counted(store, joined) == 1, "one new asset beside a known one"


def test_random_versions_are_known_again_among_strangers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    markets = [
        replace(make_market(400, assets=1 + k % 3, seed=100 + k), name=f"m{k}") for k in range(9)
    ]
    with Store(tmp_path) as store:
        for k, market in enumerate(markets):
            first = market.rows(0, int(rng.integers(150, 350)))
            assert store.recognise(first).id == first.sha256, "a stranger so far"
            store.count_trial("seal", f"2010-09-{k + 1:02}", first.sha256)
        for _ in range(60):
            k = int(rng.integers(len(markets)))
            start = int(rng.integers(0, 60))
            found = markets[k].rows(start, int(rng.integers(start + 40, 401)))
            for change in rng.choice(["scale", "close", "drop", "rename", "order"], 2):
                if change == "scale":
                    found = rescaled(found, int(rng.integers(1, found.bars)), rng.uniform(0.5, 2))
                elif change == "close":
                    found = with_close(found, int(rng.integers(found.bars)))
                elif change == "drop":
                    found = without(found, int(rng.integers(1, found.bars - 1)))
                elif change == "rename":
                    found = replace(
                        found, symbols=tuple(f"{s}{rng.random()}" for s in found.symbols)
                    )
                else:
                    found = found.select(list(rng.permutation(found.symbols)))
            store.recognise(found)
            seals = [seal.name for seal in store.trial_log(found.sha256, "seal")]
            assert seals == [f"2010-09-{k + 1:02}"]


def test_daily_and_weekly_bars_belong_together_and_grow_side_by_side(store: Store) -> None:
    daily = load_market("sp500")
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    frame = daily.to_frame().resample("W-FRI").agg(how).dropna()
    weekly = [MarketData.from_frame(part, name="w") for part in (frame.iloc[:500], frame)]
    store.recognise(weekly[0])
    store.count_trial("seal", "2015-01-02", weekly[0].sha256)
    for market in (daily.rows(0, 4000), daily, weekly[1]):
        assert store.recognise(market).said == ""
        assert counted(store, market, "seal") == 1
    said = store.recognise(with_close(daily, 100)).said
    assert "1 bar is different" in said, "daily bars are still held to daily ones"


def test_an_older_store_keeps_its_seals_and_trials_when_its_data_have_grown(
    tmp_path: Path,
) -> None:
    """Rows of schema 0003 name the sha256 of all bars, and nothing else about them."""
    old, window = MARKET.rows(0, 290), MARKET.rows(0, 200)
    location = locate(tmp_path / "old")
    migrate(location, to="0003")
    ends = f'{{"from":"{old.index[0]}","to":"%s"}}'
    rows = [
        ("a", "backtest", ends % old.index[-1], old.sha256),
        ("b", "seal", "{}", old.sha256),
        ("c", "backtest", ends % window.index[-1], window.sha256),
        ("d", "backtest", ends % "no time", "f" * 64),
    ]
    engine = connect(location)
    with engine.begin() as connection:
        for name, kind, params, market in rows:
            connection.execute(
                sa.text("INSERT INTO trials VALUES (:i, :k, '2010-06-01', :m, :p, '2020-01-01')"),
                {"i": name, "k": kind, "m": market, "p": params},
            )
    engine.dispose()
    with Store(tmp_path / "old") as store:
        assert store.trials(old.sha256) == 1
        assert store.trials() == 3
        assert counted(store, MARKET) == 2
        assert counted(store, MARKET, "seal") == counted(store, old, "seal") == 1
        grown = make_market(300, seed=5)
        assert store.recognise(grown).id == old.sha256
