"""Everything the dashboard computes: payloads, answers, access, jobs. No torch, no vectorbt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradinghf._exports import on_first_use

if TYPE_CHECKING:
    from tradinghf.serving._access import ROLES
    from tradinghf.serving._accounts import UserAccounts
    from tradinghf.serving._asking import SAMPLES, Asking, QuestionPlan
    from tradinghf.serving._dashboard import current_dashboard
    from tradinghf.serving._jobs import BackgroundJob, BackgroundJobs
    from tradinghf.serving._notebook import Ballot, panels
    from tradinghf.serving._reward_runs import RewardRun, reward_runs
    from tradinghf.serving._runs import METRICS_FILE, RunFolder, list_runs
    from tradinghf.serving._server import app_arguments, serve
    from tradinghf.serving._settings import DashboardSettings, SignInMode
    from tradinghf.serving._source_names import SOURCE_KINDS, source_label
    from tradinghf.serving._uploads import Uploads

__all__ = [
    "METRICS_FILE",
    "ROLES",
    "SAMPLES",
    "SOURCE_KINDS",
    "Asking",
    "BackgroundJob",
    "BackgroundJobs",
    "Ballot",
    "DashboardSettings",
    "QuestionPlan",
    "RewardRun",
    "RunFolder",
    "SignInMode",
    "Uploads",
    "UserAccounts",
    "app_arguments",
    "current_dashboard",
    "list_runs",
    "panels",
    "reward_runs",
    "serve",
    "source_label",
]

__getattr__ = on_first_use(
    __name__,
    {
        "ROLES": "tradinghf.serving._access",
        "UserAccounts": "tradinghf.serving._accounts",
        "SAMPLES": "tradinghf.serving._asking",
        "Asking": "tradinghf.serving._asking",
        "QuestionPlan": "tradinghf.serving._asking",
        "current_dashboard": "tradinghf.serving._dashboard",
        "BackgroundJob": "tradinghf.serving._jobs",
        "BackgroundJobs": "tradinghf.serving._jobs",
        "Ballot": "tradinghf.serving._notebook",
        "panels": "tradinghf.serving._notebook",
        "RewardRun": "tradinghf.serving._reward_runs",
        "reward_runs": "tradinghf.serving._reward_runs",
        "METRICS_FILE": "tradinghf.serving._runs",
        "RunFolder": "tradinghf.serving._runs",
        "list_runs": "tradinghf.serving._runs",
        "app_arguments": "tradinghf.serving._server",
        "serve": "tradinghf.serving._server",
        "DashboardSettings": "tradinghf.serving._settings",
        "SignInMode": "tradinghf.serving._settings",
        "SOURCE_KINDS": "tradinghf.serving._source_names",
        "source_label": "tradinghf.serving._source_names",
        "Uploads": "tradinghf.serving._uploads",
    },
)
