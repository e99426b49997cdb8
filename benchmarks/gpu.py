"""All that needs a GPU, ordered by value, for a machine that is lent for a quarter of an hour.

    benchmarks/gpu.sh [--smoke] [--only STEP,STEP] [--out DIR]

Each step runs in a process of its own with its own time limit and writes its JSON after every
figure, so that whatever was measured counts if the time runs out. `--smoke` takes tiny sizes, one
process for all steps and, where there is no GPU, the processor: it shows that everything runs, not
how fast.

- tests: those marked `gpu`;
- rlhf: one whole loop on the GPU and on the processor: what the policy is worth to the trader, and
  how long it took end to end;
- env: steps per second of tasks by N: eager, by the Triton kernels, and compiled;
- ppo: steps per second of whole iterations with the learned reward and PnL, by N, precision, CUDA
  graphs (of a minibatch step, of the whole iteration) and Triton kernels; beside a plain loop
  (torch.optim, autograd) and torchrl's PPO, where it is installed, on the same environment;
- kernels: kernels per step and per iteration, and shares of the card's copy and matrix rates.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = {"tests": 120, "rlhf": 150, "ppo": 200, "env": 150, "kernels": 90}
"""What each step may take."""


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def has_gpu() -> bool:
    """Whether torch finds a CUDA device."""
    import torch

    return torch.cuda.is_available()


def run_step(name: str, out: Path, *, smoke: bool) -> None:
    """Measure one step here; its file is whole after every row."""
    from gpu_steps import DEVICE, MEASURES

    from tradinghf.bench import stamp
    from tradinghf.durable import atomic_path

    about, rows = stamp(), list[dict[str, Any]]()
    for row in MEASURES[name](smoke):
        rows.append(row)
        say(json.dumps({k: v for k, v in row.items() if k != "tail"}))
        with atomic_path(out / f"{name}.json") as path:
            text = {"step": name, "smoke": smoke, "on": DEVICE, **about, "results": rows}
            path.write_text(json.dumps(text, indent=2) + "\n")


def run_all(names: list[str], out: Path, *, smoke: bool) -> bool:
    """Each step in a process of its own; False where one failed or ran out of time."""
    fine = True
    for steps in [names] if smoke else [[name] for name in names]:
        shown, limit = ",".join(steps), None if smoke else SECONDS[steps[0]]
        command = [sys.executable, str(Path(__file__)), "--step", shown, "--out", str(out)]
        say(f"--- {shown}" + ("" if limit is None else f", at most {limit} s"))
        try:
            done = subprocess.run(command + ["--smoke"] * smoke, timeout=limit, check=False)
            fine &= done.returncode == 0
        except subprocess.TimeoutExpired:
            say(f"{shown} ran out of time; what it measured is kept.")
            fine = False
    return fine


def main() -> int:
    """Run the steps that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on the processor too")
    parser.add_argument("--only", default=",".join(SECONDS), help="steps, separated by commas")
    parser.add_argument("--out", type=Path, help="folder of the JSON files")
    parser.add_argument("--step", help=argparse.SUPPRESS)  # in this process
    args = parser.parse_args()
    if not args.smoke and not has_gpu():
        parser.error("no CUDA device; --smoke runs tiny sizes on the processor")
    if args.smoke and args.out is None:
        parser.error("--smoke needs --out: its figures are no results")
    out = args.out or ROOT / "benchmarks" / "results" / "gpu"
    out.mkdir(parents=True, exist_ok=True)
    if args.step:
        for name in args.step.split(","):
            run_step(name, out, smoke=args.smoke)
        return 0
    names = args.only.split(",")
    if unknown := [name for name in names if name not in SECONDS]:
        parser.error(f"unknown steps {unknown}; known: {', '.join(SECONDS)}")
    return 0 if run_all(names, out, smoke=args.smoke) else 1


if __name__ == "__main__":
    sys.exit(main())
