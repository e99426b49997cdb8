"""The usual reward model, as a baseline: a network on pairs of episodes, by Bradley-Terry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tradinghf.episodes import Episode
from tradinghf.feedback.likelihoods import ranking_log_likelihood
from tradinghf.feedback.types import Ranking
from tradinghf.learning.reward.aspects import TradePaths
from tradinghf.learning.reward.model import NEVER_TIED, RewardModel
from tradinghf.learning.reward.ranked_data import RankedData, per_episode
from tradinghf.learning.reward.residual import FEATURES, bar_volatility, residual_features

MEMBERS, HIDDEN, STEPS = 3, 64, 300
RATE, DECAY = 1e-3, 1e-4


class PlainReward(RewardModel):
    """An ensemble of networks [8 -> 64 -> 64 -> 1] per bar, summed over the episode.

    It sees the same bounded facts of each bar as our residual and is trained by maximum
    likelihood, without aspects, priors, admission or pessimism.
    Source: Christiano et al. 2017 (arXiv:1706.03741), section 2.2.3.
    """

    def fit(self, rankings: Sequence[Ranking], episodes: Mapping[str, Episode]) -> PlainReward:
        """See `RewardModel.fit`."""
        data = RankedData.of(rankings, episodes)
        self.volatility = float(per_episode(data.episodes, bar_volatility).mean().clamp(min=1e-6))
        inputs = per_episode(data.episodes, lambda p: residual_features(p, self.volatility))
        inputs, index = inputs.float(), data.index
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            self.networks = [_network() for _ in range(MEMBERS)]
        tie = torch.tensor(NEVER_TIED)
        for network in self.networks:
            optimiser = torch.optim.Adam(network.parameters(), RATE, weight_decay=DECAY)
            for _ in range(STEPS):
                scores = network(inputs).squeeze(-1).sum(-1)[index]
                loss = -ranking_log_likelihood(scores, data.ranks, tie, mask=data.mask).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        with torch.no_grad():
            scores = torch.stack([n(inputs).squeeze(-1).sum(-1) for n in self.networks])
        self.temperature = float(scores.std().clamp(min=1e-9))
        self.tie, self.ties, self.rankings = tie.double(), False, len(data.ranks)
        return self

    @property
    def fitted(self) -> bool:
        """Whether `fit` has succeeded."""
        return self.rankings > 0

    @torch.no_grad()
    def rewards(self, paths: TradePaths) -> Tensor:
        """[B, L] mean of the members, in units of the ranked episodes' spread."""
        inputs = residual_features(paths, self.volatility).float()
        values: Tensor = torch.stack([n(inputs).squeeze(-1) for n in self.networks]).mean(0)
        return values.to(paths.equity) / self.temperature

    def member_scores(self, episodes: Sequence[Episode]) -> Tensor:
        """[M, B] scores."""

        def score(paths: TradePaths) -> Tensor:
            inputs = residual_features(paths, self.volatility).float()
            with torch.no_grad():
                return torch.stack([n(inputs).squeeze(-1).sum(-1) for n in self.networks], 1)

        return per_episode(episodes, score).T.double() / self.temperature

    def explain(self) -> list[dict[str, Any]]:
        """Nothing: a network does not say what it values."""
        return []


def _network() -> nn.Sequential:
    layers = [nn.Linear(FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(HIDDEN, 1))
