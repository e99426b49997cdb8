"""PPO on one reward alone, as a yardstick: stopped and killed runs of it continue."""

from __future__ import annotations

import math

from tradinghf.learning.config import RLHFConfig
from tradinghf.learning.policy import Policy
from tradinghf.learning.ppo import PPO, RewardStream, Stream
from tradinghf.learning.runs import RunDirectory
from tradinghf.loop._collect import EpisodeScore, Progress
from tradinghf.loop._overlay import overlay_settings, start_as_base
from tradinghf.loop._training import Training
from tradinghf.market import MarketData
from tradinghf.simulation import MarketEnv

_CANDIDATES = 16


def baseline_training(
    env: MarketEnv,
    name: str,
    stream: RewardStream,
    config: RLHFConfig,
    *,
    run: RunDirectory | None = None,
    progress: Progress | None = None,
) -> tuple[Training, int]:
    """A training on one reward that has not begun, and its iterations in all.

    Args:
        env: training environment.
        name: of the baseline.
        stream: what PPO is paid by.
        config: steps, PPO's settings, seed, and time between checkpoints.
        run: for checkpoints and metrics; nothing is written when not given.
        progress: called with (phase, done, total, metrics).

    """
    ppo = overlay_settings(env, config.ppo)
    agent = start_as_base(PPO(env, {name: Stream(stream)}, config=ppo, seed=config.seed))
    training = Training(
        agent,
        f"baseline {name}",
        run=run,
        progress=progress,
        checkpoint_seconds=config.checkpoint_seconds,
    )
    return training, math.ceil(config.steps / agent.steps_per_iteration)


def train_baseline(
    env: MarketEnv,
    name: str,
    stream: RewardStream,
    config: RLHFConfig,
    *,
    validation: MarketData | None = None,
    score: EpisodeScore = lambda batch: batch.net_return,
    run: RunDirectory | None = None,
    progress: Progress | None = None,
    resume: bool = False,
) -> Policy:
    """PPO on one reward, with the same environment, settings and steps as the RLHF policy.

    Args:
        env, name, stream, config, run, progress: as for `baseline_training`.
        validation: bars on which the candidate with the highest mean `score` is chosen; None
            keeps the last network.
        score: [B] of B episodes; their returns by default.
        resume: continue from the newest checkpoint of `run`, if there is one.

    Raises:
        CheckpointError: another process writes to `run`, or its checkpoint is of another task.
        Stopped: a signal came within `stoppable`; a checkpoint was written.

    """
    training, total = baseline_training(env, name, stream, config, run=run, progress=progress)
    with training.lock():
        if resume:
            training.resume()
        if training.agent.iteration < total:
            with training.writing():
                every = max(total // _CANDIDATES, 1)
                training.train_to(total, total, range(every, total + 1, every))
                training.checkpoint()
    if validation is not None:
        training.choose(validation, [(1.0, score)], config.seed)
    return Policy.trained(training.network, env, f"ppo_{name}", validation)
