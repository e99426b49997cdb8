"""Admin: import and export, users, the audit trail, the store's health."""

import tempfile
import time
from pathlib import Path

import pandas as pd
import streamlit as st

from tradinghf.errors import TradingHFError
from tradinghf.serving import ROLES, ui

EXPORTS = {
    "jsonl": ("JSON lines: everything, for another store", "application/jsonl"),
    "csv": ("CSV: one row per ranked episode", "text/csv"),
    "parquet": ("Parquet: the same", "application/octet-stream"),
}

board, who = ui.open_page(
    "Admin", "Everything done on this page is noted in the audit trail.", role="admin"
)


def exchange_tab() -> None:
    """Export and import of the feedback."""
    left, right = st.columns(2)
    with left:
        st.subheader("Export", anchor=False)
        kind = st.radio("Format", list(EXPORTS), format_func=lambda k: EXPORTS[k][0])
        if st.button("Prepare the file"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"feedback.{kind}"
                count = board.store.export(path)
                st.session_state["export"] = (kind, path.read_bytes(), count)
            board.accounts.note(who.rater, "export", kind)
        if "export" in st.session_state:
            kind, content, count = st.session_state["export"]
            stamp = time.strftime("%Y%m%d")
            st.download_button(
                f"Download {count} rankings ({len(content) / 1024:.0f} KB)",
                content,
                f"feedback-{stamp}.{kind}",
                EXPORTS[kind][1],
            )
    with right:
        st.subheader("Import", anchor=False)
        file = st.file_uploader("A file that an export wrote", list(EXPORTS))
        if file is not None and st.button("Import all of it or nothing"):
            suffix = Path(file.name).suffix.lower()
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"import{suffix}"
                path.write_bytes(file.getvalue())
                try:
                    new = board.store.import_from(path)
                except TradingHFError as error:
                    st.error("Nothing was imported.")
                    st.text(str(error).replace(str(path), file.name))
                else:
                    board.accounts.note(who.rater, "import", f"{new} rankings")
                    st.success(f"{new} rankings are new.")


def users_tab() -> None:
    """Add and change people."""
    people = board.accounts.everybody()
    rows = [
        (p.name, p.role, "active" if p.active else "switched off", "locked" if p.locked else "")
        for p in people
    ]
    if rows:
        ui.show_table(pd.DataFrame(rows, columns=["name", "role", "state", "sign-in"]))
    else:
        st.info(
            "No users yet. Add an admin here, then start with sign-in: "
            "tradinghf dashboard --auth local"
        )
    left, right = st.columns(2)
    with left, st.form("add", clear_on_submit=True):
        st.subheader("Add", anchor=False)
        name = st.text_input("Name")
        role = st.selectbox("Role", ROLES, help="A lead also starts jobs; an admin also this page.")
        password = st.text_input("Password, at least 12 characters", type="password")
        if st.form_submit_button("Add user"):
            attempt(lambda: board.accounts.add(name, password, role, by=who.rater))
    if not people:
        return
    with right, st.form("change", clear_on_submit=True):
        st.subheader("Change", anchor=False)
        name = st.selectbox("User", [person.name for person in people])
        role = st.selectbox("New role", ["", *ROLES])
        password = st.text_input("New password", type="password")
        state = st.selectbox("State", ["", "active", "switched off"])
        if st.form_submit_button("Change user"):
            change = {"password": password or None, "role": role or None}
            active = None if not state else state == "active"
            attempt(lambda: board.accounts.change(name, by=who.rater, active=active, **change))


def attempt(action) -> None:
    """Do it and show the result, or say why not."""
    try:
        action()
    except TradingHFError as error:
        st.error(str(error))
    else:
        st.rerun()


def audit_tab() -> None:
    """Who did what, and the store's health."""
    health = board.store.health()
    ui.show_metrics(
        {
            "Episodes": f"{health['episodes']:,}",
            "Queries": f"{health['queries']:,}",
            "Answers": f"{health['rankings']:,}",
            "Raters": f"{health['raters']}",
            "Backtest trials": f"{health['trials']:,}",
            "Episode files": f"{health['episode_bytes'] / 1e6:.1f} MB",
        }
    )
    st.caption(f"{health['database']}, schema {health['schema']}, chain head {health['head'][:16]}")
    if st.button("Verify everything"):
        for why in board.service.unshowable.values():
            st.error(f"A question is passed over: {why}")
        found = board.store.verify()
        if found.ok:
            st.success(f"{found.rankings} answers and {found.episodes} episode files are intact.")
        for problem in found.problems:
            st.text(problem)
    trail = pd.DataFrame(board.accounts.trail(), columns=["when", "who", "what", "detail"])
    ui.show_table(trail.assign(when=pd.to_datetime(trail["when"], utc=True, format="ISO8601")))


tabs = st.tabs(["Import and export", "Users", "Audit and health"])
for tab, show in zip(tabs, (exchange_tab, users_tab, audit_tab), strict=True):
    with tab:
        show()
