"""May a candidate replace what trades now, and must a deployed one go back? On real bars.

RUN/deployment.json says what was decided: what to trade, on which windows that was judged, and
what the monitor compares from then on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from tradinghf._json import parse_json
from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules
from tradinghf.durable import write_atomic
from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.evaluation import (
    PROFIT,
    Decision,
    GateConfig,
    decide,
    decision_text,
    harm_evidence,
)
from tradinghf.learning.reward import Reward, learned_score
from tradinghf.loop._paired import Contender, PairedTask, differences
from tradinghf.market import Floats, MarketData
from tradinghf.simulation import MarketEnv

DEPLOYMENT = "deployment.json"
_BOUND = 4.0  # spreads of the windows' differences beyond which the monitor does not look


@dataclass(frozen=True)
class Deployment:
    """What was decided about a candidate, and what its monitor needs: RUN/deployment.json.

    Attributes:
        answer: the gate's.
        candidate, baseline: as they were named.
        deployed: the one of the two to trade.
        since: last bar that the decision rests on (ISO); the monitor begins there.
        window: L bars.
        harm: chance of a false alarm, ever.
        margin: measure -> what is no harm.
        bound: measure -> largest difference that the monitor counts.
        trader: whose utility it is; None: profit alone.
        answers: keys of the answers that the utility was learned from.
        data, costs, fill, terms: what was traded, and how; terms are those of rules.
        text: the answer in words.
        decision: the gate's numbers.

    """

    answer: str
    candidate: str
    baseline: str
    deployed: str
    since: str
    window: int
    harm: float
    margin: dict[str, float]
    bound: dict[str, float]
    trader: str | None
    answers: list[str]
    data: str
    costs: dict[str, Any]
    fill: Fill
    text: str
    decision: dict[str, Any]
    terms: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it to a file, whole or not at all."""
        write_atomic(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read it from a file, or from the run directory that holds it.

        Raises:
            CheckpointError: there is none, or it is damaged.

        """
        file = path / DEPLOYMENT if path.is_dir() else path
        try:
            return cls(**parse_json(file.read_text()))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(
                f"{file} holds no readable decision of the gate ({type(error).__name__}). Expected "
                "the file that `tradinghf gate ... --out FILE` or `tradinghf train` wrote."
            ) from error


@dataclass(frozen=True, eq=False)
class Judged:
    """A decision, and the differences it rests on.

    Attributes:
        decision: the gate's answer.
        differences: measure -> [C, N] candidates less the baseline.
        task: the windows.

    """

    decision: Decision
    differences: dict[str, Floats]
    task: PairedTask

    def deployment(
        self,
        baseline: str,
        *,
        data: str,
        candidate: str | None = None,
        trader: str | None = None,
        answers: Sequence[str] = (),
    ) -> Deployment:
        """The record of this decision.

        Args:
            baseline: its name, as `load_tradable` takes it.
            data: what the bars were loaded from.
            candidate: as `load_tradable` takes it; None: the name it was tested under.
            trader: whose utility was measured; None: profit alone.
            answers: keys of the answers that it was learned from.

        """
        decision, config = self.decision, self.decision.config
        names = list(dict.fromkeys(m.candidate for m in decision.measured))
        about = decision.chosen or names[0]
        row = names.index(about)
        margins = {m: self._margin(m) for m in self.differences}
        bounds = {
            m: max(_BOUND * float(np.sqrt(np.square(d[row]).mean())), 1e-9)
            for m, d in self.differences.items()
        }
        shown = candidate or about
        return Deployment(
            answer=decision.answer,
            candidate=shown,
            baseline=baseline,
            deployed=shown if decision.answer == "deploy" else baseline,
            since=self.task.market.index[-1].isoformat(),
            window=self.task.window,
            harm=config.harm,
            margin=margins,
            bound=bounds,
            trader=trader,
            answers=list(answers),
            data=data,
            costs=asdict(self.task.costs),
            fill=self.task.fill,
            text=decision_text(decision, baseline),
            decision=asdict(decision),
            terms={name: asdict(settings) for name, settings in self.task.terms.items()},
        )

    def _margin(self, measure: str) -> float:
        config = self.decision.config
        return config.margin if measure == PROFIT else config.utility_margin


def gate(
    task: PairedTask,
    candidates: Mapping[str, Contender],
    baseline: Contender,
    config: GateConfig | None = None,
    *,
    ordered: bool = False,
) -> Judged:
    """May one of several candidates replace the baseline? The chance of harm is bounded.

    Args:
        task: windows that neither training nor the choice among candidates has seen.
        candidates: name -> policy or strategy.
        baseline: what trades now.
        config: what counts as harm.
        ordered: see `decide`.

    Raises:
        ConfigError: no candidate, or not one window.

    """
    if not candidates:
        raise ConfigError("The gate needs at least one candidate.")
    found = differences(task, candidates, baseline)
    return Judged(decide(list(candidates), found, config, ordered=ordered), found, task)


def episode_task(env: MarketEnv, market: MarketData, reward: Reward) -> PairedTask:
    """The windows on which the policies of a training are gated: as long as its episodes.

    Args:
        env: of the training.
        market: bars that it has not seen.
        reward: what the trader values, as far as it was learned.

    """
    utility = learned_score(reward) if reward.fitted else None
    config = env.config
    terms = {"rules": config.rules, "margin": config.margin, "brackets": config.brackets}
    return PairedTask(market, 0, config.horizon, env.costs, config.fill, utility, terms)


@dataclass(frozen=True)
class Watched:
    """What the bars since a deployment say.

    Attributes:
        verdict: "stay"; "back" where harm is shown; "early" before the first whole window.
        windows: whole windows since the deployment.
        evidence: largest evidence of harm so far; 1 / harm is enough to go back.
        needed: 1 / harm.
        mean: measure -> mean difference a window since the deployment.
        alarm: the window (from 1) after which the evidence was enough; None otherwise.

    """

    verdict: Literal["stay", "back", "early"]
    windows: int
    evidence: float
    needed: float
    mean: dict[str, float]
    alarm: int | None


def watch(
    deployment: Deployment, task: PairedTask, candidate: Contender, baseline: Contender
) -> Watched:
    """Look at a deployed candidate; as often as one likes, the chance of a false alarm holds.

    Args:
        deployment: the gate's record.
        task: from `since_deployment`.
        candidate, baseline: the deployed one, and what to go back to.

    """
    needed = 1.0 / deployment.harm
    if task.windows < 1:
        return Watched("early", 0, 1.0, needed, {}, None)
    found = {m: d[0] for m, d in differences(task, {"candidate": candidate}, baseline).items()}
    evidence = np.mean(
        [harm_evidence(d, deployment.margin[m], deployment.bound[m]) for m, d in found.items()],
        axis=0,
    )
    over = np.flatnonzero(evidence >= needed)
    return Watched(
        verdict="back" if len(over) else "stay",
        windows=len(evidence),
        evidence=float(evidence.max()),
        needed=needed,
        mean={m: float(d.mean()) for m, d in found.items()},
        alarm=int(over[0]) + 1 if len(over) else None,
    )


def since_deployment(deployment: Deployment, market: MarketData, utility: Any = None) -> PairedTask:
    """The windows since a deployment.

    Raises:
        ConfigError: the bars end before the decision, or none of them is the last bar it rests on.

    """
    since = pd.Timestamp(deployment.since)
    first = int(market.index.searchsorted(since))
    if first >= market.bars or market.index[first] != since:
        raise ConfigError(
            f"{market.name} has no bar at {deployment.since}, the last one that the deployment "
            f"rests on; it runs from {market.index[0]} to {market.index[-1]}. "
            "Give the same data with newer bars appended."
        )
    costs = CostModel(**deployment.costs)
    kinds: dict[str, Any] = {"rules": TradingRules, "margin": Margin, "brackets": Brackets}
    terms = {name: kinds[name](**settings) for name, settings in deployment.terms.items()}
    return PairedTask(market, first, deployment.window, costs, deployment.fill, utility, terms)
