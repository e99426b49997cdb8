"""`python fit_reward.py STORE RUN`: fit the reward model to all answers and write what it says.

A process of its own: it loads torch, which the dashboard must not.

    RUN/reward.json               values, held-out metrics, calibration, relation to profit
    RUN/bar_rewards.safetensors   [2, L] cumulated reward and its deviation, per ranked episode
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from scipy.stats import spearmanr

from tradinghf.episodes import Episode
from tradinghf.feedback.quality import consistency
from tradinghf.feedback.store import Store
from tradinghf.feedback.store.blobs import write_atomic
from tradinghf.feedback.types import Ranking
from tradinghf.learning.aspects import TradePaths, aspect_values
from tradinghf.learning.held_out import cross_validate, predicted_pairs, summarise
from tradinghf.learning.reward_model import RewardModel

FEWEST_TESTS = 8
BINS = 10


def bar_rewards(model: RewardModel, episodes: list[Episode]) -> dict[str, np.ndarray]:
    """Cumulated reward of each bar and its standard deviation over the posterior."""
    found = {}
    for episode in episodes:
        paths = TradePaths.from_episodes([episode])
        values = aspect_values(paths, model.names)[0].double().cumsum(0)
        spread = (values @ model.draws.T.double()).std(-1)
        mean = model.rewards(paths)[0].double().cumsum(0)
        found[episode.id] = torch.stack([mean, spread]).float().numpy()
    return found


def calibration(pairs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[dict[str, float]]:
    """How often the predicted outcome came true, by stated confidence."""
    probabilities, outcomes, _ = pairs
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == outcomes
    rows = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "stated": float(confidence[rows == row].mean()),
            "observed": float(right[rows == row].mean()),
            "pairs": int((rows == row).sum()),
        }
        for row in np.unique(rows)
    ]


def judge(
    model: RewardModel, learn: list[Ranking], test: list[Ranking], episodes: dict[str, Episode]
) -> dict[str, Any]:
    """Held-out metrics: on the test queries when there are enough, else by cross-validation."""
    if sum(ranking.outcome == "ranked" for ranking in test) >= FEWEST_TESTS:
        pairs = predicted_pairs(model, test, episodes)
        held_out = summarise(pairs) | {"method": "test queries"}
        return {"held_out": held_out, "calibration": calibration(pairs)}
    if sum(ranking.outcome == "ranked" for ranking in learn) >= 2:
        held_out = cross_validate(learn, episodes, model.config) | {"method": "cross-validation"}
        return {"held_out": held_out}
    return {}


def main(store_name: str, folder: str) -> None:
    """Fit and write."""
    run = Path(folder)
    run.mkdir(parents=True, exist_ok=True)
    with Store(store_name) as store:
        answers = store.rankings(purposes=("learn", "test"))
        test_ids = {query.id for query in store.queries(purpose="test")}
        names = sorted({name for ranking in answers for name in ranking.episodes})
        episodes = dict(zip(names, store.episodes(names), strict=True))
        ceiling = consistency(store.rankings())
    learn = [ranking for ranking in answers if ranking.query not in test_ids]
    test = [ranking for ranking in answers if ranking.query in test_ids]
    model = RewardModel().fit(learn or test, episodes)
    found = model.to_dict() | judge(model, learn, test, episodes)
    ranked = [episodes[name] for name in names]
    scores = model.score(ranked).double().numpy()
    profits = np.array([episode.net_return for episode in ranked])
    relation = float(spearmanr(scores, profits).statistic) if len(ranked) > 2 else None
    found |= {"profit_correlation": relation, "human_ceiling": ceiling}
    write_atomic(run / "bar_rewards.safetensors", save(bar_rewards(model, ranked)))
    write_atomic(run / "reward.json", json.dumps(found, indent=1).encode())
    print(f"Fitted to {model.rankings} rankings.")  # noqa: T201 - the job's output


if __name__ == "__main__":
    main(*sys.argv[1:])
