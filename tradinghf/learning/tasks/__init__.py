"""Any Gymnasium task, learned from rankings of fragments of its episodes.

Features are observations and actions; nothing here knows about trading. `RLHF` is this where its
environment has no market; and the reward learner and the loop can be compared with other people's
work on the tasks that they publish.
"""

from __future__ import annotations

from tradinghf.learning.tasks._agents import Agent, agent_of
from tradinghf.learning.tasks._config import TaskConfig
from tradinghf.learning.tasks._env import TaskEnv
from tradinghf.learning.tasks._fragments import Fragments
from tradinghf.learning.tasks._loop import TaskRLHF
from tradinghf.learning.tasks._network import NetworkReward
from tradinghf.learning.tasks._paid import PaidEnv
from tradinghf.learning.tasks._paying import PayingEnv
from tradinghf.learning.tasks._preferences import Preferences
from tradinghf.learning.tasks._reward import TaskReward, TaskRewardConfig
from tradinghf.learning.tasks._teacher import Teacher

__all__ = [
    "Agent",
    "Fragments",
    "NetworkReward",
    "PaidEnv",
    "PayingEnv",
    "Preferences",
    "TaskConfig",
    "TaskEnv",
    "TaskRLHF",
    "TaskReward",
    "TaskRewardConfig",
    "Teacher",
    "agent_of",
]
