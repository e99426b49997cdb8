"""The loop: collect episodes, ask traders, learn what they value, train, and ask again."""

from __future__ import annotations

from tradinghf.loop._attained import attained, preferred
from tradinghf.loop._baselines import baseline_training, train_baseline
from tradinghf.loop._capsule import pack_run
from tradinghf.loop._collect import (
    Acting,
    Actor,
    collect,
    constant_actor,
    distinct_columns,
    env_like,
    episode_batch,
    pool_actors,
    random_actor,
    strategy_actor,
    traded,
    trading_metrics,
)
from tradinghf.loop._demonstrations import compare_demonstrations
from tradinghf.loop._experiment import (
    HIDDEN,
    TASKS,
    UNSEEN_SEED,
    Experiment,
    Split,
    long_enough,
    provenance,
    run_experiment,
    split_market,
    task_for,
)
from tradinghf.loop._gate import (
    DEPLOYMENT,
    Deployment,
    Judged,
    Watched,
    gate,
    since_deployment,
    watch,
)
from tradinghf.loop._paired import Contender, PairedTask, load_contender
from tradinghf.loop._portrait import portrait
from tradinghf.loop._questions import ask, own_actors
from tradinghf.loop._rerun import verify_capsule
from tradinghf.loop._rlhf import RLHF
from tradinghf.loop._same_run import record_settings
from tradinghf.loop._utility import fitted_reward_of, trader_utility

__all__ = [
    "DEPLOYMENT",
    "HIDDEN",
    "RLHF",
    "TASKS",
    "UNSEEN_SEED",
    "Acting",
    "Actor",
    "Contender",
    "Deployment",
    "Experiment",
    "Judged",
    "PairedTask",
    "Split",
    "Watched",
    "ask",
    "attained",
    "baseline_training",
    "collect",
    "compare_demonstrations",
    "constant_actor",
    "distinct_columns",
    "env_like",
    "episode_batch",
    "fitted_reward_of",
    "gate",
    "load_contender",
    "long_enough",
    "own_actors",
    "pack_run",
    "pool_actors",
    "portrait",
    "preferred",
    "provenance",
    "random_actor",
    "record_settings",
    "run_experiment",
    "since_deployment",
    "split_market",
    "strategy_actor",
    "task_for",
    "traded",
    "trader_utility",
    "trading_metrics",
    "train_baseline",
    "verify_capsule",
    "watch",
]
