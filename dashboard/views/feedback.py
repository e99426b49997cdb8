"""My feedback: what I answered, how consistent I am, and a way to correct an answer."""

import streamlit as st

from tradinghf.feedback import Query, rater_quality
from tradinghf.serving import tables, ui

board, who = ui.open_page("My feedback", "Every answer you gave. Correcting one keeps the old one.")
rankings = ui.own_rankings(board, who)
if not rankings:
    ui.stop_empty(
        "You have not ranked anything yet. Your answers appear here after the first one.", "rank"
    )

replaced = {ranking.supersedes for ranking in rankings}
current = [ranking for ranking in rankings if ranking.key not in replaced]
mine = rater_quality(current, board.store.queries())[0]
ui.show_metrics(
    {
        "Answers": f"{mine.answers}",
        "Waiting for you": f"{board.store.pending(who.rater)}",
        "Median time": "–" if mine.median_seconds is None else f"{mine.median_seconds:.1f} s",
        "Pairs tied": ui.share_in_percent(mine.ties),
        "Own consistency": ui.share_in_percent(mine.consistency)
        if mine.repeats
        else "no repeats yet",
    },
    {
        "Pairs tied": "Pairs of panels that you called equal.",
        "Own consistency": f"Some queries come again later; so far {mine.repeats} did. This is how "
        "often you judged a pair as before: no model can foresee you better than that.",
    },
)
frame = tables.answers_table(rankings, board.store.sources())
chosen = ui.show_table(frame, key="answers", select=True, hide=("rater", "key"))
if chosen is None:
    st.caption("Tick a row on its left to correct that answer.")
elif frame["state"][chosen] == "counts":
    left, right, _ = st.columns([1, 1, 4])
    if left.button("Correct this answer", width="stretch"):
        st.switch_page("views/rank.py", query_params={"edit": frame["key"][chosen]})
    answer = next(ranking for ranking in current if ranking.key == frame["key"][chosen])
    gold = "Ask these panels of raters who have not seen them, and count whether they agree."
    if (
        who.may("lead")
        and answer.ranks
        and right.button("Make it a gold query", help=gold, width="stretch")
    ):
        query = Query.of(answer.episodes, purpose="gold", answer=answer.ranks)
        board.store.add_queries([query])
        board.accounts.note(who.rater, "gold query", query.id)
        st.success("Queued as a gold query.")
else:
    st.caption("That answer was corrected already; select the newer one.")
