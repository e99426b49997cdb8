"""Attacks on who may enter: forged secrets, guesses at once, stale sign-ins, lying providers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from support.dashboard import fill_store

from tradinghf import logs
from tradinghf.errors import ConfigError, FeedbackError, MarketDataError, StoreError
from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store, locate
from tradinghf.serving import BackgroundJobs, DashboardSettings, UserAccounts, _accounts, _login, ui
from tradinghf.serving._access import AccessError, Identity, load_secret
from tradinghf.serving._accounts import AccountError
from tradinghf.serving._dashboard import Dashboard, current_dashboard
from tradinghf.serving._login import SignInRoutes
from tradinghf.serving._service import RankingService
from tradinghf.serving._uploads import MOST_FILES, Uploads, UploadSessions

PASSWORD = "correct horse battery"


@pytest.fixture
def people(tmp_path: Path) -> UserAccounts:
    found = UserAccounts(Store(tmp_path / "store"))
    found.add("ann", PASSWORD, "rater", by="test")
    return found


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff" * 64])
def test_a_secret_that_protects_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dashboard.secret").write_bytes(content)
    with pytest.raises(ConfigError, match="signing secret"):
        load_secret(tmp_path)


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    secret = load_secret(tmp_path / "new")
    path = tmp_path / "new" / "dashboard.secret"
    path.chmod(0o644)
    assert load_secret(tmp_path / "new") == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(list(path.parent.iterdir())) == 1


def test_eighty_guesses_at_once_are_five_tries(
    people: UserAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    real = UserAccounts._verify

    def counted(self: UserAccounts, known: str, password: str) -> bool:
        right = real(self, known, password)
        looked.append(password)
        return right

    monkeypatch.setattr(UserAccounts, "_verify", counted)

    def guess(number: int) -> str:
        try:
            people.sign_in("ann", f"wrong password {number}")
        except AccessError:
            return "refused"
        return "in"

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(guess, range(80))) == {"refused"}
    assert [row for row in people.trail() if row[2] == "locked"] != []
    with pytest.raises(AccessError):
        people.sign_in("ann", PASSWORD)


def test_only_the_first_five_of_many_guesses_can_be_right(people: UserAccounts) -> None:
    """The attempts that were begun and not yet ended count: none of the later ones gets in."""
    store = people._store
    with store.writing() as connection:
        for _ in range(5):
            row = connection.execute(
                _accounts.select(_accounts.users).where(_accounts.users.c.name == "ann")
            ).one()
            assert people._begin(connection, "ann", row)
    with pytest.raises(AccessError):
        people.sign_in("ann", PASSWORD)


def test_four_wrong_and_one_right_start_anew(people: UserAccounts) -> None:
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(AccessError):
                people.sign_in("ann", "wrong password")
        assert people.sign_in("ann", PASSWORD) == Identity("ann", "rater")


def test_a_sign_in_ends_with_signing_out(people: UserAccounts) -> None:
    now, stamp = datetime.now(UTC), people.stamp("ann")
    assert people.still_valid(Identity("ann"), now, stamp) == Identity("ann")
    people.sign_out("ann")
    with pytest.raises(AccessError):
        people.still_valid(Identity("ann"), now + timedelta(hours=1), stamp)
    assert people.still_valid(Identity("ann"), now, people.stamp("ann")) == Identity("ann")
    assert people._store.verify().ok


def test_a_clock_that_ran_ahead_locks_nobody_out(
    people: UserAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with monkeypatch.context() as patch:
        patch.setattr(_accounts, "_now", lambda: tomorrow)
        people.add("boss", PASSWORD, "admin", by="test")
        people.change("ann", by="test", role="lead")
        for _ in range(5):
            with pytest.raises(AccessError):
                people.sign_in("ann", "wrong password")
    who = people.sign_in("ann", PASSWORD)
    assert people.still_valid(who, datetime.now(UTC), people.stamp("ann")).role == "lead"
    assert people.still_valid(who, datetime.now(UTC)).role == "lead"


class User(dict[str, Any]):
    is_logged_in = True


@pytest.fixture
def provided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def enter(accept: str = "refuse", **claims: object) -> Identity | None:
        settings = DashboardSettings(str(tmp_path / "s"), auth="oidc", unverified_email=accept)  # type: ignore[arg-type]
        board: Dashboard = current_dashboard(settings)
        if board.accounts.get("Boss@example.org") is None:
            board.accounts.add("Boss@example.org", None, "admin", by="test")
            board.accounts.add("off@example.org", None, "rater", by="test")
            board.accounts.change("off@example.org", active=False, by="test")
        monkeypatch.setattr(ui, "current_dashboard", lambda: board)
        monkeypatch.setattr(ui.st, "user", User(claims))
        return ui.current_identity()

    return enter


@pytest.mark.parametrize("verified", [False, "false", "False", 0, 1, "0", "", "no", None, [], {}])
def test_an_address_that_is_not_verified_enters_nowhere(provided: Any, verified: object) -> None:
    assert provided(email="boss@example.org", email_verified=verified) is None


@pytest.mark.parametrize("email", ["boss@example.org", "BOSS@Example.org", " Boss@example.org "])
@pytest.mark.parametrize("verified", [True, "true", "True"])
def test_a_verified_address_is_its_account_in_any_case(
    provided: Any, email: str, verified: object
) -> None:
    assert provided(email=email, email_verified=verified) == Identity("Boss@example.org", "admin")


def test_claims_that_only_look_like_an_account_are_raters_or_nobody(provided: Any) -> None:
    assert provided(email="OFF@example.org", email_verified=True) is None
    for claims in ({"sub": "Boss@example.org"}, {"sub": "boss@example.org", "email": ""}):
        who = provided(**claims, email_verified=True)
        assert who == Identity("sub:" + str(claims["sub"]), "rater")
    for email in ("bo\u017fs@example.org", "boss@example.org\u200b", "\u212aboss@example.org"):
        who = provided(email=email, email_verified=True)
        assert who is None or who.role == "rater"
    assert provided(email=["boss@example.org"], email_verified=True) is None
    assert provided(email="a" * 200 + "@example.org", email_verified=True) is None
    for email in ("local", "sub:Boss@example.org", "a b@example.org", "\uff41@example.org"):
        assert provided(email=email, sub="x", email_verified=True) is None


def test_silence_about_an_address_is_accepted_only_by_setting(provided: Any) -> None:
    assert provided(email="boss@example.org") is None
    assert provided("accept", email="boss@example.org") == Identity("Boss@example.org", "admin")
    assert provided("accept", email="boss@example.org", email_verified=False) is None
    with pytest.raises(ConfigError, match="unverified_email"):
        provided("perhaps")


def test_only_sessions_with_an_upload_field_send_files_and_only_so_many() -> None:
    sessions = UploadSessions()
    path = "/_stcore/upload_file/mine/file"
    assert not sessions.take(path, "10")
    sessions.allow("mine")
    for length in ("", "-1", "abc", "\u0663", str(30 * 2**20), "9" * 30):
        assert not sessions.take(path, length)
    assert [sessions.take(path, "10") for _ in range(MOST_FILES + 1)] == [True] * MOST_FILES + [
        False
    ]
    assert not sessions.take("/_stcore/upload_file/other/file", "10")
    sessions.allow("mine")
    assert not sessions.take(path, "10")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:S3cretPw@h/db",
        "postgresql://ann:S3/cret@h/db",
        "postgresql://ann:S3 cret@h/db",
        "postgresql://ann:S3@cret@h/db",
        'postgresql://ann:S3"cret@h/db',
        "postgresql://:S3cret@h/db",
        "postgresql://ann:S3:cret@h/db",
        "postgresql://h/db?user=ann&password=S3 cret",
    ],
)
def test_no_spelling_of_a_password_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("TRADINGHF_LOG", str(tmp_path / "log.jsonl"))
    logs.start_log()
    logging.getLogger("tradinghf.x").info("began", extra={"command": url, "more": [url]})
    text = (tmp_path / "log.jsonl").read_text()
    assert "S3" not in text
    assert "cret" not in text
    assert json.loads(text)["event"] == "began"
    assert stat.S_IMODE((tmp_path / "log.jsonl").stat().st_mode) == 0o600


def test_a_job_hides_urls_from_ps_and_its_record(tmp_path: Path) -> None:
    url = "postgresql://ann:S3cretPw@127.0.0.1:1/db"
    script = tmp_path / "print.py"
    script.write_text(
        "import os, sys\nword = sys.argv[2]\n"
        "print(sys.argv, os.environ[word.removeprefix('env:')], flush=True)\n"
    )
    job = BackgroundJobs(tmp_path).start("train", "x", [str(script), "--store", url])
    deadline = time.monotonic() + 60
    while job.exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "S3cretPw" not in (job.folder / "job.json").read_text()
    assert job.output().split("] ")[1].strip() == url
    assert "S3cretPw" not in job.output().split("] ")[0]
    assert stat.S_IMODE(job.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in job.folder.iterdir()} == {0o600}


def test_a_store_by_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DESK", str(tmp_path))
    assert locate("env:DESK") == locate(tmp_path)
    with pytest.raises(StoreError, match="'OTHER' is not set"):
        locate("env:OTHER")
    monkeypatch.setenv("DESK", "env:DESK")
    assert locate("env:DESK").folder.name == "DESK"


def test_what_a_store_writes_is_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        with Store(tmp_path / "store") as store:
            fill_store(store, queries=1, panels=2, bars=20)
            store.backup(tmp_path / "copy")
    finally:
        os.umask(old)
    for place in (tmp_path / "store", tmp_path / "copy"):
        for path in (place, *place.rglob("*")):
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_missing_episode_file_passes_over_its_query_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    queries = fill_store(store, queries=3, panels=2, bars=20)
    lost = queries[0].episodes[0]
    next(tmp_path.glob(f"episodes/*/{lost}.safetensors")).unlink()
    service = RankingService(store)
    for rater in ("ann", "bob"):
        found = service.next_query(rater)
        assert found is not None
        assert found["query"] == queries[1].id
    assert list(service.unshowable) == [queries[0].id]
    assert "query cannot be shown" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seconds", 10**400),
        ("query", "\ud800"),
        ("session", "a\0b"),
        ("supersedes", "x" * 101),
        ("ranks", [10**400, 1]),
        ("ratings", [True, True]),
        ("ratings", [[1], [1]]),
    ],
)
def test_a_forged_answer_is_refused_with_a_sentence(
    tmp_path: Path, name: str, value: object
) -> None:
    store = Store(tmp_path)
    (query,) = fill_store(store, queries=1, panels=2, bars=20)
    body: dict[str, Any] = dict(
        key="a" * 32, query=query.id, ranks=[1, 2], outcome="ranked", comment="", aspects=None,
        ratings=[], seconds=1.0, session="s", supersedes="",
    )  # fmt: skip
    with pytest.raises(FeedbackError):
        RankingService(store).answer("ann", body | {name: value})
    assert RankingService(store).answer("ann", body)


def test_bars_that_unpack_to_more_than_the_memory_are_refused_unread(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = ("timestamp", "open", "high", "low", "close", "volume")
    bomb = pa.table({name: pa.repeat(1.0, 2_000_000) for name in names})
    pq.write_table(bomb, tmp_path / "bomb.parquet")
    data = (tmp_path / "bomb.parquet").read_bytes()
    assert len(data) < 2**20
    with pytest.raises(MarketDataError, match="unpacks to 2,000,000 rows of 6 columns"):
        Uploads(tmp_path).add("bomb.parquet", data)
    assert Uploads(tmp_path).names() == {}


def test_an_account_looks_like_no_other_rater(people: UserAccounts) -> None:
    store = people._store
    (query,) = fill_store(store, queries=1, panels=2, bars=20)
    store.submit(Ranking("k", query.episodes, (1, 2), query.id, "lea"))
    for name in ("Lea", "LEA"):
        with pytest.raises(AccountError, match="looks like"):
            people.add(name, PASSWORD, "rater", by="test")
    people.add("lea", PASSWORD, "rater", by="test")


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long requests of the sign-in page were made to wait; they do not."""
    found: list[float] = []

    async def nap(seconds: float) -> None:
        found.append(seconds)

    stands_in = SimpleNamespace(
        sleep=nap, timeout=asyncio.timeout, get_running_loop=asyncio.get_running_loop
    )
    monkeypatch.setattr(_login, "asyncio", stands_in)
    return found


