"""The guard before the dashboard: checks every request, adds security headers to every reply.

Streamlit alone opens its websocket to any origin and sends no protective headers. Here a request
reaches it only with a known Host (against DNS rebinding), from this machine unless people sign in,
and, for websockets and writes, from a page of this very server.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradinghf.serving._uploads import UPLOAD_ROUTE

# A name or an address and at most a port: what else a reader would see in it is refused.
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?", re.ASCII)
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
# Streamlit's page has one inline script and inline styles, and loads component code from blob:
# URLs; everything is served from here, and nothing may be fetched from anywhere else.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' blob: 'sha256-{script}'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HIDDEN = ("/_stcore/metrics", "/_stcore/script-health-check", "/_stcore/agent")


def _reply_headers(script_hash: str) -> dict[str, str]:
    """Headers of every reply; `script_hash` allows Streamlit's one inline script."""
    return {
        "Content-Security-Policy": _POLICY.format(script=script_hash),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # with "no-referrer" a form would name no origin either
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _host_name(host: str) -> str:
    """Host header without its port, in lower case; empty where it is no host and port alone."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower().removesuffix(".") if found else ""


def _is_loopback(client: tuple[str, int] | None) -> bool:
    """Whether the peer is this machine; in-process test clients have no address."""
    if client is None:
        return True
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return client[0] == "testclient"


class RequestGuard:
    """ASGI middleware: refuses what must not pass, adds headers to what does.

    Args:
        app: the application behind it.
        hosts: Host names served; empty for any (only with sign-in).
        loopback_only: refuse peers on other machines: the rule without sign-in.
        allowed: decides by path and headers whether a signed-out request may pass; None lets all.
        entrance: path to which those are sent that may not.
        script_hash: base64 sha256 of Streamlit's inline script.
        may_upload: decides by path and Content-Length whether a file may be sent.

    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        loopback_only: bool,
        allowed: Callable[[str, Headers], bool] | None = None,
        entrance: str = "/login",
        script_hash: str = "",
        may_upload: Callable[[str, str], bool] = lambda _path, _length: False,
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._loopback_only = loopback_only
        self._allowed = allowed
        self._entrance = entrance
        self._may_upload = may_upload
        self._headers = _reply_headers(script_hash)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._problem(scope, Headers(scope=scope))
        if problem is None:
            await self._app(scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": problem})
        else:
            refusal = PlainTextResponse(problem, self._status(problem))
            if problem == _SIGN_IN and scope["method"] == "GET":
                refusal.status_code = 303
                refusal.headers["Location"] = self._entrance
            await refusal(scope, receive, self._with_headers(send))

    @staticmethod
    def _status(problem: str) -> int:
        return {_SIGN_IN: 401, _GONE: 404}.get(problem, 403)

    def _problem(self, scope: Scope, given: Headers) -> str | None:
        if self._loopback_only and not _is_loopback(scope.get("client")):
            return "This dashboard serves its own machine only."
        hosts = [_host_name(host) for host in given.getlist("host")]
        if len(hosts) != 1 or not hosts[0] or (self._hosts and hosts[0] not in self._hosts):
            return "Unknown host name."
        if "content-length" in given and "transfer-encoding" in given:
            return "The request says its length twice."  # a proxy may read another than we do
        if scope["path"].startswith(_HIDDEN):
            return _GONE
        writes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if writes and not self._same_origin(scope, given):
            return "Requests from other sites are refused."
        if self._allowed is not None and not self._allowed(scope["path"], given):
            return _SIGN_IN
        sends = scope["path"].startswith(UPLOAD_ROUTE) and scope["method"] in ("PUT", "POST")
        if sends and not self._may_upload(scope["path"], given.get("content-length", "")):
            return "Only an admin's page takes files, and not so many or so large."
        return None

    @staticmethod
    def _same_origin(scope: Scope, given: Headers) -> bool:
        """Whether a request comes from a page of this server.

        Browsers always name the origin of a websocket or write; other clients prove themselves by
        a token.
        """
        origin = given.get("origin")
        if origin is None:
            return scope["type"] == "http" and "authorization" in given
        found = urlsplit(origin)
        return found.scheme in ("http", "https") and found.netloc == given.get("host")

    def _with_headers(self, send: Send) -> Send:
        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return wrapped


_SIGN_IN = "Sign in first."
_GONE = "Not found."
