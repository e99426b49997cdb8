"""Personal weights: a new trader starts from what the desk values, and may turn out to differ.

The trader is either like one of the desk's posterior components, up to a common factor (how
decidedly the trader answers) and a spread around each weight, or a person with sparse weights of
their own; the evidence of the trader's own answers decides between the two, which are equally
likely before. So a similar trader needs fewer rankings, and a dissenter is not talked over.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tradinghf.episodes import Episode
from tradinghf.feedback.types import Ranking
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.reward.aspect_head import Start
from tradinghf.learning.reward.ranked_data import teaches
from tradinghf.learning.reward.terms import Term

if TYPE_CHECKING:
    from tradinghf.learning.reward.model import RewardModel

FACTORS = (0.5, 1.0, 2.0)
SPREADS = (0.1, 0.3, 1.0)  # of a trader's weight around the desk's, as a share of it
COMPONENTS = 5


def personal_model(
    rankings: Sequence[Ranking],
    episodes: Mapping[str, Episode],
    rater: str,
    config: RewardConfig,
) -> RewardModel | None:
    """Fit one rater's model, with the others as the desk.

    Args:
        rankings: answers of everybody.
        episodes: id -> episode.
        rater: whose model it is.
        config: of both fits.

    Returns:
        The model; None where the rater has ranked nothing, or nobody else has.

    """
    from tradinghf.learning.reward.model import RewardModel

    ranked = [r for r in rankings if teaches(r)]
    own = [r for r in ranked if r.rater == rater]
    others = [r for r in ranked if r.rater != rater]
    if not own or not others:
        return None
    desk = RewardModel(config).fit(others, episodes)
    return RewardModel(config, desk=desk).fit(own, episodes)


def starts_of(desk: RewardModel, terms: Sequence[Term], scale: Tensor) -> list[Start]:
    """The desk's leading components as priors for a trader.

    Args:
        desk: fitted.
        terms: of the trader's model; the desk's are among them.
        scale: [X] units in which the trader's weights are standardised.

    Returns:
        One start for each component, factor and spread; their probabilities sum to a half.

    """
    posterior = desk.posterior
    assert posterior is not None
    place = {term: i for i, term in enumerate(terms)}
    row = torch.tensor([place[term] for term in desk.terms])
    # Standardised differently: a weight per unit of the aspect is what the two have in common.
    convert = scale[row] / desk.scale
    leading = posterior.log_weight.topk(min(COMPONENTS, len(posterior.log_weight)))
    log_weight = leading.values.log_softmax(0) + math.log(0.5 / (len(FACTORS) * len(SPREADS)))
    found = []
    for weight, component in zip(log_weight.tolist(), leading.indices.tolist(), strict=True):
        full = posterior.mean[component, :-1]
        used = full.nonzero().squeeze(-1)
        factor = posterior.scale[component][used]
        variance = factor.square().sum(-1)
        for times, spread in itertools.product(FACTORS, SPREADS):
            mean = times * full[used]
            deviation = (times**2 * variance + (spread * mean).square()).sqrt()
            found.append(
                Start(
                    tuple(row[used].tolist()),
                    mean * convert[used],
                    deviation * convert[used].abs(),
                    weight,
                )
            )
    return found
