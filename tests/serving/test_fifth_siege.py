"""What a fifth siege found: rights that outlive their end, files named in options, slow readers."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from drills.core import in_child
from starlette.applications import Starlette

from tradinghf.errors import MarketDataError, TradingHFError
from tradinghf.market import SOURCES, load_market
from tradinghf.market._treatments import TREATMENTS
from tradinghf.serving import DashboardSettings, Uploads, UserAccounts, _login, ui
from tradinghf.serving._access import AccessError, Identity
from tradinghf.serving._dashboard import current_dashboard
from tradinghf.serving._login import SignInRoutes
from tradinghf.serving._start import StartRoutes

OLD, NEW = "the old password 1", "the new password 2"
HERE = Path(__file__).parents[2]


@pytest.mark.parametrize("change", [{"password": NEW}, {"active": False}, {"role": "lead"}, {}])
def test_a_sign_in_under_way_while_the_account_changes_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """A thief who never stops signing in with the old password has one under way at any time."""
    board = current_dashboard(DashboardSettings(str(tmp_path / "s"), auth="local"))
    monkeypatch.setattr(UserAccounts, "_hash", lambda _self, password: password)
    monkeypatch.setattr(UserAccounts, "_verify", lambda _self, known, password: known == password)
    board.accounts.add("boss", OLD, "admin", by="test")
    board.accounts.add("ann", OLD, "rater", by="test")

    def meanwhile(self: UserAccounts, known: str, password: str) -> bool:
        if change:
            self.change("ann", by="boss", **change)
        else:
            self.sign_out("ann")
        return known == password

    with monkeypatch.context() as patch:
        patch.setattr(UserAccounts, "_verify", meanwhile)
        token = SignInRoutes(board)._token("ann", OLD)
    with pytest.raises(AccessError):
        board.identity_of(board.sign_in_tokens, token)
    if change.get("active", True):
        again = SignInRoutes(board)._token("ann", change.get("password", OLD))
        who = board.identity_of(board.sign_in_tokens, again)
        answers = board.token_for(board.answer_tokens, who)
        board.accounts.sign_out("ann")
        with pytest.raises(AccessError):  # also what a page signs for who was signed in just now
            board.identity_of(board.answer_tokens, answers)


def _opened(specs: list[str], uploads: Uploads, tell: Callable[[str], None]) -> None:
    """Tell which specs a page would take that open a file with "theirs" in its path."""
    at = [""]

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and "theirs" in str(arguments[0]):
            tell(f"{at[0]} opens {arguments[0]}")

    sys.addaudithook(note)
    for at[0] in specs:
        with suppress(TradingHFError):
            load_market(uploads.spec(at[0]))


def test_no_option_of_a_source_makes_a_page_read_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("theirs.csv", "folder/theirs.csv"):
        (tmp_path / name).write_text("date,open,high,low,close,JPY\n2020-01-01,1,1,1,1,1\n")
    monkeypatch.chdir(tmp_path)
    specs = []
    for name in SOURCES:
        entry = SOURCES[name]
        if name in ("yfinance", "ccxt"):  # they ask the network
            continue
        beyond = f"x,{tmp_path}/theirs.csv"
        specs += [f"{name}:{place}" for place in ("theirs.csv", "folder", "x,theirs.csv", beyond)]
        for option in dict.fromkeys((*entry.options, *TREATMENTS)):
            specs.append(f"{name}:{option}=folder/theirs.csv")
        specs += [f"{name}:currency=JPY,{rates}=theirs.csv" for rates in ("rates", " rates ")]
    assert len(specs) > 80
    uploads = Uploads(tmp_path / "runs")
    code, told = in_child(partial(_opened, specs, uploads))  # a hook stays for ever
    assert (code, told) == (0, [])
    code, told = in_child(partial(_opened, ["theirs.csv"], Unchecked()))
    assert told, "the hook sees what is opened"


class Unchecked(Uploads):
    """Takes every spec."""

    def __init__(self) -> None:
        super().__init__("runs")

    def spec(self, name: str) -> str:
        return name


@pytest.mark.parametrize(
    "spec",
    ["futures:a.csv,b.csv", "futures:contracts", "sp500:currency=JPY,rates=x", "sp500:rates=x.csv"],
)
def test_who_names_a_file_on_a_page_is_told_why_not(tmp_path: Path, spec: str) -> None:
    with pytest.raises(MarketDataError, match=r"names files of the server.*upload the bars"):
        Uploads(tmp_path).spec(spec)
    assert Uploads(tmp_path).spec("sp500:every=week") == "sp500:every=week"


def test_a_part_that_draws_itself_again_looks_at_who_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fragment(draw: Callable[..., None], run_every: float) -> Callable[..., None]:
        return draw

    class AgainError(Exception):
        """The page starts over."""

    def rerun() -> None:
        raise AgainError

    monkeypatch.setattr(st, "fragment", fragment)
    monkeypatch.setattr(st, "rerun", rerun)
    drawn = []
    part = ui.live_part(1.0, "lead")(lambda: drawn.append("drawn"))
    for who, seen in ((Identity("ann", "lead"), 1), (Identity("ann", "rater"), 0), (None, 0)):
        drawn.clear()
        monkeypatch.setattr(ui, "current_identity", lambda who=who: who)
        if seen:
            part()
        else:
            with pytest.raises(AgainError):
                part()
        assert len(drawn) == seen


def test_pages_draw_parts_again_in_no_other_way() -> None:
    files = [*(HERE / "dashboard").rglob("*.py"), *(HERE / "tradinghf" / "serving").glob("*.py")]
    used = [p.name for p in files for _ in re.findall(r"st\.fragment|run_every=", p.read_text())]
    assert set(used) == {"ui.py"}


@pytest.mark.parametrize("path", ["/login", "/invite", "/start"])
def test_a_form_that_never_ends_is_answered_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(_login, "_FORM_SECONDS", 0.05)
    board = current_dashboard(DashboardSettings(str(tmp_path / "s"), auth="local"))
    routes = [*SignInRoutes(board).routes(), *StartRoutes(board).routes()]
    headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"40")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
             "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1),
             "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1"}  # fmt: skip
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError("it never comes")

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(asyncio.wait_for(Starlette(routes=routes)(scope, receive, send), 5))
    assert said[0]["status"] == 408


def test_an_invitation_ends_after_seven_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = current_dashboard(DashboardSettings(str(tmp_path / "s"), auth="local"))
    board.accounts.add("ann", None, "rater", by="test")
    token = board.invitation("ann").partition("token=")[2]
    now = time.time()
    for days, open_ in ((6.99, True), (7.01, False)):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 86400)
        if open_:
            assert board.invited(token)[0] == "ann"
        else:
            with pytest.raises(AccessError, match="has expired"):
                board.invited(token)
