"""Any fixed-horizon Gymnasium task, learned from rankings of fragments of its episodes.

Features are observations and actions; nothing here knows about trading. It lets the reward learner
and the loop be compared with other people's work on the tasks that they publish.
"""

from __future__ import annotations

from tradinghf.learning.tasks._env import TaskEnv
from tradinghf.learning.tasks._loop import TaskConfig, TaskRLHF
from tradinghf.learning.tasks._reward import TaskReward, TaskRewardConfig
from tradinghf.learning.tasks._teacher import Teacher

__all__ = [
    "TaskConfig",
    "TaskEnv",
    "TaskRLHF",
    "TaskReward",
    "TaskRewardConfig",
    "Teacher",
]
