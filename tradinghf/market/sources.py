"""Where bars come from: registered sources, files, and the drop-in folder."""

from __future__ import annotations

import gzip
import importlib.util
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.market.data import MarketData
from tradinghf.market.files import SUFFIXES, load_file, parse_csv
from tradinghf.market.synthetic import Regime
from tradinghf.market.synthetic import synthetic as make_synthetic
from tradinghf.registry import Registry
from tradinghf.resources import resource_dir

Load = Callable[..., MarketData]


@dataclass(frozen=True)
class Source:
    """A named source of bars.

    Attributes:
        name: as in "NAME:option=value,...".
        load: returns validated bars; positional arguments come from the part after the colon.
        help: one line.

    """

    name: str
    load: Load
    help: str

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """Keyword options and their defaults."""
        parameters = inspect.signature(self.load, eval_str=True).parameters.values()
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return {p.name: p for p in parameters if p.kind in kinds}


SOURCES: Registry[Source] = Registry("market", MarketDataError)


def source(name: str, *, help: str) -> Callable[[Load], Load]:  # noqa: A002
    """Register a function that returns `MarketData` as the source `name`.

    Its keyword options become options of the spec: "NAME:seed=3,bars=4096".

    Raises:
        MarketDataError: the name is taken.

    """

    def decorate(load: Load) -> Load:
        SOURCES.add(name, Source(name, load, help))
        return load

    return decorate


def load_market(spec: str | Path, **options: Any) -> MarketData:
    """Load validated bars.

    Args:
        spec: a source ("sp500"), with options ("synthetic:seed=3,bars=4096,regime=jumps",
            "yfinance:SPY,start=2010-01-01", "ccxt:binance:BTC/USDT:1d"); a path to a .csv or
            .parquet file; or the name of a file in the drop-in folder `data/` without its suffix.
        options: the same options as keywords; they win over those in the spec.

    Raises:
        MarketDataError: unknown name or option, or bars that break a rule; the message names
            what and the next step.
        MissingExtraError: the source needs a package that is not installed.

    """
    text = os.fspath(spec)
    if (path := _as_file(text)) is not None:
        return load_file(path, **options)
    name, _, rest = text.partition(":")
    if name not in SOURCES:
        known = [*SOURCES, *(p.stem for p in drop_in_files())]
        raise MarketDataError(
            f"{unknown_name('market', text, known)} Or give a path to a .csv or .parquet file."
        )
    found = SOURCES[name]
    tokens = [token.strip() for token in rest.split(",") if token.strip()]
    arguments = [token for token in tokens if "=" not in token]
    given = dict(token.split("=", 1) for token in tokens if "=" in token)
    return _call(found, arguments, {**given, **options})


def drop_in_folders() -> list[Path]:
    """Folders searched for users' files: $TRADINGHF_DATA, ./data, and the bundled one."""
    named = os.environ.get("TRADINGHF_DATA")
    candidates = [*([Path(named)] if named else []), Path("data"), resource_dir("data")]
    return [folder for folder in dict.fromkeys(c.resolve() for c in candidates) if folder.is_dir()]


def drop_in_files() -> list[Path]:
    """Users' .csv and .parquet files, first folder first."""
    return [
        path
        for folder in drop_in_folders()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]


def _as_file(text: str) -> Path | None:
    path = Path(text)
    if path.suffix.lower() in SUFFIXES or path.is_file() or path.is_dir():
        return path
    if text.partition(":")[0] in SOURCES:
        return None
    return next((p for p in drop_in_files() if text in (p.stem, p.name)), None)


def _call(found: Source, arguments: list[str], options: dict[str, Any]) -> MarketData:
    known = found.options
    unknown = [name for name in options if name not in known]
    if unknown:
        raise MarketDataError(f"{found.name}: {unknown_name('option', unknown[0], known)}")
    values = {name: _convert(found.name, known[name], v) for name, v in options.items()}
    try:
        inspect.signature(found.load).bind(*arguments, **values)
    except TypeError as error:
        usage = ", ".join(str(p).replace("'", "") for p in known.values())
        raise MarketDataError(f"{found.name}: {error}. Options: {usage or 'none'}.") from error
    return found.load(*arguments, **values)


def _convert(name: str, option: inspect.Parameter, value: Any) -> Any:
    """Text to the type of the option's annotation."""
    kinds = get_args(option.annotation) or (option.annotation,)
    for kind in (int, float):
        if kind in kinds and isinstance(value, str):
            try:
                return kind(value)
            except ValueError as error:
                raise MarketDataError(
                    f"{name}: option {option.name} is {value!r}; expected {kind.__name__}."
                ) from error
    return value


@source("synthetic", help="Seeded paths of a learnable regime: momentum, mean_reversion, ...")
def _synthetic(
    *, seed: int = 0, bars: int = 2048, assets: int = 16, regime: Regime = "momentum"
) -> MarketData:
    return make_synthetic(seed=seed, bars=bars, assets=assets, regime=regime)


@source("sp500", help="S&P 500 index, daily OHLCV 1999-2018 (package arch)")
def _sp500() -> MarketData:
    return _arch_sample("sp500", "S&P 500")


@source("nasdaq", help="NASDAQ Composite index, daily OHLCV 1999-2018 (package arch)")
def _nasdaq() -> MarketData:
    return _arch_sample("nasdaq", "NASDAQ")


def _arch_sample(name: str, symbol: str) -> MarketData:
    # Read the file beside the package: importing arch takes seconds.
    package = importlib.util.find_spec("arch")
    folders = package.submodule_search_locations if package else None
    path = Path(folders[0], "data", name, f"{name}.csv.gz") if folders else Path("arch")
    if not path.is_file():
        raise MarketDataError(
            f"{name}: this sample comes with the package arch, which lacks {path.name}. "
            "Reinstall it with: pip install --force-reinstall arch"
        )
    table = parse_csv(gzip.decompress(path.read_bytes()), symbol=symbol, date_format="%m/%d/%Y")
    return MarketData.from_table(
        table, name=name, bars_per_year=252.0, source=f"package arch, data/{name}"
    )
