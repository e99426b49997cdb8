"""What trading and holding costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tradinghf.errors import NamedOptions, check_range, check_setting


@dataclass(frozen=True)
class CostModel(NamedOptions):
    """What trading and holding costs.

    Attributes:
        fee_bps: proportional fee per fill [basis points of traded notional]; negative is a rebate,
            of at most 100 bps.
        fixed_fee: fee per fill [currency].
        slippage_bps: buys fill above and sells below the reference price by this much [bps].
        per_share_fee: fee per share traded [currency]; negative is a rebate, which together with
            `fee_bps` pays at most 1 % of a fill's notional.
        spread_bps: quoted bid-ask spread; each fill pays half of it [bps].
        impact: square-root market impact Y: a fill of q shares in a bar of volume V moves its
            own price by Y * sigma * sqrt(q / V), sigma being the volatility of one bar.
        borrow_rate: yearly fee on the value of shorted shares [fraction per year].
        margin_rate: yearly interest on borrowed cash [fraction per year].
        cash_rate: yearly interest earned on cash that is not short-sale proceeds
            [fraction per year].
        funding_bps: perpetual-swap funding per bar on the position's value; longs pay, shorts
            receive when positive [bps per bar].
        min_fee: least fee per fill [currency]; 0 is none. No rebate falls below it.
        max_fee_bps: largest fee per fill, also where `min_fee` is more [bps of traded notional];
            0 is none.
        maker_fee_bps: `fee_bps` of limit orders and targets that the market came to [bps]; None is
            `fee_bps`.
        fee_tiers: ((traded, fee_bps), ...): the fee from so much on that the account traded in
            the 30 days before the fill's bar [currency, bps]; below the first, `fee_bps`.
        schedule: {day: {setting: value}}: settings that change at the first bar of that day.
        by_asset: {symbol: {setting: value}}: settings of single assets; they win over `schedule`.

    """

    fee_bps: float = 1.0
    fixed_fee: float = 0.0
    slippage_bps: float = 1.0
    per_share_fee: float = 0.0
    spread_bps: float = 0.0
    impact: float = 0.0
    borrow_rate: float = 0.0
    margin_rate: float = 0.0
    cash_rate: float = 0.0
    funding_bps: float = 0.0
    min_fee: float = 0.0
    max_fee_bps: float = 0.0
    maker_fee_bps: float | None = None
    fee_tiers: tuple[tuple[float, float], ...] = ()
    schedule: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    by_asset: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_range(self, "fixed_fee impact min_fee max_fee_bps", 0)
        check_range(self, "fee_bps", -100, 1e6)
        check_range(self, "per_share_fee", -1, 1e6)
        if self.maker_fee_bps is not None:
            check_range(self, "maker_fee_bps", -100, 1e6)
        check_range(self, "borrow_rate margin_rate cash_rate", 0)
        check_range(self, "funding_bps", -1e4, 1e4)
        check_range(self, "slippage_bps spread_bps", 0, 9_999)
        total = self.slippage_bps + self.spread_bps / 2
        check_setting(total < 1e4, "CostModel.slippage_bps + spread_bps / 2", total, "below 10000")
        self._check_tables()

    def _check_tables(self) -> None:
        """Tiers rise, and what is set for a day or an asset is a valid setting."""
        tiers = tuple(sorted(tuple(map(float, tier)) for tier in self.fee_tiers))
        ok = all(len(t) == 2 and t[0] >= 0 and -100 <= t[1] <= 1e6 for t in tiers)
        check_setting(ok, "CostModel.fee_tiers", self.fee_tiers, "((traded, fee_bps), ...)")
        object.__setattr__(self, "fee_tiers", tiers)
        for name in ("schedule", "by_asset"):
            table = getattr(self, name)
            nested = isinstance(table, Mapping) and all(
                isinstance(v, Mapping) for v in table.values()
            )
            check_setting(nested, f"CostModel.{name}", table, "{key: {setting: value}}")
            for key, part in table.items():
                fixed = {"schedule", "by_asset", "fee_tiers"} & part.keys()
                check_setting(not fixed, f"CostModel.{name}[{key!r}]", part, "plain settings only")
                CostModel(**part)

    @property
    def varies(self) -> bool:
        """Costs differ between days, assets, or with what was traded before."""
        return bool(self.fee_tiers or self.schedule or self.by_asset)
