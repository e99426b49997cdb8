"""A newcomer's path, timed: clone, set-up, first backtest, own strategy, first ranking, policy.

    python scripts/newcomer.py                 # what is installed here, in a temporary folder
    python scripts/newcomer.py --clone         # also clone this checkout and run make setup in it
    python scripts/newcomer.py --short         # a training too small to mean anything
    python scripts/newcomer.py --json times.json

Each step is a command that a newcomer types; where a person would click, the answer goes through
the service that the dashboard calls. The first step that fails ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STRATEGY = '''
"""My first rule."""
import numpy as np
from tradinghf import strategy

@strategy
def after_a_fall(market, *, bars: int = 5, fall_pct: float = 3.0):
    """Hold while the close is well below that of some bars ago.

    bars: how long ago [bars].
    fall_pct: how far below [%].
    """
    close = market.close
    then = np.concatenate([np.repeat(close[:1], bars, axis=0), close[:-bars]])
    return np.where(close < then * (1 - fall_pct / 100), 1.0, 0.0) / market.assets
'''
ANSWER = """
from tradinghf.feedback.store import Store
from tradinghf.serving._service import RankingService
with Store("store") as store:
    service = RankingService(store)
    shown = service.next_query("me")
    ranks = list(range(1, len(shown["panels"]) + 1))
    answer = {"key": "0" * 32, "query": shown["query"], "ranks": ranks, "outcome": "ranked"}
    more = {"comment": "", "aspects": None, "ratings": [], "session": "first", "supersedes": ""}
    assert service.answer("me", answer | more | {"seconds": 20.0})
    assert len(store.rankings("me")) == 1
"""


def steps(short: bool) -> list[tuple[str, list[str]]]:
    """(name, command) of each step after the installation."""
    collect = "tradinghf episodes collect --data sp500 --end 2012 --size 3 --windows"
    train = "tradinghf train --data sp500 --train-end 2012 --out runs/mine"
    size = ("12", "--steps 4000 --envs 16") if short else ("40", "--steps 600000 --envs 256")
    lines = [
        ("first backtest", "tradinghf backtest sma_cross --data sp500 --report report.html"),
        ("own strategy", "tradinghf backtest mine.py --data sp500 --set fall_pct=2"),
        ("questions to rank", f"{collect} {size[0]}"),
        ("first ranking", "python answer.py"),
        ("rankings of a synthetic trader", "tradinghf rank --trader drawdown"),
        ("what they value", "tradinghf reward fit --out runs/reward"),
        ("trained policy", f"{train} {size[1]}"),
        ("its report", "tradinghf report runs/mine"),
    ]
    return [(name, shlex.split(line)) for name, line in lines]


def timed(command: list[str], cwd: Path, bin_folder: Path) -> float:
    """Run a command with the programs of one environment; returns its seconds.

    Raises:
        subprocess.CalledProcessError: it failed; its output is printed before.

    """
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}\n")
        done.check_returncode()
    return time.perf_counter() - began


def walk(folder: Path, *, clone: bool, short: bool) -> dict[str, float]:
    """Seconds of every step, in their order."""
    times: dict[str, float] = {}
    bin_folder = Path(sys.executable).parent
    if clone:
        times["clone"] = timed(["git", "clone", "-q", str(ROOT), "clone"], folder, bin_folder)
        times["make setup"] = timed(["make", "setup"], folder / "clone", bin_folder)
        bin_folder = folder / "clone" / ".venv" / "bin"
    home = folder / "home"
    home.mkdir()
    (home / "mine.py").write_text(STRATEGY)
    (home / "answer.py").write_text(ANSWER)
    for name, command in steps(short):
        times[name] = timed(command, home, bin_folder)
        sys.stdout.write(f"{times[name]:8.1f} s  {name}: {shlex.join(command)}\n")
    return times


def main() -> int:
    """Walk, print the times, and write them if asked; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clone", action="store_true", help="begin with git clone and make setup")
    parser.add_argument("--short", action="store_true", help="a training of seconds")
    parser.add_argument("--json", type=Path, help="write the seconds of each step here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = walk(Path(folder), clone=args.clone, short=args.short)
    total = sum(times.values())
    sys.stdout.write(f"{total:8.1f} s  in all\n")
    if args.json is not None:
        args.json.write_text(json.dumps({**times, "total": total}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
