"""The HTTP routes of the Rank page's component, beside Streamlit's own.

`/tradinghf/api/...` answers JSON to requests with a valid token;
`/tradinghf/component/VERSION/FILE` serves the component's scripts. Nothing else of the disk is
served: files are looked up in a table made at start, never by path.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tradinghf.errors import EpisodeError, FeedbackError, StoreError
from tradinghf.serving._access import AccessError, Identity
from tradinghf.serving._practice import practice_comment, practice_query
from tradinghf.serving._service import AnsweredElsewhereError, RankingService

API = "/tradinghf/api"
API_PATHS = frozenset(
    f"{API}/{name}" for name in ("query", "practice", "answer", "edit", "aspects")
)
"""Every route that checks a token itself; whatever else lies below `API` needs a sign-in."""
_COMPONENT = "/tradinghf/component"
_MAX_BODY = 16 * 1024
_MAX_IDS = 64
_BODY_SECONDS = 30.0
_TYPES = {".js": "text/javascript", ".css": "text/css"}
_log = logging.getLogger(__name__)

_Value = TypeVar("_Value")
_Handler = Callable[[Request, Identity, Any], Any]


class RankingRoutes:
    """Routes by which the Rank page's component fetches queries and sends answers.

    Args:
        service: queries and answers.
        identity_of: who a token stands for; raises `AccessError` for nobody.

    """

    def __init__(self, service: RankingService, identity_of: Callable[[str], Identity]) -> None:
        self._service = service
        self._identity_of = identity_of

    def routes(self) -> list[Route]:
        """GET and POST routes below `API`."""
        return [
            Route(f"{API}/query", self._endpoint(self.query), methods=["GET"]),
            Route(f"{API}/practice", self._endpoint(self.practice), methods=["GET", "POST"]),
            Route(f"{API}/answer", self._endpoint(self.answer), methods=["POST"]),
            Route(f"{API}/edit", self._endpoint(self.edit), methods=["POST"]),
            Route(f"{API}/aspects", self._endpoint(self.aspects), methods=["POST"]),
        ]

    def _endpoint(self, handler: _Handler) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            path = request.url.path
            try:
                identity = await run_in_threadpool(self._identity, request)
                body = await _json_body(request) if request.method == "POST" else None
                reply = await run_in_threadpool(handler, request, identity, body)
            except AccessError as error:
                _log.warning("request without a token", extra={"path": path})
                return JSONResponse({"error": str(error)}, 401)
            except AnsweredElsewhereError as error:
                other = {"key": error.key, "outcome": error.outcome}
                return JSONResponse({"error": str(error), "answered": other}, 409)
            except ClientDisconnect:  # its answer comes again, with the same key
                return Response(status_code=400)
            except FeedbackError as error:
                _log.warning("request refused", extra={"path": path, "rater": identity.rater})
                return JSONResponse({"error": str(error)}, 422)
            except (StoreError, EpisodeError):
                # Their messages name paths of this machine: for the log, not for the browser.
                _log.exception("The store failed")
                return JSONResponse({"error": "The store is not available right now."}, 503)
            return JSONResponse(reply, headers={"Cache-Control": "no-store"})

        return endpoint

    def _identity(self, request: Request) -> Identity:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise AccessError("Sign in first: reload the page.")
        return self._identity_of(token)

    def query(self, request: Request, who: Identity, _body: Any) -> dict[str, Any]:
        """The next query, or an answered one to correct."""
        parameters = request.query_params
        if key := parameters.get("edit"):
            return {"query": self._service.reopen(who.rater, key)}
        ids = parameters.get("have", "").split(",")[:_MAX_IDS]
        have = [name for name in ids if name and name.isprintable()]
        session = "".join(filter(str.isprintable, parameters.get("session", "")))[:100]
        found = self._service.next_query(who.rater, session, have)
        shown = found and found["query"]
        _log.info("query shown", extra={"rater": who.rater, "query": shown, "session": session})
        return {"query": found}

    def practice(self, request: Request, _who: Identity, body: Any) -> dict[str, Any]:
        """A practice query; or what to say about its answer."""
        if body is None:
            number = request.query_params.get("number", "0")
            return {"query": practice_query(number)}
        ranks = _field(body, "ranks", list, "list")
        return {"text": practice_comment(_field(body, "query", str, "text"), ranks)}

    def answer(self, _request: Request, who: Identity, body: Any) -> dict[str, Any]:
        """Store an answer."""
        stored = self._service.answer(who.rater, body)
        ids = {name: body[name] for name in ("query", "key", "session")}
        event = "answer stored" if stored else "answer repeated"
        _log.info(event, extra={"rater": who.rater, **ids})
        return {"stored": stored}

    def edit(self, _request: Request, who: Identity, body: Any) -> dict[str, Any]:
        """A panel with its position changed; stored once it comes with a key."""
        found = self._service.edit(who.rater, body)
        if "stored" in found:
            ids = {name: body.get(name) for name in ("query", "key", "panel")}
            _log.info("edit stored", extra={"rater": who.rater, **ids})
        return found

    def aspects(self, _request: Request, _who: Identity, body: Any) -> dict[str, Any]:
        """Aspects of trading that a comment mentions."""
        return {"aspects": self._service.aspects(_field(body, "text", str, "text"))}


def _field(body: Any, name: str, kind: type[_Value], word: str) -> _Value:
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, kind):
        raise FeedbackError(f"The field {name!r} is missing or no {word}.")
    return value


async def _json_body(request: Request) -> Any:
    """The request's JSON, bounded in size.

    Raises:
        FeedbackError: too long, or no JSON.

    """
    received = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                received += part
                if len(received) > _MAX_BODY:
                    raise FeedbackError(f"The request is longer than {_MAX_BODY} bytes.")
    except TimeoutError as error:
        raise FeedbackError("The request took too long.") from error
    try:
        return json.loads(received, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FeedbackError("The request is not valid JSON.") from error


def _no_constant(name: str) -> None:
    raise ValueError(name)


class ComponentFiles:
    """The component's own scripts and style, and the fetched chart library.

    Args:
        folder: `dashboard/component`.

    """

    def __init__(self, folder: Path) -> None:
        found = [*folder.glob("*.js"), *folder.glob("*.css"), *folder.glob("assets/*.js")]
        self._files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(found)}
        digest = hashlib.sha256()
        for name, content in self._files.items():
            digest.update(name.encode() + b"\0" + content)
        self.version = digest.hexdigest()[:16]

    @property
    def charts_missing(self) -> bool:
        """Whether the chart library was not fetched."""
        return "assets/lightweight-charts.js" not in self._files

    def text(self, name: str) -> str:
        """One of the files, as text."""
        return self._files[name].decode()

    def url(self, name: str) -> str:
        """Where a file is served; changes with any file's content."""
        return f"{_COMPONENT}/{self.version}/{name}"

    def scripts(self) -> list[str]:
        """Where all scripts are served, the largest first."""
        names = [name for name in self._files if name.endswith(".js")]
        return [self.url(name) for name in sorted(names, key=lambda n: -len(self._files[n]))]

    async def serve(self, request: Request) -> Response:
        """A file by its exact name."""
        name = request.path_params["name"]
        content = self._files.get(name)
        if content is None:
            return Response(status_code=404)
        kind = _TYPES[Path(name).suffix]
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(content, media_type=kind, headers=headers)

    def routes(self) -> list[Route]:
        """The route of all files."""
        return [Route(f"{_COMPONENT}/{{version}}/{{name:path}}", self.serve, methods=["GET"])]
