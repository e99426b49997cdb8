"""Every drill: what it breaks, what is promised, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from drills.core import Outcome, Say


@dataclass(frozen=True)
class Drill:
    """One drill.

    Attributes:
        where: "module:function" in this package.
        breaks: what is done.
        promise: what holds all the same.
        short: size in the tests.
        full: size in `make drills`.

    """

    where: str
    breaks: str
    promise: str
    short: int
    full: int

    def run(self, work: Path, size: int, say: Say) -> Outcome:
        """Do it in the folder `work`."""
        module, name = self.where.split(":")
        function: Callable[[Path, int, Say], Outcome] = getattr(
            import_module(f"drills.{module}"), name
        )
        return function(work, size, say)


DRILLS: dict[str, Drill] = {
    "train-kill": Drill(
        "training:train_kill",
        "kill -9 of a training, at every step of writing checkpoints and at random moments",
        "the continued run ends with the same weights, rankings and metrics, bit for bit",
        3,
        100,
    ),
    "ckpt-corrupt": Drill(
        "training:ckpt_corrupt",
        "checkpoints truncated, with flipped bits, with missing or foreign files",
        "the damaged one is quarantined, the one before it is used, same result bit for bit",
        4,
        50,
    ),
    "nan-gradients": Drill(
        "gradients:nan_gradients",
        "rewards that are NaN or infinite, for one, two or three iterations",
        "steps are skipped; after three bad iterations training stops with finite weights",
        4,
        24,
    ),
    "submit-kill": Drill(
        "answers:submit_kill",
        "kill -9 of a client that submits answers",
        "no acknowledged answer is lost, none is half, none is stored twice",
        20,
        1000,
    ),
    "raters": Drill(
        "answers:raters",
        "20 processes submit at once, every answer twice",
        "every answer is stored once",
        4,
        250,
    ),
    "locked": Drill(
        "answers:locked",
        "another process holds the database for 5 s and for 60 s",
        "the writer waits up to 30 s, then fails with one sentence, and a retry stores once",
        0,
        1,
    ),
    "enospc": Drill(
        "full_disk:enospc",
        "a full disk (a small file system of its own), for every kind of write",
        "one sentence, nothing half, everything before is whole, and it works when there is room",
        1,
        3,
    ),
    "outputs": Drill(
        "outputs:outputs",
        "every file that a command can write: the disk full, read-only, or filling meanwhile",
        "one sentence before the work begins (or after it), and nothing half written",
        1,
        99,
    ),
    "arguments": Drill(
        "arguments:arguments",
        "command lines made up from the parsers of all commands: absurd, empty, half, out of order",
        "one sentence, or work that can be cut off; never a traceback",
        60,
        5000,
    ),
    "migrate": Drill(
        "schemas:migrate_killed",
        "kill -9 at every statement of the migration from every past schema",
        "the old schema is whole, and the next opening migrates with all data",
        12,
        1,
    ),
    "market-fuzz": Drill(
        "market_fuzz:market_fuzz",
        "malformed CSV and Parquet files of bars",
        "a MarketDataError, never another error; bad bars are never accepted silently",
        300,
        100_000,
    ),
    "blob-fuzz": Drill(
        "blob_fuzz:blob_fuzz",
        "malformed episodes, policies, checkpoints, rewards, imports, workbooks, arrays, capsules",
        "an error of the package; no code runs, memory stays bounded",
        300,
        100_000,
    ),
    "coverage-fuzz": Drill(
        "coverage:coverage",
        "files that atheris makes from good ones, keeping what reaches new lines of the readers",
        "an error of the package, within 20 s and 2 GiB; never another error",
        2,
        60,
    ),
    "bombs": Drill(
        "bombs:bombs",
        "files below the upload limit that unpack, nest or repeat without end",
        "read or refused within 512 MiB of memory more",
        4,
        22,
    ),
    "ddp-rank-kill": Drill(
        "ranks:ddp_rank_kill",
        "kill -9 of one of two ranks that train together (torchrun's agent, Gloo)",
        "the other stops, both restart, and the result is the same bit for bit",
        1,
        20,
    ),
    "routes": Drill(
        "routes:routes",
        "whatever schemathesis makes of the routes' OpenAPI schema, from a rater with a valid pass",
        "an answer with a sentence; never a server error",
        10,
        120,
    ),
    "flood": Drill(
        "flood:flood",
        "60 strangers try to sign in without end; wrong passwords for known and unknown names",
        "raters wait under 150 ms (p95; on a busy machine at most 4 times what they wait without), "
        "and refusals do not tell who has an account",
        6,
        60,
    ),
    "ports": Drill(
        "ports:ports",
        "everything that is listened on while the dashboard and a training run",
        "nothing beyond this machine, and no option opens it without sign-in",
        1,
        2,
    ),
    "soak": Drill(
        "soak:soak",
        "answers, questions, checkpoints and training over and over",
        "memory, open files and threads do not grow",
        2,
        900,
    ),
}
