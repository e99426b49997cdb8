"""Run the notebooks in fresh kernels and keep their outputs: `scripts/notebooks.py [02 ...]`.

With --check nothing is written: each must run without an error and print what it printed before,
whatever the numbers, which differ in their last digits between machines.
"""

from __future__ import annotations

import copy
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbclient
import nbformat
from traitlets.config import Config

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?")
SECONDS = 240


def executed(notebook: nbformat.NotebookNode, cwd: Path) -> nbformat.NotebookNode:
    """A copy of the notebook with the outputs of a fresh kernel.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the message holds its traceback.

    """
    fresh = copy.deepcopy(notebook)
    fresh.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    client = nbclient.NotebookClient(
        fresh,
        config=Config(KernelManager={"transport": "ipc", "ip": str(cwd / "socket")}),
        timeout=SECONDS,
        resources={"metadata": {"path": str(cwd)}},
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
    )
    client.execute()
    fresh.metadata.pop("widgets", None)  # pictures of every question; the output cells show one
    for index, cell in enumerate(fresh.cells):
        cell.id = f"cell-{index:02d}"
    return fresh


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each code cell printed or returned, as words; numbers masked."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            texts = [output.get("text", "") for output in cell.outputs]
            found.append(" ".join(NUMBER.sub("#", "".join(texts)).split()))
    return found


def run(path: Path, *, check: bool) -> str:
    """Execute one notebook; returns what is wrong with it, or nothing."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        fresh = executed(notebook, Path(folder))
    if not check:
        nbformat.write(fresh, path)
        return ""
    for index, (old, new) in enumerate(zip(printed(notebook), printed(fresh), strict=True)):
        if old != new:
            return f"code cell {index + 1} printed {new[:400]!r}; committed is {old[:400]!r}"
    return ""


def main(args: list[str]) -> int:
    """Run all notebooks, or those whose names begin with an argument; returns the exit code."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    names = [a for a in args if not a.startswith("--")]
    wrong = 0
    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and not path.name.startswith(tuple(names)):
            continue
        began = time.perf_counter()
        problem = run(path, check="--check" in args)
        sys.stdout.write(f"{path.name}: {time.perf_counter() - began:.1f} s {problem or 'ok'}\n")
        wrong += bool(problem)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
