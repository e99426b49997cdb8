"""Usual CSV files are read in one pass, and as the careful reader reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradinghf.errors import MarketDataError
from tradinghf.market import _files as files
from tradinghf.market import load_market, save_market, synthetic
from tradinghf.market._usual import usual_bars

HEAD = "date,open,high,low,close,volume"
ROWS = [
    "2024-01-02,100.5,101.25,99.75,100.125,1000",
    "2024-01-03,100.125,102,100,101.5,0",
    "2024-01-04,101.5,103.1,101,0.1e3,1.5e3",
]
PLAIN = "\n".join([HEAD, *ROWS, ""])


def minutes(zone: str = "", joint: str = " ") -> str:
    days = [row.replace("2024-01-0", f"2024-01-02{joint}10:0", 1) for row in ROWS]
    return "\n".join([HEAD, *(f"{d[:16]}:00{zone}{d[16:]}" for d in days)])


def outcome(path: Path, **options: Any) -> Any:
    """Everything that a market is, or what its refusal says."""
    try:
        market = load_market(str(path), **options)
    except MarketDataError as error:
        return str(error)
    bars = np.stack([getattr(market, name) for name in ("open", "high", "low", "close", "volume")])
    return bars.tobytes(), market.timestamps.tobytes(), market.symbols, market.bars_per_year


USUAL = {
    "daily": PLAIN,
    "without an end": PLAIN.rstrip(),
    "Windows": PLAIN.replace("\n", "\r\n"),
    "tabs": PLAIN.replace(",", "\t"),
    "another order": "close,Open,low,High,Date\n1,1,1,1,2024-01-02\n2,2,2,2,2024-01-03\n",
    "minutes": minutes(),
    "minutes in UTC": minutes("Z", "T"),
    "an offset of nothing": minutes("+00:00"),
    "a column beside": PLAIN.replace("volume", "note")
    .replace(",1000", ",Zoo, no")
    .replace(", no", ""),
    "long": "timestamp,symbol,open,high,low,close\n"
    + "".join(f"2024-01-0{d},{s},1,1,1,{d}\n" for s in ("A", "BZ") for d in (1, 2, 3)),
    "a wrong bar": PLAIN.replace("101.25", "99.8"),
    "a negative price": PLAIN.replace("99.75", "-99.75"),
    "twice the same day": PLAIN + ROWS[2] + "\n",
    "adjusted": PLAIN.replace("volume", "adj_close"),
    "blanks around numbers": PLAIN.replace(",100.5,", ", 100.5 ,"),
}
OTHERS = {
    "comments": "# mine\n" + PLAIN,
    "a comment inside": PLAIN.replace("\n2024-01-03", "\n# split\n2024-01-03"),
    "an empty line": PLAIN.replace("\n2024-01-03", "\n\n2024-01-03"),
    "a footer": PLAIN + "Total\n",
    "bare separators": PLAIN + ",,,,,\n",
    "quotes": PLAIN.replace("1000", '"1,000"'),
    "no number": PLAIN.replace("1000", "n/a"),
    "nothing": PLAIN.replace(",1000", ","),
    "a number that is none": PLAIN.replace("1000", "nan"),
    "without end": PLAIN.replace("1000", "inf"),
    "underscores": PLAIN.replace("1000", "1_000"),
    "a plus": PLAIN.replace("1000", "+1000"),
    "hexadecimal": PLAIN.replace("1000", "0x10"),
    "semicolons": PLAIN.replace(",", ";").replace(".", ","),
    "newest first": "\n".join([HEAD, *ROWS[::-1]]),
    "no header": "\n".join(ROWS),
    "another day form": PLAIN.replace("2024-01-02", "02.01.2024"),
    "a day that is none": PLAIN.replace("2024-01-03", "2024-02-30"),
    "one zone differs": minutes("Z", "T").replace("10:03:00Z", "10:03:00+01:00"),
    "one has no zone": minutes("Z", "T").replace("10:03:00Z", "10:03:00"),
    "another zone": minutes("+09:00", "T"),
    "sessions elsewhere": PLAIN.replace(",1", " 00:00+02:00,1").replace(" 00:00+02:00,10", ",10"),
    "epochs": PLAIN.replace("2024-01-0", "170000000"),
    "closes": PLAIN.replace("volume", "close_time").replace("date", "open_time"),
    "day and clock": PLAIN.replace("volume", "time"),
    "two volumes": PLAIN.replace("high", "vol"),
    "only a header": HEAD + "\n",
    "a short row": PLAIN.replace(",1000", ""),
    "before all markets": PLAIN.replace("2024-01-02", "0999-01-02"),
    "a bell": PLAIN.replace("1000", "\a"),
    "umlauts": PLAIN.replace("volume", "stück"),
}


@pytest.mark.parametrize("text", [pytest.param(t, id=k) for k, t in (USUAL | OTHERS).items()])
@pytest.mark.parametrize("options", [{}, {"zone": "Europe/Berlin"}, {"adjust": True}], ids=str)
def test_both_readers_say_the_same(
    tmp_path: Path, text: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(text.encode())
    quick = outcome(path, **options), files.check_market_file(path, **options)
    monkeypatch.setattr(files, "usual_bars", lambda *_: None)
    assert quick == (outcome(path, **options), files.check_market_file(path, **options))


def test_the_usual_ones_are_read_in_one_pass() -> None:
    read = {name: usual_bars(text.encode()) is not None for name, text in USUAL.items()}
    assert read == dict.fromkeys(USUAL, True)


def test_bars_that_were_saved_come_back_bit_for_bit(tmp_path: Path) -> None:
    market = synthetic(seed=1, bars=300, assets=3)
    path = tmp_path / "bars.csv"
    save_market(market, path)
    assert usual_bars(path.read_bytes()) is not None
    again = load_market(str(path))
    for name in ("open", "high", "low", "close", "volume", "timestamps"):
        np.testing.assert_array_equal(getattr(again, name), getattr(market, name))
