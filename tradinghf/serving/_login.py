"""The sign-in and invitation pages of team mode: plain HTML, no script, outside Streamlit.

Nothing of Streamlit, not even its websocket, is reachable before it.
"""

from __future__ import annotations

import asyncio
import html
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tradinghf.serving._access import TOKEN_SECONDS, AccessError
from tradinghf.serving._accounts import AccountError
from tradinghf.serving._dashboard import COOKIE, Dashboard
from tradinghf.serving._routes import API_PATHS

_PUBLIC = ("/login", "/invite", "/_stcore/health")
_MAX_FORM = 4096
_MOST_WAITING = 32
_FEW = 2
"""So many who sign in at once are people; more of them give way to those who rank."""
_FORM_SECONDS = 10.0
_REFUSAL_SECONDS = 0.5
"""A refusal takes this long, or a multiple of it: more than checking a password does."""
_TURNED_AWAY_SECONDS = 1.0
"""How long those wait who are too many: a client that tries again at once keeps nobody busy."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tradinghf: {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: dark light; }}
:root {{ --bg: #0e1218; --raised: #151b23; --text: #d6dae0; --muted: #a8b0bb; --line: #3a4452;
  --accent: #4c8dff; --on: #0e1218; --warn: #e8833a; }}
@media (prefers-color-scheme: light) {{
  :root {{ --bg: #f7f8fa; --raised: #fff; --text: #0f1620; --muted: #4d5663; --line: #c3cad3;
    --accent: #1f5fd0; --on: #fff; --warn: #a34a08; }}
}}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
  background: var(--bg); color: var(--text); font: 15px/1.4 system-ui, sans-serif; }}
main {{ width: min(340px, 88vw); padding: 28px; border: 1px solid var(--line); border-radius: 12px;
  background: var(--raised); }}
form {{ display: grid; gap: 14px; }}
h1 {{ margin: 0 0 4px; font-size: 19px; }}
label {{ display: grid; gap: 6px; font-size: 13px; color: var(--muted); }}
input {{ height: 40px; padding: 0 12px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--bg); color: var(--text); font: inherit; }}
input:focus-visible, button:focus-visible {{ outline: 2px solid var(--accent);
  outline-offset: 1px; }}
button {{ height: 40px; border: 0; border-radius: 6px; background: var(--accent); color: var(--on);
  font: inherit; font-weight: 650; cursor: pointer; }}
p {{ margin: 0 0 14px; color: var(--muted); font-size: 13px; }}
p[role] {{ margin: 0; color: var(--warn); }}
</style></head><body><main>
<h1>{title}</h1>
<p>{text}</p>
<form method="post" action="{action}">{problem}
{fields}
<button type="submit">{button}</button>
</form></main></body></html>"""
_SIGN_IN = {
    "title": "Sign in to tradinghf",
    "text": "Rank trading without knowing whose it is. An admin sends you a link for your first "
    "password.",
    "action": "/login",
    "button": "Sign in",
    "fields": """<label>Name<input name="name" autocomplete="username" autofocus required
 maxlength="64"></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required
 maxlength="1000"></label>""",
}
_CHOOSE = """<input name="token" type="hidden" value="{token}">
<label>Name<input name="name" value="{name}" autocomplete="username" readonly></label>
<label>New password, at least 12 characters<input name="password" type="password"
 autocomplete="new-password" autofocus required maxlength="1000"></label>
<label>The same again<input name="again" type="password" autocomplete="new-password" required
 maxlength="1000"></label>"""


def form_page(parts: Mapping[str, str], problem: str = "", status: int = 200) -> HTMLResponse:
    """A form, with what went wrong."""
    text = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    headers = {"Cache-Control": "no-store"}
    return HTMLResponse(_PAGE.format(problem=text, **parts), status, headers=headers)


async def small_form(
    request: Request, names: tuple[str, ...], page: Callable[[str, int], Response]
) -> tuple[str, ...] | Response:
    """Fields of a small form that came in time, or what to answer instead.

    Args:
        request: a POST.
        names: of the fields; one that is missing is empty.
        page: the form again, with what went wrong and a status.

    """
    if int(request.headers.get("content-length") or _MAX_FORM + 1) > _MAX_FORM:
        return page("That was too long.", 413)
    try:
        async with asyncio.timeout(_FORM_SECONDS), request.form(max_files=0, max_fields=4) as form:
            return tuple(str(form.get(name, "")) for name in names)
    except TimeoutError:
        return page("That took too long. Try again.", 408)
    except ClientDisconnect:
        return Response(status_code=400)


def _login_page(problem: str = "", status: int = 200) -> HTMLResponse:
    return form_page(_SIGN_IN, problem, status)


def _invitation_page(token: str, name: str, problem: str = "", status: int = 200) -> HTMLResponse:
    fields = _CHOOSE.format(token=html.escape(token), name=html.escape(name))
    words = {
        "title": "Welcome to tradinghf",
        "text": "Choose your password. Your answers are stored under this name.",
        "action": "/invite",
        "button": "Set the password and sign in",
    }
    return form_page(words | {"fields": fields}, problem, status)


