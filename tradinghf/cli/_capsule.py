"""`tradinghf pack` and `verify`: a run as one file, and the proof that it can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from tradinghf.cli import _output as output
from tradinghf.cli._options import InputPath, OutputPath

_Data = Annotated[str | None, arg(help_behavior_hint="(default: as the capsule says)")]


def pack(
    run: Positional[InputPath], /, *, out: OutputPath = Path("run.thf"), bars: bool = False
) -> None:
    """Pack a run into one file that gives it again: settings, seed, answers, policy, results.

    The file is a zip with a manifest of sha256; nothing in it is code. Runs with strategies,
    traders or rewards of your own cannot be packed.

    Example: `tradinghf pack runs/mine --out mine.thf --bars`

    Args:
        run: Run directory of `tradinghf train` or `tradinghf rlhf`.
        out: Write the capsule to this file.
        bars: Also the file of bars itself; else its hash alone. Mind its licence.

    """
    from tradinghf.loop import pack_run

    found = pack_run(run, out, bars=bars)
    size = out.stat().st_size
    output.pairs(
        {
            "files": len(found["files"]),
            "bytes": size,
            "command": " ".join(["tradinghf", *found["command"]]),
            "bars": found["data"]["file"] or "their hash alone",
            "code": found["code"],
        }
    )
    output.line(f"Capsule: {out}; run it again: tradinghf verify {out}")


def verify(capsule: Positional[InputPath], /, *, data: _Data = None) -> int:
    """Train again what a capsule holds, and say whether it gives the same policy, or what differs.

    On a machine of the same kind with the same packages, policy, results and page are equal byte
    by byte. Exit code 1: something differs; where the training first departed is said.

    Example: `tradinghf verify mine.thf`

    Args:
        capsule: Written by `tradinghf pack`.
        data: The bars, where the capsule has their hash alone and the name it has for them leads
            nowhere here.

    """
    from tradinghf.loop import verify_capsule

    found = verify_capsule(capsule, data=data)
    for text in found.elsewhere:
        output.line(f"Not the same here: {text}.")
    for text in found.differences:
        output.line(text)
    if found.first:
        output.line(f"It first departed at {found.first}.")
    if found.same:
        output.line("The same: policy, results and page are equal byte by byte.")
    return 0 if found.same else 1
