"""Bars that need no download: synthetic paths, and index histories inside the package arch."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

from tradinghf.errors import MarketDataError
from tradinghf.market._data import MarketData
from tradinghf.market._files import parse_csv
from tradinghf.market._source_registry import source
from tradinghf.market._synthetic import Regime, synthetic


@source("synthetic", help="Seeded paths of a learnable regime: synthetic:seed=3,regime=jumps")
def _synthetic(
    *, seed: int = 0, bars: int = 2048, assets: int = 16, regime: Regime = "momentum"
) -> MarketData:
    return synthetic(seed=seed, bars=bars, assets=assets, regime=regime)


@source("sp500", help="S&P 500 index, daily OHLCV 1999-2018 (in package arch)")
def _sp500() -> MarketData:
    return _arch_sample("sp500", "SP500")


@source("nasdaq", help="NASDAQ Composite index, daily OHLCV 1999-2018 (in package arch)")
def _nasdaq() -> MarketData:
    return _arch_sample("nasdaq", "NASDAQ")


def _arch_sample(name: str, symbol: str) -> MarketData:
    # Read the file beside the package: importing arch takes seconds.
    package = importlib.util.find_spec("arch")
    folders = package.submodule_search_locations if package else None
    path = Path(folders[0] if folders else "", "data", name, f"{name}.csv.gz")
    try:
        text = gzip.decompress(path.read_bytes())
    except OSError as error:
        raise MarketDataError(
            f"{name}: this sample comes with the package arch, whose file {path.name} cannot be "
            "read. Reinstall it with: pip install --force-reinstall arch"
        ) from error
    table = parse_csv(text, symbol=symbol, date_format="%m/%d/%Y")
    return MarketData.from_table(
        table, name=name, bars_per_year=252.0, source=f"package arch, data/{name}"
    )
