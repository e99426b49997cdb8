"""The learned reward: what traders value, bar by bar, with its uncertainty."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tradinghf.config import settings_of
from tradinghf.episodes import Episode
from tradinghf.feedback import Ranking
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.reward._answers import AnswerTable, Choices, teaches
from tradinghf.learning.reward._aspects import ASPECTS
from tradinghf.learning.reward._book_aspects import plain_aspects
from tradinghf.learning.reward._explain import value_rows
from tradinghf.learning.reward._paths import TradePaths, increments, per_episode
from tradinghf.learning.reward._personal import desk_priors
from tradinghf.learning.reward._posterior import DeskPrior, TermPosterior, fit_term_posterior
from tradinghf.learning.reward._protocol import NEVER_TIED, CalibratedReward, share_explained
from tradinghf.learning.reward._residual import (
    Residual,
    Unexplained,
    bar_volatility,
    fit_residual,
    residual_features,
)
from tradinghf.learning.reward._terms import Term, TermValues, candidate_terms
from tradinghf.learning.reward._trust import rater_trust

_ENOUGH_TO_JUDGE = 5
_TRUST_ROUNDS = 2
_NEGLIGIBLE = 1e-3
_EXPLAIN_DRAWS = 4000  # of the posterior, behind the ends of its intervals


class RewardModel(CalibratedReward):
    """Learns from rankings what is valued, and pays it bar by bar.

    r_t = Σ_a w_a·g_a(t) + residual(t), with w the posterior mean of a sparse Bayesian regression,
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
        self.config = settings_of(RewardConfig, config, "config")
        self.desk = desk
        self._tried(portfolio=False)
        for name in self.aspects:
            ASPECTS[name]
        self.terms: tuple[Term, ...] = tuple(Term(name) for name in self.aspects)
        self.posterior: TermPosterior | None = None
        self.residual: Residual | None = None
        self.warnings: tuple[str, ...] = ()
        self.trust: dict[str, float] = {}
        self._fitted_to: tuple[Sequence[Ranking], Mapping[str, Episode]] = ((), {})

    def _tried(self, *, portfolio: bool) -> None:
        """Set the plain aspects that are tried: the configured ones, or all, profit first."""
        names = self.config.aspects or plain_aspects(portfolio=portfolio)
        self.aspects = ("profit", *(n for n in names if n != "profit"))

    def blank(self) -> RewardModel:
        """A model of the same kind and settings that has learned nothing."""
        return RewardModel(self.config, desk=self.desk)

    def fit(self, rankings: Sequence[Ranking], episodes: Mapping[str, Episode]) -> RewardModel:
        """Fit to rankings, with their ties, ratings and comments; as `Reward.fit`.

        Raises:
            FeedbackError: no usable ranking, or missing episodes.

        """
        table = AnswerTable.of(rankings, episodes, across_windows=self.config.across_windows)
        self._tried(portfolio=any(episode.breadth for episode in table.episodes))
        terms, chance = self._candidates(table)
        totals = per_episode(table.episodes, lambda p: TermValues(p).totals(terms)).double()
        totals = totals[table.index]
        scale = _within_window_scale(totals, table.mask)
        choices = table.choices(totals / scale, self.config.rating_weight)
        desk = self._desk_priors(terms, scale)
        posterior, self.trust = self._posterior_of(choices, chance, desk, table)
        used = posterior.columns
        self.posterior = posterior
        self.explained = _explained(choices.with_terms(used), posterior)
        self.terms = tuple(terms[i] for i in used.tolist())
        self.scale, totals = scale[used], totals[..., used]
        self.centre = (totals * table.mask[..., None]).sum((0, 1)) / table.mask.sum()
        self.warnings = _warn_of_poor_rankings(table, posterior.evidence)
        tied = bool(choices.features[..., -1].any())
        self._draw(posterior, totals, table.mask, tied)
        self._fit_residual(table, totals)
        self.answers, self.ranked_bars = len(table.ranks), table.commonest_length[0].bars
        self._fitted_to = (tuple(rankings), episodes)
        return self

    @property
    def term_names(self) -> tuple[str, ...]:
        """Names of the terms, in the order of `weights`; profit first."""
        return tuple(term.name for term in self.terms)

    def _candidates(self, table: AnswerTable) -> tuple[list[Term], Tensor]:
        """Everything that may matter, and its prior probability: plain aspects first."""
        head = self.config.head
        terms = [Term(name) for name in self.aspects]
        chance = [head.mentioned if n in table.mentioned else head.inclusion for n in self.aspects]
        expected = {f: getattr(head, f) for f in ("shapes", "conditions", "thresholds", "levels")}
        if any(expected.values()):
            reference = TradePaths.from_episodes(table.commonest_length)
            for family, found in candidate_terms(reference, self.aspects):
                if expected[family] > 0:
                    terms += found
                    chance += [expected[family] / max(len(found), 1)] * len(found)
        known = [t for t in self.desk.terms if t not in terms] if self.desk is not None else []
        terms += known
        chance += [head.inclusion] * len(known)
        return terms, torch.tensor(chance, dtype=torch.float64)

    def _desk_priors(self, terms: Sequence[Term], scale: Tensor) -> list[DeskPrior]:
        """The desk's weights, for terms that are standardised by `scale` here."""
        if self.desk is None or self.desk.posterior is None:
            return []
        place = {term: i for i, term in enumerate(terms)}
        columns = [place[term] for term in self.desk.terms]
        # A weight per unit of the aspect is what the two have in common.
        return desk_priors(self.desk.posterior, columns, scale[columns] / self.desk.scale)

    def _posterior_of(
        self, choices: Choices, chance: Tensor, desk: Sequence[DeskPrior], table: AnswerTable
    ) -> tuple[TermPosterior, dict[str, float]]:
        """The weights, and how far each rater follows them, found in turns."""
        plain, head = len(self.aspects), self.config.head
        posterior = fit_term_posterior(choices, chance, plain, head, desk)
        trust = torch.ones(len(table.raters))
        if len(trust) > 1 and self.config.trust_prior > 0:
            owner = table.owner[choices.answer]
            for _ in range(_TRUST_ROUNDS):
                known = choices.with_terms(posterior.columns)
                trust = rater_trust(known, owner, posterior.expected(), self.config.trust_prior)
                weighed = choices.scaled(trust[owner])
                posterior = fit_term_posterior(weighed, chance, plain, head, desk)
        return posterior, dict(zip(table.raters, trust.tolist(), strict=True))

    def _draw(self, posterior: TermPosterior, totals: Tensor, mask: Tensor, tied: bool) -> None:
        """Posterior draws [M, Q] in units of the aspects, scaled to a common spread."""
        generator = torch.Generator().manual_seed(self.config.seed)
        draws = posterior.sample(self.config.members, generator)
        weights = torch.cat([posterior.expected()[None], draws])
        self.log_tie = weights[0, -1] if tied else torch.tensor(NEVER_TIED, dtype=torch.float64)
        natural = weights[:, :-1] / self.scale
        centred = totals - (totals * mask[..., None]).sum(1, True) / mask.sum(1)[:, None, None]
        centred = (centred * mask[..., None]).flatten(0, 1)
        self.together = centred.T @ centred / mask.sum()
        spread = self._spread(natural)
        self.temperature = float(spread[0].clamp(min=1e-9))
        self.weights = natural[0] / self.temperature
        self.draws = natural[1:] / spread[1:, None].clamp(min=1e-9)
        # What hardly matters in any draw is left out, and costs nothing in every rollout.
        size = torch.maximum(self.weights.abs(), self.draws.abs().mean(0)) * self.scale
        matters = size >= _NEGLIGIBLE * size.max()
        matters[0] = True
        self.weights, self.draws = self.weights * matters, self.draws * matters
        self.active = matters.nonzero().squeeze(-1)
        # The plain aspects come first among all terms, hence among the active ones.
        gains = (totals * self.weights).masked_fill(~mask[..., None], 0.0)
        self.limit = gains.flatten(0, 1).amax(0).clamp(min=0)

    def _spread(self, natural: Tensor) -> Tensor:
        """[M] spread, within a question, of the scores by M weights [M, Q] of the terms' units."""
        return ((natural @ self.together) * natural).sum(-1).clamp(min=0).sqrt()

    def _fit_residual(self, table: AnswerTable, totals: Tensor) -> None:
        self.residual = None
        if self.config.residual is None or not table.equal_lengths:
            return
        self.volatility = float(per_episode(table.episodes, bar_volatility).mean().clamp(min=1e-6))
        features = per_episode(table.episodes, lambda p: residual_features(p, self.volatility))
        generator = torch.Generator().manual_seed(self.config.seed + 1)
        scores = totals @ self.weights * self.temperature
        seen = features[table.index]
        rankings = Unexplained(seen, scores, table.ranks, table.compared, self.log_tie)
        fitted = fit_residual(rankings, self.config.residual, generator)
        self.residual = fitted if fitted.gain > 0 else None

    def rewards(self, paths: TradePaths) -> Tensor:
        """[B, L] reward of each bar, cautious where rankings have not settled the weights.

        The sum over an episode is its score: mean - λ·variance over the posterior.
        """
        self._require_fit()
        device, dtype = paths.equity.device, paths.equity.dtype
        values = self.term_values(paths, self.active.tolist())
        paid = values * self.weights[self.active].to(device, dtype)
        reward = self._capped(paid).sum(-1)
        if self.config.pessimism > 0:
            drift = self.centre[self.active].to(device, dtype) / paths.bars
            so_far = (values - drift).cumsum(-2)
            # The variance over the draws, without the scores by each of them.
            spread = self._draw_covariance.to(device, dtype)
            doubt = ((so_far @ spread) * so_far).sum(-1)
            reward = reward - self.config.pessimism * increments(doubt)
        if self.residual is not None:
            agreed = self.residual.agreed(residual_features(paths, self.volatility))
            reward = reward + agreed / self.temperature
        return reward

    @property
    def _draw_covariance(self) -> Tensor:
        """[Q', Q'] of the active terms' weights over the posterior draws."""
        away = self.draws[:, self.active] - self.draws[:, self.active].mean(0)
        return away.T @ away / (len(away) - 1)

    def term_values(self, paths: TradePaths, columns: Sequence[int] | None = None) -> Tensor:
        """[B, L, Q] what each term (or those in `columns`) is worth in each bar, in its units."""
        values = TermValues(paths)
        terms = self.terms if columns is None else [self.terms[i] for i in columns]
        return torch.stack([values.per_bar(term) for term in terms], dim=-1)

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
        return torch.cat([paid[..., :first], increments(total.mT).mT], dim=-1)

    def member_scores(self, episodes: Sequence[Episode]) -> Tensor:
        """[M, B] scores under each posterior draw [log-odds]."""
        self._require_fit()
        totals = per_episode(episodes, lambda p: TermValues(p).totals(self.terms))
        return (self.draws @ totals.double().T) * self.temperature

    def personal(self, rater: str, config: RewardConfig | None = None) -> RewardModel:
        """The model of one rater, who starts from what all the others value.

        With few answers it is near the others' model; a rater of another mind is learned from
        the own answers alone. Without own answers, or without others, it is this model.

        Args:
            rater: whose model it is.
            config: of the two fits; this model's when not given.

        """
        rankings, episodes = self._fitted_to
        own = [r for r in rankings if teaches(r) and r.rater == rater]
        others = [r for r in rankings if teaches(r) and r.rater != rater]
        if not own or not others:
            return self
        config = config or self.config
        desk = RewardModel(config).fit(others, episodes)
        return RewardModel(config, desk=desk).fit(own, episodes)

    def explain(self) -> list[dict[str, Any]]:
        """What the model believes is valued, most important first.

        Returns:
            One dict per aspect, and per threshold or condition that was found: name, `says` (one
            unit in words), sentence, `weight` (worth of one unit, in percent of the `yardstick`,
            which is profit where its own worth is settled) with `low` and `high` (95 %
            interval), `probability` that it matters, `share` of the ranked episodes' spread that
            it explains.

        """
        self._require_fit()
        assert self.posterior is not None
        generator = torch.Generator().manual_seed(self.config.seed)
        natural = self.posterior.sample(_EXPLAIN_DRAWS, generator)[:, :-1] / self.scale
        return value_rows(
            self.terms,
            len(self.aspects),
            self.posterior.inclusion(),
            natural / self._spread(natural)[:, None].clamp(min=1e-9),
            (self.weights * self.scale).abs(),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready settings and findings."""
        return super().to_dict() | {
            "config": dataclasses.asdict(self.config),
            "residual_gain": self.residual.gain if self.residual else 0.0,
            "warnings": list(self.warnings),
            "trust": self.trust,
        }


def _within_window_scale(totals: Tensor, mask: Tensor) -> Tensor:
    """[P] standard deviation of each aspect among episodes of the same window."""
    mean = (totals * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    gap = (totals - mean[:, None]) * mask[..., None]
    scale = gap.square().sum((0, 1)).div(mask.sum()).sqrt()
    return torch.where(scale > 1e-12, scale, torch.ones_like(scale))


def _explained(choices: Choices, posterior: TermPosterior) -> float:
    """`share_explained` by the terms of the posterior."""
    ties_only = posterior.expected() * 0.0
    ties_only[-1] = posterior.expected()[-1]
    by_chance = float((choices.weight * choices.log_likelihood(ties_only)).sum())
    return share_explained(posterior.evidence - choices.at_random(), by_chance)


def _warn_of_poor_rankings(table: AnswerTable, evidence: float) -> tuple[str, ...]:
    """Say in words when the answers cannot teach much."""
    found = []
    top = table.ranks.masked_fill(~table.compared, 0).amax(-1)
    if bool(table.ordered.any()) and bool((top <= 1).all()):
        found.append(
            "Every ranking ties all of its episodes: nothing can be learned about what is "
            "preferred, and the reward stays with profit."
        )
    elif evidence <= 0 and len(table.ranks) >= _ENOUGH_TO_JUDGE:
        found.append(
            f"The {len(table.ranks)} rankings are explained no better than chance: they contradict "
            "each other, or value something that no aspect describes. Rank more episodes, and "
            "check the raters' consistency."
        )
    for text in found:
        warnings.warn(text, stacklevel=3)
    return tuple(found)
