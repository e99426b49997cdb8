"""`python -m tradinghf.serving._runner FOLDER NICE ARGUMENTS...`: run a job, note how it ended."""

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


def _give_way(niceness: int) -> None:
    """Lower the priority of this process: raters wait for the server, nobody for a training."""
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)
    # Linux often weighs sessions against each other, and niceness within each only.
    group = Path("/proc/self/autogroup")
    with suppress(OSError):
        if niceness and group.exists():
            group.write_text(str(niceness))


def main(arguments: list[str]) -> int:
    """Run `python ARGUMENTS...`, its output in FOLDER/output.log; returns its exit code.

    NICE is how far it gives way to others, 0 to 19.
    """
    folder = Path(arguments[0])
    _give_way(int(arguments[1]))
    os.umask(0o077)  # what people trade and say is not for other users of the machine
    with (folder / "output.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, *arguments[2:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

        def forward(number: int, _frame: FrameType | None) -> None:
            child.send_signal(number)

        signal.signal(signal.SIGTERM, forward)
        signal.signal(signal.SIGINT, forward)
        code = child.wait()
    write_atomic(folder / "exit.json", json.dumps({"code": code}).encode(), mode=0o600)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
