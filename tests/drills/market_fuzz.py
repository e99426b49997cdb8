"""Drill of market files: CSV and Parquet files that are broken, known to be so or by chance.

Two oracles, neither of which shares code with the reader:

- a *planted* fault is one that no reader may accept; accepting the file is a failure;
- after *random* damage the file may still be good, so whatever is accepted is judged again: bar by
  bar in plain Python, and for CSV against the text itself.
"""

from __future__ import annotations

import csv
import io
import math
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drills.core import Outcome, Say, Tell, fuzz_in_children
from tradinghf.errors import MarketDataError
from tradinghf.market import MarketData, load_file

ROWS = 8
NAMES = ("timestamp", "open", "high", "low", "close", "volume")
SLACK = 1e-9
Row = list[str]
Fault = Callable[[random.Random, list[Row]], None]


def market_fuzz(work: Path, count: int, say: Say) -> Outcome:
    """Load `count` broken files; two thirds CSV, one third Parquet."""
    failures, told = fuzz_in_children(partial(_batch, work), count, say)
    return Outcome(count, tuple(failures), {kind: sum(told[kind]) for kind in sorted(told)})


def _batch(work: Path, seeds: range, tell: Tell) -> None:
    totals: Counter[str] = Counter()
    for seed in seeds:
        try:
            totals[_one(work, seed)] += 1
        except Exception as error:  # noqa: BLE001 - any other error is what the drill looks for
            tell(f"! seed {seed}: {type(error).__name__}: {str(error)[:200]}".replace("\n", " "))
    for kind, number in totals.items():
        tell(f"{kind} {number}")


def _one(work: Path, seed: int) -> str:
    """What became of one file; raises anything but `MarketDataError` where it went wrong."""
    rng = random.Random(seed)  # repeatable damage  # nosec B311
    path, planted, rows = (_parquet if seed % 3 == 2 else _csv)(work, rng)
    kind = f"{path.suffix[1:]}_{'planted' if planted else 'random'}"
    try:
        market = load_file(path)
    except MarketDataError as error:
        text = str(error)
        if "\n" in text.strip() or len(text) < 20:
            raise AssertionError(f"not a sentence: {text!r}") from error
        return f"{kind}_refused"
    if planted:
        raise AssertionError(f"accepted with {planted}")
    _judge(market)
    if path.suffix == ".csv":
        _compare(market, path.read_bytes())
        return f"{kind}_still_good"
    # The pages have checksums; the footer has none, so what it says about them may change.
    same = [[f"{x:.6g}" for x in bar] for bar in zip(*_columns(market), strict=True)]
    return f"{kind}_{'unchanged' if same == [row[1:5] for row in rows] else 'changed_but_lawful'}"


def _columns(market: MarketData) -> list[list[float]]:
    return [getattr(market, name)[:, 0].tolist() for name in NAMES[1:5]]


def bars(rng: random.Random) -> list[Row]:
    """Good bars as text."""
    price, rows = 100 * math.exp(rng.gauss(0, 2)), []
    for day in range(ROWS):
        ends = price, price * math.exp(rng.gauss(0, 0.02))
        high, low = max(ends) * 1.01, min(ends) * 0.99
        stamp = f"2021-03-{day + 1:02d}"
        rows.append([stamp, *(f"{x:.6g}" for x in (ends[0], high, low, ends[1])), "1000"])
        price = ends[1]
    return rows


def _cell(rng: random.Random, rows: list[Row], column: int, value: str) -> None:
    rows[rng.randrange(len(rows))][column] = value


def _price(value: Callable[[random.Random], str]) -> Fault:
    def fault(rng: random.Random, rows: list[Row]) -> None:
        _cell(rng, rows, rng.randint(1, 4), value(rng))

    return fault


def _swap_high_low(rng: random.Random, rows: list[Row]) -> None:
    row = rng.choice(rows)
    row[2], row[3] = row[3], row[2]


