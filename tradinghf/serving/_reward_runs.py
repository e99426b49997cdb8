"""Reward models in the runs folder, and which of them were fitted to this store's answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tradinghf.errors import StoreError
from tradinghf.feedback.store import Location, Store, locate, rankings
from tradinghf.serving._runs import REWARD_FILE, RunFolder, list_runs

_FROM_STORE = "store:"


@dataclass(frozen=True)
class RewardRun:
    """A run with a reward model of this store.

    Attributes:
        run: its folder.
        found: what its `reward.json` says.
        newer: rankings that arrived after the fit; None where the run did not note that.

    """

    run: RunFolder
    found: dict[str, Any]
    newer: int | None

    @property
    def held_out(self) -> dict[str, Any]:
        """Held-out figures: the model's own, else those that its training run ended with."""
        own = self.found.get("held_out")
        if isinstance(own, dict) and own:
            return own
        result = self.run.document("result.json")
        nested = result.get("reward_model")
        nested = nested if isinstance(nested, dict) else result
        return nested if "accuracy" in nested else {}

    @property
    def title(self) -> str:
        """For a menu: the run, what it rests on, and how far behind it is."""
        count = self.found.get("rankings")
        parts = [self.run.name]
        if count is not None:
            parts.append(f"{count} rankings")
        if kept := self.held_out.get("held_out_rankings"):
            parts.append(f"judged on {kept} others")
        if self.newer:
            parts.append(f"{self.newer} newer")
        return " · ".join(parts)


def reward_runs(folder: Path | str, store: Store) -> tuple[list[RewardRun], int]:
    """Models of this store, the newest first, and how many others the folder holds."""
    runs = list_runs(folder, REWARD_FILE)
    with store.reading() as connection:
        query = select(rankings.c.chain, rankings.c.outcome).order_by(rankings.c.seq)
        ranked = 0
        place = {}
        for chain, outcome in connection.execute(query):
            ranked += outcome == "ranked"
            place[chain] = ranked
    found = []
    for run in runs:
        document = run.document(REWARD_FILE)
        answers = document.get("answers")
        if isinstance(answers, dict):
            if answers.get("head") in place:
                found.append(RewardRun(run, document, ranked - place[answers["head"]]))
        elif _trained_on(run, store.location):
            found.append(RewardRun(run, document, None))
    return found, len(runs) - len(found)


def _trained_on(run: RunFolder, location: Location) -> bool:
    """Whether a training run says that it learned from the store at this place."""
    experiment = run.document("config.json").get("experiment")
    trader = experiment.get("trader") if isinstance(experiment, dict) else None
    if not isinstance(trader, str) or not trader.startswith(_FROM_STORE):
        return False
    try:
        theirs = locate(trader.removeprefix(_FROM_STORE))
    except StoreError:
        return False
    if theirs.sqlite and location.sqlite:
        return theirs.database.resolve() == location.database.resolve()
    return str(theirs) == str(location)
