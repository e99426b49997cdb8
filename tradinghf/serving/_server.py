"""Starts the dashboard: Streamlit's ASGI application behind the request guard."""

from __future__ import annotations

import base64
import gc
import hashlib
import ipaddress
import logging
import os
import re
import socket
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware

from tradinghf import logs
from tradinghf.errors import ConfigError
from tradinghf.resources import resource_dir
from tradinghf.serving._connections import (
    limit_repeated_lines,
    most_connections,
    patient_protocol,
)
from tradinghf.serving._dashboard import Dashboard, current_dashboard
from tradinghf.serving._login import SignInRoutes
from tradinghf.serving._middleware import LOOPBACK_HOSTS, RequestGuard
from tradinghf.serving._routes import RankingRoutes
from tradinghf.serving._settings import DashboardSettings
from tradinghf.serving._start import START, StartRoutes, opened_browser

_log = logging.getLogger(__name__)
_LAST_PORT = 65_535
_BACKLOG = 128
_MAX_MESSAGE = 50 * 2**20


def _inline_script_hash() -> str:
    """Base64 sha256 of the one inline script in Streamlit's page, for the content policy."""
    import streamlit

    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text()
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    content = script.group(1) if script else ""
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def app_arguments(board: Dashboard | None = None) -> dict[str, Any]:
    """Keyword arguments of `streamlit.App`: our routes, and the guard before everything."""
    logs.start_log()
    limit_repeated_lines()
    if board is None:  # `streamlit run dashboard/app.py`, which prints where it listens
        board = current_dashboard()
        if board.settings.auth == "none":
            print(f"Open it with its token: {StartRoutes(board).path}", flush=True)  # noqa: T201
    settings = board.settings
    open_to_team = settings.auth != "none"
    hosts = {name.strip().lower() for name in settings.hosts.split(",") if name.strip()}
    login = entrance(board)
    guard = Middleware(
        RequestGuard,
        hosts=hosts if open_to_team else LOOPBACK_HOSTS,
        loopback_only=not open_to_team,
        allowed=login.allowed if login else None,
        entrance="/login" if open_to_team else START,
        script_hash=_inline_script_hash(),
        may_upload=board.upload_sessions.take,
    )
    api = RankingRoutes(board.service, partial(board.identity_of, board.answer_tokens))
    routes = [*api.routes(), *board.files.routes(), *(login.routes() if login else [])]
    return {"routes": routes, "middleware": [guard]}


def entrance(board: Dashboard) -> SignInRoutes | StartRoutes | None:
    """Who lets people in: passwords, the start token, or Streamlit itself with OIDC."""
    if board.settings.auth == "none":
        return StartRoutes(board)
    return SignInRoutes(board) if board.settings.auth == "local" else None


def check_address(address: str, auth: str) -> None:
    """Refuse to listen to other machines unless people sign in.

    Raises:
        ConfigError: not an IP address, or not this machine's own and no sign-in.

    """
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError as error:
        raise ConfigError(
            f"The address is {address!r}; expected an IP address such as 127.0.0.1."
        ) from error
    if not loopback and auth == "none":
        raise ConfigError(
            f"The dashboard would listen on {address} for anybody, without sign-in. "
            "Add --auth local (users with passwords) or --auth oidc, or stay on 127.0.0.1."
        )


def bind(address: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: the port is taken or not allowed.

    """
    if not 0 <= port <= _LAST_PORT:
        raise ConfigError(f"The port is {port}; expected 0 (any free one) to {_LAST_PORT}.")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    try:
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Cannot listen on {address}:{port}: {error.strerror}. Choose another --port."
        ) from error
    return listener


def serve(
    settings: DashboardSettings,
    *,
    port: int = 8501,
    address: str = "127.0.0.1",
    open_browser: bool = False,
) -> None:
    """Serve the dashboard until interrupted.

    Args:
        settings: the store, which is created when it does not exist, who signs in, and so on.
        port: TCP port; 0 picks a free one.
        address: IP address to listen on; anything but this machine's own needs sign-in.
        open_browser: open the page in the default browser.

    Raises:
        ConfigError: an address that needs sign-in, or a taken port.
        StoreError: the store cannot be opened.

    """
    check_address(address, settings.auth)
    os.environ.update(settings.environment())
    board = current_dashboard(settings)
    listener = bind(address, port)
    import uvicorn
    from streamlit.starlette import App

    app = App(resource_dir("dashboard") / "router.py", **app_arguments(board))
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        # A proxy on this machine tells the client's address and whether it came by TLS. Without it
        # everybody would seem to be on this machine, and cookies would not be marked secure.
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1",
        ws_max_size=_MAX_MESSAGE,
        http=patient_protocol(most_connections()),
    )
    url = f"http://{address}:{listener.getsockname()[1]}"
    extra = {"url": url, "auth": settings.auth, "store": str(board.store.location)}
    url += StartRoutes(board).path if settings.auth == "none" else ""
    print(f"Dashboard: {url}   (stop with Ctrl+C)", flush=True)  # noqa: T201 - tells the user where
    _log.info("server started", extra=extra)
    gc.collect()
    gc.freeze()  # what is loaded by now stays: later collections need not look at it
    with opened_browser(url) if open_browser else nullcontext():
        uvicorn.Server(config).run(sockets=[listener])