def _close_outside(rng: random.Random, rows: list[Row]) -> None:
    row = rng.choice(rows)
    row[rng.choice((1, 4))] = f"{float(row[2]) * (1 + 10 ** rng.uniform(-4, 2)):.12g}"


def _double_time(rng: random.Random, rows: list[Row]) -> None:
    first, second = rng.sample(range(len(rows)), 2)
    rows[first][0] = rows[second][0]


def _unsorted(rng: random.Random, rows: list[Row]) -> None:
    at = rng.randrange(len(rows) - 1)
    rows[at], rows[at + 1] = rows[at + 1], rows[at]


def _short_row(rng: random.Random, rows: list[Row]) -> None:
    del rng.choice(rows)[-rng.randint(1, 4) :]


def _long_row(rng: random.Random, rows: list[Row]) -> None:
    rng.choice(rows).extend(["7"] * rng.randint(1, 3))


def _one_bar(_rng: random.Random, rows: list[Row]) -> None:
    del rows[1:]


def _no_bars(_rng: random.Random, rows: list[Row]) -> None:
    del rows[:]


WORDS = (
    "n/a",
    "abc",
    "0x1f",
    "1_000",
    "١٢",
    "--",
    "1.2.3",
    "12e",
    "5%",
    "=1+1",
    "True",
)
VOLUMES = ("n/a", "--")  # nothing traded, as vendors write it
MARKS = str.maketrans("", "", "$'")  # of money and of thousands
TIMES = ("", "soon", "31/12/2020", "2021-13-01", "2021-02-30", "99999999999999999999", "1500-01-01")
FAULTS: dict[str, Fault] = {
    "an empty price": _price(lambda _: ""),
    "a price that is NaN": _price(lambda rng: rng.choice(("nan", "NaN", "NAN"))),
    "an infinite price": _price(lambda rng: rng.choice(("inf", "-inf", "1e400", "Infinity"))),
    "a negative price": _price(lambda rng: f"-{rng.uniform(1e-3, 1e5):.6g}"),
    "a price of zero": _price(lambda rng: rng.choice(("0", "0.0", "-0"))),
    "a price that is no number": _price(lambda rng: rng.choice(WORDS)),
    "a price beyond reason": _price(lambda rng: rng.choice(("1e17", "1e-17", "1e300"))),
    "high below low": _swap_high_low,
    "a close or open outside the range": _close_outside,
    "a negative volume": lambda rng, rows: _cell(rng, rows, 5, "-1"),
    "a volume that is no number": lambda rng, rows: _cell(
        rng, rows, 5, rng.choice([word for word in WORDS if word not in VOLUMES])
    ),
    "a time that is none": lambda rng, rows: _cell(rng, rows, 0, rng.choice(TIMES)),
    "a time twice": _double_time,
    "rows out of order": _unsorted,
    "mixed time zones": lambda rng, rows: _cell(rng, rows, 0, "2021-03-20T10:00:00+02:00"),
    "a short row": _short_row,
    "a long row": _long_row,
    "one bar": _one_bar,
    "no bars": _no_bars,
}
TEXTUAL = {"a short row", "a long row"}  # a Parquet table cannot be ragged


def _csv(work: Path, rng: random.Random) -> tuple[Path, str, list[Row]]:
    rows, planted = bars(rng), ""
    if rng.random() < 0.5:
        planted = rng.choice(list(FAULTS))
        FAULTS[planted](rng, rows)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([NAMES, *rows])
    data = out.getvalue().encode()
    if not planted:
        data = damaged(rng, data)
    path = work / "bars.csv"
    path.write_bytes(data)
    return path, planted, rows


