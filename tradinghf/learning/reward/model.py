"""The learned reward: what traders value, bar by bar, with its uncertainty."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback.likelihoods import pair_probabilities
from tradinghf.feedback.types import Ranking
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.reward.aspect_head import AspectPosterior, Start, fit_aspect_posterior
from tradinghf.learning.reward.aspects import ASPECTS, TradePaths
from tradinghf.learning.reward.choices import (
    Choices,
    choices_from_rankings,
    choices_from_ratings,
    join,
    rater_trust,
)
from tradinghf.learning.reward.explain import value_rows
from tradinghf.learning.reward.personal import personal_model, starts_of
from tradinghf.learning.reward.ranked_data import RankedData, per_episode
from tradinghf.learning.reward.residual import (
    Residual,
    bar_volatility,
    fit_residual,
    residual_features,
)
from tradinghf.learning.reward.terms import Measured, Term, candidates

NEVER_TIED = -20.0
ENOUGH_TO_JUDGE = 5
TRUST_ROUNDS = 2
NEGLIGIBLE = 1e-3


class RewardModel:
    """Learns from rankings what is valued, and pays it bar by bar.

    r_t = Σ_a w_a·g_a(t) + residual(t), with w the posterior mean of a sparse Bayesian aspect head,
    in units of the reference pool's spread, minus λ times the growth of the score's variance.

    Args:
        config: settings.
        desk: fitted to the answers of others, whom the raters may resemble.

    Example:
        >>> model = RewardModel()                                  # doctest: +SKIP
        >>> model.fit(store.rankings(), store.episodes())          # doctest: +SKIP
        >>> for row in model.explain(): print(row["sentence"])     # doctest: +SKIP

    """

    def __init__(
        self, config: RewardConfig | None = None, *, desk: RewardModel | None = None
    ) -> None:
        self.config = config or RewardConfig()
        self.desk = desk
        names = self.config.aspects or tuple(ASPECTS)
        self.aspects = ("profit", *(n for n in names if n != "profit"))
        for name in self.aspects:
            ASPECTS[name]
        self.terms: tuple[Term, ...] = tuple(Term(name) for name in self.aspects)
        self.posterior: AspectPosterior | None = None
        self.residual: Residual | None = None
        self.warnings: tuple[str, ...] = ()
        self.trust: dict[str, float] = {}
        self.rankings = 0
        self.starts: list[Start] = []
        self.fitted_to: tuple[tuple[Ranking, ...], Mapping[str, Episode]] = ((), {})
        self.explained = 0.0

    def blank(self) -> RewardModel:
        """A model of the same kind and settings that has learned nothing."""
        return RewardModel(self.config, desk=self.desk)

    @property
    def fitted(self) -> bool:
        """Whether `fit` has succeeded."""
        return self.posterior is not None

    def fit(self, rankings: Sequence[Ranking], episodes: Mapping[str, Episode]) -> RewardModel:
        """Fit to rankings, with their ties, ratings and comments; replaces any earlier fit.

        Args:
            rankings: answers; skipped ones are ignored.
            episodes: id -> episode, for every ranked id.

        Raises:
            FeedbackError: no usable ranking, or missing episodes.

        """
        data = RankedData.of(rankings, episodes)
        self.fitted_to = (tuple(rankings), episodes)
        terms, chance = self._candidates(data)
        totals = per_episode(data.episodes, lambda p: Measured(p).totals(terms)).double()
        totals = totals[data.index]
        scale = _within_window_scale(totals, data.mask)
        choices = self._choices(data, totals / scale)
        self.starts = starts_of(self.desk, terms, scale) if self.desk is not None else []
        self.posterior = self._search(choices, chance)
        self.trust = dict.fromkeys(data.raters, 1.0)
        if len(data.raters) > 1 and self.config.trust_prior > 0:
            self._trust(choices, chance, data)
        used = self.posterior.columns
        tie = torch.tensor([-1])
        self.explained = _explained(choices.of(torch.cat([used, tie])), self.posterior)
        self.terms = tuple(terms[i] for i in used.tolist())
        self.scale, totals = scale[used], totals[..., used]
        self.centre = (totals * data.mask[..., None]).sum((0, 1)) / data.mask.sum()
        self.warnings = _warn_of_poor_rankings(data, self.posterior.evidence)
        self.ties = bool(choices.features[..., -1].any())
        self.rankings = len(data.ranks)
        self._draw(totals, data.mask)
        self._fit_residual(data, totals)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms, in the order of `weights`; profit first."""
        return tuple(term.name for term in self.terms)

    def _candidates(self, data: RankedData) -> tuple[list[Term], Tensor]:
        """Everything that may matter, and its prior probability: plain aspects first."""
        head = self.config.head
        terms = [Term(name) for name in self.aspects]
        chance = [head.mentioned if n in data.mentioned else head.inclusion for n in self.aspects]
        families = {
            "shape": head.shapes,
            "condition": head.conditions,
            "threshold": head.thresholds,
            "level": head.levels,
        }
        if any(families.values()):
            reference = Measured(TradePaths.from_episodes(data.commonest_length))
            for family, found in candidates(reference, self.aspects):
                if families[family] > 0:
                    terms += found
                    chance += [families[family] / max(len(found), 1)] * len(found)
        known = [t for t in self.desk.terms if t not in terms] if self.desk is not None else []
        terms += known
        chance += [head.inclusion] * len(known)
        return terms, torch.tensor(chance, dtype=torch.float64)

    def _search(self, choices: Choices, chance: Tensor) -> AspectPosterior:
        return fit_aspect_posterior(
            choices, chance, len(self.aspects), self.config.head, self.starts
        )

    def _choices(self, data: RankedData, features: Tensor) -> Choices:
        """Rankings, and each rater's ratings, as choices."""
        weight = torch.ones(len(data.ranks), dtype=features.dtype)
        parts = [choices_from_rankings(features, data.ranks, data.compared, weight)]
        for rater in range(len(data.raters)):
            row, column = torch.nonzero(
                (data.ratings > 0) & (data.owner == rater)[:, None], as_tuple=True
            )
            if len(row):
                rated = (features[row, column], data.ratings[row, column], row)
                parts.append(choices_from_ratings(*rated, self.config.rating_weight))
        return join(parts)

    def _trust(self, choices: Choices, chance: Tensor, data: RankedData) -> None:
        """Alternate between the raters' trust and the weights that they share."""
        owner = data.owner[choices.ranking]
        for _ in range(TRUST_ROUNDS):
            weights = self._posterior.expected()
            columns = torch.cat([self._posterior.columns, torch.tensor([-1])])
            alpha = rater_trust(choices.of(columns), owner, weights, self.config.trust_prior)
            self.posterior = self._search(choices.scaled(alpha[owner]), chance)
        self.trust = dict(zip(data.raters, alpha.tolist(), strict=True))

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
        # What hardly matters in any draw is left out, and costs nothing in every rollout.
        size = torch.maximum(self.weights.abs(), self.draws.abs().mean(0)) * self.scale
        matters = size >= NEGLIGIBLE * size.max()
        matters[0] = True
        self.weights, self.draws = self.weights * matters, self.draws * matters
        self.active = matters.nonzero().squeeze(-1)
        # The plain aspects come first among all terms, hence among the active ones.
        gains = (totals * self.weights).masked_fill(~mask[..., None], 0.0)
        self.limit = gains.flatten(0, 1).amax(0).clamp(min=0)

    def _fit_residual(self, data: RankedData, totals: Tensor) -> None:
        self.residual = None
        if self.config.residual is None:
            return
        if not data.equal_lengths:
            return
        self.volatility = float(per_episode(data.episodes, bar_volatility).mean().clamp(min=1e-6))
        features = per_episode(data.episodes, lambda p: residual_features(p, self.volatility))
        generator = torch.Generator().manual_seed(self.config.seed + 1)
        offset = totals @ self.weights * self.temperature
        fitted = fit_residual(
            features[data.index],
            offset,
            data.ranks,
            data.compared,
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
        values = self.values(paths, self.active.tolist())
        paid = values * self.weights[self.active].to(device, dtype)
        reward = self._capped(paid).sum(-1)
        if self.config.pessimism > 0:
            drift = self.centre[self.active].to(device, dtype) / paths.bars
            so_far = (values - drift).cumsum(-2)
            # The variance over the draws, without the scores by each of them.
            spread = self._draw_covariance.to(device, dtype)
            doubt = ((so_far @ spread) * so_far).sum(-1)
            growth = torch.cat([doubt[..., :1], doubt.diff(dim=-1)], dim=-1)
            reward = reward - self.config.pessimism * growth
        if self.residual is not None:
            reward = (
                reward
                + self.residual.agreed(residual_features(paths, self.volatility)) / self.temperature
            )
        return reward

    @property
    def _draw_covariance(self) -> Tensor:
        """[Q', Q'] of the active terms' weights over the posterior draws."""
        away = self.draws[:, self.active] - self.draws[:, self.active].mean(0)
        return away.T @ away / (len(away) - 1)

    def values(self, paths: TradePaths, columns: Sequence[int] | None = None) -> Tensor:
        """[B, L, Q] what each term (or those in `columns`) is worth in each bar, in its units."""
        measured = Measured(paths)
        terms = self.terms if columns is None else [self.terms[i] for i in columns]
        return torch.stack([measured.values(term) for term in terms], dim=-1)

    def _capped(self, paid: Tensor) -> Tensor:
        """Thresholds and conditions never pay more than they paid a ranked episode.

        Beyond what was ranked nothing is known of them: losses are believed, gains are not.
        """
        first = int((self.active < len(self.aspects)).sum())
        if first == paid.shape[-1]:
            return paid
        total = paid[..., first:].cumsum(-2)
        limit = self.limit[self.active][first:].to(paid)
        total = torch.minimum(total, limit)
        bent = torch.cat([total[..., :1, :], total.diff(dim=-2)], dim=-2)
        return torch.cat([paid[..., :first], bent], dim=-1)

    def score(self, episodes: Sequence[Episode]) -> Tensor:
        """[B] worth of each episode, in units of the reference pool's spread."""
        self._posterior  # noqa: B018
        return per_episode(episodes, lambda p: self.rewards(p).sum(-1))

    def member_scores(self, episodes: Sequence[Episode]) -> Tensor:
        """[M, B] scores under each posterior draw, for query selection and intervals."""
        self._posterior  # noqa: B018
        totals = per_episode(episodes, lambda p: Measured(p).totals(self.terms))
        return self.draws @ totals.double().T

    def predict_pairs(self, first: Tensor, second: Tensor) -> Tensor:
        """[..., 3] probability that the first of two scores wins, ties, loses.

        Args:
            first, second: [M, ...] member scores (`member_scores`).

        """
        return pair_probabilities((first - second) * self.temperature, self.tie).mean(0)

    def personal(self, rater: str) -> RewardModel:
        """The model of one rater, who starts from what all the others value.

        With few answers it is near the others' model; a rater of another mind is learned from
        the own answers alone. Without own answers, or without others, it is this model.
        """
        rankings, episodes = self.fitted_to
        return personal_model(rankings, episodes, rater, self.config) or self

    def explain(self) -> list[dict[str, Any]]:
        """What the model believes is valued, most important first.

        Returns:
            One dict per aspect, and per threshold or condition that was found: name, `says` (one
            unit in words), sentence, `weight` (worth of one unit, in percent of profit) with
            `low` and `high` (90 % interval), `probability` that it matters, `share` of the ranked
            episodes' spread that it explains.

        """
        return value_rows(self, self._posterior)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready settings and findings."""
        return {
            "config": dataclasses.asdict(self.config),
            "rankings": self.rankings,
            "residual_gain": self.residual.gain if self.residual else 0.0,
            "warnings": list(self.warnings),
            "trust": self.trust,
            "values": self.explain(),
        }


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum(-1) / mask.sum(-1)


def _within_window_scale(totals: Tensor, mask: Tensor) -> Tensor:
    """[P] standard deviation of each aspect among episodes of the same window."""
    mean = (totals * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    gap = (totals - mean[:, None]) * mask[..., None]
    scale = gap.square().sum((0, 1)).div(mask.sum()).sqrt()
    return torch.where(scale > 1e-12, scale, torch.ones_like(scale))


def _explained(choices: Choices, posterior: AspectPosterior) -> float:
    """Share of the answers' surprise that the aspects take away, 0 to 1.

    The marginal likelihood of all answers against that of somebody who answers at random but ties
    as often: it foresees every answer from the earlier ones, so a model that only fits is not paid.
    """
    options = choices.available.sum(-1).to(choices.weight)
    surprise = float((choices.weight * options.log()).sum()) - posterior.evidence
    ties_only = posterior.expected() * 0.0
    ties_only[-1] = posterior.expected()[-1]
    chance = -float((choices.weight * choices.log_likelihood(ties_only)).sum())
    return min(max(1.0 - surprise / max(chance, 1e-9), 0.0), 1.0)


def _warn_of_poor_rankings(data: RankedData, evidence: float) -> tuple[str, ...]:
    """Say in words when the answers cannot teach much."""
    found = []
    top = data.ranks.masked_fill(~data.compared, 0).amax(-1)
    if bool(data.ordered.any()) and bool((top <= 1).all()):
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
