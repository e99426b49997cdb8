"""Rank: blind panels of one market window, ranked by keyboard, mouse or finger."""

import streamlit as st

from tradinghf.errors import ConfigError
from tradinghf.serving import BackgroundJobs, components, current_dashboard, ui

SAMPLES = ("--data", "sp500", "--end", "2012", "--windows", "60", "--horizon", "90", "--size", "4")

board, who = current_dashboard(), ui.require_identity()
jobs = BackgroundJobs(board.settings.runs)


@st.fragment(run_every=1.0)
def wait_for_samples() -> None:
    """Progress of the job that records the samples; the page starts over when it has ended."""
    job = jobs.list("samples")[0]
    if job.status == "running":
        st.progress(0.5, "Recording episodes of the shipped strategies on S&P 500 bars …")
    else:
        st.rerun()


def offer_samples() -> None:
    """An empty store: say so, and offer something to rank."""
    st.title("Nothing to rank yet", anchor=False)
    st.write(
        "No question has been queued. Start with samples: the shipped strategies on windows of "
        "S&P 500 bars, 1999 to 2012, four at a time. Loading them takes about ten seconds."
    )
    past = jobs.list("samples")
    if past and past[0].status == "running":
        wait_for_samples()
        return
    if not who.may("lead"):
        st.info("Ask a lead or an admin to queue queries; they appear here by themselves.")
        return
    if past and past[0].status == "failed":
        st.error("Recording the samples failed. This is what it said:")
        st.code(past[0].output()[-2000:], language=None)
    if st.button("Load sample episodes"):
        command = [
            "-m",
            "tradinghf",
            "episodes",
            "collect",
            "--store",
            board.settings.store_argument,
        ]
        try:
            jobs.start("samples", "Sample episodes", [*command, *SAMPLES])
        except ConfigError as error:
            st.warning(str(error))
        st.rerun()
    st.caption("Or record your own: `tradinghf episodes collect --data FILE.csv`")


if board.store.health()["queries"]:
    components.mount_ranking(board, who, edit=st.query_params.get("edit", ""))
else:
    offer_samples()
