"""The start token: without sign-in, only who started the dashboard may open it.

A port of this machine is open to all its users; the token is known to who reads the terminal, or
the signing secret, which is the owner's alone. As Jupyter does.
"""

from __future__ import annotations

import hmac
import html
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tradinghf.durable import write_atomic
from tradinghf.serving._dashboard import Dashboard
from tradinghf.serving._login import form_page, small_form
from tradinghf.serving._routes import API_PATHS

START = "/start"
_PUBLIC = (START, "/_stcore/health")
_YEAR = 365 * 24 * 3600
_ASK = {
    "title": "Open tradinghf",
    "text": "This dashboard opens for who started it. Use the whole address that "
    "tradinghf printed, or paste the token at its end.",
    "action": START,
    "button": "Open",
    "fields": '<label>Token<input name="token" type="password" autocomplete="off" autofocus '
    'required maxlength="200"></label>',
}
_REDIRECT = (
    '<!doctype html><meta http-equiv="refresh" content="0; url={url}"><a href="{url}">Open</a>'
)


class StartRoutes:
    """Routes that exchange the start token for a cookie, and the rule which requests need it.

    Token and cookie follow from the signing secret: they stay valid over restarts, and end when
    the secret is replaced. The cookie is named for the store: browsers share cookies among ports.
    """

    def __init__(self, board: Dashboard) -> None:
        mark = board.sign_in_tokens.pseudonym
        self.token = mark("start token")
        self.cookie = f"tradinghf_start_{mark('start cookie name')[:8]}"
        self._value = mark("start cookie")

    @property
    def path(self) -> str:
        """What to open, from the server's address on."""
        return f"{START}?token={self.token}"

    def allowed(self, path: str, headers: Headers) -> bool:
        """Whether a request may be served: it has the cookie, or is about to get it."""
        if path in _PUBLIC or path in API_PATHS:  # those check their tokens themselves
            return True
        given = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        return _same(given, self._value)

    async def start(self, request: Request) -> Response:
        """GET /start: set the cookie, or ask for the token."""
        if "token" not in request.query_params:
            return form_page(_ASK, status=401)
        return self._enter(request, request.query_params["token"])

    async def paste(self, request: Request) -> Response:
        """POST /start: the token of the form."""
        found = await small_form(request, ("token",), partial(form_page, _ASK))
        return found if isinstance(found, Response) else self._enter(request, found[0].strip())

    def _enter(self, request: Request, given: str) -> Response:
        if not _same(given, self.token):
            return form_page(_ASK, "This is not the token of this dashboard.", 401)
        reply = RedirectResponse("/", 303)  # the token leaves the address line
        secure = request.url.scheme == "https"
        reply.set_cookie(
            self.cookie, self._value, _YEAR, httponly=True, samesite="lax", secure=secure
        )
        return reply

    def routes(self) -> list[Route]:
        """GET and POST of /start."""
        return [
            Route(START, self.start, methods=["GET"]),
            Route(START, self.paste, methods=["POST"]),
        ]


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


@contextmanager
def opened_browser(url: str) -> Iterator[None]:
    """Open an address in the browser without showing it in the list of processes.

    Through a page of the user's own, which is there until the block ends.
    """
    with tempfile.TemporaryDirectory(prefix="tradinghf-") as folder:
        page = Path(folder) / "open.html"
        text = _REDIRECT.format(url=html.escape(url, quote=True))
        write_atomic(page, text.encode(), mode=0o600)
        webbrowser.open(page.as_uri())
        yield
