"""`python -m tradinghf.serving.runner FOLDER ARGUMENTS...`: run a job and note how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from tradinghf.durable import write_atomic

YIELD = 10


def give_way() -> None:
    """Let the dashboard's server go first: raters wait for it, and a job has time."""
    if hasattr(os, "nice"):
        os.nice(YIELD)
    # Linux often weighs sessions against each other, and niceness within each only.
    group = Path("/proc/self/autogroup")
    with suppress(OSError):
        if group.exists():
            group.write_text(str(YIELD))


def main(arguments: list[str]) -> int:
    """Run `python ARGUMENTS...`, its output in FOLDER/output.log; returns its exit code."""
    folder = Path(arguments[0])
    give_way()
    with (folder / "output.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, *arguments[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

        def forward(number: int, _frame: FrameType | None) -> None:
            child.send_signal(number)

        signal.signal(signal.SIGTERM, forward)
        signal.signal(signal.SIGINT, forward)
        code = child.wait()
    write_atomic(folder / "exit.json", json.dumps({"code": code}).encode())
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
