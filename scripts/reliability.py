"""Write docs/reliability.md from the outcomes of `make drills` in docs/reliability/*.json.

With --check it writes nothing and says whether the page is up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tradinghf.drill.catalogue import DRILLS

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, OUTCOMES = DOCS / "reliability.md", DOCS / "reliability"
TOP = """# Reliability drills

Traders' time is the most expensive thing in this system, and training runs are long. The drills
break it on purpose and count what was lost. Anyone can run them:

```
python -m tradinghf.drill                      # the list
python -m tradinghf.drill submit-kill          # short: seconds
python -m tradinghf.drill submit-kill --full   # as often as below
make drills                                    # all of them in full; rewrites this page
```

They work in a folder of their own that is removed afterwards. `make test` runs a short version of
each. Exit codes: 0 every promise was kept, 1 one was not, 3 this machine lacks what the drill needs
(PostgreSQL, or permission to mount a small file system).

This page is written by `scripts/reliability.py` from the outcomes in `docs/reliability/`.
"""
END = """
## What the figures mean

- **kill -9** ends a process at once, without a chance to clean up; at the steps of a write it comes
  just before each system call, with the file half written. Power cuts are not drilled: what the
  disk does then rests on `fsync`, which every write of value waits for.
- **Same bit for bit** compares a hash of all weights, rankings and metrics (but for the clock's)
  with those of a run that nobody disturbed.
- **A full disk** is a file system of 8 MiB in memory, filled until 0, 20 or 80 KiB are left.
- **Malformed files**: half have a planted fault that no reader may accept; half have random damage,
  and what is still accepted is judged again by other code. `executions` counts events of Python's
  audit hooks (exec, import, pickle, processes, sockets) while a file is read.
- **PostgreSQL** runs with `fsync=off`: clients are killed, not the machine under the server.
"""


def row(name: str, found: dict[str, Any]) -> str:
    """One line of the table."""
    drill = DRILLS[name]
    held = f"{found['passed']:,} of {found['cases']:,}"
    held += "" if found["full"] else f" (in full: {drill.full:,})"
    return f"| `{name}` | {drill.breaks} | {drill.promise} | {held} | {found['seconds']:,.0f} s |"


def page() -> str:
    """The whole page."""
    outcomes = {
        name: json.loads(path.read_text())
        for name in DRILLS
        if (path := OUTCOMES / f"{name}.json").is_file()
    }
    head = (
        "| drill | what is broken | what holds all the same | held | time |\n|---|---|---|---|---|"
    )
    table = "\n".join([head, *(row(name, found) for name, found in outcomes.items())])
    details = []
    for name, found in outcomes.items():
        figures = json.dumps(found["figures"], ensure_ascii=False)
        about = f"{found['date']}, {found['machine']}"
        details.append(f"- `{name}` ({about}): `{figures}`" if found["figures"] else "")
    missing = [f"`{name}`" for name in DRILLS if name not in outcomes]
    note = f"\nNot run in full yet: {', '.join(missing)}.\n" if missing else ""
    listed = "\n".join(line for line in details if line)
    return f"{TOP}\n## Outcomes\n\n{table}\n{note}\n### Counted on the way\n\n{listed}\n{END}"


def main(check: bool) -> int:
    """Write the page, or compare it; returns the exit code."""
    text = page()
    if not check:
        PAGE.write_text(text)
        return 0
    if PAGE.is_file() and PAGE.read_text() == text:
        return 0
    sys.stderr.write("Out of date: docs/reliability.md. Run python scripts/reliability.py\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv[1:]))
