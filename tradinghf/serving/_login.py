"""The sign-in page of team mode: plain HTML, no script, outside Streamlit.

Nothing of Streamlit, not even its websocket, is reachable before it.
"""

from __future__ import annotations

import html

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tradinghf.serving._access import TOKEN_SECONDS, AccessError
from tradinghf.serving._dashboard import COOKIE, Dashboard
from tradinghf.serving._routes import API

_PUBLIC = ("/login", "/_stcore/health")
_MAX_FORM = 4096

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tradinghf: sign in</title>
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
<h1>Sign in to tradinghf</h1>
<p>Rank trading without knowing whose it is. An admin gives you a name and a password.</p>
<form method="post" action="/login">{problem}
<label>Name<input name="name" autocomplete="username" autofocus required maxlength="64"></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required
 maxlength="1000"></label>
<button type="submit">Sign in</button>
</form></main></body></html>"""


def _login_page(problem: str = "", status: int = 200) -> HTMLResponse:
    """The form, with what went wrong."""
    text = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    headers = {"Cache-Control": "no-store"}
    return HTMLResponse(_PAGE.format(problem=text), status, headers=headers)


class SignInRoutes:
    """Routes of the sign-in page, and the rule which requests need a sign-in."""

    def __init__(self, board: Dashboard) -> None:
        self._board = board

    def allowed(self, path: str, headers: Headers) -> bool:
        """Whether a request may be served: it is signed in, or asks for the sign-in page."""
        if path in _PUBLIC or path.startswith(f"{API}/"):  # those check their tokens themselves
            return True
        return self._board.signed_in(cookie_parser(headers.get("cookie", ""))) is not None

    async def show(self, _request: Request) -> Response:
        """GET /login."""
        return _login_page()

    async def enter(self, request: Request) -> Response:
        """POST /login: set the cookie, or show why not."""
        if int(request.headers.get("content-length") or _MAX_FORM + 1) > _MAX_FORM:
            return _login_page("That was too long.", 413)
        async with request.form(max_files=0, max_fields=4) as form:
            name, password = str(form.get("name", "")), str(form.get("password", ""))
        try:
            identity = await run_in_threadpool(self._board.accounts.sign_in, name, password)
        except AccessError as error:
            return _login_page(str(error), 401)
        await run_in_threadpool(self._board.accounts.note, identity.rater, "sign in")
        reply = RedirectResponse("/", 303)
        reply.set_cookie(
            COOKIE,
            self._board.sign_in_tokens.issue(identity),
            max_age=TOKEN_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return reply

    async def leave(self, _request: Request) -> Response:
        """GET /logout: forget the cookie."""
        reply = RedirectResponse("/login", 303)
        reply.delete_cookie(COOKIE)
        return reply

    def routes(self) -> list[Route]:
        """GET and POST /login, GET /logout."""
        return [
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.enter, methods=["POST"]),
            Route("/logout", self.leave, methods=["GET"]),
        ]
