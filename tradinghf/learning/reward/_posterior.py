"""What a trader values: a posterior over sparse weights of the terms.

People value a few things, and it is not known beforehand which. So every small set of terms is
a model of its own (spike and slab): each is fitted exactly, weighed by its Laplace evidence, and
all good ones are averaged (Occam's window). Profit is in every model, with a prior that more of it
is better: what the rankings do not settle, profit decides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tradinghf.learning.config import AspectConfig
from tradinghf.learning.reward._answers import Choices
from tradinghf.learning.reward._fit_progress import advance
from tradinghf.learning.reward._laplace import Mode, laplace, score_gains

Columns = tuple[int, ...]
_TWINS = 0.98  # correlation above which two terms say the same
_WORTH_HALVING = 80  # answers from which on a search also begins at what half of them say
_SURE = 4  # of the terms that promise most in a set, always tried
_KEPT = 64  # sets that are looked at again when the probability of slips changes
_SEEDS = 12  # sets that it begins at


@dataclass(frozen=True, eq=False)
class TermPosterior:
    """A mixture of Gaussians over standardised weights, one component per set of terms.

    Attributes:
        columns: [Q] the terms that any component uses, as columns of the choices; the plain
            aspects come first, all of them, profit first of all.
        log_weight: [G] normalised log posterior probability of each component.
        mean: [G, Q+1] MAP weights; the last column is the tie parameter.
        scale: [G, Q+1, Q+1] Cholesky factors of the posterior covariances (zero where unused).
        evidence: log of how much better than chance the rankings are explained [nats]; negative
            when chance explains them better.
        noise: probability of a slip that explains the rankings best.

    """

    columns: Tensor
    log_weight: Tensor
    mean: Tensor
    scale: Tensor
    evidence: float
    noise: float

    def expected(self) -> Tensor:
        """[Q+1] posterior mean weights."""
        return self.log_weight.exp() @ self.mean

    def inclusion(self) -> Tensor:
        """[Q] probability that the trader values each term at all."""
        return self.log_weight.exp() @ (self.mean[:, :-1] != 0).to(self.mean)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """[count, Q+1] draws of the weights."""
        pick = torch.multinomial(self.log_weight.exp(), count, True, generator=generator)
        noise = torch.randn(count, self.mean.shape[1], generator=generator, dtype=self.mean.dtype)
        return self.mean[pick] + (self.scale[pick] @ noise[..., None]).squeeze(-1)


@dataclass(frozen=True, eq=False)
class DeskPrior:
    """Weights that other traders have, as a prior for one more trader.

    Attributes:
        columns: terms that are used, profit first.
        mean, deviation: [d] Gaussian prior of their standardised weights.
        log_prior: log probability that this trader is like that.

    """

    columns: Columns
    mean: Tensor
    deviation: Tensor
    log_prior: float


@dataclass(frozen=True, eq=False)
class WidePrior:
    """Features that are all used together, beside the few terms of a model.

    Attributes:
        columns: of the features.
        deviation: [D] prior standard deviation of their weights, for a prior scale of 1.
        chance: probability that a taste needs them.

    """

    columns: Columns
    deviation: Tensor
    chance: float


def fit_term_posterior(
    choices: Choices,
    chance: Tensor,
    plain: int,
    config: AspectConfig,
    desk: Sequence[DeskPrior] = (),
    wide: WidePrior | None = None,
) -> TermPosterior:
    """Search the sparse models that explain the choices, and average them.

    All sets of one plain aspect are fitted, of two where the choices are few, and those that lead
    on half of the answers. The best models are then grown: by the terms (aspects or others) with
    the highest score statistic, shrunk by one term, and their terms are exchanged for similar
    ones, until nothing better is found.

    Args:
        choices: with X+1 standardised features, plain aspects first (profit at 0), then other
            terms; the last one is the tie term.
        chance: [X] prior probability that a term matters; profit's is ignored.
        plain: P <= X, number of plain aspects.
        config: prior scales, size of the search, label noise.
        desk: further models, with the desk's weights as their prior.
        wide: features that the leading models are also fitted with.

    Returns:
        The posterior; `log_weight` sums to one.
    Source: Laplace evidence, MacKay 1992 (Neural Comput. 4); averaging over the models found by a
    greedy search, Madigan & Raftery 1994 (J. Am. Stat. Assoc. 89).

    """
    search = _searched(choices, chance.double(), plain, config)
    for prior in desk:
        search.add(prior)
    if wide is not None:
        search.widen(wide)
    return search.posterior()


def quickly(head: AspectConfig, noise: float) -> AspectConfig:
    """The same search with fewer trials, no pairs but those it grows, and one rate of slips."""
    few = replace(head, noise=(noise,), beam=2, branch=6, trials=24, exhaustive=0)
    return replace(few, rounds=min(head.rounds, 3))


def _searched(
    choices: Choices,
    chance: Tensor,
    plain: int,
    config: AspectConfig,
    fewest: int = _WORTH_HALVING,
) -> _Search:
    """A search that has ended.

    It climbs from set to set, and the more answers there are, the deeper are the valleys between
    good ones. So it also begins at what a quick search finds in half of the answers, which begins
    at half of those: what was found from few answers is not lost when there are more.
    """
    search = _Search(choices, chance, plain, config)
    pairs = min(1 + (len(choices.weight) <= config.exhaustive), config.max_terms, plain - 1)
    search.fit(
        (0, *extra)
        for size in range(pairs + 1)
        for extra in itertools.combinations(range(1, plain), size)
    )
    answers = choices.answer.unique()
    if len(answers) >= fewest:
        half = choices.some(torch.isin(choices.answer, answers[::2]))
        few = _searched(half, chance, plain, quickly(config, config.noise[0]), _WORTH_HALVING // 2)
        search.fit(few.leaders(_SEEDS))
    search.climb()
    if search.settle_noise():
        search.climb()
    return search


class _Search:
    """The models fitted so far, by their columns; each under every prior scale."""

    def __init__(self, choices: Choices, chance: Tensor, plain: int, config: AspectConfig) -> None:
        self.choices, self.plain, self.config = choices, plain, config
        self.odds = chance.log() - torch.log1p(-chance)
        self.odds[0] = 0.0
        self.noise = config.noise[0]
        self.most = max(config.max_terms, config.all_terms if len(chance) > plain else 0)
        self.found: dict[Columns, tuple[Tensor, Tensor, Tensor]] = {}
        self.expanded: set[Columns] = set()
        self.from_desk: list[tuple[Columns, Tensor, Tensor, Tensor]] = []
        self.wide: list[tuple[Columns, Tensor, Tensor, Tensor]] = []
        self.narrow = 1.0  # probability of a taste that the terms describe

    def fit(self, sets: Iterable[Columns]) -> None:
        """Fit the sets that are new; log joints [S], means [S, w], covariances [S, w, w]."""
        new = [s for s in dict.fromkeys(sets) if s not in self.found]
        if not new:
            return
        width = max(len(s) for s in new) + 1
        blank, tie = self.choices.blank, self.choices.tie
        columns = torch.tensor([[*s, tie] + [blank] * (width - len(s) - 1) for s in new])
        log_prior = torch.stack([self.odds[list(s)].sum() for s in new])
        # Batches that fit the processor's cache, whatever the number of answers.
        room = max(self.config.design // (self.choices.available.numel() * width), 1)
        parts = [
            self._under_every_scale(columns[p])
            for p in torch.arange(len(new)).split(min(room, self.config.models_per_batch))
        ]
        mean, covariance, evidence = (torch.cat(column) for column in zip(*parts, strict=True))
        rows = zip(new, evidence + log_prior[:, None], mean, covariance, strict=True)
        self.found.update({s: (e, m, c) for s, e, m, c in rows})

    def _under_every_scale(self, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Modes [N, S, w], covariances [N, S, w, w], log evidence [N, S] of sets of columns."""
        start, parts = None, []
        for spread in self.config.prior_scales:
            prior_mean = torch.zeros(columns.shape, dtype=torch.float64)
            prior_mean[:, 0] = self.config.profit_prior * spread
            precision = torch.full_like(prior_mean, spread**-2)
            precision[columns == self.choices.tie] = self.config.tie_prior_scale**-2
            fitted = laplace(
                self.choices, columns, prior_mean, precision, self.noise, self.config, start
            )
            start = fitted[0]  # modes under neighbouring scales are near each other
            parts.append(fitted)
        mean, covariance, evidence = (torch.stack(c, 1) for c in zip(*parts, strict=True))
        return mean, covariance, evidence

    def climb(self) -> None:
        """Grow until a round brings little."""
        best = -torch.inf
        for number in range(self.config.rounds):
            self.grow()
            before, best = best, self.best()
            advance((number + 1) / (2 * self.config.rounds))  # it may climb again
            if best < before + self.config.enough:
                break

    def settle_noise(self) -> bool:
        """Choose the probability of slips under which the leading models explain most.

        After a search, not before it: to the wrong terms right answers look like slips, and slips
        are not learned from.

        Returns:
            Whether it changed; then only what is worth a further search is left.

        """
        if len(self.config.noise) == 1:
            return False
        before, known = self.noise, self.leaders(_KEPT)
        trials = []
        for noise in self.config.noise:
            self.noise, self.found = noise, {}
            self.fit(known[: self.config.beam])
            trials.append((self.best(), noise))
        self.noise, self.found = max(trials)[1], {}
        self.fit(known)
        self.expanded.clear()
        return self.noise != before

    def worth(self, columns: Columns) -> float:
        """Log joint probability of a set, over the prior scales."""
        return float(self.found[columns][0].logsumexp(0))

    def best(self) -> float:
        """Log joint probability of the best set."""
        return max(self.worth(s) for s in self.found)

    def leaders(self, count: int) -> list[Columns]:
        """The best sets."""
        return sorted(self.found, key=self.worth, reverse=True)[:count]

    def grow(self) -> None:
        """Add a term to the leading sets, take one away, or exchange one."""
        ranked = self.leaders(len(self.found))
        alone = {len(s): s for s in reversed(ranked)}  # the best set of each size
        leading = dict.fromkeys([*ranked[: self.config.beam], *alone.values()])
        fresh = [s for s in leading if s not in self.expanded]
        self.expanded.update(fresh)
        smaller = {s: [tuple(c for c in s if c != out) for out in s[1:]] for s in fresh}
        self.fit(less for columns in fresh for less in smaller[columns])  # in one batch
        bases = sorted({g for s in fresh for g in (s, *smaller[s]) if len(g) <= self.most})
        gains = dict(zip(bases, self._gains(bases), strict=True))
        trials: dict[Columns, float] = {}
        sure: list[Columns] = []
        for columns in fresh:
            if len(columns) <= self.most:
                grown = self._with_one_more(columns, columns, gains)
                sure += list(grown)[:_SURE]
                trials |= grown
            for less in smaller[columns]:
                trials |= self._with_one_more(less, columns, gains)
        best = sorted(trials, key=trials.__getitem__, reverse=True)
        self.fit([*best[: self.config.trials], *sure])

    def _gains(self, sets: Sequence[Columns]) -> list[Tensor]:
        """[X] for each set: what each further term would about add to its log evidence."""
        modes = []
        for columns in sets:
            evidence, mean, covariance = self.found[columns]
            scale, width = int(evidence.argmax()), len(columns) + 1
            found = (mean[scale, :width], covariance[scale, :width, :width])
            at, spread = [*columns, self.choices.tie], self.config.prior_scales[scale]
            modes.append(Mode(torch.tensor(at), *found, spread))
        return score_gains(self.choices, modes, self.noise)

    def _with_one_more(
        self, columns: Columns, used: Columns, gains: Mapping[Columns, Tensor]
    ) -> dict[Columns, float]:
        """The set with each promising further term, no twins: about its log joint probability."""
        gain = gains[columns] + self.odds
        gain[list(used)] = -torch.inf
        picked: list[int] = []
        for column in gain.argsort(descending=True)[: 20 * self.config.branch].tolist():
            if len(picked) == self.config.branch or gain[column] < -self.config.hopeless:
                break
            if not picked or float(self.choices.likeness(column, picked).max()) < _TWINS:
                picked.append(column)
        gain = gain + self.found[columns][0].max()
        return {tuple(sorted({*columns, c})): float(gain[c]) for c in picked}

    def add(self, prior: DeskPrior) -> None:
        """Fit a model whose prior is the desk's weights."""
        columns = torch.tensor([[*prior.columns, self.choices.tie]])
        prior_mean = torch.cat([prior.mean, torch.zeros(1, dtype=torch.float64)])[None]
        precision = prior.deviation.pow(-2)
        precision = torch.cat([precision, precision.new_tensor([self.config.tie_prior_scale**-2])])
        mean, covariance, evidence = laplace(
            self.choices, columns, prior_mean, precision[None], self.noise, self.config
        )
        joint = evidence + prior.log_prior
        self.from_desk.append((prior.columns, joint[0], mean[0], covariance[0]))

    def widen(self, prior: WidePrior) -> None:
        """Fit the leading sets, and profit alone, together with the features of a wide prior."""
        self.narrow, scales = 1.0 - prior.chance, self.config.prior_scales
        sets = list(dict.fromkeys([(0,), *self.leaders(self.config.beam)]))
        width, tie = max(len(s) for s in sets), self.choices.tie
        padded = [[*s, *[self.choices.blank] * (width - len(s)), *prior.columns, tie] for s in sets]
        columns = torch.tensor(padded)
        share = self._nothing + math.log(prior.chance / len(scales))
        log_prior = torch.stack([self.odds[list(s)].sum() for s in sets]) + share
        start = None
        for spread in scales:
            mean = torch.zeros(columns.shape, dtype=torch.float64)
            mean[:, 0] = self.config.profit_prior * spread
            deviation = torch.full_like(mean, spread)
            deviation[:, width:-1] *= prior.deviation
            deviation[:, -1] = self.config.tie_prior_scale
            start, covariance, evidence = laplace(
                self.choices, columns, mean, deviation**-2, self.noise, self.config, start
            )
            for row, few in enumerate(sets):
                used = torch.tensor([*range(len(few)), *range(width, columns.shape[1])])
                found = (start[row, used], covariance[row][used[:, None], used])
                joint = evidence[row] + log_prior[row]
                self.wide.append(((*few, *prior.columns), joint, *found))

    @property
    def _nothing(self) -> float:
        """The prior's normaliser: every term left out, but for those of the set."""
        return float(torch.log1p(-self.odds.sigmoid())[1:].sum())

    def _components(self) -> list[tuple[Columns, Tensor, Tensor, Tensor]]:
        """Columns, log joint, mode and covariance of every model that was fitted."""
        own = math.log(0.5) if self.from_desk else 0.0
        share = self._nothing - math.log(len(self.config.prior_scales)) + math.log(self.narrow)
        sparse = [
            (columns, joint[scale] + share, mean[scale], covariance[scale])
            for columns, (joint, mean, covariance) in self.found.items()
            for scale in range(len(joint))
        ]
        every = [(c, joint + own, m, v) for c, joint, m, v in (*sparse, *self.wide)]
        return every + self.from_desk

    def posterior(self) -> TermPosterior:
        """The mixture of all models that could matter."""
        fitted = self._components()
        log_joint = torch.stack([joint for _, joint, _, _ in fitted])
        better = float(log_joint.logsumexp(0)) + self.choices.at_random()
        together = {columns for columns, _, _, _ in self.wide}
        wide = torch.tensor([columns in together for columns, _, _, _ in fitted])
        limit = log_joint.max().expand_as(log_joint)
        if bool(wide.any()):  # the best of either kind, whatever its evidence
            limit = torch.where(wide, log_joint[wide].max(), log_joint[~wide].max())
        keep = (log_joint > limit - self.config.drop_below).nonzero().squeeze(-1)
        kept = [fitted[i] for i in keep.tolist()]
        used = sorted({column for columns, _, _, _ in kept for column in columns})
        order = [*range(self.plain), *(c for c in used if c >= self.plain)]
        place = {column: i for i, column in enumerate(order)}
        size = len(order) + 1
        mean = torch.zeros(len(kept), size, dtype=torch.float64)
        factor = torch.zeros(len(kept), size, size, dtype=torch.float64)
        for row, (columns, _, mode, covariance) in enumerate(kept):
            at = torch.tensor([*(place[c] for c in columns), size - 1])
            width = len(at)
            mean[row, at] = mode[:width]
            factor[row, at[:, None], at[None]] = torch.linalg.cholesky(covariance[:width, :width])
        weight = log_joint[keep].log_softmax(0)
        return TermPosterior(torch.tensor(order), weight, mean, factor, better, self.noise)
