"""What has been done and what comes next, from the first ranking to the deployed policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select

from tradinghf.feedback.store import Store, rankings
from tradinghf.serving._asking import POLICY_FILE
from tradinghf.serving._jobs import BackgroundJobs
from tradinghf.serving._reward_runs import reward_runs
from tradinghf.serving._runs import RunFolder, list_runs
from tradinghf.serving._settings import DashboardSettings
from tradinghf.serving._source_names import source_label
from tradinghf.serving.learned import AnswerCounts

State = Literal["done", "next", "later"]
DEPLOYMENT = "deployment.json"
BACKTEST = "backtest.json"
_ENOUGH_NEW = 10  # answers after which it is worth learning and training again


@dataclass(frozen=True)
class GuideStep:
    """One step of the way.

    Attributes:
        page: the view it is done on.
        name: of the step.
        says: how it stands, in a few words.
        state: whether it is done, comes next, or later.

    """

    page: str
    name: str
    says: str
    state: State


def guide_steps(settings: DashboardSettings, store: Store) -> list[GuideStep]:
    """The steps of a store, of which the first that is not done comes next."""
    runs = Path(settings.runs)
    policies = list_runs(runs, POLICY_FILE)
    steps = [
        _rank(AnswerCounts.of(store).counting, settings.goal),
        _learn(runs, store),
        _train(BackgroundJobs(runs), store, policies),
        _compare(store, policies),
        _deploy(runs, policies),
    ]
    first = next((i for i, step in enumerate(steps) if step.state != "done"), None)
    return [replace(step, state="next") if i == first else step for i, step in enumerate(steps)]


def _rank(count: int, goal: int) -> GuideStep:
    if count < goal:
        return GuideStep("rank", "Rank", f"{count} of {goal}", "later")
    return GuideStep("rank", "Rank", f"{count} rankings", "done")


def _learn(runs: Path, store: Store) -> GuideStep:
    found, _ = reward_runs(runs, store)
    model = next((model for model in found if model.newer is not None), None)
    newer = 0 if model is None else model.newer or 0
    says = "not yet" if model is None else f"{newer} newer answers" if newer else "up to date"
    done = model is not None and newer < _ENOUGH_NEW
    return GuideStep("reward", "What it learned", says, "done" if done else "later")


def _train(jobs: BackgroundJobs, store: Store, policies: Sequence[RunFolder]) -> GuideStep:
    job = next(iter(jobs.list("train")), None)
    if job is not None and job.status == "running":
        return GuideStep("training", "Train", "running", "later")
    if not policies:
        return GuideStep("training", "Train", "not yet", "later")
    newest = policies[0]
    newer = _answers_since(store, (newest.folder / POLICY_FILE).stat().st_mtime)
    if newer >= _ENOUGH_NEW:
        return GuideStep("training", "Train", f"{newer} newer answers", "later")
    return GuideStep("training", "Train", newest.name, "done")


def _compare(store: Store, policies: Sequence[RunFolder]) -> GuideStep:
    """Whether the newest policy was ranked beside another one, or a rule, of somebody's choice."""
    name = policies[0].name if policies else ""
    asked = [query for query in store.queries() if query.note and name in query.note.split(" / ")]
    if not name or not asked:
        return GuideStep("compare", "Compare", "not yet", "later")
    ids = [query.id for query in asked]
    with store.reading() as connection:
        told = select(func.count(func.distinct(rankings.c.query))).where(rankings.c.query.in_(ids))
        answered = int(connection.scalar(told) or 0)
    says = f"{answered} of {len(asked)} ranked"
    return GuideStep("compare", "Compare", says, "done" if answered == len(asked) else "later")


def _deploy(runs: Path, policies: Sequence[RunFolder]) -> GuideStep:
    if not policies:
        return GuideStep("backtest", "Backtest, deploy", "not yet", "later")
    newest = policies[0]
    tests = (run.document(BACKTEST).get("request", {}) for run in list_runs(runs, BACKTEST))
    tested = any(Path(str(t.get("policy", ""))).parent.name == newest.name for t in tests)
    decision = newest.document(DEPLOYMENT)
    if not decision:
        return GuideStep("backtest", "Backtest, deploy", "not yet", "later")
    kept = f"the gate keeps {source_label(Path(str(decision.get('baseline', '?'))).name)}"
    says = f"{newest.name} may trade" if decision.get("answer") == "deploy" else kept
    return GuideStep("backtest", "Backtest, deploy", says, "done" if tested else "later")


def _answers_since(store: Store, moment: float) -> int:
    """How many answers came after a moment [seconds since 1970]."""
    # As the tables hold times: they sort as text.
    since = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")
    query = select(func.count()).where(rankings.c.created > since.replace("+00:00", "Z"))
    with store.reading() as connection:
        return int(connection.scalar(query) or 0)
