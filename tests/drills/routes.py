"""Drill of the answer routes by somebody else's fuzzer: schemathesis, from an OpenAPI schema.

A rater with a valid pass sends whatever the schema allows and much that it does not; what is looked
for is an answer of 500, which is a traceback.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.dashboard import dashboard_of, fill_store

from drills.core import NotHereError, Outcome, Say
from tradinghf.feedback.store import Store
from tradinghf.serving import UserAccounts
from tradinghf.serving._access import Identity, SessionTokens

PROGRAM = os.environ.get("SCHEMATHESIS") or shutil.which(
    "schemathesis", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)
TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
ANSWER: dict[str, Any] = {
    "key": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "query": TEXT,
    "ranks": {"type": "array", "items": WHOLE},
    "outcome": {"enum": ["ranked", "skipped", "cant_tell"]},
    "comment": TEXT,
    "aspects": {"type": ["array", "null"], "items": TEXT},
    "ratings": {"type": "array", "items": {"type": ["integer", "null"]}},
    "seconds": {"type": "number"},
    "session": TEXT,
    "supersedes": TEXT,
}
EDIT: dict[str, Any] = {
    "query": TEXT, "panel": WHOLE, "key": TEXT, "session": TEXT,
    "changes": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
}  # fmt: skip


def _operation(body: dict[str, Any] | None = None, *parameters: str) -> dict[str, Any]:
    replies = {code: {"description": code} for code in ("200", "401", "409", "422", "503")}
    found: dict[str, Any] = {
        "responses": replies,
        "parameters": [{"name": name, "in": "query", "schema": TEXT} for name in parameters],
    }
    if body is not None:
        schema = {"type": "object", "properties": body, "required": sorted(body)}
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return found


def schema() -> dict[str, Any]:
    """The routes below /tradinghf/api, as OpenAPI 3.1."""
    practice = {"query": {"enum": ["practice-0", "practice-1"]}, "ranks": ANSWER["ranks"]}
    paths = {
        "/query": {"get": _operation(None, "edit", "have", "session")},
        "/practice": {"get": _operation(None, "number"), "post": _operation(practice)},
        "/answer": {"post": _operation(ANSWER)},
        "/edit": {"post": _operation(EDIT)},
        "/aspects": {"post": _operation({"text": TEXT})},
    }
    about = {"title": "tradinghf", "version": "1"}
    return {"openapi": "3.1.0", "info": about, "paths": paths}


def routes(work: Path, size: int, say: Say) -> Outcome:
    """Fuzz a dashboard for `size` seconds."""
    if PROGRAM is None:
        raise NotHereError("The routes are not fuzzed: pip install schemathesis.")
    (work / "api.json").write_text(json.dumps(schema()))
    with Store(work / "store") as store:
        fill_store(store, queries=4, panels=3, bars=20)
        UserAccounts(store).add("ann", None, "rater", by="drill")
    with dashboard_of(work / "store", auth="local", hosts="127.0.0.1") as live:
        secret = (work / "store" / "dashboard.secret").read_text().strip()
        token = SessionTokens(secret).issue(Identity("ann"))
        command = [PROGRAM, "run", str(work / "api.json"), "--url", f"{live.url}/tradinghf/api"]
        command += ["--header", f"Authorization: Bearer {token}", "--max-time", str(size)]
        command += ["--checks", "not_a_server_error", "--continue-on-failure", "--seed", "1"]
        command += ["--report-junit-path", str(work / "junit.xml")]
        done = subprocess.run(
            command, cwd=work, capture_output=True, text=True, timeout=size + 300, check=False
        )
    said = done.stdout.strip().splitlines()
    say(said[-1] if said else done.stderr[-300:])
    failures = [] if done.returncode == 0 else [" | ".join(said[-40:]) or done.stderr[-2000:]]
    counts = re.findall(r"(\d[\d,]*) generated", done.stdout)
    sent = int(counts[-1].replace(",", "")) if counts else 0
    return Outcome(sent, tuple(failures), {"requests": sent})
