"""`python tests/drills NAME ... [--full] [--json FILE]`: run drills, print a verdict."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# `python tests/drills` puts this folder itself on the path; the package is in the one above.
sys.path[0] = str(Path(__file__).resolve().parents[1])
# Before torch is imported: drills fork, and only a process with one thread can be forked safely.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

from drills.catalogue import DRILLS  # noqa: E402
from drills.core import NotHereError, Outcome, short  # noqa: E402
from tradinghf.durable import write_atomic  # noqa: E402
from tradinghf.errors import unknown_name  # noqa: E402
from tradinghf.resources import code_version  # noqa: E402

DONE, FAILED, BAD_INPUT, NOT_HERE = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drills that are named.

    Returns:
        0 all promises were kept; 1 one was not; 2 an unknown name; 3 this machine cannot run it.

    """
    parser = argparse.ArgumentParser(prog="python tests/drills", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DRILLS))
    parser.add_argument("--full", action="store_true", help="as often as docs/reliability.md says")
    parser.add_argument("--size", type=int, help="another number of cases")
    parser.add_argument("--json", type=Path, help="write the outcome here (a file, or a folder)")
    parser.add_argument("--names", dest="listed", action="store_true", help="just the names")
    options = parser.parse_args(arguments)
    if options.listed:
        _print("\n".join(DRILLS))
        return DONE
    if not options.names:
        for name, drill in DRILLS.items():
            _print(f"{name:14} {drill.breaks}")
        return DONE
    for name in options.names:
        if name not in DRILLS:
            sys.stderr.write(f"error: {unknown_name('drill', name, DRILLS)}\n")
            return BAD_INPUT
    codes = [_run(name, options.full, options.size, options.json) for name in options.names]
    return max(codes, key=lambda code: (code == FAILED, code))


def _run(name: str, full: bool, size: int | None, target: Path | None) -> int:
    drill = DRILLS[name]
    size = (drill.full if full else drill.short) if size is None else size
    began = time.monotonic()

    def say(text: str) -> None:
        _print(f"{name}: {time.monotonic() - began:6.1f} s  {text}")

    with tempfile.TemporaryDirectory(prefix=f"drill-{name}-") as work:
        try:
            outcome = drill.run(Path(work), size, say)
        except NotHereError as error:
            _print(f"{name}: NOT RUN: {error}")
            return NOT_HERE
    seconds = time.monotonic() - began
    for problem in short(outcome.failures):
        _print(f"{name}: FAILURE: {problem}")
    verdict = "PASSED" if outcome.ok else "FAILED"
    count = f"{outcome.passed:,} of {outcome.cases:,}"
    _print(f"{name}: {verdict}: {count} cases in {seconds:.0f} s; {drill.promise}")
    if target is not None:
        report = _report(outcome, size >= drill.full, size)
        _write(target, name, {**report, "seconds": round(seconds, 1)})
    return DONE if outcome.ok else FAILED


def _report(outcome: Outcome, full: bool, size: int) -> dict[str, Any]:
    return {
        "full": full,
        "size": size,
        "cases": outcome.cases,
        "passed": outcome.passed,
        "failures": short(outcome.failures),
        "figures": outcome.figures,
        "code": code_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}",
    }


def _write(target: Path, name: str, report: dict[str, Any]) -> None:
    path = target if target.suffix == ".json" else target / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (json.dumps({"drill": name, **report}, indent=1) + "\n").encode())


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
