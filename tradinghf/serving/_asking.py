"""Asks traders for more: collects questions as a job, on demand and ahead of an empty queue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tradinghf.errors import ConfigError
from tradinghf.feedback.store import Store
from tradinghf.serving._jobs import BackgroundJob, BackgroundJobs
from tradinghf.serving._runs import list_runs
from tradinghf.serving._settings import DashboardSettings

KIND = "questions"
POLICY_FILE = "policy.safetensors"
FEW_LEFT = 10
_MORE = 20  # questions asked ahead at a time
_COLLECT = ("-m", "tradinghf", "episodes", "collect")
_NEW = re.compile(r"^(\d+) new questions", re.MULTILINE)

Asked = Literal["running", "none known", "nothing new", "failed", "ready"]


@dataclass(frozen=True)
class QuestionPlan:
    """Which questions to collect.

    Attributes:
        data: name of the bars.
        start, end: first and last day or year of them; empty: all. What comes after the last is
            left unseen, for judging policies.
        windows: stretches of the market, one question each.
        panels: episodes side by side.
        bars: length of an episode.
        strategies: who trades, beside chance; none: all, and constant positions.

    """

    data: str
    start: str = ""
    end: str = ""
    windows: int = 60
    panels: int = 4
    bars: int = 64
    strategies: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """For a list of jobs."""
        return f"{self.windows} questions on {self.data}"

    def command(self, store: str, seed: int = 0, policy: Path | None = None) -> list[str]:
        """Words after the Python executable; with a policy, the answers so far choose."""
        words = [*_COLLECT, "--store", store, "--data", self.data]
        words += ["--start", self.start] if self.start else []
        words += ["--end", self.end] if self.end else []
        words += ["--windows", str(self.windows), "--size", str(self.panels)]
        words += ["--horizon", str(self.bars), "--seed", str(seed)]
        words += ["--policy", str(policy), "--informed"] if policy else []
        return [*words, "--strategies", *self.strategies] if self.strategies else words

    @classmethod
    def of(cls, job: BackgroundJob) -> QuestionPlan:
        """What a job collected, on its data alone: more of the same can be asked."""
        words = list(job.command)
        place = words.index("--strategies") + 1 if "--strategies" in words else len(words)
        return cls(
            data=job.option("--data"),
            start=job.option("--start"),
            end=job.option("--end"),
            windows=_MORE,
            panels=int(job.option("--size") or 4),
            bars=int(job.option("--horizon") or 64),
            strategies=tuple(words[place:]),
        )


SAMPLES = QuestionPlan("sp500", end="2012", bars=90)
"""What an empty store offers."""


class Asking:
    """The questions of one dashboard.

    Args:
        settings: store and runs.
        store: the same store, open.

    """

    def __init__(self, settings: DashboardSettings, store: Store) -> None:
        self.runs = Path(settings.runs)
        self.jobs = BackgroundJobs(settings.runs)
        self._argument = settings.store_argument
        self._store = store

    @property
    def newest(self) -> BackgroundJob | None:
        """The job that collected questions last."""
        return next(iter(self.jobs.list(KIND)), None)

    def collect(self, plan: QuestionPlan) -> BackgroundJob:
        """Start collecting.

        Raises:
            ConfigError: questions are being collected already.

        """
        return self.jobs.start(KIND, plan.title, plan.command(self._argument, self._seed()))

    def state(self) -> Asked:
        """Whether more can be asked right now, and if not, why."""
        job = self.newest
        if job is None:
            return "none known"
        if job.status == "running":
            return "running"
        if job.status != "done":
            return "failed"
        found = _NEW.search(job.output())
        if found is None or int(found[1]):
            return "ready"
        policy = newest_policy(self.runs, job.option("--data"))
        newer = policy is not None and (policy / POLICY_FILE).stat().st_mtime > job.started
        return "ready" if newer else "nothing new"

    def more(self) -> BackgroundJob | None:
        """Ask more of what was asked last, about the newest policy too; None: nothing known.

        Raises:
            ConfigError: questions are being collected already.

        """
        job = self.newest
        if job is None:
            return None
        plan = QuestionPlan.of(job)
        command = plan.command(self._argument, self._seed(), newest_policy(self.runs, plan.data))
        return self.jobs.start(KIND, plan.title, command)

    def ahead(self, rater: str) -> Asked:
        """Ask ahead where this rater has few questions left; what came of it."""
        state = self.state()
        if state != "ready" or self._store.pending(rater) >= FEW_LEFT:
            return state
        try:
            self.more()
        except (ConfigError, OSError):
            return self.state()  # somebody else's page was faster
        return "running"

    def _seed(self) -> int:
        """Another one each time: the same would draw the same windows again."""
        return len(self.jobs.list(KIND))


def newest_policy(runs: Path, data: str) -> Path | None:
    """The run that trained a policy last on these bars; None where there is none."""
    found = (run for run in list_runs(runs, POLICY_FILE) if run.data == data)
    return next((run.folder for run in found), None)
