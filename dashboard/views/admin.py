"""Admin: import and export, users, the audit trail, the store's health."""

import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st

from tradinghf.durable import write_atomic
from tradinghf.errors import TradingHFError
from tradinghf.serving import ROLES, learned, ui

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
                write_atomic(path, file.getvalue())
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
    with left:
        add_form()
    with right:
        if people:
            change_form([person.name for person in people])


def add_form() -> None:
    """Add somebody; what was typed stays where it is refused."""
    with st.form("add"):
        st.subheader("Add", anchor=False)
        name = st.text_input("Name", key=fresh("name"))
        role = st.selectbox("Role", ROLES, help="A lead also starts jobs; an admin also this page.")
        password = st.text_input(
            "Password, at least 12 characters",
            type="password",
            key=fresh("password"),
            help="Leave it empty to get a link by which the person chooses one.",
        )
        if not st.form_submit_button("Add user"):
            return
    if attempt(lambda: board.accounts.add(name, password or None, role, by=who.rater)):
        link = "" if password or board.settings.auth == "oidc" else invitation(name)
        done(f"{name} was added as {role}.{link}")


def change_form(names: list[str]) -> None:
    """Change somebody."""
    with st.form("change"):
        st.subheader("Change", anchor=False)
        name = st.selectbox("User", names)
        role = st.selectbox("New role", ["", *ROLES], key=fresh("new role"))
        password = st.text_input("New password", type="password", key=fresh("new password"))
        state = st.selectbox("State", ["", "active", "switched off"], key=fresh("state"))
        left, right = st.columns(2)
        change = left.form_submit_button("Change user", width="stretch")
        help_ = "Ends the person's sign-ins; the link lets them choose a new password."
        invite = right.form_submit_button("Make a password link", help=help_, width="stretch")
    active = None if not state else state == "active"
    if change and not (role or password or state):
        st.info(f"Nothing was chosen to change about {name}.")
    elif change:
        given = {"password": password or None, "role": role or None, "active": active}
        if attempt(lambda: board.accounts.change(name, by=who.rater, **given)):
            done(f"{name} was changed; their sign-ins have ended.")
    elif invite and attempt(lambda: board.accounts.change(name, by=who.rater)):
        done(f"{name}'s sign-ins have ended.{invitation(name)}")


def fresh(name: str) -> str:
    """Key of a field that is empty again after what was done, and only then."""
    return f"{name} {st.session_state.get('done', 0)}"


def done(text: str) -> None:
    """Say it at the head of the page, with all fields empty again."""
    st.session_state["done"] = st.session_state.get("done", 0) + 1
    ui.confirm(text)


def invitation(name: str) -> str:
    """A link by which a person chooses a password, in words."""
    board.accounts.note(who.rater, "invite", name)
    here = urlsplit(st.context.url or "http://localhost")
    address = f"{here.scheme}://{here.netloc}{board.invitation(name)}"
    return f" Send them this link, which works once and for seven days: `{address}`"


def attempt(action) -> bool:
    """Do it, or say why not."""
    try:
        action()
    except TradingHFError as error:
        st.error(str(error))
        return False
    return True


def audit_tab() -> None:
    """Who did what, and the store's health."""
    health, counts = board.store.health(), learned.AnswerCounts.of(board.store)
    ui.show_metrics(
        {
            "Episodes": f"{health['episodes']:,}",
            "Queries": f"{health['queries']:,}",
            "Rankings": f"{counts.counting:,}",
            "Raters": f"{health['raters']}",
            "Backtest trials": f"{health['trials']:,}",
            "Episode files": f"{health['episode_bytes'] / 1e6:.1f} MB",
        }
    )
    st.caption(counts.text)
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
