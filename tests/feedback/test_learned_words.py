"""What was learned, in one paragraph: no units that nobody has a feeling for."""

from __future__ import annotations

from typing import Any

import pytest

from tradinghf.feedback import USUAL, learned_in_words
from tradinghf.feedback._learned_words import _WORDS
from tradinghf.learning.reward._aspects import ASPECTS

PROFIT = {"name": "profit", "says": "1 % of profit", "yardstick": "profit", "weight": 1.0,
          "low": 1.0, "high": 1.0, "probability": 1.0}  # fmt: skip


def row(name: str, says: str, weight: float, spread: float = 0.5, **more: Any) -> dict[str, Any]:
    """A finding with an interval of half its weight, or of `spread` times it."""
    ends = sorted((weight * (1 - spread), weight * (1 + spread)))
    found = {"name": name, "says": says, "yardstick": "profit", "probability": 0.9}
    return found | {"weight": weight, "low": ends[0], "high": ends[1]} | more


DRAWDOWN = row("max_drawdown", "1 % of maximum drawdown", -1.5)
TREND = row("trend_riding", "10 % more of the account with the trend", 0.4, 2.0)


@pytest.mark.parametrize(
    ("rows", "became", "said"),
    [
        (
            [PROFIT, DRAWDOWN, TREND],
            "Stays out of the market.",
            "You mind deep falls from a peak most: 1 % of maximum drawdown outweighs 1.5 % of "
            "profit. Perhaps you like trading with the trend. The policy became: stays out of the "
            "market.",
        ),
        (
            [PROFIT, row("variance", "1 % of volatility squared", -12.0)],
            "",
            "You mind a rough ride most.",
        ),
        (
            [PROFIT, row("max_drawdown beyond 10 %", "1 % of maximum drawdown beyond 10 %", 0.01)],
            "",
            "You like deep falls from a peak beyond 10 % most: 1 % of maximum drawdown beyond 10 % "
            "is worth less than 0.1 % of profit.",
        ),
        (
            [PROFIT, DRAWDOWN | {"low": None}, row("something else", "", 1.7)],
            "",
            "You seem to mind deep falls from a peak most. Part of what you prefer no "
            "aspect describes.",
        ),
        (
            [PROFIT, DRAWDOWN | {"yardstick": USUAL}],
            "",
            "You mind deep falls from a peak most. How much profit you would give up for that is "
            "not settled yet: rank more.",
        ),
        (
            [PROFIT, DRAWDOWN | {"probability": 0.2}],
            "",
            "Beyond profit, nothing shows clearly in the rankings yet: more profit is better.",
        ),
        ([{k: v for k, v in DRAWDOWN.items() if k not in ("says", "yardstick")}], "",
         "You mind deep falls from a peak most."),
    ],
)  # fmt: skip
def test_findings_in_words(rows: list[dict[str, Any]], became: str, said: str) -> None:
    assert learned_in_words(rows, became) == said


def test_every_aspect_has_words_of_its_own() -> None:
    said = {name: learned_in_words([row(name, "", -1.0)]) for name in ASPECTS if name != "profit"}
    assert set(said) <= set(_WORDS)
    assert not [text for text in said.values() if "_" in text or "squared" in text]
