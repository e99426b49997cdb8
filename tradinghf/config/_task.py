"""One trading task of an agent: what it sees, may do, and for how long."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from tradinghf.config._account import Brackets, Margin, TradingRules
from tradinghf.errors import NamedOptions, check_choices, check_range, check_setting

Fill = Literal["next_open", "close"]
Autoreset = Literal["auto", "same_step", "next_step", "disabled"]


_MOST_BARS, _OF_32_BITS = 2**31 - 1, " (a number of 32 bits)"


@dataclass(frozen=True)
class Allocation(NamedOptions):
    """How a portfolio's action, one score in [-1, 1] per asset, becomes weights.

    Limits hold whenever orders are sized; prices move weights between fills.

    Attributes:
        mapping: "scaled" is leverage * a / max(1, sum |a|), long and short, the rest is cash;
            "softmax" is leverage * exp(5 a) / (n + sum exp(5 a)) of n listed assets, long only,
            with cash as one more asset that weighs as much as all the others do at a score of 0.
        net: largest long minus short, and short minus long [multiple of equity]; None is no
            limit. 0 is dollar-neutral: scores then count as distances from their mean.
        most: largest weight of one asset, long or short [fraction of equity]; 0 is no limit.
        names: only so many assets are held, those with the largest scores (absolute ones where
            shorts are possible); 0 is all.
        band: an asset whose wanted weight is this near to what is held is left alone [fraction
            of equity]; where that would break a limit, it is not.

    """

    mapping: Literal["scaled", "softmax"] = "scaled"
    net: float | None = None
    most: float = 0.0
    names: int = 0
    band: float = 0.0

    def __post_init__(self) -> None:
        check_choices(self)
        check_range(self, "most names band", 0)
        check_setting(
            self.net is None or self.net >= 0, "Allocation.net", self.net, "a number >= 0, or None"
        )
        check_setting(
            self.net is None or self.mapping == "scaled",
            "Allocation.net",
            self.net,
            "None for mapping='softmax', which holds longs only",
        )


@dataclass(frozen=True)
class Randomisation(NamedOptions):
    """What differs from episode to episode, beside the window: ranges are drawn uniformly.

    Attributes:
        fee_bps: (low, high) that replaces `CostModel.fee_bps`.
        slippage_bps: (low, high) that replaces `CostModel.slippage_bps`.
        bootstrap_paths: resampled copies of each asset added to the market (stationary block
            bootstrap of its bars).
        bootstrap_block: mean block length [bars].
        bootstrap_drift: (low, high) of what is added to the mean log return of a copy's bars, in
            their own spreads; one number a copy, for all assets. A drift that never came is among
            the paths then.
        bootstrap_volatility: (low, high) of the factor of a copy's log returns around their mean.

    """

    fee_bps: tuple[float, float] | None = None
    slippage_bps: tuple[float, float] | None = None
    bootstrap_paths: int = 0
    bootstrap_block: float = 20.0
    bootstrap_drift: tuple[float, float] | None = None
    bootstrap_volatility: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("fee_bps", "slippage_bps"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
                ok = len(value) == 2 and 0 <= value[0] <= value[1] < 1e4
                check_setting(
                    ok, f"Randomisation.{name}", value, "(low, high) with 0 <= low <= high"
                )
        for name, least, most in (("bootstrap_drift", -1, 1), ("bootstrap_volatility", 0.1, 10)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
                ok = len(value) == 2 and least <= value[0] <= value[1] <= most
                said = f"(low, high) with {least} <= low <= high <= {most}"
                check_setting(ok, f"Randomisation.{name}", value, said)
        check_range(self, "bootstrap_paths", 0)
        check_range(self, "bootstrap_block", 1)


@dataclass(frozen=True)
class Overlay(NamedOptions):
    """Actions that modulate strategies of one's own, instead of naming positions.

    Attributes:
        bases: the strategies, as text: NAME, FILE.py or FILE.py:function, and parameters after a
            colon ("sma_cross:fast=10,slow=50").
        moves: what the discrete actions do with the bases' present targets; the first is to do
            what the first base does. "x0.5": so many times the first base's target, "x0" is flat;
            "cap0.5": its target, but at most so much of the equity; "base2": the second base's;
            "blend": the mean of all; "wait": no order, what is held is kept. Empty: "x1", "x0.5",
            "x0" and "wait" for one base; every base, "blend" and "x0" for several.

    With `actions="continuous"` there is a number for each base instead, in [-1, 1]: min(1 + a, 1)
    of the first base's target, and max(a, 0) of every other's, scaled down together where they add
    up to more than 1. All zero is what the first base does.

    """

    bases: tuple[str, ...]
    moves: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("bases", "moves"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        check_setting(len(self.bases) >= 1, "Overlay.bases", self.bases, "at least one strategy")
        if not self.moves:
            each = tuple(f"base{k + 1}" for k in range(len(self.bases)))
            several = (*each, "blend", "x0")
            object.__setattr__(self, "moves", several if each[1:] else ("x1", "x0.5", "x0", "wait"))
        for move in self.moves:
            number = re.fullmatch(r"base(\d+)", move)
            named = re.fullmatch(r"blend|wait|(x-?|cap)\d+(\.\d+)?", move) is not None
            named |= number is not None and 1 <= int(number[1]) <= len(self.bases)
            check_setting(named, "Overlay.moves", move, "x0.5, cap0.5, base1, blend or wait")
        first = self.moves[0] in ("x1", "base1") and len(self.moves) >= 2
        check_setting(first, "Overlay.moves", self.moves, "two or more, of which x1 or base1 first")


@dataclass(frozen=True)
class EnvConfig(NamedOptions):
    """One trading task: what the agent sees, may do, and for how long.

    Attributes:
        horizon: length of an episode L [bars].
        lookback: bars of market features in each observation W.
        actions: "discrete" picks one of `levels`; "continuous" is any target in [-1, 1].
        levels: target positions of the discrete actions [signed fraction of equity].
        orders: how an action's target is ordered. "market": at once. "limit0.5": to fill half a
            volatility of one bar below the last close where it buys, above it where it sells, or
            better. "stop0.5": at market once the price is half a volatility beyond the close, above
            it for buys. Such orders wait until they fill or another one replaces them. A discrete
            action is level * len(orders) + order; a continuous one has a second number: above 1/3
            it is a stop, below -1/3 a limit, the further off the larger it is.
        fill: an action decided on the close of bar t fills at the open of bar t+1
            ("next_open") or at that same close ("close").
        rebalance: False: an action equal to the last one is no order, the position drifts;
            True: every action is an order, so drift is traded back every bar.
        cash: starting cash [currency]; scales `CostModel.fixed_fee`.
        windows: where episodes start: "random" draws, "sequential" walks through the market.
        features: names of market features (`tradinghf.market._features`).
        dtype: accounting precision.
        review: the observation's drawdown and time since the last trade refer to this many bars;
            None means `horizon`.
        portfolio: False: each env trades one asset; True: each env trades all A with shared cash.
        allocation: how a portfolio's action becomes weights.
        observation: "flat" is one vector; "dict" has its parts "market" and "account"; "index"
            has the "window" that the market part is, for `MarketEnv.dense`, and "account".
        time_left: whether the account part ends with the share of the review period that is left,
            1 at its start and 0 at its end: for learners that take an episode's end for the end of
            all reward. PPO's critics know it anyhow, while its policies do not.
        autoreset: when an ended env starts again (Gymnasium's `AutoresetMode`); "auto" is
            "same_step" in `MarketEnv`, and "next_step" in `gymnasium.make_vec`, whose wrappers
            expect that.
        ruin: an account whose equity falls to this fraction of `cash` is closed for the rest of
            its episode.
        rules: order limits. margin: leverage and liquidation. brackets: protective exits.
        randomise: domain randomisation.
        overlay: actions modulate strategies (`Overlay`), whose targets are observed as well; None:
            actions are positions.

    """

    horizon: int = 64
    lookback: int = 8
    actions: Literal["discrete", "continuous"] = "discrete"
    levels: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    orders: tuple[str, ...] = ("market",)
    fill: Fill = "next_open"
    rebalance: bool = False
    cash: float = 100_000.0
    windows: Literal["random", "sequential"] = "random"
    features: tuple[str, ...] = (
        "log_return",
        "momentum_5",
        "momentum_20",
        "volatility_20",
        "range",
    )
    dtype: Literal["float32", "float64"] = "float32"
    review: int | None = None
    portfolio: bool = False
    allocation: Allocation = field(default_factory=Allocation)
    observation: Literal["flat", "dict", "index"] = "flat"
    time_left: bool = False
    autoreset: Autoreset = "auto"
    ruin: float = 1e-3
    rules: TradingRules = field(default_factory=TradingRules)
    margin: Margin = field(default_factory=Margin)
    brackets: Brackets = field(default_factory=Brackets)
    randomise: Randomisation = field(default_factory=Randomisation)
    overlay: Overlay | None = None

    def __post_init__(self) -> None:
        self._coerce()
        long, deep = 2 <= self.horizon <= _MOST_BARS, 1 <= self.lookback <= _MOST_BARS
        check_setting(long, "EnvConfig.horizon", self.horizon, f"at least 2 bars{_OF_32_BITS}")
        check_setting(deep, "EnvConfig.lookback", self.lookback, f"at least 1 bar{_OF_32_BITS}")
        check_setting(self.cash > 0, "EnvConfig.cash", self.cash, "a positive amount")
        check_setting(
            len(self.levels) >= 2, "EnvConfig.levels", self.levels, "at least 2 positions"
        )
        self._check_orders()
        check_range(self, "ruin", 1e-9, 0.5)
        review = self.review is None or 1 <= self.review <= _MOST_BARS
        check_setting(
            review, "EnvConfig.review", self.review, f"at least 1 bar{_OF_32_BITS}, or None"
        )
        check_choices(self)

    def _check_orders(self) -> None:
        known = [re.fullmatch(r"market|(limit|stop)\d+(\.\d+)?", x) for x in self.orders]
        told = all(known) and len(set(self.orders)) == len(self.orders) >= 1
        check_setting(
            told, "EnvConfig.orders", self.orders, 'different ones of "market", "limit0.5", "stop1"'
        )
        if self.orders == ("market",):
            return
        kinds = [found[1] or "market" for found in known if found]
        one_each = len(set(kinds)) == len(kinds) and "market" in kinds
        check_setting(
            self.actions == "discrete" or one_each,
            "EnvConfig.orders",
            self.orders,
            '"market" and at most one limit and one stop, for actions="continuous"',
        )

    def _coerce(self) -> None:
        """Accept what JSON makes of a config: lists for tuples, mappings for dataclasses."""
        for name in ("levels", "features", "orders"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Mapping):
                made = _PARTS[item.name](**value)
                object.__setattr__(self, item.name, made)


_PARTS: dict[str, type] = {
    "allocation": Allocation,
    "rules": TradingRules,
    "margin": Margin,
    "brackets": Brackets,
    "randomise": Randomisation,
    "overlay": Overlay,
}
