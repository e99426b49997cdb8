"""The pages, in the order of the menu."""

from pathlib import Path

import streamlit as st

VIEWS = Path(__file__).parent / "views"
PAGES = (
    ("rank", "Rank"),
    ("feedback", "My feedback"),
    ("leaderboard", "Leaderboard"),
    ("episodes", "Episodes"),
    ("reward", "Reward model"),
    ("training", "Training"),
    ("backtest", "Backtest"),
    ("raters", "Raters and quality"),
    ("admin", "Data and admin"),
)

st.set_page_config(page_title="tradinghf", layout="wide", initial_sidebar_state="collapsed")
pages = [
    st.Page(VIEWS / f"{name}.py", title=title, default=name == "rank") for name, title in PAGES
]
st.navigation(pages, position="top").run()
