"""What traders value, learned from their answers."""

from __future__ import annotations

from tradinghf.learning.reward._answers import Choices, ended_by
from tradinghf.learning.reward._aspects import aspect
from tradinghf.learning.reward._explain import reward_figure, worst_rows
from tradinghf.learning.reward._fit_progress import watching
from tradinghf.learning.reward._held_out import cross_validate, predicted_pairs, summarise
from tradinghf.learning.reward._laplace import laplace
from tradinghf.learning.reward._likelihood import RankingLikelihood
from tradinghf.learning.reward._model import RewardModel
from tradinghf.learning.reward._paths import TradePaths
from tradinghf.learning.reward._plain import PlainReward, fresh_copy
from tradinghf.learning.reward._protocol import CalibratedReward, Reward, learned_score
from tradinghf.learning.reward._question_choice import choose_groups
from tradinghf.learning.reward._run import fit_reward_run
from tradinghf.learning.reward._score import ScoreModel, growth

__all__ = [
    "CalibratedReward",
    "Choices",
    "PlainReward",
    "RankingLikelihood",
    "Reward",
    "RewardModel",
    "ScoreModel",
    "TradePaths",
    "aspect",
    "choose_groups",
    "cross_validate",
    "ended_by",
    "fit_reward_run",
    "fresh_copy",
    "growth",
    "laplace",
    "learned_score",
    "predicted_pairs",
    "reward_figure",
    "summarise",
    "watching",
    "worst_rows",
]