def _sign_in_page(folder: Path) -> tuple[SignInRoutes, TestClient]:
    doors = SignInRoutes(current_dashboard(DashboardSettings(str(folder), auth="local")))
    return doors, TestClient(Starlette(routes=[*doors.routes()]))


@pytest.mark.parametrize("path", ["/login", "/invite"])
def test_one_attempt_too_many_waits_and_is_not_read(
    tmp_path: Path, naps: list[float], path: str
) -> None:
    """Clients that try again at once would keep the server from those who rank."""
    doors, client = _sign_in_page(tmp_path)
    doors._waiting = _login._MOST_WAITING
    assert client.post(path, content=b"x" * 9000).status_code == 503
    assert naps == [_login._TURNED_AWAY_SECONDS]


@pytest.mark.parametrize(("work", "end"), [(0.02, 0.5), (0.49, 0.5), (0.7, 1.0), (2.1, 2.5)])
def test_a_refusal_ends_at_a_whole_half_second(
    tmp_path: Path, naps: list[float], monkeypatch: pytest.MonkeyPatch, work: float, end: float
) -> None:
    """However long it took on a busy server: what a known name costs more does not show."""
    _, client = _sign_in_page(tmp_path)
    clock = iter([0.0, work])
    monkeypatch.setattr(_login, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    form = {"name": "nobody", "password": "wrong password"}
    assert client.post("/login", data=form).status_code == 401
    assert [round(work + seconds, 9) for seconds in naps] == [end]


@pytest.mark.parametrize(("waiting", "gives_way"), [(0, False), (1, False), (2, True), (31, True)])
def test_one_person_who_signs_in_gives_way_to_nobody(
    tmp_path: Path, waiting: int, gives_way: bool
) -> None:
    """On a busy machine a password was checked after minutes."""
    doors, _ = _sign_in_page(tmp_path)
    doors._waiting = waiting
    name = asyncio.run(doors._at_work(lambda: threading.current_thread().name))
    assert name.startswith("sign-in-crowd") == gives_way
    assert doors._waiting == waiting
