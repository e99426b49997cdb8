"""The learned reward: what traders value, bar by bar, with its uncertainty."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback.likelihoods import pair_probabilities
from tradinghf.feedback.types import Ranking
from tradinghf.learning.aspect_head import AspectPosterior, fit_aspect_posterior
from tradinghf.learning.aspects import ASPECTS, TradePaths, aspect_totals, aspect_values
from tradinghf.learning.choices import choices_from_rankings
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.residual import Residual, bar_volatility, fit_residual, residual_features

NEVER_TIED = -20.0
ENOUGH_TO_JUDGE = 5


@dataclass(frozen=True, eq=False)
class RankedData:
    """Rankings as tensors.

    Attributes:
        episodes: the distinct ranked episodes.
        index: [R, K] row of each ranked episode in `episodes`.
        ranks: [R, K] 1 = best, equal = tied.
        mask: [R, K] False where a ranking has fewer episodes.

    """

    episodes: list[Episode]
    index: Tensor
    ranks: Tensor
    mask: Tensor

    @classmethod
    def of(cls, rankings: Sequence[Ranking], episodes: Mapping[str, Episode]) -> RankedData:
        """Usable rankings only ("skipped" and "cant_tell" carry no preference).

        Raises:
            FeedbackError: no usable ranking, or an episode is missing.

        """
        usable = [r for r in rankings if r.outcome == "ranked"]
        if not usable:
            raise FeedbackError(
                f"There are {len(usable)} usable rankings among {len(rankings)} answers; a reward "
                "model needs at least 1. Rank episodes in the dashboard, or with `tradinghf rank`."
            )
        names = sorted({name for r in usable for name in r.episodes})
        missing = [name for name in names if name not in episodes]
        if missing:
            raise FeedbackError(
                f"{len(missing)} ranked episodes are missing, the first is {missing[0][:12]}. "
                "Pass every episode that the rankings name."
            )
        row = {name: i for i, name in enumerate(names)}
        most = max(len(r.episodes) for r in usable)
        index = torch.zeros(len(usable), most, dtype=torch.long)
        ranks = torch.ones(len(usable), most, dtype=torch.long)
        mask = torch.zeros(len(usable), most, dtype=torch.bool)
        for i, r in enumerate(usable):
            count = len(r.episodes)
            index[i, :count] = torch.tensor([row[name] for name in r.episodes])
            ranks[i, :count] = torch.tensor(r.ranks)
            mask[i, :count] = True
        return cls([episodes[name] for name in names], index, ranks, mask)

    def per_episode(self, function: Any) -> Tensor:
        """Apply paths -> [B, ...] to all episodes, whatever their lengths; rows as `episodes`."""
        parts: dict[int, list[int]] = {}
        for i, episode in enumerate(self.episodes):
            parts.setdefault(episode.bars, []).append(i)
        rows = {
            i: value
            for group in parts.values()
            for i, value in zip(
                group,
                function(TradePaths.from_episodes([self.episodes[i] for i in group])),
                strict=True,
            )
        }
        return torch.stack([rows[i] for i in range(len(self.episodes))])


class RewardModel:
    """Learns from rankings what is valued, and pays it bar by bar.

    r_t = Σ_a w_a·g_a(t) + residual(t), with w the posterior mean of a sparse Bayesian aspect head,
    in units of the reference pool's spread, minus λ times the growth of the score's variance.

    Example:
        >>> model = RewardModel()                                  # doctest: +SKIP
        >>> model.fit(store.rankings(), store.episodes())          # doctest: +SKIP
        >>> for row in model.explain(): print(row["sentence"])     # doctest: +SKIP

    """

    def __init__(self, config: RewardConfig | None = None) -> None:
        self.config = config or RewardConfig()
        names = self.config.aspects or tuple(ASPECTS)
        self.names = ("profit", *(n for n in names if n != "profit"))
        for name in self.names:
            ASPECTS[name]
        self.posterior: AspectPosterior | None = None
        self.residual: Residual | None = None
        self.warnings: tuple[str, ...] = ()
        self.rankings = 0

    @property
    def fitted(self) -> bool:
        """Whether `fit` has succeeded."""
        return self.posterior is not None

    def fit(
        self,
        rankings: Sequence[Ranking],
        episodes: Mapping[str, Episode],
        *,
        weights: Sequence[float] | None = None,
    ) -> RewardModel:
        """Fit to rankings; replaces any earlier fit.

        Args:
            rankings: answers; skipped ones are ignored.
            episodes: id -> episode, for every ranked id.
            weights: per usable ranking, how much it counts; default 1.

        Raises:
            FeedbackError: no usable ranking, or missing episodes.

        """
        data = RankedData.of(rankings, episodes)
        totals = data.per_episode(lambda p: aspect_totals(p, self.names)).double()[data.index]
        self.scale = _within_window_scale(totals, data.mask)
        self.centre = (totals * data.mask[..., None]).sum((0, 1)) / data.mask.sum()
        trust = torch.ones(len(data.ranks)) if weights is None else torch.tensor(list(weights))
        choices = choices_from_rankings(
            totals / self.scale, data.ranks, data.mask, trust.to(totals)
        )
        self.posterior = fit_aspect_posterior(choices, self.names, self.config.head)
        self.warnings = _warn_of_poor_rankings(data, self.posterior.evidence)
        self.ties = bool(choices.features[..., -1].any())
        self.rankings = len(data.ranks)
        self._draw(totals, data.mask)
        self._fit_residual(data, totals)
        return self

    def _draw(self, totals: Tensor, mask: Tensor) -> None:
        """Posterior draws [M, P] in units of the aspects, scaled to a common spread."""
        posterior = self._posterior
        generator = torch.Generator().manual_seed(self.config.seed)
        draws = posterior.sample(self.config.members, generator)
        weights = torch.cat([posterior.expected()[None], draws])
        self.tie = weights[0, -1] if self.ties else torch.tensor(NEVER_TIED, dtype=torch.float64)
        natural = weights[:, :-1] / self.scale
        scores = torch.einsum("rkp,mp->mrk", totals, natural)
        centred = scores - _masked_mean(scores, mask)[..., None]
        spread = (centred.square() * mask).sum((1, 2)).div(mask.sum()).sqrt()
        self.temperature = float(spread[0].clamp(min=1e-9))
        self.weights = natural[0] / self.temperature
        self.draws = natural[1:] / spread[1:, None].clamp(min=1e-9)

    def _fit_residual(self, data: RankedData, totals: Tensor) -> None:
        self.residual = None
        if self.config.residual is None:
            return
        if not _equal_lengths(data):
            return
        self.volatility = float(data.per_episode(bar_volatility).mean().clamp(min=1e-6))
        features = data.per_episode(lambda p: residual_features(p, self.volatility))
        generator = torch.Generator().manual_seed(self.config.seed + 1)
        offset = totals @ self.weights * self.temperature
        fitted = fit_residual(
            features[data.index],
            offset,
            data.ranks,
            data.mask,
            self.tie,
            self.config.residual,
            generator,
        )
        self.residual = fitted if fitted.gain > 0 else None

    @property
    def _posterior(self) -> AspectPosterior:
        if self.posterior is None:
            raise FeedbackError(
                "The reward model has not been fitted; call fit(rankings, episodes) first."
            )
        return self.posterior

    def rewards(self, paths: TradePaths) -> Tensor:
        """[B, L] reward of each bar, cautious where rankings have not settled the weights.

        The sum over an episode is its score: mean - λ·variance over the posterior.
        """
        self._posterior  # noqa: B018
        device, dtype = paths.equity.device, paths.equity.dtype
        values = aspect_values(paths, self.names)
        reward = values @ self.weights.to(device, dtype)
        if self.config.pessimism > 0:
            drift = self.centre.to(device, dtype) / paths.bars
            so_far = (values - drift).cumsum(-2) @ self.draws.T.to(device, dtype)
            doubt = so_far.var(-1)
            growth = torch.cat([doubt[..., :1], doubt.diff(dim=-1)], dim=-1)
            reward = reward - self.config.pessimism * growth
        if self.residual is not None:
            reward = (
                reward
                + self.residual.agreed(residual_features(paths, self.volatility)) / self.temperature
            )
        return reward

    def score(self, episodes: Sequence[Episode]) -> Tensor:
        """[B] worth of each episode, in units of the reference pool's spread."""
        self._posterior  # noqa: B018
        pool = RankedData(list(episodes), *(torch.empty(0),) * 3)
        return pool.per_episode(lambda p: self.rewards(p).sum(-1))

    def member_scores(self, episodes: Sequence[Episode]) -> Tensor:
        """[M, B] scores under each posterior draw, for query selection and intervals."""
        pool = RankedData(list(episodes), *(torch.empty(0),) * 3)
        return self.draws @ pool.per_episode(lambda p: aspect_totals(p, self.names)).double().T

    def predict_pairs(self, first: Tensor, second: Tensor) -> Tensor:
        """[..., 3] probability that the first of two scores wins, ties, loses.

        Args:
            first, second: [M, ...] member scores (`member_scores`).

        """
        return pair_probabilities((first - second) * self.temperature, self.tie).mean(0)

    def explain(self) -> list[dict[str, Any]]:
        """What the model believes is valued, most important first.

        Returns:
            One dict per aspect: name, sentence, `weight` (worth of one unit of the aspect, in
            percent of profit) with `low` and `high` (90 % interval), `probability` that it
            matters, `share` of the ranked episodes' spread that it explains.

        """
        posterior = self._posterior
        units = torch.tensor([ASPECTS[n].unit for n in self.names], dtype=torch.float64)
        worth = self.draws * units
        anchor = worth[:, :1]
        rows = []
        for i, (name, chance) in enumerate(zip(self.names, posterior.inclusion(), strict=True)):
            ratio = worth[:, i] / anchor[:, 0].abs().clamp(min=1e-12)
            mean = float(self.weights[i] * units[i] / (self.weights[0] * units[0]).abs())
            low, high = (float(q) for q in ratio.quantile(torch.tensor([0.05, 0.95]).double()))
            share = float((self.weights[i] * self.scale[i]).abs())
            row = {
                "name": name,
                "weight": mean,
                "low": low,
                "high": high,
                "probability": float(chance),
                "share": share,
            }
            rows.append(row | {"sentence": _sentence(row)})
        return sorted(rows, key=lambda r: (r["name"] != "profit", -r["probability"] * r["share"]))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready settings and findings."""
        return {
            "config": dataclasses.asdict(self.config),
            "rankings": self.rankings,
            "residual_gain": self.residual.gain if self.residual else 0.0,
            "warnings": list(self.warnings),
            "values": self.explain(),
        }


def _sentence(row: Mapping[str, Any]) -> str:
    """One finding in words."""
    says = ASPECTS[row["name"]].says
    if row["name"] == "profit":
        return "1 % of profit is the yardstick."
    if row["probability"] < 0.5:
        return f"No clear sign that {row['name'].replace('_', ' ')} matters beyond profit."
    verb = "costs" if row["weight"] < 0 else "is worth"
    low, high = sorted((abs(row["low"]), abs(row["high"])))
    return (
        f"{says[0].upper()}{says[1:]} {verb} you as much as {abs(row['weight']):.2g} % of profit "
        f"(90 % sure: {low:.2g} to {high:.2g} %)."
    )


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum(-1) / mask.sum(-1)


def _within_window_scale(totals: Tensor, mask: Tensor) -> Tensor:
    """[P] standard deviation of each aspect among episodes of the same window."""
    mean = (totals * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    gap = (totals - mean[:, None]) * mask[..., None]
    scale = gap.square().sum((0, 1)).div(mask.sum()).sqrt()
    return torch.where(scale > 1e-12, scale, torch.ones_like(scale))


def _equal_lengths(data: RankedData) -> bool:
    return len({episode.bars for episode in data.episodes}) == 1


def _warn_of_poor_rankings(data: RankedData, evidence: float) -> tuple[str, ...]:
    """Say in words when the answers cannot teach much."""
    found = []
    top = data.ranks.masked_fill(~data.mask, 0).amax(-1)
    if bool((top <= 1).all()):
        found.append(
            "Every ranking ties all of its episodes: nothing can be learned about what is "
            "preferred, and the reward stays with profit."
        )
    elif evidence <= 0 and len(data.ranks) >= ENOUGH_TO_JUDGE:
        found.append(
            f"The {len(data.ranks)} rankings are explained no better than chance: they contradict "
            "each other, or value something that no aspect describes. Rank more episodes, and "
            "check the raters' consistency."
        )
    for text in found:
        warnings.warn(text, stacklevel=3)
    return tuple(found)


__all__ = ["RankedData", "RewardModel"]
