"""What a reward model says aloud about the answers that it learned from."""

from __future__ import annotations

import warnings

from tradinghf.learning.reward._answers import AnswerTable, Choices
from tradinghf.learning.reward._posterior import TermPosterior
from tradinghf.learning.reward._protocol import share_explained

_ENOUGH_TO_JUDGE = 5
MOSTLY_BEYOND = 0.5  # weight of the learned features from which the terms are not to be trusted


def answers_explained(choices: Choices, posterior: TermPosterior, foreseen: float | None) -> float:
    """`share_explained` of held-out answers where there are any, else by the evidence.

    Args:
        choices: with the terms of the posterior.
        posterior: fitted to them.
        foreseen: log-likelihood of the answers when held out.

    """
    ties_only = posterior.expected() * 0.0
    ties_only[-1] = posterior.expected()[-1]
    by_chance = float((choices.weight * choices.log_likelihood(ties_only)).sum())
    by_evidence = posterior.evidence - choices.at_random()
    return share_explained(by_evidence if foreseen is None else foreseen, by_chance)


def cautions(
    table: AnswerTable, evidence: float, foreseen: float | None, beyond: float
) -> tuple[str, ...]:
    """Say in words when the answers cannot teach much, or not in words.

    Args:
        table: the answers.
        evidence: of the posterior.
        foreseen: share explained of answers held out, where some were; it goes before the
            evidence, for what calls unseen answers right is better than chance.
        beyond: weight of the models that need the learned features.

    """
    found = []
    top = table.ranks.masked_fill(~table.compared, 0).amax(-1)
    if bool(table.ordered.any()) and bool((top <= 1).all()):
        found.append(
            "Every ranking ties all of its episodes: nothing can be learned about what is "
            "preferred, and the reward stays with profit."
        )
    elif (evidence if foreseen is None else foreseen) <= 0 and len(table.ranks) >= _ENOUGH_TO_JUDGE:
        found.append(
            f"The {len(table.ranks)} rankings are explained no better than chance: they contradict "
            "each other, or value something that no aspect describes. Rank more episodes, and "
            "check the raters' consistency."
        )
    for text in found:
        warnings.warn(text, stacklevel=3)
    if beyond >= MOSTLY_BEYOND:
        found.append(
            f"What no aspect describes foresees held-out answers better ({100 * beyond:.0f} % of "
            "the weight): read the thresholds and conditions below as a part of the story."
        )
    return tuple(found)
