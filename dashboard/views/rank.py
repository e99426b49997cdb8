"""Rank: blind panels of one market window, ranked by keyboard, mouse or finger."""

import streamlit as st

from tradinghf.errors import ConfigError
from tradinghf.serving import SAMPLES, Asking, components, current_dashboard, parts, ui

board, who = current_dashboard(), ui.require_identity()


def offer_samples() -> None:
    """An empty store: say so, and offer something to rank."""
    asking = Asking(board.settings, board.store)
    st.space("small")  # the strip above it stands out of the flow on this page
    st.title("Nothing to rank yet", anchor=False)
    st.write(
        "No question has been queued. Collect some from your own bars, or start with samples: the "
        "shipped strategies on windows of S&P 500 bars, 1999 to 2012, four at a time. Loading "
        "them takes about ten seconds."
    )
    job = asking.newest
    if job is not None and job.status == "running":
        parts.watch_job(asking.jobs, job.name, "Recording episodes …")
        return
    if not who.may("lead"):
        st.info("Ask a lead or an admin to queue queries; they appear here by themselves.")
        return
    if job is not None:
        parts.tell_job(job)
    own, samples, _ = st.columns([1, 1, 4])
    if own.button("Use your own data", type="primary", width="stretch"):
        st.switch_page("views/data.py")
    if samples.button("Load sample episodes", width="stretch"):
        try:
            asking.collect(SAMPLES)
        except ConfigError as error:
            st.warning(str(error))
        st.rerun()


if board.store.health()["queries"]:
    components.mount_ranking(board, who, edit=st.query_params.get("edit", ""))
else:
    offer_samples()
