"""What the aspects do not span: a small, bounded, doubtful ensemble of networks.

It was the reward hack of a prototype, so it is fenced in: bounded inputs, bounded output, admitted
only when it predicts held-out rankings better by more than chance, and paid out as the ensemble's
agreement (mean minus standard deviation in absolute value, never beyond zero).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.learning.config import ResidualConfig
from tradinghf.learning.reward._aspects import TREND_BARS
from tradinghf.learning.reward._likelihood import ranking_log_likelihood
from tradinghf.learning.reward._paths import TradePaths

FEATURES = 8


def residual_features(paths: TradePaths, scale: float) -> Tensor:
    """[B, L, 8] bounded description of each bar: position, account and market, all in [-1, 1].

    Args:
        paths: B paths.
        scale: volatility of one bar in the ranked episodes, a constant: no bar is described by
            what came later.

    """
    move = paths.close.clamp(min=1e-9).log().diff(dim=-1)
    span = scale * TREND_BARS**0.5
    in_hand, best = paths.open_profit, paths.best_open_profit
    past = torch.cat([torch.zeros_like(move[..., :TREND_BARS]), move], dim=-1).cumsum(-1)
    trend = past[..., TREND_BARS:] - past[..., : move.shape[-1]]
    progress = torch.linspace(0, 1, paths.bars, device=move.device).expand_as(move)
    columns = (
        paths.position,
        paths.drawdown[..., 1:] / span,
        in_hand / span,
        (best - in_hand) / span,
        paths.returns / scale,
        paths.position * trend / span,
        paths.turnover,
        progress,
    )
    return torch.tanh(torch.stack(columns, dim=-1))


@dataclass(frozen=True, eq=False)
class Residual:
    """M networks [8 -> hidden -> hidden -> 1], evaluated in one batch.

    Attributes:
        weights: per layer (weight [M, in, out], bias [M, 1, out]).
        bound: largest absolute value that an episode can gain.
        gain: share of it that held-out rankings pay for, 0 to 1.

    """

    weights: tuple[tuple[Tensor, Tensor], ...]
    bound: float
    gain: float

    def members(self, features: Tensor) -> Tensor:
        """[M, B, L] per-bar values of every member."""
        out: Tensor = features.flatten(0, -2)[None]
        for weight, bias in self.weights:
            out = out @ weight + bias
            out = torch.tanh(out)
        bars = features.shape[-2]
        values: Tensor = out.squeeze(-1).unflatten(1, features.shape[:-1])
        return values * (self.bound / bars)

    def agreed(self, features: Tensor) -> Tensor:
        """[B, L] what the members agree on: the mean, shrunk to zero by their spread."""
        values = self.members(features)
        mean, spread = values.mean(0), values.std(0)
        return self.gain * mean.sign() * (mean.abs() - spread).clamp(min=0)


@dataclass(frozen=True, eq=False)
class Unexplained:
    """Rankings, and the scores by which the aspects explain a part of them.

    Attributes:
        features: [R, K, L, 8] of the ranked episodes.
        scores: [R, K] in log-odds.
        ranks, mask: [R, K] the rankings.
        log_tie: scalar.

    """

    features: Tensor
    scores: Tensor
    ranks: Tensor
    mask: Tensor
    log_tie: Tensor

    def some(self, rows: Tensor) -> Unexplained:
        """The rankings whose [R] boolean entry is True."""
        features, scores = self.features[rows], self.scores[rows]
        return Unexplained(features, scores, self.ranks[rows], self.mask[rows], self.log_tie)

    def log_likelihood(self, scores: Tensor) -> Tensor:
        """[R] of the rankings, under other scores [..., R, K]."""
        tie = self.log_tie.to(scores)
        return ranking_log_likelihood(scores, self.ranks, tie, mask=self.mask)


def fit_residual(
    rankings: Unexplained, config: ResidualConfig, generator: torch.Generator
) -> Residual:
    """Fit the ensemble to what the aspects leave unexplained.

    Args:
        rankings: and what is explained of them.
        config: sizes and steps.
        generator: initial weights, bags and folds.

    Returns:
        The ensemble, its gain chosen by cross-validation over rankings; gain 0 when nothing is
        gained beyond one standard error.

    """
    count = len(rankings.ranks)
    explained = rankings.log_likelihood(rankings.scores).sum()
    choices = (rankings.mask.sum(-1) - 1).clamp(min=1).sum()
    if count < config.least_rankings or float(explained / choices) > -config.settled:
        return Residual((), 0.0, 0.0)  # too little to learn from, or nothing left to explain
    bound = config.bound * (float(rankings.scores[rankings.mask].std()) if count > 1 else 1.0)
    gained = _held_out_gains(rankings, bound, config, generator)
    mean = gained.mean(1)
    error = gained.std(1) / max(count, 1) ** 0.5
    index = int((mean - error).argmax())
    gain = config.gains[index] if float(mean[index] - error[index]) > 0 else 0.0
    weights = _train(rankings, bound, config, generator) if gain else ()
    return Residual(weights, bound, gain)


def _held_out_gains(
    rankings: Unexplained, bound: float, config: ResidualConfig, generator: torch.Generator
) -> Tensor:
    """[G, R] gain of log-likelihood of each ranking when held out, by share of the output."""
    count, size = rankings.ranks.shape
    folds = torch.randperm(count, generator=generator) % max(min(config.folds, count), 1)
    gained = torch.zeros(len(config.gains), count)
    for fold in range(config.folds) if count >= 2 * config.folds else ():
        rest, held = rankings.some(folds != fold), rankings.some(folds == fold)
        fitted = _train(rest, bound, config, generator)
        before = held.log_likelihood(held.scores)
        for index, gain in enumerate(config.gains):
            agreed = Residual(fitted, bound, gain).agreed(held.features.flatten(0, 1))
            bonus = agreed.sum(-1).unflatten(0, (-1, size))
            after = held.log_likelihood(held.scores + bonus)
            gained[index, folds == fold] = (after - before).float()
    return gained


def _train(
    rankings: Unexplained, bound: float, config: ResidualConfig, generator: torch.Generator
) -> tuple[tuple[Tensor, Tensor], ...]:
    """All members at once, each on its own bag of rankings (Bayesian bootstrap weights)."""
    members, sizes = config.members, (FEATURES, config.hidden, config.hidden, 1)
    weights = [
        (
            (torch.randn(members, i, o, generator=generator) / i**0.5).requires_grad_(),
            torch.zeros(members, 1, o).requires_grad_(),
        )
        for i, o in itertools.pairwise(sizes)
    ]
    count, size = rankings.ranks.shape
    bags = torch.empty(members, count).exponential_(generator=generator)
    bags = bags / bags.mean(1, keepdim=True)
    flat = [p for pair in weights for p in pair]
    optimiser = torch.optim.AdamW(flat, lr=config.learning_rate, weight_decay=config.weight_decay)
    rows = rankings.features.flatten(0, 1).float()
    for _ in range(config.steps):
        values = Residual(tuple(weights), bound, 1.0).members(rows).sum(-1)
        scores = rankings.scores.float() + values.unflatten(1, (-1, size))
        centring = values.square().mean() / bound**2
        loss = -(bags * rankings.log_likelihood(scores)).mean() + 0.1 * centring
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return tuple((w.detach(), b.detach()) for w, b in weights)
