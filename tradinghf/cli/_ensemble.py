"""`tradinghf ensemble`: trainings that differ in their seed as one policy."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from tradinghf.cli import _output as output
from tradinghf.cli._options import InputPath, OutputPath
from tradinghf.errors import check_setting


def ensemble(
    policies: Positional[tuple[InputPath, ...]],
    /,
    *,
    out: OutputPath = Path("ensemble.safetensors"),
    name: str = "ensemble",
) -> None:
    """Join policies of the same task and bars into one, which acts on the mean of their outputs.

    On little data a training's luck is large; train with several --seed and join the policies. The
    file is a policy like any other: backtest, gate and export take it.

    Example: `tradinghf ensemble runs/seed0 runs/seed1 runs/seed2 --out runs/joint.safetensors`

    Args:
        policies: Two or more policy.safetensors, or run directories with one.
        out: The .safetensors file to write.
        name: What reports call it.

    """
    from tradinghf.evaluation import WEIGHTS
    from tradinghf.learning import policy as learned

    check_setting(out.suffix == ".safetensors", "--out", str(out), "a .safetensors file")
    files = [path / WEIGHTS if path.is_dir() else path for path in policies]
    joint = learned.ensemble([learned.Policy.load(file) for file in files], name)
    joint.save(out)
    output.line(f"{len(files)} policies as one: {out}; test it with tradinghf gate {out} ...")
