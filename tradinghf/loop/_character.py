"""What a policy became, in a paragraph of plain words: from how its episodes were traded."""

from __future__ import annotations

from typing import Any

import numpy as np

from tradinghf.episodes import EpisodeBatch, Floats

_FLAT = 1e-3  # positions below this are none [fraction of equity]
_BEFORE = 5  # bars before an entry that say after what it buys
_CLEAR = 2.0  # standard errors


def character(batch: EpisodeBatch) -> dict[str, Any]:
    """How B episodes were traded, and the same in a paragraph.

    Args:
        batch: episodes of one policy.

    Returns:
        JSON values: `text`, in_market (share of bars), long, short, size (mean while in the
        market), trades_per_100_bars, bars_held (mean; stays that are cut by the end count as far
        as they go), entered_after (mean return of the five bars before an entry, times its side),
        mean_return, mean_max_drawdown.

    """
    held = np.where(np.abs(batch.position) > _FLAT, batch.position, 0.0)
    side = np.sign(held)
    before = np.concatenate([np.zeros_like(side[:, :1]), side[:, :-1]], axis=1)
    entries = (side != before) & (side != 0)
    in_market = float((side != 0).mean())
    facts: dict[str, Any] = {
        "in_market": in_market,
        "long": float((side > 0).mean()),
        "short": float((side < 0).mean()),
        "size": float(np.abs(held).sum() / max((side != 0).sum(), 1)),
        "trades_per_100_bars": 100.0 * float((batch.turnover > _FLAT).mean()),
        "bars_held": float((side != 0).sum() / max(entries.sum(), 1)),
        "mean_return": float(batch.net_return.mean()),
        "mean_max_drawdown": float(batch.drawdown.max(axis=-1).mean()),
    }
    moves = _before_entries(batch.close, side, entries)
    clear = len(moves) > 1 and abs(moves.mean()) > _CLEAR * moves.std(ddof=1) / len(moves) ** 0.5
    facts["entered_after"] = float(moves.mean()) if clear else None
    return {"text": _text(facts)} | facts


def _before_entries(close: Floats, side: Floats, entries: Floats) -> Floats:
    """Returns over the bars before each entry that has as many, times the entry's side."""
    row, bar = np.nonzero(entries)
    known = bar >= _BEFORE
    row, bar = row[known], bar[known]
    moves: Floats = (close[row, bar] / close[row, bar - _BEFORE] - 1.0) * side[row, bar]
    return moves


def _text(facts: dict[str, Any]) -> str:
    if facts["in_market"] < 0.005:
        return "It never trades: it stays in cash."
    where = "is always in the market"
    if facts["in_market"] < 0.995:
        where = f"is in the market in {percent(facts['in_market'])} of bars"
    if facts["short"] < 0.005:
        sides = "only long"
    elif facts["long"] < 0.005:
        sides = "only short"
    else:
        sides = f"long in {percent(facts['long'])}, short in {percent(facts['short'])}"
    said = [f"It {where}, {sides}, with {percent(facts['size'])} of its equity on average."]
    if facts["in_market"] >= 0.995 and facts["trades_per_100_bars"] < 5:
        said.append("It buys and holds.")
    else:
        after = ""
        if facts["entered_after"] is not None:
            moved = "falls" if facts["entered_after"] < 0 else "rises"
            size = 100 * abs(facts["entered_after"])
            after = f"enters after {moved} of {size:.1f} % in {_BEFORE} bars, and"
        bars = f"{facts['bars_held']:.0f}"
        holds = f"{after} holds for about {bars} bar{'' if bars == '1' else 's'}".strip()
        said.append(f"It {holds}, and trades in {facts['trades_per_100_bars']:.0f} % of bars.")
    said.append(
        f"An episode earns {100 * facts['mean_return']:+.1f} % on average, with a deepest fall of "
        f"{100 * facts['mean_max_drawdown']:.1f} %."
    )
    return " ".join(said)


def percent(share: float) -> str:
    """A share in words: whole percents."""
    return f"{100 * share:.0f} %"