def _give_way() -> None:
    """Lower the priority of this thread; on Linux it is the thread's own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


class SignInRoutes:
    """Routes of the sign-in page, and the rule which requests need a sign-in."""

    def __init__(self, board: Dashboard) -> None:
        self._board = board
        self._waiting = 0
        # Threads of their own, which give way: a flood of attempts leaves the raters' alone.
        workers = max(1, (os.cpu_count() or 2) // 4)
        self._crowd = ThreadPoolExecutor(workers, "sign-in-crowd", initializer=_give_way)
        # One person does not: on a machine with other work, who gives way waits for minutes.
        self._work = ThreadPoolExecutor(1, "sign-in")

    def allowed(self, path: str, headers: Headers) -> bool:
        """Whether a request may be served: it is signed in, or asks for the sign-in page."""
        if path in _PUBLIC or path in API_PATHS:  # those check their tokens themselves
            return True
        return self._board.signed_in(cookie_parser(headers.get("cookie", ""))) is not None

    async def show(self, _request: Request) -> Response:
        """GET /login."""
        return _login_page()

    async def enter(self, request: Request) -> Response:
        """POST /login: set the cookie, or show why not."""
        if self._waiting >= _MOST_WAITING:
            return await self._turned_away()
        found = await small_form(request, ("name", "password"), _login_page)
        if isinstance(found, Response):
            return found
        if self._waiting >= _MOST_WAITING:  # since
            return await self._turned_away()
        began = time.monotonic()
        try:
            token = await self._at_work(self._token, *found)
        except AccessError as error:
            # Nobody learns from the time whether there is such a name.
            took = time.monotonic() - began
            await asyncio.sleep(_REFUSAL_SECONDS - took % _REFUSAL_SECONDS)
            return _login_page(str(error), 401)
        return self._welcome(request, token)

    async def show_invitation(self, request: Request) -> Response:
        """GET /invite: the form for a first password."""
        token = request.query_params.get("token", "")
        try:
            name, _ = await run_in_threadpool(self._board.invited, token)
        except AccessError as error:
            return _login_page(str(error), 401)
        return _invitation_page(token, name)

    async def accept_invitation(self, request: Request) -> Response:
        """POST /invite: set the password and sign in, or show why not."""
        if self._waiting >= _MOST_WAITING:
            return await self._turned_away()
        found = await small_form(request, ("token", "password", "again"), _login_page)
        if isinstance(found, Response):
            return found
        token, password, again = found
        if self._waiting >= _MOST_WAITING:  # since
            return await self._turned_away()
        try:
            name, _ = await run_in_threadpool(self._board.invited, token)
            if password != again:
                return _invitation_page(token, name, "The two passwords differ.", 422)
            cookie = await self._at_work(self._accept, token, password)
        except AccessError as error:
            return _login_page(str(error), 401)
        except AccountError as error:
            return _invitation_page(token, name, str(error), 422)
        return self._welcome(request, cookie)

    @staticmethod
    async def _turned_away() -> Response:
        """The answer to one attempt too many, before its form is read."""
        await asyncio.sleep(_TURNED_AWAY_SECONDS)
        return _login_page("Too many people are signing in. Try again in a minute.", 503)

    async def _at_work(self, work: Callable[..., str], *words: str) -> str:
        """Hash passwords in a thread of their own; of many at once, in one that gives way."""
        threads = self._work if self._waiting < _FEW else self._crowd
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work, *words)
        finally:
            self._waiting -= 1

    @staticmethod
    def _welcome(request: Request, token: str) -> Response:
        reply = RedirectResponse("/", 303)
        reply.set_cookie(
            COOKIE,
            token,
            max_age=TOKEN_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return reply

    def _accept(self, token: str, password: str) -> str:
        """Set an invited person's password; a sign-in token. Of two who try at once, one wins."""
        board = self._board
        name, stamp = board.invited(token)
        board.accounts.change(name, password=password, by=name, stamp=stamp)
        board.accounts.note(name, "invitation accepted")
        return self._token(name, password)

    def _token(self, name: str, password: str) -> str:
        """A sign-in token for the right password."""
        board = self._board
        identity = board.accounts.sign_in(name, password)
        board.accounts.note(identity.rater, "sign in")
        return board.token_for(board.sign_in_tokens, identity)

    async def leave(self, request: Request) -> Response:
        """GET /logout: end the person's sign-ins, here and elsewhere, and forget the cookie."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return RedirectResponse("/", 303)  # another site's link may not sign anybody out
        who = await run_in_threadpool(self._board.signed_in, request.cookies)
        if who is not None:
            await run_in_threadpool(self._board.accounts.sign_out, who.rater)
        reply = RedirectResponse("/login", 303)
        reply.delete_cookie(COOKIE)
        return reply

    def routes(self) -> list[Route]:
        """GET and POST of /login and /invite, GET /logout."""
        return [
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.enter, methods=["POST"]),
            Route("/invite", self.show_invitation, methods=["GET"]),
            Route("/invite", self.accept_invitation, methods=["POST"]),
            Route("/logout", self.leave, methods=["GET"]),
        ]
