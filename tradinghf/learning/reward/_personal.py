"""What the desk values, as a prior for one trader's weights.

The trader is either like one of the desk's models, up to a common factor (how decidedly the trader
answers) and a spread around each weight, or a person with sparse weights of their own. The trader's
own answers decide between the two, which are equally likely before them. So a trader who resembles
the desk needs fewer rankings, and one who does not is still learned.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tradinghf.learning.reward._posterior import DeskPrior, TermPosterior

_FACTORS = (0.5, 1.0, 2.0)
_SPREADS = (0.1, 0.3, 1.0)  # of a trader's weight around the desk's, as a share of it
_COMPONENTS = 5


def desk_priors(desk: TermPosterior, columns: Sequence[int], convert: Tensor) -> list[DeskPrior]:
    """The desk's leading components as priors for a trader.

    Args:
        desk: fitted to the others' answers, with Q terms.
        columns: [Q] the desk's terms among the trader's.
        convert: [Q] a weight in the trader's units per weight in the desk's.

    Returns:
        One prior for each component, factor and spread; their probabilities sum to a half.

    """
    row = torch.tensor(columns)
    leading = desk.log_weight.topk(min(_COMPONENTS, len(desk.log_weight)))
    share = math.log(0.5 / (len(_FACTORS) * len(_SPREADS)))
    log_weight = leading.values.log_softmax(0) + share
    found = []
    for weight, component in zip(log_weight.tolist(), leading.indices.tolist(), strict=True):
        full = desk.mean[component, :-1]
        used = full.nonzero().squeeze(-1)
        variance = desk.scale[component][used].square().sum(-1)
        for factor, spread in itertools.product(_FACTORS, _SPREADS):
            mean = factor * full[used]
            deviation = (factor**2 * variance + (spread * mean).square()).sqrt()
            found.append(
                DeskPrior(
                    tuple(row[used].tolist()),
                    mean * convert[used],
                    deviation * convert[used].abs(),
                    weight,
                )
            )
    return found
