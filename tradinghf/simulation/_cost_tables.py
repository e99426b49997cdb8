"""Costs that differ between days, between assets, or with what an account has traded before."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tradinghf.config import CostModel
from tradinghf.errors import ConfigError, unknown_name
from tradinghf.market import MarketData
from tradinghf.simulation._costs import Rates
from tradinghf.simulation._financing import Financing
from tradinghf.simulation._setup import Setup

TIER_DAYS = 30
"""Fee tiers look at what was traded in so many days before a bar."""
_ACCOUNT_WIDE = ("margin_rate", "cash_rate")


def plain_costs(costs: CostModel) -> CostModel:
    """The costs without what varies."""
    return replace(costs, schedule={}, by_asset={}, fee_tiers=())


@dataclass(frozen=True, eq=False)
class CostTables:
    """The setup of every bar.

    Attributes:
        costs: what was asked for.
        market: the bars.
        parts: the setups of the schedule, in order.
        part: [T] which of them a bar has.

    """

    costs: CostModel
    market: MarketData
    parts: tuple[Setup, ...]
    part: np.ndarray[Any, Any]

    @classmethod
    def of(cls, setup: Setup, costs: CostModel, market: MarketData, like: dict[str, Any]) -> Any:
        """Tables of a simulation.

        Args:
            setup: of the plain costs.
            costs: what varies with them.
            market: the bars.
            like: dtype and device of the accounts.

        Raises:
            ConfigError: a day or a symbol that the market has not, or a cost of the whole account
                for one asset.

        """
        base, parts = plain_costs(costs), []
        days = sorted((_day(key), key) for key in costs.schedule)
        changes: list[dict[str, Any]] = [{}, *(dict(costs.schedule[key]) for _, key in days)]
        for changed in changes:
            base = replace(base, **changed)
            parts.append(_with_assets(setup, base, costs, market, like))
        starts = np.array([day.value for day, _ in days], dtype=np.int64)
        stamps = market.index.as_unit("ns").asi8
        return cls(costs, market, tuple(parts), np.searchsorted(starts, stamps, side="right"))

    def at(self, bar: int, traded: list[Tensor]) -> Setup:
        """The setup of a bar, given the notional [N, 1] of every bar before it."""
        setup = self.parts[int(self.part[bar])]
        if not self.costs.fee_tiers:
            return setup
        stamps = self.market.index
        first = int(stamps.searchsorted(stamps[bar] - pd.Timedelta(days=TIER_DAYS)))
        recent = sum(traded[first:bar], torch.zeros_like(traded[0]) if traded else torch.zeros(1))
        fee = torch.as_tensor(setup.rates.fee, dtype=torch.float64).expand_as(recent)
        for least, fee_bps in self.costs.fee_tiers:
            fee = torch.where(recent >= least, fee_bps / 1e4, fee)
        return replace(setup, rates=replace(setup.rates, fee=fee))


def _day(key: str) -> pd.Timestamp:
    try:
        day = pd.Timestamp(key)
    except ValueError as error:
        raise ConfigError(
            f'CostModel.schedule has the key {key!r}; expected a day such as "2019-10-01".'
        ) from error
    return day.tz_localize("UTC") if day.tzinfo is None else day.tz_convert("UTC")


def _with_assets(
    setup: Setup, base: CostModel, costs: CostModel, market: MarketData, like: dict[str, Any]
) -> Setup:
    """A setup whose rates are one number, or one per asset where assets differ."""
    for symbol, changed in costs.by_asset.items():
        if symbol not in market.symbols:
            raise ConfigError(unknown_name("symbol in CostModel.by_asset", symbol, market.symbols))
        for name in _ACCOUNT_WIDE:
            if name in changed:
                raise ConfigError(
                    f"CostModel.by_asset[{symbol!r}] has {name}, a rate of the account's cash; "
                    "set it for all, in CostModel."
                )
    own: list[dict[str, Any]] = [dict(costs.by_asset.get(s, {})) for s in market.symbols]
    models = [replace(base, **changed) for changed in own]
    rates = _joined(Rates, [Rates.of(model) for model in models], like)
    holding = _joined(Financing, [Financing.of(m, market.bars_per_year) for m in models], like)
    unused = setup.financing is None and all(
        not isinstance(getattr(holding, f.name), Tensor) and getattr(holding, f.name) == 0.0
        for f in fields(holding)
    )
    return replace(setup, rates=rates, financing=None if unused else holding)


def _joined(kind: Any, each: list[Any], like: dict[str, Any]) -> Any:
    """One settings object; a field in which assets differ is a tensor [1, A]."""
    found = {}
    for item in fields(kind):
        values = [getattr(one, item.name) for one in each]
        same = len(set(values)) == 1
        found[item.name] = values[0] if same else torch.tensor([values], **like)
    return kind(**found)