def _parquet(work: Path, rng: random.Random) -> tuple[Path, str, list[Row]]:
    rows, planted = bars(rng), ""
    if rng.random() < 0.5:
        planted = rng.choice([name for name in FAULTS if name not in TEXTUAL])
        FAULTS[planted](rng, rows)
    columns = list(zip(*rows, strict=True)) or [()] * len(NAMES)
    arrays = [_array(name, values) for name, values in zip(NAMES, columns, strict=True)]
    path = work / "bars.parquet"
    compression = rng.choice(("snappy", "none", "zstd"))
    table = pa.table(dict(zip(NAMES, arrays, strict=True)))
    pq.write_table(table, path, compression=compression, write_page_checksum=True)
    if not planted:
        path.write_bytes(damaged(rng, path.read_bytes()))
    return path, planted, rows


def _array(name: str, values: tuple[str, ...]) -> Any:
    """Numbers where all are numbers, else text; times as text."""
    if name == "timestamp":
        return pa.array(values, pa.string())
    try:
        return pa.array([float(v) if v.isascii() and "_" not in v else _no(v) for v in values])
    except ValueError:
        return pa.array(values, pa.string())


def _no(value: str) -> float:
    raise ValueError(value)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes with one to four random faults: flips, cuts, doublings, foreign bytes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not out:
            break
        at, kind = rng.randrange(len(out)), rng.randrange(6)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice(b"0123456789.,-+eE\n\r\"' ;\t\x00\xff")
        elif kind == 2:
            del out[at : at + rng.randint(1, 12)]
        elif kind == 3:
            out[at:at] = out[at : at + rng.randint(1, 40)]
        elif kind == 4:
            del out[at:]
        else:
            out[at:at] = rng.randbytes(rng.randint(1, 6))
    return bytes(out)


def _judge(market: MarketData) -> None:
    """Every rule of a bar, one number at a time."""
    previous = None
    for t, stamp in enumerate(market.timestamps):
        if np.isnat(stamp) or (previous is not None and not stamp > previous):
            raise AssertionError(f"accepted time {stamp} after {previous}")
        previous = stamp
        for a in range(market.assets):
            o, h, low, c, v = (float(getattr(market, n)[t, a]) for n in NAMES[1:])
            finite = all(math.isfinite(x) for x in (o, h, low, c, v))
            within = low * (1 - SLACK) <= min(o, c) and max(o, c) <= h * (1 + SLACK)
            if not (finite and min(o, h, low, c) > 0 and v >= 0 and within):
                raise AssertionError(f"accepted bar {(o, h, low, c, v)}")
    if market.bars < 2:
        raise AssertionError("accepted a single bar")


def _is_bar(row: Row) -> bool:
    return len(row) == len(NAMES) and row[1][:1].isdigit()


def _compare(market: MarketData, data: bytes) -> None:
    """The market holds exactly the numbers that the text spells, row by row.

    What is left of a broken header, and what comes before the first whole row then, is none of
    the table; a column that lost its name may be known by its place. Nor are the line under the
    header, where it has no digit (units, the names once more), and later copies of the header:
    the reader leaves them out and says so.
    """
    text = data.decode("utf-8-sig").strip("\r\n")
    separator = max(",;\t|", key=text.partition("\n")[0].count)
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    head = [name.strip().lower() for name in table[0]]
    told = (row for row in table[1:] if any(cell.strip() for cell in row))
    body = [row for row in told if not row[0].startswith("#") and row != table[0]]  # a remark
    if body and not any(letter.isdigit() for cell in body[0] for letter in cell):
        del body[0]
    broken = head != list(NAMES)
    while broken and body and not _is_bar(body[0]):
        head += [name.strip().lower() for name in body.pop(0)]
    if len(body) != market.bars * market.assets:
        raise AssertionError(f"{len(body)} rows became {market.bars} x {market.assets} bars")
    if market.assets > 1:
        return
    for name in NAMES[1:]:
        named = name in head and len(head) == len(body[0])
        place = head.index(name) if named else NAMES.index(name)
        if name == "volume" and not named:
            continue
        spelt = [float(row[place].translate(MARKS)) for row in body]
        got = getattr(market, name)[:, 0].tolist()
        if spelt != got:
            raise AssertionError(f"{name} is {got}; the text says {spelt}")
