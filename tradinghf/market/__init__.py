"""Validated market data, its sources, and features of it. NumPy and pandas only."""

from __future__ import annotations

from tradinghf.market._archives import unpacked
from tradinghf.market._bar_rules import FIELDS, Floats
from tradinghf.market._beside import options_file
from tradinghf.market._catalogue import catalogue
from tradinghf.market._currencies import in_account_currency
from tradinghf.market._data import MarketData
from tradinghf.market._feature_scaler import FeatureScaler
from tradinghf.market._features import feature, feature_memory, feature_names, features
from tradinghf.market._files import (
    SUFFIXES,
    check_market_file,
    column_names,
    load_file,
    market_name,
    save_market,
)
from tradinghf.market._fill_account import FillAccount, replay_fills
from tradinghf.market._fills import read_fills
from tradinghf.market._futures import RolledFuture, roll_contracts
from tradinghf.market._lookahead import assert_causal, leaks
from tradinghf.market._membership import membership
from tradinghf.market._quality import describe_market, market_warnings
from tradinghf.market._rolling import lagged, realised_volatility
from tradinghf.market._source_registry import SOURCES, source
from tradinghf.market._sources import (
    MarketLike,
    as_market,
    drawn_again,
    file_and_options,
    load_market,
    names_files,
)
from tradinghf.market._synthetic import synthetic
from tradinghf.market._times import session_times
from tradinghf.market._traces import BarTrace, likely_columns, traces
from tradinghf.market._versions import VersionChange, change_sentence, compare_versions

__all__ = [
    "FIELDS",
    "SOURCES",
    "SUFFIXES",
    "BarTrace",
    "FeatureScaler",
    "FillAccount",
    "Floats",
    "MarketData",
    "MarketLike",
    "RolledFuture",
    "VersionChange",
    "as_market",
    "assert_causal",
    "catalogue",
    "change_sentence",
    "check_market_file",
    "column_names",
    "compare_versions",
    "describe_market",
    "drawn_again",
    "feature",
    "feature_memory",
    "feature_names",
    "features",
    "file_and_options",
    "in_account_currency",
    "lagged",
    "leaks",
    "likely_columns",
    "load_file",
    "load_market",
    "market_name",
    "market_warnings",
    "membership",
    "names_files",
    "options_file",
    "read_fills",
    "realised_volatility",
    "replay_fills",
    "roll_contracts",
    "save_market",
    "session_times",
    "source",
    "synthetic",
    "traces",
    "unpacked",
]
