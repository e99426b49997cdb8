"""Raters and quality: agreement, gold queries, answers too fast to rest on anything."""

import streamlit as st

from tradinghf.feedback import FAST_SECONDS, rater_agreement, rater_quality, repeat_consistency
from tradinghf.serving import tables, ui

HELPS = {
    "Agreement": "Between raters who saw the same query (Krippendorff's α, 95 % interval): 1 is "
    "always the same order, 0 is chance. Below about 0.4 they want different things: compare their "
    "values on the page Reward model.",
    "Human ceiling": "How often people judge a pair as before when a query comes again.",
    "Gold passed": "Gold queries have an answer that a lead gave (on the page My feedback).",
}

board, _ = ui.open_page(
    "Raters and quality",
    "How far the answers can be trusted. Repeats give the human ceiling: no model can agree with "
    "a trader more than the trader does.",
    role="lead",
)
rankings = board.store.rankings()
if not rankings:
    ui.stop_empty(
        "Nobody has answered yet. Rank a few queries yourself, or invite your team.", "rank"
    )
between = rater_agreement(rankings)
records = rater_quality(rankings, board.store.queries())
alpha = "–" if between.alpha is None else f"{between.alpha:.2f}"
if between.low is not None and between.high is not None:
    alpha += f" ({between.low:.2f} to {between.high:.2f})"
ceiling = repeat_consistency(rankings)
passed, asked = sum(r.gold_passed for r in records), sum(r.gold for r in records)
ui.show_metrics(
    {
        "Raters": f"{len(records)}",
        "Agreement": alpha,
        "Queries seen by two or more": f"{between.queries}",
        "Human ceiling": "no repeats yet" if ceiling is None else ui.share_in_percent(ceiling),
        "Gold passed": f"{passed} of {asked}" if asked else "none asked",
    },
    HELPS,
)
ui.show_table(tables.quality_table(records))
hasty = [r.rater for r in records if r.too_fast is not None and r.too_fast > 0.2]
if hasty:
    st.warning(
        f"More than a fifth of the answers came within {FAST_SECONDS:g} s: {', '.join(hasty)}."
    )
