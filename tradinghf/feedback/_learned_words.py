"""What was learned from rankings, in one paragraph that a trader understands.

Pages, commands and reports begin with it; the sentences of `value_sentence`, with their units and
intervals, are for those who ask for more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tradinghf.feedback._values import PROFIT, matters

_MOST = 3
_WORDS = {
    "max_drawdown": "deep falls from a peak",
    "average_drawdown": "being far below the peak",
    "turnover": "much trading",
    "trades": "many trades",
    "time_in_market": "being in the market",
    "short_exposure": "being short",
    "variance": "a rough ride",
    "volatility": "a rough ride",
    "downside_variance": "rough losses",
    "worst_bar": "one very bad bar",
    "holding_losers": "holding on to losing trades",
    "giving_back": "giving open profit back",
    "trend_riding": "trading with the trend",
    "early_profit": "profit early rather than late",
    "losses": "losses, large or small",
    "under_water": "time below the peak",
    "longest_under_water": "long stretches below the peak",
    "winning_bars": "many winning bars",
    "losing_bars": "many losing bars",
    "losing_streak": "losing bars in a row",
    "best_bar": "one very good bar",
    "skew": "small losses with rare large gains",
    "sharpe": "steady profit for the risk",
    "distance_from_line": "equity that strays from a straight line",
    "long_exposure": "being long",
    "large_positions": "large positions",
    "final_position": "ending with an open position",
    "reversals": "turning from long to short and back",
    "won_trades": "closing trades with a profit",
    "lost_trades": "closing trades with a loss",
    "adding_to_losers": "adding to losing trades",
    "average_age": "holding positions for long",
    "longest_trade": "one very long trade",
    "concentration": "money in few names",
    "largest_name": "much money in one name",
    "gross_exposure": "much invested, long and short together",
    "net_exposure": "leaning on one side, long or short",
    "names_held": "holding many names",
    "single_name_loss": "much lost in one name",
    "single_name_share": "losses that come from one name",
}
"""What a trader calls an aspect; others go by their own name."""
_BENT = re.compile(r"(?:,| beyond | above | away from | far from ).*")
_UNNAMED = "something else"
_UNSPOKEN = re.compile("squared|cubed|usual difference")  # units that nobody has a feeling for


def learned_in_words(values: Sequence[Mapping[str, Any]], became: str = "") -> str:
    """What the rankings say is valued, and what a policy became by it, in plain words.

    Args:
        values: rows of `RewardModel.explain` or of `reward.json`, the most important first.
        became: what the policy trained on it does, as its run says it; empty without one.

    """
    rows = [row for row in values if row["name"] != PROFIT and matters(row)]
    said = [_finding(row, first=not number) for number, row in enumerate(rows[:_MOST])]
    if not values:
        said = ["It was fitted to no rankings."]
    elif not rows:
        said = ["Beyond profit, nothing shows clearly in the rankings yet: more profit is better."]
    elif rows[0].get("yardstick", PROFIT) != PROFIT:
        said.append("How much profit you would give up for that is not settled yet: rank more.")
    if became:
        said.append(f"The policy became: {became[0].lower()}{became[1:]}")
    return " ".join(said)


def _finding(row: Mapping[str, Any], *, first: bool) -> str:
    weight, low, high = (row[name] for name in ("weight", "low", "high"))
    sure = low is not None and (low > 0 or high < 0)
    verb = "mind" if weight < 0 else "like"
    start = ("You" if sure else "You seem to") if first else ("You also" if sure else "Perhaps you")
    text = f"{start} {verb} {_named(row)}{' most' if first else ''}"
    if row["name"] == _UNNAMED:
        return f"{'Most' if first else 'Part'} of what you prefer no aspect describes."
    says = str(row.get("says", ""))
    spoken = says and not _UNSPOKEN.search(says)
    if not sure or not spoken or row.get("yardstick", PROFIT) != PROFIT:
        return f"{text}."
    does = "outweighs" if weight < 0 else "is worth"
    return f"{text}: {says} {does} {_amount(abs(weight))} % of profit."


def _named(row: Mapping[str, Any]) -> str:
    """The aspect in a trader's words, with the threshold or condition that it has here."""
    name = str(row["name"])
    bent = _BENT.search(name)
    base = name[: bent.start()] if bent else name
    rest = bent.group().replace("_", " ") if bent else ""
    return f"{_WORDS.get(base, base.replace('_', ' '))}{rest}"


def _amount(value: float) -> str:
    """Two significant digits; small ones are not told apart from nothing."""
    if value < 0.05:
        return "less than 0.1"
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
