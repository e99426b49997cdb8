"""Everything the dashboard computes: payloads, answers, access, jobs. No torch, no vectorbt."""

from __future__ import annotations

from tradinghf.serving._access import ROLES, Identity, SessionTokens, load_secret
from tradinghf.serving._accounts import UserAccounts
from tradinghf.serving._dashboard import current_dashboard
from tradinghf.serving._jobs import BackgroundJob, BackgroundJobs
from tradinghf.serving._notebook import Ballot, panels
from tradinghf.serving._reward_runs import RewardRun, reward_runs
from tradinghf.serving._runs import (
    BAR_REWARDS_FILE,
    METRICS_FILE,
    REWARD_FILE,
    RunFolder,
    list_runs,
)
from tradinghf.serving._server import app_arguments, serve
from tradinghf.serving._settings import DashboardSettings, SignInMode
from tradinghf.serving._source_names import SOURCE_KINDS, source_label
from tradinghf.serving._uploads import Uploads

__all__ = [
    "BAR_REWARDS_FILE",
    "METRICS_FILE",
    "REWARD_FILE",
    "ROLES",
    "SOURCE_KINDS",
    "BackgroundJob",
    "BackgroundJobs",
    "Ballot",
    "DashboardSettings",
    "Identity",
    "RewardRun",
    "RunFolder",
    "SessionTokens",
    "SignInMode",
    "Uploads",
    "UserAccounts",
    "app_arguments",
    "current_dashboard",
    "list_runs",
    "load_secret",
    "panels",
    "reward_runs",
    "serve",
    "source_label",
]
