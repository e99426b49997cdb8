"""Rank: blind panels of one market window, ranked by keyboard, mouse or finger."""

import streamlit as st

from tradinghf.serving.access import LOCAL
from tradinghf.serving.routes import API
from tradinghf.serving.state import dashboard

BOOT = """
export default async (component) => {
  const { mount } = await import(location.origin + component.data.module);
  return mount(component);
};
"""

board = dashboard()
if board.files.charts_missing:
    st.error("The chart library is not installed. Get it with: `python scripts/fetch_assets.py`")
    st.stop()

rank = st.components.v2.component(
    "tradinghf_rank",
    html='<div class="host"></div>',
    css=board.files.text("rank.css"),
    js=BOOT,
)
rank(
    key="rank",
    data={
        "module": board.files.url("rank.js"),
        "api": API,
        "token": board.passes.issue(LOCAL),
        "goal": board.settings.goal,
        "edit": st.query_params.get("edit", ""),
    },
)
