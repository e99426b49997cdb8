"""From scores of assets to weights within a portfolio's limits: the functions of `Allocation`.

All of them take and return [N, A] tensors; NaN is an asset without a wish of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tradinghf.config import Allocation
from tradinghf.simulation._ledger import sum_assets

SHARPNESS = 5.0  # of the softmax: scores of +1 and -1 differ by a factor of e^10
ROUNDING = 1e-6  # relative, of what counts as above a limit


def chosen(scores: Tensor, listed: Tensor, rules: Allocation) -> Tensor:
    """[N, A] bool: the listed assets with the best scores, as many as may be held.

    Where shorts are possible, the best are those farthest from 0, or from the mean of a
    dollar-neutral book; equal scores go to the first assets.
    """
    if not rules.names or rules.names >= scores.shape[1]:
        return listed
    best = scores if rules.mapping == "softmax" else scores.abs()
    order = best.masked_fill(~listed, -torch.inf).argsort(dim=1, descending=True, stable=True)
    first = torch.zeros_like(listed).scatter_(1, order[:, : rules.names], True)
    return first & listed


def allocate(scores: Tensor, listed: Tensor, rules: Allocation, leverage: float) -> Tensor:
    """Weights of scores before the gross cap; 0 where an asset is not listed or not chosen.

    Args:
        scores: NaN is no order.
        listed: bool, assets that may be held now.
        rules: of the portfolio.
        leverage: that "softmax" shares out.

    """
    none, known = scores.isnan(), scores.nan_to_num(0.0)
    if rules.mapping == "softmax":
        held = chosen(known, listed, rules)
        worth = (SHARPNESS * known).exp() * held
        cash = held.sum(1, keepdim=True)
        weights = leverage * worth / (worth.sum(1, keepdim=True) + cash).clamp_min(1e-12)
    else:
        if rules.net == 0:
            known = _centred(known, listed & ~none)
        held = chosen(known, listed, rules)
        if rules.net == 0 and rules.names:
            known = _centred(known, held & ~none)
        weights = known * held
    return within_limits(weights, rules).masked_fill(none & listed, torch.nan)


def within_limits(weights: Tensor, rules: Allocation) -> Tensor:
    """Weights within the limits of one asset and of net exposure; NaN counts as 0 and stays."""
    if rules.most:
        weights = weights.clamp(-rules.most, rules.most)
    if rules.net is None:
        return weights
    known = weights.nan_to_num(0.0)
    long = known.clamp(min=0).sum(1, keepdim=True)
    short = (-known).clamp(min=0).sum(1, keepdim=True)
    # Only the larger side gives way, down to what the other one and the limit leave room for.
    longs = ((short + rules.net) / long.clamp_min(1e-12)).clamp_max(1.0)
    shorts = ((long + rules.net) / short.clamp_min(1e-12)).clamp_max(1.0)
    return weights * torch.where(weights > 0, longs, shorts)


def above_cap(weights: Tensor, leverage: float) -> Tensor:
    """[N, 1] whether gross exposure is above the leverage."""
    return sum_assets(weights.abs()) > leverage * (1 + ROUNDING)


def beyond_limits(weights: Tensor, rules: Allocation, leverage: float) -> Tensor:
    """[N, 1] whether weights break a limit: gross, of one asset, or net by more than the band."""
    over = above_cap(weights, leverage)
    if rules.most:
        over = over | (weights.abs() > rules.most * (1 + ROUNDING)).any(1, keepdim=True)
    if rules.net is not None:
        room = rules.net + max(rules.band, ROUNDING)
        over = over | (weights.sum(1, keepdim=True).abs() > room)
    return over


def outside_band(wanted: Tensor, held: Tensor, rules: Allocation, leverage: float) -> Tensor:
    """Wanted weights, NaN where they are within the band around what is held.

    Positions are always closed when they should be; and where keeping what is in the band breaks
    a limit, all of the account's wishes are orders.
    """
    if not rules.band:
        return wanted
    near = ((wanted - held).abs() <= rules.band) & (wanted != 0)
    kept = torch.where(near | wanted.isnan(), held, wanted)
    broken = beyond_limits(kept, rules, leverage)
    return wanted.masked_fill(near & ~broken, torch.nan)


def _centred(scores: Tensor, which: Tensor) -> Tensor:
    """Distances of some scores from their mean; the others 0."""
    count = which.sum(1, keepdim=True).clamp_min(1)
    mean = (scores * which).sum(1, keepdim=True) / count
    return (scores - mean) * which
