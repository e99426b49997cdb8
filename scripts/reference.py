"""Write docs/cli.md from the commands' help and docs/api.md from the public names' docstrings.

With --check it writes nothing and says whether the two are up to date.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Before tyro looks at the terminal: the same text everywhere.
os.environ.update(COLUMNS="96", NO_COLOR="1", PYTHON_TYRO_UTF8_BOXES="False")

import tradinghf
from tradinghf.cli import main
from tradinghf.cli._app import command_paths, commands

WIDTH = 96
DOCS = Path(__file__).resolve().parent.parent / "docs"
COMMANDS = """# Commands

Written by `make docs` from the commands' own `--help`; edit the docstrings in `tradinghf/cli/`.

Exit codes: 0 done, 1 internal error or a check that failed, 2 bad input (one sentence says what
was expected), 130 interrupted. `TRADINGHF_DEBUG=1` shows the traceback of any error. `--quiet` with
any command prints nothing but errors; a reader which leaves early (`| head -1`) ends no work and
loses no file. `--json FILE` writes what is printed as one object: command, exit_code, values (names
and numbers), tables (title, rows) and lines, nothing rounded, nothing NaN; `--json -` prints it and
nothing else, as for `jq`. Backtests, sweeps, walks and benchmarks write their full result instead.

Completion of words: `tradinghf --tyro-print-completion bash` (zsh, tcsh) prints a script, for
`~/.local/share/bash-completion/completions/tradinghf`, or where your shell looks for such.
"""
NAMES = """# Python interface

Written by `make docs` from the docstrings. Everything below imports from `tradinghf` itself; heavy
dependencies load on first use. Symbols: T bars, A assets, N environments, L bars of an episode,
D observation size, K episodes per question, B batch.
"""


def help_text(*words: str) -> str:
    """What `tradinghf WORDS --help` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


def cli_page() -> str:
    """docs/cli.md."""
    parts = [COMMANDS, "```text\n" + help_text() + "\n```\n"]
    for words, _ in command_paths(commands()):
        parts.append(f"## tradinghf {' '.join(words)}\n\n```text\n{help_text(*words)}\n```\n")
    return "\n".join(parts)


class Plain:
    """An annotation that prints as it is written, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def plain(annotation: object) -> object:
    """The annotation without quotes, when it is a string."""
    return Plain(annotation) if isinstance(annotation, str) else annotation


def signature(name: str, item: Callable[..., object]) -> str:
    """The call as one writes it: on one line, or one parameter per line."""
    call = inspect.signature(item)
    parameters = [p.replace(annotation=plain(p.annotation)) for p in call.parameters.values()]
    parameters = [p for p in parameters if p.name not in ("self", "cls")]
    back = plain(call.return_annotation)
    returns = "" if inspect.isclass(item) or back is call.empty else f" -> {back}"
    short = f"{name}{call.replace(parameters=parameters, return_annotation=call.empty)}{returns}"
    if len(short) <= WIDTH:
        return short
    stars = [i for i, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY][:1]
    lines = [f"    {p}," for p in parameters]
    if stars and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        lines.insert(stars[0], "    *,")
    return "\n".join([f"{name}(", *lines, f"){returns}"])


def methods(kind: type) -> Iterator[str]:
    """Public methods and properties of a class that have a docstring, with its first paragraph."""
    for name, value in sorted(vars(kind).items()):
        target = getattr(value, "__func__", value)
        is_call = inspect.isfunction(target)
        target = getattr(value, "fget", None) or getattr(value, "func", None) or target
        doc = inspect.getdoc(target) if inspect.isfunction(target) else None
        if not name.startswith("_") and doc:
            head = signature(f".{name}", target) if is_call else f".{name}"
            yield f"{head}\n    " + " ".join(doc.split("\n\n")[0].split())


def entry(name: str) -> str:
    """One public name: how to call it, its docstring, and its methods."""
    item = getattr(tradinghf, name)
    is_class = inspect.isclass(item)
    parts = [inspect.getdoc(item) or ""]
    if callable(item):
        parts.insert(0, ("class " if is_class else "") + signature(name, item))
    parts.extend(methods(item) if is_class else ())
    text = "\n".join(line.rstrip() for line in "\n\n".join(parts).splitlines())
    return f"## {name}\n\n```text\n{text}\n```\n"


def api_page() -> str:
    """docs/api.md."""
    return "\n".join([NAMES, *(entry(name) for name in tradinghf.__all__)])


def run(check: bool) -> int:
    """Write the pages, or compare them; returns the exit code."""
    stale = []
    for name, text in {"cli.md": cli_page(), "api.md": api_page()}.items():
        path = DOCS / name
        if not (path.is_file() and path.read_text() == text):
            stale.append(f"docs/{name}")
            if not check:
                path.write_text(text)
    if check and stale:
        sys.stderr.write(f"Out of date: {', '.join(stale)}. Run `make docs`.\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(run("--check" in sys.argv[1:]))
