"""What was learned, as each page says it: a paragraph, a count of answers, a switch for experts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st
from sqlalchemy import exists, func, not_, select

from tradinghf.feedback import learned_in_words
from tradinghf.feedback.store import Store, rankings
from tradinghf.serving._runs import REWARD_FILE, RunFolder

_PORTRAIT_FILE = "policy.json"
_EXPERT = "expert figures"
_BY_CHANCE = 0.5
_SNAKE = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b")


@dataclass(frozen=True)
class AnswerCounts:
    """The answers of a store, each in one of these.

    Attributes:
        counting: rankings that stand: what "rankings" means on every page.
        skipped, cant_tell: hold no ranking.
        corrected: a later answer took their place.

    """

    counting: int
    skipped: int
    cant_tell: int
    corrected: int

    @classmethod
    def of(cls, store: Store) -> AnswerCounts:
        """Counted by the database."""
        later = rankings.alias("later")
        stands = not_(exists().where(later.c.supersedes == rankings.c.key))
        query = select(rankings.c.outcome, func.count()).where(stands).group_by(rankings.c.outcome)
        with store.reading() as connection:
            found = {outcome: int(count) for outcome, count in connection.execute(query)}
            every = int(connection.scalar(select(func.count()).select_from(rankings)) or 0)
        return cls(
            counting=found.get("ranked", 0),
            skipped=found.get("skipped", 0),
            cant_tell=found.get("cant_tell", 0),
            corrected=every - sum(found.values()),
        )

    @property
    def text(self) -> str:
        """What is counted, and what is not."""
        rest = [
            f"{count} {name}"
            for count, name in (
                (self.skipped, "skipped"),
                (self.cant_tell, 'answered "can\'t tell"'),
                (self.corrected, "corrected since"),
            )
            if count
        ]
        left = f" Not counted: {', '.join(rest)}." if rest else ""
        return (
            f"{self.counting} {'ranking counts' if self.counting == 1 else 'rankings count'}.{left}"
        )


def expert(place: Any = st) -> bool:
    """A switch for figures that need a statistician; it stays as it is from page to page."""
    kept = bool(st.session_state.get(_EXPERT, False))
    on = place.toggle("Expert", value=kept, help="Also weights, intervals and scores.")
    st.session_state[_EXPERT] = on
    return bool(on)


def show_learned(run: RunFolder) -> None:
    """What the rankings of a run value and what its policy became, in bold; then how it trades."""
    values = run.document(REWARD_FILE).get("values") or []
    portrait = run.document(_PORTRAIT_FILE)
    first, _, more = plain_names(str(portrait.get("text", ""))).partition(". ")
    policy = f"{first}." if more else first
    if values:
        st.markdown(f"**{learned_in_words(values, policy)}**")
    elif policy:
        st.markdown(f"**The policy became: {policy[0].lower()}{policy[1:]}**")
    if st.session_state.get(_EXPERT):
        more = f"{more} {portrait.get('checked', '')}".strip()
    if more:
        st.markdown(more)


def plain_names(text: str) -> str:
    """A sentence of a run as pages show it: "buy_and_hold" is "buy and hold" in menus too."""
    return _SNAKE.sub(lambda found: found[0].replace("_", " "), text)


def is_luck(held_out: Mapping[str, Any]) -> bool:
    """Whether the share of pairs called right may as well be luck."""
    interval = held_out.get("accuracy_interval")
    low = interval[0] if interval else held_out.get("accuracy", 0.0)
    return float(low) <= _BY_CHANCE


def foresight(held_out: Mapping[str, Any]) -> str:
    """How well unseen answers are foreseen, in a sentence; empty where that is not known."""
    if "accuracy" not in held_out:
        return ""
    right = f"{100 * held_out['accuracy']:.0f} of 100 unseen pairs"
    if interval := held_out.get("accuracy_interval"):
        right += f" (95 % sure: {100 * interval[0]:.0f} to {100 * interval[1]:.0f})"
    end = "that may still be luck: rank more." if is_luck(held_out) else "a coin calls 50."
    return f"It calls {right} as you did; {end}"
