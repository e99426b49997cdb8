"""`--json FILE` with every command: what it prints, as one JSON object for programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_type_hints

from tradinghf.cli import _output as output
from tradinghf.cli._files import write_values
from tradinghf.cli._options import OutputFile

_ABOUT = "json: Write what is printed as one JSON object to this file; - prints it instead."


def gives_json(name: str, command: Callable[..., int | None]) -> Callable[..., int | None]:
    """The command, with an option `--json` unless it has one of its own.

    The object: command, exit_code, values (names with numbers or texts), tables (title and rows)
    and lines. Numbers are not rounded, and none is NaN or infinite.
    """
    call = signature(command)
    if "json" in call.parameters:
        return command

    @wraps(command)
    def with_json(*args: Any, json: Path | None = None, **options: Any) -> int | None:
        if json is None:
            return command(*args, **options)
        with output.recorded() as said:
            code = command(*args, **options)
        write_values(json, {"command": name, "exit_code": code or 0} | said)
        return code

    option = Parameter("json", Parameter.KEYWORD_ONLY, default=None, annotation=OutputFile)
    parameters = [*call.parameters.values(), option]
    with_json.__signature__ = call.replace(parameters=parameters)  # type: ignore[attr-defined]
    hints = get_type_hints(command, include_extras=True)
    with_json.__annotations__ = {**hints, "json": OutputFile}
    del with_json.__wrapped__  # or the parser would read the options of what is wrapped
    about = (command.__doc__ or "").rstrip()
    heading = "" if "\n    Args:\n" in about else "\n\n    Args:"
    with_json.__doc__ = f"{about}{heading}\n        {_ABOUT}\n\n    "
    return with_json


@contextmanager
def json_printed(args: Sequence[str]) -> Iterator[list[str]]:
    """The words of a command line; where they ask for `--json -`, that is printed and nothing else.

    The command writes a file that is printed when it has ended, so that every `--json` can be.
    """
    words = list(args)
    place = next((k for k, word in enumerate(words) if words[k - 1 : k + 1] == ["--json", "-"]), 0)
    if place == 0:
        yield words
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        words[place] = str(file)
        with redirect_stdout(io.StringIO()):
            yield words
        if file.is_file():
            sys.stdout.write(file.read_text(encoding="utf-8"))
            sys.stdout.flush()
