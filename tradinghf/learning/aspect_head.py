"""What a trader values: a posterior over sparse weights of the aspects.

People value a few things, and it is not known beforehand which. So every small set of terms is
a model of its own (spike and slab): each is fitted exactly, weighed by its Laplace evidence, and
all good ones are averaged (Occam's window). Profit is in every model, with a prior that more of it
is better: what the rankings do not settle, profit decides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.learning.choices import Choices
from tradinghf.learning.config import AspectConfig
from tradinghf.learning.laplace import Design, laplace, score_gain

Columns = tuple[int, ...]
TWINS = 0.98  # correlation above which two terms say the same


@dataclass(frozen=True, eq=False)
class AspectPosterior:
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


def fit_aspect_posterior(
    choices: Choices, chance: Tensor, aspects: int, config: AspectConfig
) -> AspectPosterior:
    """Search the sparse models that explain the choices, and average them.

    All sets of one or two plain aspects are fitted. The best models are then grown: by the terms
    (aspects or others) with the highest score statistic, shrunk by one term, and their terms are
    exchanged for similar ones, until nothing better is found.

    Args:
        choices: with X+1 standardised features, plain aspects first (profit at 0), then other
            terms; the last one is the tie term.
        chance: [X] prior probability that a term matters; profit's is ignored.
        aspects: P <= X, number of plain aspects.
        config: prior scales, size of the search, label noise.

    Returns:
        The posterior; `log_weight` sums to one.
    Source: Laplace evidence, MacKay 1992 (Neural Comput. 4); averaging over the models found by a
    greedy search, Madigan & Raftery 1994 (J. Am. Stat. Assoc. 89).

    """
    search = _Search(Design.of(choices), chance.double(), aspects, config)
    pairs = min(2, config.max_terms, aspects - 1)
    search.fit(
        (0, *extra)
        for size in range(pairs + 1)
        for extra in itertools.combinations(range(1, aspects), size)
    )
    search.settle_noise()
    best = -torch.inf
    for _ in range(config.rounds):
        search.grow()
        now = search.best()
        if now < best + config.enough:
            break
        best = now
    return search.posterior()


class _Search:
    """The models fitted so far, by their columns; each under every prior scale."""

    def __init__(self, design: Design, chance: Tensor, aspects: int, config: AspectConfig) -> None:
        self.design, self.aspects, self.config = design, aspects, config
        self.odds = chance.log() - torch.log1p(-chance)
        self.odds[0] = 0.0
        self.noise = config.noise[0]
        self.terms = (
            max(config.max_terms, config.all_terms) if len(chance) > aspects else (config.max_terms)
        )
        self.found: dict[Columns, tuple[Tensor, Tensor, Tensor]] = {}
        self.expanded: set[Columns] = set()

    def fit(self, sets: Iterable[Columns]) -> None:
        """Fit the sets that are new; log joints [S], means [S, w], covariances [S, w, w]."""
        new = [s for s in dict.fromkeys(sets) if s not in self.found]
        if not new:
            return
        scales = self.config.prior_scales
        width = max(len(s) for s in new) + 1
        blank, tie = self.design.blank, self.design.tie
        columns = torch.tensor(
            [[*s, tie] + [blank] * (width - len(s) - 1) for s in new for _ in scales]
        )
        spread = torch.tensor(scales, dtype=torch.float64).repeat(len(new))
        prior_mean = torch.zeros(len(columns), width, dtype=torch.float64)
        prior_mean[:, 0] = self.config.profit_prior * spread
        precision = spread[:, None].pow(-2).expand(-1, width).clone()
        precision[columns == tie] = self.config.tie_prior_scale**-2
        log_prior = torch.stack([self.odds[list(s)].sum() for s in new])
        parts = [
            laplace(self.design, columns[p], prior_mean[p], precision[p], self.noise, self.config)
            for p in torch.arange(len(columns)).split(self.config.models_per_batch)
        ]
        mean, covariance, evidence = (torch.cat(column) for column in zip(*parts, strict=True))
        rows = zip(
            new,
            evidence.unflatten(0, (-1, len(scales))) + log_prior[:, None],
            mean.unflatten(0, (-1, len(scales))),
            covariance.unflatten(0, (-1, len(scales))),
            strict=True,
        )
        self.found.update({s: (e, m, c) for s, e, m, c in rows})

    def settle_noise(self) -> None:
        """Choose the probability of slips under which the leading models explain most."""
        if len(self.config.noise) == 1:
            return
        leaders = self.leaders(self.config.beam)
        trials = []
        for noise in self.config.noise:
            self.noise, kept = noise, self.found
            self.found = {}
            self.fit(leaders)
            trials.append((self.best(), noise))
            self.found = kept
        self.noise = max(trials)[1]
        if self.noise != self.config.noise[0]:
            known = list(self.found)
            self.found = {}
            self.fit(known)

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
        trials: list[Columns] = []
        for columns in self.leaders(self.config.beam):
            if columns in self.expanded:
                continue
            self.expanded.add(columns)
            smaller = [tuple(c for c in columns if c != out) for out in columns[1:]]
            self.fit(smaller)
            if len(columns) <= self.terms:
                trials += self._with_one_more(columns, columns)
            for less in smaller:
                trials += self._with_one_more(less, columns)
        self.fit(trials)

    def _with_one_more(self, columns: Columns, used: Columns) -> list[Columns]:
        """The set with each of the most promising further terms, no two of them twins."""
        evidence, mean, covariance = self.found[columns]
        scale = int(evidence.argmax())
        spread = self.config.prior_scales[scale]
        width = len(columns) + 1
        gain = score_gain(
            self.design,
            torch.tensor([*columns, self.design.tie]),
            mean[scale, :width],
            covariance[scale, :width, :width],
            self.noise,
            spread,
        )
        gain = gain + self.odds
        gain[list(used)] = -torch.inf
        picked: list[int] = []
        for column in gain.argsort(descending=True)[: 20 * self.config.branch].tolist():
            if len(picked) == self.config.branch or gain[column] < -self.config.hopeless:
                break
            if not picked or float(self.design.likeness(column, picked).max()) < TWINS:
                picked.append(column)
        return [tuple(sorted({*columns, column})) for column in picked]

    def posterior(self) -> AspectPosterior:
        """The mixture of all models that could matter."""
        sets = list(self.found)
        log_joint = torch.stack([self.found[s][0] for s in sets])
        total = log_joint.flatten().logsumexp(0)
        # The prior's normaliser: every term out, but for those of the set.
        chance = self.odds.sigmoid()
        nothing = torch.log1p(-chance)[1:].sum()
        better = float(total - math.log(len(self.config.prior_scales)) + nothing)
        better += self.design.chance()
        keep = log_joint > log_joint.max() - self.config.drop_below
        index = keep.nonzero()
        used = sorted({c for row in index[:, 0].unique().tolist() for c in sets[row]})
        columns = [*range(self.aspects), *(c for c in used if c >= self.aspects)]
        place = {c: i for i, c in enumerate(columns)}
        size = len(columns) + 1
        mean = torch.zeros(len(index), size, dtype=torch.float64)
        factor = torch.zeros(len(index), size, size, dtype=torch.float64)
        for component, (row, scale) in enumerate(index.tolist()):
            at = torch.tensor([*(place[c] for c in sets[row]), size - 1])
            width = len(at)
            _, means, covariances = self.found[sets[row]]
            mean[component, at] = means[scale, :width]
            cholesky = torch.linalg.cholesky(covariances[scale, :width, :width])
            factor[component, at[:, None], at[None]] = cholesky
        return AspectPosterior(
            torch.tensor(columns),
            log_joint[keep].log_softmax(0),
            mean,
            factor,
            better,
            self.noise,
        )
