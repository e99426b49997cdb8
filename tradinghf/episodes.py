"""Episodes: recorded stretches of trading, which traders rank and reward models learn from.

No torch here: the dashboard reads episodes without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from tradinghf._json import parse_json
from tradinghf.durable import write_atomic
from tradinghf.errors import EpisodeError

Floats = NDArray[np.float64]
_FORMAT = "tradinghf-episode-1"


class _EquityPaths:
    """Quantities that follow from the recorded arrays; time is their last axis everywhere.

    Those of single assets, [..., L, A], have the assets after it.
    """

    equity: Floats
    position: Floats
    weights: Floats | None
    gains: Floats | None

    @property
    def book(self) -> Floats:
        """[..., L, A] weight of each asset held; an account that trades one asset has A = 1."""
        return self.position[..., None] if self.weights is None else self.weights

    @property
    def asset_gains(self) -> Floats:
        """[..., L, A] profit of each asset in each bar, as a fraction of the starting equity."""
        return np.diff(self.equity, axis=-1)[..., None] if self.gains is None else self.gains

    @property
    def drawdown(self) -> Floats:
        """[..., L+1] fall from the highest equity so far, as a fraction in [0, 1]."""
        peak = np.maximum.accumulate(self.equity, axis=-1)
        return 1.0 - self.equity / peak

    @property
    def net_return(self) -> Floats:
        """[...] profit over the episode, after costs, as a fraction of the starting equity."""
        return self.equity[..., -1] / self.equity[..., 0] - 1.0

    @property
    def returns(self) -> Floats:
        """[..., L] simple return of each bar, after costs."""
        return self.equity[..., 1:] / self.equity[..., :-1] - 1.0


@dataclass(frozen=True, eq=False)
class Episode(_EquityPaths):
    """One strategy's or policy's trading of one window of one market.

    L bars were traded; arrays of length L+1 include the bar of the first decision. Of a portfolio,
    prices and position are those of one account (`tradinghf.loop._portfolio`), and `weights`,
    `gains` and `assets` say what it was made of.

    Attributes:
        open, high, low, close, volume: [L+1] the bars.
        timestamps: [L+1] datetime64[ns], UTC.
        position: [L] signed fraction of equity held at the end of each bar.
        equity: [L+1] after costs; starts at 1.
        turnover: [L] traded notional / equity before the trade.
        costs: [L] fees and slippage, in units of the starting equity.
        price: [L] average fill price of the bar's trades; NaN where nothing was traded.
        symbol: the asset.
        market: `MarketData.sha256` of the data.
        start: index of the first bar in that data.
        source: the strategy or policy ("sma_cross", "policy:3f2a"); hidden from raters.
        meta: anything else worth keeping (parameters, cost model, seed); JSON values.
        weights: [L, A] of a portfolio's assets at the end of each bar [signed fraction of equity];
            None for a single asset.
        gains: [L, A] profit of each asset in each bar before fees [fraction of starting equity].
        assets: A names of the columns.

    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    timestamps: NDArray[np.datetime64]
    position: Floats
    equity: Floats
    turnover: Floats
    costs: Floats
    price: Floats
    symbol: str = "asset"
    market: str = ""
    start: int = 0
    source: str = "unknown"
    meta: dict[str, Any] = field(default_factory=dict)
    weights: Floats | None = None
    gains: Floats | None = None
    assets: tuple[str, ...] = ()

    @property
    def bars(self) -> int:
        """L."""
        return int(self.position.shape[-1])

    @property
    def breadth(self) -> int:
        """A, assets of a portfolio; 0 for a single asset."""
        return 0 if self.weights is None else int(self.weights.shape[-1])

    @property
    def window(self) -> tuple[str, str, int, int]:
        """(market, symbol, start, L): episodes with equal windows may be ranked together."""
        return (self.market, self.symbol, self.start, self.bars)

    @staticmethod
    def windows_in_words(windows: Iterable[tuple[str, str, int, int]]) -> str:
        """Windows as messages name them: how many bars of which asset, from where."""
        distinct = list(dict.fromkeys(windows))
        shown = [f"{bars} bars of {name} from bar {start}" for _, name, start, bars in distinct[:3]]
        return ", ".join(shown) + (", ..." if len(distinct) > len(shown) else "")

    @cached_property
    def id(self) -> str:
        """sha256 of the serialised episode: equal content, equal id."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def tail(self, share: float) -> Episode:
        """The last `share` of the episode, as an episode that starts with equity 1."""
        first = self.bars - max(2, round(share * self.bars))
        arrays = {name: getattr(self, name)[first:] for name in _FLOATS}
        base = self.equity[first]
        arrays |= {"equity": arrays["equity"] / base, "costs": arrays["costs"] / base}
        if self.weights is not None and self.gains is not None:
            arrays |= {"weights": self.weights[first:], "gains": self.gains[first:] / base}
        start = self.start + first
        return replace(self, timestamps=self.timestamps[first:], start=start, **arrays)

    def head(self, share: float) -> Episode:
        """The first `share` of the episode, as an episode."""
        bars = max(2, round(share * self.bars))
        cut = {n: getattr(self, n)[: bars + (n not in _PER_STEP)] for n in _FLOATS}
        return replace(self, timestamps=self.timestamps[: bars + 1], **cut)

    def to_bytes(self) -> bytes:
        """The episode as one safetensors document; equal content gives equal bytes."""
        names = _FLOATS if self.weights is None else (*_FLOATS, *_OF_ASSETS)
        arrays = {n: np.ascontiguousarray(getattr(self, n), dtype=np.float64) for n in names}
        stamps = np.ascontiguousarray(self.timestamps).astype("datetime64[ns]").astype(np.int64)
        about = {"format": _FORMAT, **{name: getattr(self, name) for name in _LABELS}}
        if self.weights is not None:
            about["assets"] = list(self.assets)
        # One metadata key only: safetensors writes several in random order.
        header = {"episode": json.dumps(about, sort_keys=True)}
        return bytes(save_tensors({**arrays, "timestamps": stamps}, metadata=header))

    @classmethod
    def from_bytes(cls, data: bytes, *, expect_id: str | None = None) -> Episode:
        """Read `to_bytes` back.

        Raises:
            EpisodeError: not an episode of this format, malformed, or its hash is not `expect_id`.

        """
        if expect_id is not None and (got := hashlib.sha256(data).hexdigest()) != expect_id:
            raise EpisodeError(
                f"Episode {expect_id[:12]} was altered: its content hashes to {got[:12]}. "
                "Restore the file from a backup, or record the episode again."
            )
        try:
            size = int.from_bytes(data[:8], "little")
            about = parse_json(parse_json(data[8 : 8 + size])["__metadata__"]["episode"])
            if about.pop("format") != _FORMAT:
                raise KeyError("format")
            tensors: dict[str, Any] = load_tensors(data)
            stamps = tensors.pop("timestamps").astype("datetime64[ns]")
            about["assets"] = tuple(about.get("assets", ()))
            episode = cls(timestamps=stamps, **tensors, **about)
        except (
            SafetensorError,
            LookupError,
            TypeError,
            AttributeError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            raise EpisodeError(
                f"Not a {_FORMAT} document ({type(error).__name__}: {error}). "
                "Expected a file written by Episode.save."
            ) from error
        episode.check()
        return episode

    def save(self, path: Path | str) -> None:
        """Write `to_bytes` to a file, whole or not at all."""
        write_atomic(Path(path), self.to_bytes())

    @classmethod
    def load(cls, path: Path | str) -> Episode:
        """Read a file written by `save`."""
        return cls.from_bytes(Path(path).read_bytes())

    def check(self) -> None:
        """Raise `EpisodeError` unless shapes agree and values are finite."""
        length = self.bars
        for name in _FLOATS:
            value = getattr(self, name)
            expected = (length,) if name in _PER_STEP else (length + 1,)
            if value.shape != expected:
                raise EpisodeError(f"Episode.{name} has shape {value.shape}; expected {expected}.")
            if name != "price" and not np.isfinite(value).all():
                bar = int(np.flatnonzero(~np.isfinite(value))[0])
                raise EpisodeError(
                    f"Episode.{name}[{bar}] is {value[bar]}; expected a finite number."
                )
        self._check_assets()
        if self.timestamps.shape != (length + 1,):
            raise EpisodeError(
                f"Episode.timestamps has shape {self.timestamps.shape}; expected {(length + 1,)}."
            )

    def _check_assets(self) -> None:
        """Raise `EpisodeError` unless the parts of a portfolio fit together."""
        if self.weights is None and self.gains is None and not self.assets:
            return
        expected = (self.bars, len(self.assets))
        for name in _OF_ASSETS:
            value = getattr(self, name)
            found = None if value is None else value.shape
            if value is None or found != expected or not self.assets:
                raise EpisodeError(f"Episode.{name} has shape {found}; expected {expected}.")
            if not np.isfinite(value).all():
                raise EpisodeError(f"Episode.{name} has values that are not finite numbers.")


_OF_ASSETS = ("weights", "gains")
_PER_STEP = ("position", "turnover", "costs", "price")
_FLOATS = ("open", "high", "low", "close", "volume", "equity", *_PER_STEP)
_LABELS = ("symbol", "market", "start", "source", "meta")


@dataclass(frozen=True, eq=False)
class EpisodeBatch(_EquityPaths):
    """B episodes as arrays with a leading axis: [B, L], [B, L+1] or, of a portfolio's assets,
    [B, L, A]; same names as `Episode`.

    A utility written with `axis=-1` therefore works on one episode and on a batch alike.
    """

    close: Floats
    position: Floats
    equity: Floats
    turnover: Floats
    costs: Floats
    weights: Floats | None = None
    gains: Floats | None = None

    @classmethod
    def stack(cls, episodes: list[Episode]) -> EpisodeBatch:
        """Stack episodes of equal length; of portfolios, with equally many assets.

        Raises:
            EpisodeError: none given, or lengths or numbers of assets differ.

        """
        lengths = {episode.bars for episode in episodes}
        if len(lengths) != 1:
            raise EpisodeError(f"Episodes to stack have lengths {sorted(lengths)}; expected one.")
        assets = {episode.breadth for episode in episodes}
        if len(assets) != 1:
            raise EpisodeError(
                f"Episodes to stack have {sorted(assets)} assets (0: no portfolio); expected one "
                "number of them."
            )
        names = [f.name for f in fields(cls) if assets != {0} or f.name not in _OF_ASSETS]
        return cls(**{name: np.stack([getattr(e, name) for e in episodes]) for name in names})

    def first(self, bars: int) -> EpisodeBatch:
        """The first bars of every episode."""
        lengths = {"close": bars + 1, "equity": bars + 1}
        cut: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, values in cut.items():
            cut[name] = None if values is None else values[:, : lengths.get(name, bars)]
        return EpisodeBatch(**cut)

    def rows(self, which: NDArray[np.int64]) -> EpisodeBatch:
        """Some of the episodes."""
        kept: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, values in kept.items():
            kept[name] = None if values is None else values[which]
        return EpisodeBatch(**kept)

    def __len__(self) -> int:
        return len(self.equity)

    def episodes(self) -> list[Episode]:
        """The batch as single episodes; bars that the batch lacks are filled from the closes."""
        length = self.close.shape[1]
        stamps = np.arange(length).astype("datetime64[D]").astype("datetime64[ns]")
        blank, unfilled = np.zeros(length), np.full(length - 1, np.nan)
        names = () if self.weights is None else range(self.weights.shape[-1])
        nothing = [None] * len(self)
        books = zip(
            nothing if self.weights is None else self.weights,
            nothing if self.gains is None else self.gains,
            strict=True,
        )
        return [
            Episode(
                open=close,
                high=close,
                low=close,
                close=close,
                volume=blank,
                timestamps=stamps,
                position=position,
                equity=equity,
                turnover=turnover,
                costs=costs,
                price=unfilled,
                weights=weights,
                gains=gains,
                assets=tuple(f"asset {i + 1}" for i in names),
            )
            for close, position, equity, turnover, costs, (weights, gains) in zip(
                *(self.close, self.position, self.equity, self.turnover, self.costs, books),
                strict=True,
            )
        ]
