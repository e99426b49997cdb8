"""The learned reward: what traders value, bar by bar, with its uncertainty."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tradinghf.config import settings_of
from tradinghf.episodes import Episode
from tradinghf.feedback import Ranking
from tradinghf.learning.config import AspectConfig, RewardConfig
from tradinghf.learning.reward._answers import AnswerTable, Choices, spread_within, teaches
from tradinghf.learning.reward._aspects import ASPECTS
from tradinghf.learning.reward._book_aspects import plain_aspects
from tradinghf.learning.reward._cautions import MOSTLY_BEYOND, answers_explained, cautions
from tradinghf.learning.reward._explain import value_rows
from tradinghf.learning.reward._facts import bar_volatility
from tradinghf.learning.reward._fit_progress import begin_fit, begin_search
from tradinghf.learning.reward._paths import TradePaths, increments, per_episode
from tradinghf.learning.reward._personal import desk_priors
from tradinghf.learning.reward._posterior import (
    DeskPrior,
    TermPosterior,
    WidePrior,
    fit_term_posterior,
    quickly,
)
from tradinghf.learning.reward._protocol import NEVER_TIED, CalibratedReward
from tradinghf.learning.reward._saved import Saveable
from tradinghf.learning.reward._stacking import foresight, learned_share, stacked, turns_of
from tradinghf.learning.reward._terms import (
    FAMILIES,
    LEARNED,
    Term,
    TermValues,
    candidate_terms,
    learned_terms,
)
from tradinghf.learning.reward._trust import rater_trust

_TRUST_ROUNDS = 2
_NEGLIGIBLE = 1e-3
_EXPLAIN_DRAWS = 4000  # of the posterior, behind the ends of its intervals


class _Known(NamedTuple):
    """Of the active terms: weights and centre [Q'], covariance [Q', Q'] of the draws.

    Of what they pay [Q'']: the most that a ranked episode got, and the share of what is beyond it
    that counts.
    """

    weights: Tensor
    centre: Tensor
    covariance: Tensor
    limit: Tensor
    believed: Tensor


class RewardModel(Saveable, CalibratedReward):
    """Learns from rankings what is valued, and pays it bar by bar.

    r_t = Σ_a w_a·g_a(t) + Σ_d v_d·φ_d(t), with w the posterior mean of a sparse Bayesian regression
    and v that of the learned features (`tradinghf.learning.reward._tastes`), in units of the
    reference pool's spread, minus λ times the growth of the score's variance.

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
        self.warnings: tuple[str, ...] = ()
        self.trust: dict[str, float] = {}
        self.beyond = 0.0  # weight of the models that need the learned features
        self.believed = 0.0  # share of what terms gain beyond the best ranked episode that counts
        self.foreseen: float | None = None  # log-likelihood of answers that were held out
        self._fitted_to: tuple[Sequence[Ranking], Mapping[str, Episode]] = ((), {})
        self._copies: dict[Any, tuple[Tensor, _Known]] = {}  # by device and dtype

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
        self.volatility = float(per_episode(table.episodes, bar_volatility).mean().clamp(min=1e-6))
        terms, chance = self._candidates(table)
        totals = self._totals(table.episodes, terms)
        totals = totals[table.index]
        scale = spread_within(totals, table.mask)
        choices = table.choices(totals / scale, self.config.rating_weight)
        desk = self._desk_priors(terms, scale)
        wide = self._wide_prior(terms, scale)
        posterior, self.trust = self._posterior_of(choices, chance, desk, wide, table)
        used = posterior.columns
        self.posterior, self.slip = posterior, posterior.noise
        self.explained = answers_explained(choices.with_terms(used), posterior, self.foreseen)
        self.terms = tuple(terms[i] for i in used.tolist())
        self.scale, totals = scale[used], totals[..., used]
        self.centre = (totals * table.mask[..., None]).sum((0, 1)) / table.mask.sum()
        foreseen = None if self.foreseen is None else self.explained
        self.warnings = cautions(table, posterior.evidence, foreseen, self.beyond)
        tied = bool(choices.features[..., -1].any())
        self._draw(posterior, totals, table.mask, tied)
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
        chance = [head.chance(table.mentioned[name]) for name in self.aspects]
        expected = {f: getattr(head, f) for f in FAMILIES}
        if any(expected.values()):
            reference = TradePaths.from_episodes(table.commonest_length)
            for family, found in candidate_terms(reference, self.aspects):
                if expected[family] > 0:
                    terms += found
                    chance += [expected[family] / max(len(found), 1)] * len(found)
        desk = self.desk.terms if self.desk is not None else ()
        known = [t for t in desk if t not in terms and not t.learned]
        terms += known
        chance += [head.inclusion] * len(known)
        if self.config.learned > 0 or any(term.learned for term in desk):
            beside = learned_terms()
            terms += beside
            chance += [0.0] * len(beside)  # never one by one
        return terms, torch.tensor(chance, dtype=torch.float64)

    def _totals(self, episodes: Sequence[Episode], terms: Sequence[Term]) -> Tensor:
        """[B, Q] totals of terms."""
        return per_episode(
            episodes, lambda p: TermValues(p, self.volatility).totals(terms)
        ).double()

    def _wide_prior(self, terms: Sequence[Term], scale: Tensor) -> WidePrior | None:
        """The learned features, whose own scale is their prior; None without them."""
        columns = tuple(i for i, term in enumerate(terms) if term.learned)
        if not columns or self.config.learned <= 0:
            return None
        return WidePrior(columns, scale[list(columns)], self.config.learned)

    def _desk_priors(self, terms: Sequence[Term], scale: Tensor) -> list[DeskPrior]:
        """The desk's weights, for terms that are standardised by `scale` here."""
        if self.desk is None or self.desk.posterior is None:
            return []
        place = {term: i for i, term in enumerate(terms)}
        columns = [place[term] for term in self.desk.terms]
        # A weight per unit of the aspect is what the two have in common.
        return desk_priors(self.desk.posterior, columns, scale[columns] / self.desk.scale)

    def _posterior_of(
        self,
        choices: Choices,
        chance: Tensor,
        desk: Sequence[DeskPrior],
        wide: WidePrior | None,
        table: AnswerTable,
    ) -> tuple[TermPosterior, dict[str, float]]:
        """The weights, and how far each rater follows them, found in turns."""

        def fitted(choices: Choices, head: AspectConfig = self.config.head) -> TermPosterior:
            begin_search()
            return fit_term_posterior(choices, chance, len(self.aspects), head, desk, wide)

        self.beyond, self.believed, self.foreseen = 0.0, 0.0, None
        trust, weighs = torch.ones(len(table.raters)), self.config.trust_prior > 0
        answers = len(choices.answer.unique())
        held_out = wide is not None and answers >= self.config.least_held_out
        rounds = _TRUST_ROUNDS * (len(trust) > 1 and weighs)
        begin_fit(1 + rounds + held_out * turns_of(answers, self.config.folds))
        posterior, weighed = fitted(choices), choices
        if rounds:
            owner = table.owner[choices.answer]
            for _ in range(rounds):
                known = choices.with_terms(posterior.columns)
                trust = rater_trust(known, owner, posterior.expected(), self.config.trust_prior)
                weighed = choices.scaled(trust[owner])
                posterior = fitted(weighed)
        if wide is not None:
            quick = quickly(self.config.head, posterior.noise)
            posterior = self._stack(posterior, lambda some: fitted(some, quick), weighed, wide)
        return posterior, dict(zip(table.raters, trust.tolist(), strict=True))

    def _stack(
        self,
        posterior: TermPosterior,
        fit: Callable[[Choices], TermPosterior],
        choices: Choices,
        wide: WidePrior,
    ) -> TermPosterior:
        """Weigh the terms alone against the learned features by what they foresee."""
        learned = frozenset(wide.columns)
        if len(choices.answer.unique()) < self.config.least_held_out:
            self.beyond = learned_share(posterior, learned)
            return posterior
        generator = torch.Generator().manual_seed(self.config.seed + 2)
        found = foresight(fit, choices, learned, self.config.folds, generator)
        self.beyond = found.best_share(self.config.learned)
        self.believed = 1.0 - self.beyond
        self.foreseen = found.log_likelihood(self.beyond)
        return stacked(posterior, learned, self.beyond)

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
        gains = self._folded(
            (totals * self.weights).masked_fill(~mask[..., None], 0.0)[..., matters]
        )
        self.limit = gains.flatten(0, 1).amax(0).clamp(min=0)

    def _spread(self, natural: Tensor) -> Tensor:
        """[M] spread, within a question, of the scores by M weights [M, Q] of the terms' units."""
        return ((natural @ self.together) * natural).sum(-1).clamp(min=0).sqrt()

    def rewards(self, paths: TradePaths) -> Tensor:
        """[B, L] reward of each bar, cautious where rankings have not settled the weights.

        The sum over an episode is its score: mean - λ·variance over the posterior.
        """
        self._require_fit()
        values = self.term_values(paths, self.active.tolist())
        known = self._known(paths.equity)
        reward = self._capped(values * known.weights).sum(-1)
        if self.config.pessimism > 0:
            so_far = (values - known.centre / paths.bars).cumsum(-2)
            # The variance over the draws, without the scores by each of them.
            doubt = ((so_far @ known.covariance) * so_far).sum(-1)
            reward = reward - self.config.pessimism * increments(doubt)
        return reward

    def _known(self, like: Tensor) -> _Known:
        """What pays, on a tensor's device; copied there once, for a GPU would wait each time."""
        place, source = (like.device, like.dtype), self.draws
        kept, known = self._copies.get(place, (None, None))
        if known is None or kept is not source:
            away = self.draws[:, self.active] - self.draws[:, self.active].mean(0)
            spread = away.T @ away / (len(away) - 1)
            believed = torch.full_like(self.limit, self.believed)
            believed[sum(not self.terms[i].learned for i in self.active.tolist()) :] = 0.0
            parts = (self.weights[self.active], self.centre[self.active], spread)
            known = _Known(*(part.to(like) for part in (*parts, self.limit, believed)))
            self._copies[place] = (source, known)
        return known

    def term_values(self, paths: TradePaths, columns: Sequence[int] | None = None) -> Tensor:
        """[B, L, Q] what each term (or those in `columns`) is worth in each bar, in its units."""
        values = TermValues(paths, self.volatility)
        terms = self.terms if columns is None else [self.terms[i] for i in columns]
        return values.rows(terms)

    def _folded(self, paid: Tensor) -> Tensor:
        """[..., Q''] of what the active terms pay: the learned ones together, as the last."""
        named = sum(not self.terms[i].learned for i in self.active.tolist())
        if named == paid.shape[-1]:
            return paid
        return torch.cat([paid[..., :named], paid[..., named:].sum(-1, keepdim=True)], dim=-1)

    def _capped(self, paid: Tensor) -> Tensor:
        """What thresholds and conditions gain beyond the best ranked episode counts in part.

        Losses are believed; gains of named terms as far as the terms alone foresee held-out
        answers, and those of learned features not at all.
        """
        paid = self._folded(paid)
        first = int((self.active < len(self.aspects)).sum())
        if first == paid.shape[-1]:
            return paid
        known = self._known(paid)
        total, limit = paid[..., first:].cumsum(-2), known.limit[first:]
        more = (total - limit).clamp(min=0) * known.believed[first:]
        total = torch.minimum(total, limit) + more
        return torch.cat([paid[..., :first], increments(total.mT).mT], dim=-1)

    def member_scores(self, episodes: Sequence[Episode]) -> Tensor:
        """[M, B] scores under each posterior draw [log-odds]."""
        self._require_fit()
        return (self.draws @ self._totals(episodes, self.terms).T) * self.temperature

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
            interval, None where held-out answers follow something else), `probability` that it
            matters, `share` of the ranked episodes' spread that it explains.

        """
        self._require_fit()
        assert self.posterior is not None
        generator = torch.Generator().manual_seed(self.config.seed)
        natural = self.posterior.sample(_EXPLAIN_DRAWS, generator)[:, :-1] / self.scale
        natural = natural / self._spread(natural)[:, None].clamp(min=1e-9)
        importance = (self.weights * self.scale).abs()
        named = torch.tensor([not term.learned for term in self.terms])
        terms = [term for term in self.terms if not term.learned]
        chances, draws, share = (
            self.posterior.inclusion()[named],
            natural[:, named],
            importance[named],
        )
        if bool((natural[:, ~named] != 0).any()):
            # The learned features together, by the difference that they usually make.
            terms.append(Term(LEARNED))
            usual = self._spread(natural * ~named)[:, None]
            draws = torch.cat([draws, usual], dim=1)
            chances = torch.cat([chances, chances.new_tensor([self.beyond])])
            share = torch.cat([share, self._spread((self.weights * ~named)[None])])
        described = self.beyond < MOSTLY_BEYOND
        return value_rows(terms, len(self.aspects), chances, draws, share, described=described)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready settings and findings."""
        return super().to_dict() | {
            "config": dataclasses.asdict(self.config),
            "warnings": list(self.warnings),
            "trust": self.trust,
            "beyond": self.beyond,
        }
