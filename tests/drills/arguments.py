"""Drill of the command line: arguments made up from the parsers themselves, thousands of them.

Each line runs in a child of its own, in a scratch folder, and is cut off after some time: what is
looked for is a traceback where docs/cli.md promises one sentence.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from drills.core import Child, Outcome, Say, Tell, in_child
from drills.samples import EPISODES, answer, fill_store
from drills.training import load_early
from tradinghf.cli import main
from tradinghf.cli._app import Command, command_paths, commands
from tradinghf.feedback.store import Store
from tradinghf.market import save_market, synthetic

SECONDS = 1.0  # a line that works for longer is cut off, and counts as accepted
CUT_OFF = 77
MODULES: tuple[str, ...] = (
    "tyro.extras",
    "vectorbt",
    "sqlalchemy",
    "alembic.command",
    "pyarrow.parquet",
    "plotly",
)
MODULES += ("tradinghf.evaluation", "tradinghf.loop", "tradinghf.bench", "tradinghf.serving")
CODES = {0, 1, 2, 3, 4}
BATCH = 25  # lines that one child runs before the next is forked

NUMBERS = ["0", "1", "2", "3", "-1", "0.5", "nan", "inf", "-inf", "1e400", "1e18", "1e-320"]
NUMBERS += ["99999999999999999999", "4000000", "2147483648", "x", "", "٣", "1_0", "0x10", " 5 "]
WORDS = [
    "",
    "x",
    "nan",
    "none",
    "all",
    "0",
    "2015",
    "0000",
    "2015-02-30",
    "９",
    "a\0b",
    "a\nb",
    "é",
]
WORDS += ["--", "-1", "../..", "a" * 300, "bars.csv", "synthetic:bars=300", "synthetic:bars=1e12"]
WORDS += ["synthetic:assets=nan", "sp500", "SP500", "ccxt:nope:BTC/USDT", "yfinance:", "bars.csv:x"]
WORDS += ["sma_cross", "buy_and_hold", "sma_crss", "mine.py:rule", "mine.py:nope", "drawdown"]
WORDS += ["learned:run", "learned:", "nope:1", "ann", "\udcff", "2015-01-01T00:00+99:00"]
PLACES = ["store", "none", "bars.csv", "empty.csv", "noise.csv", "plain", "folder", "", ".", "/"]
PLACES += ["/dev/null", "/proc/x", "plain/x", "a\0b", "n" * 300, "loop.csv", "out/a.html", "a.json"]
PLACES += ["x.csv", "x.parquet", "all.jsonl", "mine.py", "policy.safetensors", "store/feedback.db"]
URLS = ["sqlite:///", "sqlite://", "mysql://a@b/c", "postgresql://", "://", "postgresql://x:y@[::1"]
SETTINGS = ["fast=0", "fast=-1", "fast=nan", "fast=5", "slow=1e18", "=5", "fast=", "fast", "nope=3"]
SETTINGS += ["fast=5,10", "fast=1:1000000000", "fast=10:1", "fast=1:10:0", "fast=nan:inf", "fast=:"]
# Valid beginnings, so that more lines come further than their first word.
STARTS = {
    ("backtest",): ["sma_cross", "--data", "bars.csv"],
    ("sweep",): ["sma_cross", "--data", "bars.csv", "--param", "fast=5,10"],
    ("walkforward",): ["sma_cross", "--data", "bars.csv", "--param", "fast=5,10"],
    ("check",): ["sma_cross", "--data", "bars.csv"],
    ("signal",): ["sma_cross", "--data", "bars.csv"],
    ("train",): ["--data", "bars.csv", "--steps", "64", "--envs", "4"],
    ("rlhf",): ["--trader", "drawdown", "--data", "bars.csv", "--steps", "64", "--envs", "4"],
    ("episodes", "collect"): ["--data", "bars.csv", "--windows", "2"],
    ("data", "show"): ["bars.csv"],
}


def arguments(work: Path, size: int, say: Say) -> Outcome:
    """Run `size` lines; seeded by their number, so that a failure can be repeated."""
    load_early()
    for name in MODULES:  # once, not in every child
        import_module(name)
    for _, function in command_paths(commands()):
        _options(function)
    _prepare(work)
    count = min(os.cpu_count() or 1, 4)
    lanes = [Child(partial(_lane, work, range(lane, size, count), say)) for lane in range(count)]
    lines = [line for lane in lanes for line in lane.rest()]
    failures = [line.removeprefix("! ") for line in lines if line.startswith("! ")]
    codes = Counter(line.split(" ", 1)[1] for line in lines if not line.startswith("! "))
    failures += [f"a lane ended with code {code}" for lane in lanes if (code := lane.wait())]
    if (ran := codes.total()) != size:
        failures.append(f"{ran:,} of {size:,} lines were run")
    return Outcome(size, tuple(failures), {"codes": dict(codes)})


def _lane(work: Path, numbers: range, say: Say, tell: Tell) -> None:
    """Run some of the lines, in children that are cut off; tell what they tell, and their end."""
    left, lane = list(numbers), f"here-{numbers.start}"
    while left:
        code, lines = in_child(partial(_batch, work, lane, left[:BATCH]))
        for line in lines:
            tell(line)
        done = sum(not line.startswith("! ") for line in lines)
        if code:
            how = "cut off" if code == CUT_OFF else f"ended {code}"
            tell(f"{left[done]} {how}")
            if code != CUT_OFF:
                tell(f"! {line_of(left[done])}: the process ended with code {code}")
        for failure in lines:
            if failure.startswith("! "):
                say(failure)
        before, left = len(left), left[done + bool(code) :]
        if before // 200 != len(left) // 200:
            say(f"{lane}: {len(left):,} lines left")


def line_of(number: int) -> list[str]:
    """The arguments of one case: a command, and some of what its parser knows."""
    rng = random.Random(number)
    known_commands = list(command_paths(commands()))
    rare = [0.2 if words[0] == "bench" else 1.0 for words, _ in known_commands]  # long work
    words, function = rng.choices(known_commands, rare)[0]
    line = list(words)
    known = _options(function)
    start = STARTS.get(words, [])
    if start and rng.random() < 0.7:
        line += start
    else:
        for action in known:
            if not action.option_strings and rng.random() < 0.95:
                line += _values(action, rng)
    options = [a for a in known if a.option_strings and a.dest != "help"]
    for action in rng.sample(options, min(len(options), rng.randint(0, 4))):
        line += [action.option_strings[0], *_values(action, rng)]
    if rng.random() < 0.05:
        rng.shuffle(line)
    return line


@cache
def _options(function: Command) -> list[argparse.Action]:
    """What the command's parser knows."""
    from tyro.conf import DisallowNone, FlagCreatePairsOff, PositionalMetavarFromFieldName
    from tyro.extras import get_parser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        how = (DisallowNone, FlagCreatePairsOff, PositionalMetavarFromFieldName)
        parser: Any = get_parser(function, config=how)
    found: list[argparse.Action] = parser._actions
    return found


