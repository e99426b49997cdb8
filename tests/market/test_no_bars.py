"""Files that hold something else than bars: one precise sentence each, and how to go on."""

from pathlib import Path

import pytest

from tradinghf import load_market
from tradinghf.errors import MarketDataError

DAYS = [f"2020-01-{day:02d}" for day in range(1, 31)]


def written(folder: Path, header: str, row: str) -> Path:
    """Thirty rows with {day}, {n} and {second} filled in."""
    file = folder / "mine.csv"
    rows = [row.format(day=day, n=100 + n % 7, second=f"{n:02d}") for n, day in enumerate(DAYS)]
    file.write_text("\n".join([header, *rows, ""]))
    return file


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("date,close", "{day},{n}", "one price per row, 'close'.*columns='open=close;high=close"),
        ("Datum;Schlusskurs", "{day};{n}", "one price per row, 'Schlusskurs'"),
        ("timestamp,price,size", "2020-01-01T09:30:{second},{n},5", "trades .ticks.*resample"),
        ("time,bid,ask", "2020-01-01T09:30:{second},{n},{n}.1", "quotes .bid and ask.*resample"),
        ("Date,Symbol,Side,Quantity,Price", "{day},X,BUY,1,{n}", "fills.*import-trades"),
        ("Date,AAPL,MSFT", "{day},{n},{n}.5", "a column per asset .'AAPL', 'MSFT'.*melt"),
        ("date,open,high,close", "{day},{n},{n},{n}", "missing column 'low'"),
    ],
)
def test_each_kind_is_named(tmp_path: Path, header: str, row: str, said: str) -> None:
    with pytest.raises(MarketDataError, match=said):
        load_market(str(written(tmp_path, header, row)))


def test_closes_alone_load_where_the_user_says_so(tmp_path: Path) -> None:
    file = written(tmp_path, "date,Price", "{day},{n}")
    market = load_market(str(file), columns="open=Price;high=Price;low=Price;close=Price")
    assert market.bars == 30
    assert (market.open == market.close).all()
    assert (market.high == market.low).all()


def test_a_day_with_its_hour_is_no_unix_time_of_the_future(tmp_path: Path) -> None:
    hours = "date,open,high,low,close"
    file = written(tmp_path, hours, "20200102{second},{n},{n},{n},{n}")
    lines = file.read_text().splitlines()[:24]  # hours 00 to 22
    file.write_text("\n".join([*lines, ""]))
    times = [str(time)[:16] for time in load_market(str(file)).timestamps]
    assert times[:2] == ["2020-01-02T00:00", "2020-01-02T01:00"]


def test_an_older_yfinance_file_of_two_tickers_is_two_assets(tmp_path: Path) -> None:
    fields = [name for name in ("Close", "High", "Low", "Open") for _ in "AB"]
    head = [",".join(["", *fields]), "," + ",".join(["A", "B"] * 4), "Date" + "," * 8]
    rows = [f"{day},10,20,11,21,9,19,10,20" for day in DAYS]
    file = tmp_path / "prices.csv"
    file.write_text("\n".join([*head, *rows, ""]))
    market = load_market(str(file))
    assert market.symbols == ("A", "B")
    assert market.close[0].tolist() == [10.0, 20.0]
