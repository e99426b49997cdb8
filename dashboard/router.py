"""The pages, in the order of the menu; it offers only what one's role may open."""

from pathlib import Path

import streamlit as st

from tradinghf.serving import current_dashboard, parts, ui

VIEWS = Path(__file__).parent / "views"
PAGES = (
    ("rank", "Rank", "rater"),
    ("feedback", "My feedback", "rater"),
    ("leaderboard", "Leaderboard", "rater"),
    ("episodes", "Episodes", "rater"),
    ("reward", "Reward model", "rater"),
    ("training", "Training", "lead"),
    ("compare", "Compare", "lead"),
    ("backtest", "Backtest", "lead"),
    ("raters", "Raters and quality", "lead"),
    ("data", "Data", "lead"),
    ("admin", "Admin", "admin"),
)

st.set_page_config(page_title="tradinghf", layout="wide", initial_sidebar_state="collapsed")
if st.context.theme.type == "dark":  # white on this blue is hard to read: 3.2 to 1
    st.html("<style>[data-testid^='stBaseButton-primary']:enabled * { color: #0E1218; }</style>")
who = ui.current_identity()
pages = [
    st.Page(
        VIEWS / f"{name}.py",
        title=title,
        default=name == "rank",
        visibility="visible" if who is None or who.may(role) else "hidden",
    )
    for name, title, role in PAGES
]
visible = "visible" if who is not None and ui.has_sign_in() else "hidden"
account = st.Page(VIEWS / "account.py", title="Account", visibility=visible)
chosen = st.navigation([*pages, account], position="top")
if who is not None:
    place = chosen.url_path or "rank"
    parts.guide(current_dashboard(), who, place)
try:
    chosen.run()
except OSError as error:  # a full or read-only disk
    ui.say_failed(error)
