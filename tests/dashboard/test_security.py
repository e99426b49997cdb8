"""What the dashboard refuses: each row of the security table is a test against a live server."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from argon2 import PasswordHasher
from support.dashboard import OPENED, Running, dashboard_of, fill_store, request
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from tradinghf.errors import ConfigError, MarketDataError
from tradinghf.feedback.store import Store
from tradinghf.serving import DashboardSettings, Uploads, serve
from tradinghf.serving import _accounts as accounts_module
from tradinghf.serving._access import AccessError, Identity, SessionTokens, load_secret
from tradinghf.serving._accounts import AccountError, UserAccounts
from tradinghf.serving._server import bind, check_address
from tradinghf.serving._start import opened_browser
from tradinghf.serving._upload_files import MAX_UPLOAD_BYTES

API = "/tradinghf/api"
STREAM = "/_stcore/stream"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    with Store(folder) as store:
        fill_store(store, queries=2, panels=3, bars=20)
    return folder


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("team")
    with Store(folder) as store:
        fill_store(store, queries=1, panels=3, bars=20)
        people = UserAccounts(store)
        people.add("ann", PASSWORD, "rater", by="test")
        people.add("boss", PASSWORD, "admin", by="test")
    with dashboard_of(folder, auth="local", hosts="localhost,127.0.0.1") as running:
        yield running


def bearer(place: Path, rater: str = "local") -> dict[str, str]:
    token = SessionTokens(load_secret(place)).issue(Identity(rater, "rater"))
    return {"Authorization": f"Bearer {token}"}


def websocket(live: Running, **headers: str) -> bool:
    """Whether the server lets a websocket in."""
    url = live.url.replace("http", "ws") + STREAM
    origin = headers.pop("origin", None)
    headers = {"Cookie": OPENED.get(live.url, ""), **headers}
    try:
        with connect(url, origin=origin, additional_headers=headers, open_timeout=10):
            return True
    except InvalidHandshake:
        return False


# Who can reach it


def test_listens_on_this_machine_only(live: Running) -> None:
    output = Path("/proc/net/tcp")
    if not output.exists():
        pytest.skip("the kernel shows no list of sockets")
    wanted = f":{live.port:04X}"
    lines = [line.split() for line in output.read_text().splitlines()[1:]]
    listening = [row[1] for row in lines if row[1].endswith(wanted) and row[3] == "0A"]
    assert listening == [f"0100007F{wanted}"]


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "::"])
def test_other_addresses_need_sign_in(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="without sign-in"):
        serve(DashboardSettings(str(tmp_path)), address=address)
    check_address(address, "local")


def test_address_must_be_an_address() -> None:
    with pytest.raises(ConfigError, match="expected an IP address"):
        check_address("localhost", "none")


@pytest.mark.parametrize("port", [-1, 65_536, 10**20])
def test_a_port_that_cannot_be_is_explained(port: int) -> None:
    with pytest.raises(ConfigError, match=r"expected 0 \(any free one\) to 65535"):
        bind("127.0.0.1", port)


def test_a_goal_of_thousands_of_digits_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADINGHF_GOAL", "9" * 5000)
    with pytest.raises(ConfigError, match="TRADINGHF_GOAL"):
        DashboardSettings.from_environment()


def test_taken_port_is_explained(live: Running, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Choose another --port"):
        serve(DashboardSettings(str(tmp_path)), port=live.port)


def test_the_terminal_stays_quiet_while_people_work(tmp_path: Path) -> None:
    with dashboard_of(tmp_path) as running:
        for path in ("/", f"{API}/query", "/nowhere"):
            request(running.url, path)
        assert websocket(running, origin=running.url)
    assert running.said == [""]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "["])
def test_rebound_host_names_are_refused(live: Running, host: str) -> None:
    assert request(live.url, "/", headers={"Host": host})[0] == 403


def test_strangers_behind_a_local_proxy_are_strangers(live: Running) -> None:
    assert request(live.url, "/", headers={"X-Forwarded-For": "203.0.113.9"})[0] == 403
    assert request(live.url, "/", headers={"X-Forwarded-For": "127.0.0.1, 203.0.113.9"})[0] == 403


@pytest.mark.parametrize("cookie", ["", "forged", "name"])
@pytest.mark.parametrize("path", ["/", "/training", "/_stcore/host-config", "/media/x"])
def test_other_users_of_this_machine_need_the_start_token(
    live: Running, cookie: str, path: str
) -> None:
    name = OPENED[live.url].partition("=")[0]
    given = {"": "", "forged": f"{name}=0123456789", "name": f"other{OPENED[live.url]}"}[cookie]
    status, headers, _ = request(live.url, path, headers={"Cookie": given})
    assert (status, headers["location"]) == (303, "/start")
    assert not websocket(live, origin=live.url, Cookie=given)


def test_the_start_token_becomes_a_guarded_cookie(live: Running) -> None:
    assert request(live.url, "/start", headers={"Cookie": ""})[0] == 401
    assert request(live.url, "/start?token=wrong", headers={"Cookie": ""})[0] == 401
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": live.url}
    for status, text in (
        (401, b"token=wrong"),
        (401, b"token=%ff"),
        (413, b"token=" + b"x" * 5000),
    ):
        found = request(live.url, "/start", method="POST", raw=text, headers=form)
        assert found[0] == status
        assert "set-cookie" not in found[1]
    text = f"token={live.token}".encode()
    status, headers, _ = request(live.url, "/start", method="POST", raw=text, headers=form)
    assert (status, headers["location"]) == (303, "/")
    assert headers["set-cookie"].startswith(OPENED[live.url])
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=lax" in headers["set-cookie"]
    assert live.token not in OPENED[live.url]


def test_the_browser_is_opened_without_showing_the_token_in_ps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(Path(url[len("file://") :])))
    with opened_browser("http://127.0.0.1:1/start?token=abc&x=1"):
        (page,) = opened
        assert "abc" not in str(page)
        assert (page.stat().st_mode & 0o777, page.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert 'href="http://127.0.0.1:1/start?token=abc&amp;x=1"' in page.read_text()
    assert not page.exists()


def test_websocket_needs_the_pages_own_origin(live: Running) -> None:
    assert websocket(live, origin=live.url)
    assert not websocket(live)
    assert not websocket(live, origin="http://evil.example")
    assert not websocket(live, origin="null")


@pytest.mark.parametrize(
    "path", ["/_stcore/metrics", "/_stcore/agent/openapi.json", "/_stcore/agent/interact"]
)
def test_internal_routes_are_hidden(live: Running, path: str) -> None:
    assert request(live.url, path)[0] == 404


@pytest.mark.parametrize("path", ["/", f"{API}/query", "/nowhere", "/_stcore/health"])
def test_every_reply_carries_the_headers(live: Running, path: str) -> None:
    headers = request(live.url, path)[1]
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"script-src[^;]*unsafe-inline", policy)
    assert not re.search(r"https?:", policy)
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_refusals_carry_the_headers_too(live: Running) -> None:
    status, headers, _ = request(live.url, "/", headers={"Host": "evil.example"})
    assert status == 403
    assert headers["x-frame-options"] == "DENY"


# What can be sent


@pytest.mark.parametrize(
    "token", ["", "Bearer", "Bearer x.y.z", "Basic bG9jYWw6", "Bearer " + "A" * 5000]
)
def test_routes_need_a_pass(live: Running, token: str) -> None:
    assert request(live.url, f"{API}/query", headers={"Authorization": token})[0] == 401


def test_altered_and_foreign_tokens_are_refused(live: Running, place: Path) -> None:
    good = bearer(place)["Authorization"]
    assert request(live.url, f"{API}/query", headers={"Authorization": good})[0] == 200
    # Not the last character: some of its bits are padding, and mean nothing.
    at = len(good) - 5
    flipped = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
    login = SessionTokens(load_secret(place), "login").issue(Identity("local", "admin"))
    stranger = SessionTokens("0" * 64).issue(Identity("local", "admin"))
    for token in (flipped, f"Bearer {login}", f"Bearer {stranger}"):
        assert request(live.url, f"{API}/query", headers={"Authorization": token})[0] == 401


def test_tokens_expire(place: Path) -> None:
    tokens = SessionTokens(load_secret(place), seconds=-1)
    token = tokens.issue(Identity("local"))
    with pytest.raises(AccessError, match="expired"):
        tokens.check(token)


def test_another_sites_page_cannot_write(live: Running, place: Path) -> None:
    headers = bearer(place) | {"Origin": "http://evil.example"}
    status, _, _ = request(
        live.url, f"{API}/aspects", method="POST", body={"text": "x"}, headers=headers
    )
    assert status == 403


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"null", 422),
        (b'{"text": NaN}', 422),
        (b'{"text": 1}', 422),
        (b"[" * 15_000, 422),
        (b'{"text": "' + b"x" * 20_000 + b'"}', 422),
        (b"\xff\xfe", 422),
        (b'{"text": "drawdown"}', 200),
    ],
)
def test_bodies_are_bounded_json(live: Running, place: Path, raw: bytes, status: int) -> None:
    got = request(live.url, f"{API}/aspects", method="POST", raw=raw, headers=bearer(place))
    assert got[0] == status


def test_forged_answer_gets_a_sentence_and_stores_nothing(live: Running, place: Path) -> None:
    status, _, body = request(
        live.url, f"{API}/answer", method="POST", body={"rater": "admin"}, headers=bearer(place)
    )
    assert status == 422
    assert b"exactly the fields" in body
    with Store(place) as store:
        assert store.rankings() == []


@pytest.mark.parametrize(
    "name",
    [
        "../../feedback.db",
        "..%2f..%2fapp.py",
        "%2e%2e/app.py",
        "assets/../rank.js",
        "/etc/passwd",
        "assets/lightweight-charts.LICENSE",
        "NOTICE",
        "",
    ],
)
def test_component_route_serves_its_own_files_only(live: Running, name: str) -> None:
    assert request(live.url, f"/tradinghf/component/v/{name}")[0] in (400, 403, 404)
    status, headers, _ = request(live.url, "/tradinghf/component/v/rank.js")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/javascript")


def test_broken_store_leaks_no_path(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        fill_store(store, queries=1, panels=2, bars=10)
    with dashboard_of(tmp_path) as running:
        for file in (tmp_path / "episodes").rglob("*.safetensors"):
            file.write_bytes(b"damaged")
        status, _, body = request(running.url, f"{API}/query", headers=bearer(tmp_path))
    assert status == 200
    assert json.loads(body)["query"] is None, "a question that cannot be shown is passed over"
    assert str(tmp_path).encode() not in body


def test_streamlit_shows_no_details_of_errors_and_takes_small_uploads() -> None:
    import tomllib

    from tradinghf.resources import resource_dir

    config = tomllib.loads((resource_dir("dashboard") / ".streamlit/config.toml").read_text())
    assert config["client"]["showErrorDetails"] == "none"
    assert config["server"]["maxUploadSize"] * 2**20 == MAX_UPLOAD_BYTES
    assert config["server"]["address"] == "127.0.0.1"
    assert config["browser"]["gatherUsageStats"] is False


def test_secret_is_private_stable_and_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = load_secret(tmp_path)
    (file,) = tmp_path.iterdir()
    assert load_secret(tmp_path) == secret
    assert len(secret) >= 64
    assert file.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("TRADINGHF_SECRET", "short")
    with pytest.raises(ConfigError, match="at least 32"):
        load_secret(tmp_path)


# Files


GOOD = "date,open,high,low,close,volume\n2020-01-01,1,2,1,2,5\n2020-01-02,2,3,2,3,5\n"


@pytest.mark.parametrize(
    "name", ["../../evil.csv", "/etc/evil.csv", "..\\..\\evil.csv", "e\x00v/evil.csv"]
)
def test_uploads_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    uploads = Uploads(tmp_path)
    kept, market = uploads.add(name, GOOD.encode())
    assert market.bars == 2
    assert [p.parent for p in tmp_path.rglob("*.csv")] == [tmp_path / "uploads"]
    assert uploads.spec(kept) == kept
    assert uploads.path(kept) == tmp_path / "uploads" / f"{kept}.csv"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.exe", GOOD, "Expected a file with a name, ending in .csv"),
        (".csv", GOOD, "with a name"),
        ("x.csv", GOOD.replace("2,1,2", "0.5,1,2"), "high"),
        ("x.csv", "", "x.csv"),
        ("sp500.csv", GOOD, "already"),
        ("x.parquet", GOOD, "x.parquet"),
    ],
)
def test_bad_uploads_are_explained_and_not_kept(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(MarketDataError, match=message) as caught:
        Uploads(tmp_path).add(name, content.encode())
    assert str(tmp_path) not in str(caught.value)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_uploads_remember_how_they_are_read(tmp_path: Path) -> None:
    content = GOOD.replace("2020-01-01", "01/02/2020").replace("2020-01-02", "02/02/2020").encode()
    uploads = Uploads(tmp_path)
    with pytest.raises(MarketDataError, match=r"x\.csv: row 2: '01/02/2020' has two readings"):
        uploads.add("x.csv", content)
    name, market = uploads.add("x.csv", content, dayfirst="true")
    assert uploads.load(name).sha256 == market.sha256
    assert list(uploads.names()) == ["x"]


def test_packed_uploads_are_kept_unpacked_and_may_not_grow(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    name, market = uploads.add("packed.csv.gz", gzip.compress(GOOD.encode()))
    assert name == "packed"
    assert uploads.load(name).sha256 == market.sha256
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as held:
        held.writestr("inside.csv", GOOD)
    assert uploads.add("more.zip", archive.getvalue())[0] == "more"
    with pytest.raises(MarketDataError, match=r"x\.csv\.gz: more than 20 MiB when unpacked"):
        uploads.add("x.csv.gz", gzip.compress(b"0" * (MAX_UPLOAD_BYTES + 1)))
    with pytest.raises(MarketDataError, match=r"y\.zip"):
        uploads.add("y.zip", b"PK no archive")
    workbook = io.BytesIO()
    with zipfile.ZipFile(workbook, "w", zipfile.ZIP_DEFLATED) as held:
        held.writestr("xl/sheet1.xml", b"0" * (64 * 2**20))
    with pytest.raises(MarketDataError, match="unpacks to 64 MB"):
        uploads.add("z.xlsx", workbook.getvalue())
    kept = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert kept == {"packed.csv", "more.csv"}


def test_too_large_uploads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="at most 20"):
        Uploads(tmp_path).add("x.csv", b"x" * (MAX_UPLOAD_BYTES + 1))


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../secret.csv", "data/x.csv", "synthetic:../x", "sp500:/etc", "nothing"],
)
def test_data_is_chosen_by_name_never_by_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(MarketDataError, match="Unknown data set"):
        Uploads(tmp_path).spec(name)
    assert Uploads(tmp_path).spec("synthetic:seed=3,bars=64") == "synthetic:seed=3,bars=64"


# Team mode


def sign_in(team: Running, name: str, password: str, **more: str) -> tuple[int, dict[str, str]]:
    form = urlencode({"name": name, "password": password}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": team.url}
    status, got, _ = request(team.url, "/login", method="POST", raw=form, headers=headers | more)
    return status, got


def test_nothing_is_reachable_before_sign_in(team: Running) -> None:
    status, headers, _ = request(team.url, "/")
    assert (status, headers["location"]) == (303, "/login")
    assert not websocket(team, origin=team.url)
    assert request(team.url, f"{API}/query")[0] == 401
    assert request(team.url, "/_stcore/upload_file/x/y", method="PUT", raw=b"x")[0] == 403
    status, _, page = request(team.url, "/login")
    assert status == 200
    assert b"<script" not in page


def test_sign_in_gives_a_guarded_cookie_that_opens_the_websocket(team: Running) -> None:
    status, headers = sign_in(team, "ann", PASSWORD)
    cookie = headers["set-cookie"]
    assert status == 303
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    pair = cookie.split(";")[0]
    assert websocket(team, origin=team.url, Cookie=pair)
    assert request(team.url, "/", headers={"Cookie": pair})[0] == 200
    assert "secure" not in cookie.lower()
    tls = {"X-Forwarded-Proto": "https"}
    assert "secure" in sign_in(team, "ann", PASSWORD, **tls)[1]["set-cookie"].lower()
    # The signature's first letter: its last one carries bits that base64 ignores.
    value, signature = pair.rsplit(".", 1)
    forged = f"{value}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    assert not websocket(team, origin=team.url, Cookie=forged)


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_wrong_sign_ins_read_the_same(team: Running, name: str, password: str) -> None:
    status, headers = sign_in(team, name, password)
    assert status == 401
    assert "set-cookie" not in headers


def test_sign_in_from_another_site_is_refused(team: Running) -> None:
    form = urlencode({"name": "ann", "password": PASSWORD}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://evil.example"}
    assert request(team.url, "/login", method="POST", raw=form, headers=headers)[0] == 403


@pytest.fixture
def people(tmp_path: Path) -> Iterator[UserAccounts]:
    with Store(tmp_path) as store:
        accounts = UserAccounts(store)
        accounts._hasher()
        accounts._hashes = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        yield accounts


def test_five_wrong_passwords_lock_the_account_for_a_while(
    people: UserAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.add("ann", PASSWORD, "rater", by="test")
    for _ in range(accounts_module.LOCK_AFTER):
        with pytest.raises(AccessError):
            people.sign_in("ann", "wrong")
    with pytest.raises(AccessError):
        people.sign_in("ann", PASSWORD)
    monkeypatch.setattr(accounts_module, "_now", lambda: _later(accounts_module.LOCK_FOR))
    assert people.sign_in("ann", PASSWORD) == Identity("ann", "rater")
    assert ("ann", "locked") in [(who, what) for _, who, what, _ in people.trail()]


def _later(wait: object) -> object:
    from datetime import UTC, datetime, timedelta

    assert isinstance(wait, timedelta)
    return datetime.now(UTC) + wait + timedelta(minutes=1)


def test_passwords_are_hashed_with_argon2id(people: UserAccounts) -> None:
    people.add("ann", PASSWORD, "rater", by="test")
    with people._store.engine.connect() as connection:
        (stored,) = connection.exec_driver_sql("SELECT password FROM dashboard_users").scalars()
    assert stored.startswith("$argon2id$")
    assert PASSWORD not in stored


def test_changing_or_switching_off_ends_sign_ins(people: UserAccounts) -> None:
    from datetime import UTC, datetime, timedelta

    people.add("boss", PASSWORD, "admin", by="test")
    people.add("ann", PASSWORD, "rater", by="test")
    before = datetime.now(UTC) - timedelta(hours=1)
    now = datetime.now(UTC)
    assert people.still_valid(Identity("ann", "admin"), now) == Identity("ann", "rater")
    people.change("ann", by="boss", password="another long password")
    with pytest.raises(AccessError):
        people.still_valid(Identity("ann"), before)
    people.change("ann", by="boss", active=False)
    with pytest.raises(AccessError):
        people.still_valid(Identity("ann"), now + timedelta(minutes=5))
    with pytest.raises(AccessError):
        people.sign_in("ann", "another long password")


def test_bad_and_taken_names_are_refused(people: UserAccounts) -> None:
    people.add("ann", PASSWORD, "rater", by="test")
    for name in ("", "a b", "<script>", "a" * 65, "../x", "-x", "ANN"):
        with pytest.raises(AccountError):
            people.add(name, PASSWORD, "rater", by="test")
    assert [person.name for person in people.everybody()] == ["ann"]


def test_short_passwords_and_losing_the_last_admin_are_refused(people: UserAccounts) -> None:
    people.add("boss", PASSWORD, "admin", by="test")
    with pytest.raises(AccountError, match="at least 12"):
        people.add("bob", "short", "rater", by="test")
    with pytest.raises(AccountError, match="no admin"):
        people.change("boss", by="boss", role="rater")
    with pytest.raises(AccountError, match="no user"):
        people.change("nobody", by="boss", active=False)
    assert people.get("boss").role == "admin"  # type: ignore[union-attr]


def test_provider_accounts_cannot_sign_in_by_password(people: UserAccounts) -> None:
    people.add("ann@example.org", None, "lead", by="test")
    with pytest.raises(AccessError):
        people.sign_in("ann@example.org", "")


def test_dashboard_process_never_loads_torch_or_vectorbt() -> None:
    code = (
        "import sys; import tradinghf.serving._server, tradinghf.serving.ui, "
        "tradinghf.serving.components, tradinghf.serving._uploads, tradinghf.serving._runs; "
        "from tradinghf.strategies import strategy_names; strategy_names(); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'vectorbt', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