def _values(action: argparse.Action, rng: random.Random) -> list[str]:
    """Words for one option: of its kind mostly, else anything."""
    if action.nargs == 0:
        return []
    metavar = str(action.metavar or "")
    if action.choices:
        pool = [*map(str, action.choices), "x"]
    elif "INT" in metavar or "FLOAT" in metavar:
        pool = NUMBERS
    elif "=" in metavar:
        pool = SETTINGS
    elif "URL" in metavar:
        pool = PLACES + URLS
    else:
        pool = PLACES + WORDS
    if rng.random() < 0.1:
        pool = NUMBERS + WORDS + PLACES + URLS + SETTINGS
    several = action.nargs in ("*", "+", "?")
    count = rng.randint(0, 3) if several else int(action.nargs or 1)
    return [rng.choice(pool) for _ in range(count)]


def _prepare(work: Path) -> None:
    """What the words above name."""
    sample = work / "sample"
    sample.mkdir()
    save_market(synthetic(seed=0, bars=400, assets=1), sample / "bars.csv")
    ids = fill_store(sample / "store")
    with Store(sample / "store") as store:
        for index in range(EPISODES):
            store.submit(answer(ids, "ann", index))
        store.export(sample / "all.jsonl")
    (sample / "empty.csv").touch()
    (sample / "noise.csv").write_bytes(random.Random(0).randbytes(3000))
    (sample / "policy.safetensors").write_bytes(random.Random(1).randbytes(300))
    (sample / "plain").write_text("x")
    (sample / "folder").mkdir()
    (sample / "loop.csv").symlink_to("loop.csv")
    (sample / "mine.py").write_text("def rule(market):\n    return market.close * 0\n")


def _batch(work: Path, lane: str, numbers: Sequence[int], tell: Tell) -> None:
    """Run lines in turn, each in a fresh copy of the sample; tell "NUMBER CODE" or "! SENTENCE"."""
    null = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(null, handle)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(CUT_OFF))
    here = work / lane
    for number in numbers:
        os.chdir(work)
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(work / "sample", here, symlinks=True)
        os.chdir(here)
        line = line_of(number)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        code, said = run_line(line)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if code not in CODES or "Traceback" in said:
            tell("! " + f"{number}: {line}: {code}: {said[-500:]}".replace("\n", " | "))
        tell(f"{number} {code}")


def run_line(line: Sequence[str]) -> tuple[int | str, str]:
    """Exit code of a command line, or the kind of its traceback; and what it wrote to stderr."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            return main(line), said.getvalue()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
            return code, said.getvalue()
        except BaseException as error:  # noqa: BLE001 - this is what is looked for
            where = traceback.extract_tb(sys.exc_info()[2])[-1]
            return type(error).__name__, f"{error} in {where.filename}:{where.lineno}"
