"""PPO on one reward alone, as a yardstick: stopped and killed runs of it continue."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tradinghf.episodes import EpisodeBatch, Floats
from tradinghf.learning.policy.networks import ActorCritic, frozen
from tradinghf.learning.policy.saved import Policy
from tradinghf.learning.ppo.rollout import RewardStream
from tradinghf.learning.ppo.trainer import PPO, Metrics, Stream
from tradinghf.learning.runs.checkpoints import RunDirectory, understood
from tradinghf.learning.runs.stopping import asked, held, stop
from tradinghf.loop.collect import best_network
from tradinghf.loop.questions import env_like
from tradinghf.loop.rlhf import VALIDATION_EPISODES, Progress
from tradinghf.simulation.env import MarketEnv

if TYPE_CHECKING:
    from tradinghf.loop.experiment import Experiment, Split

CANDIDATES = 16


class _Training:
    """One baseline on its way: the learner, its candidates, and where they are kept."""

    def __init__(
        self,
        experiment: Experiment,
        env: MarketEnv,
        stream: RewardStream,
        name: str,
        progress: Progress,
        run: RunDirectory | None,
    ) -> None:
        self.loop, self.name, self.progress, self.run = experiment.loop, name, progress, run
        self.agent = PPO(env, {name: Stream(stream)}, config=self.loop.ppo, seed=experiment.seed)
        self.iterations = math.ceil(self.loop.steps / self.agent.steps_per_iteration)
        self.every = max(self.iterations // CANDIDATES, 1)
        self.candidates: list[ActorCritic] = []
        self.saved = self.began = time.monotonic()

    def train(self, resume: bool) -> None:
        """To the end, from where an earlier run was left if that is wanted."""
        with self.run.lock() if self.run is not None else contextlib.nullcontext():
            if self.run is not None:
                if resume:
                    self._continue(self.run)
                if self.agent.iteration == 0:
                    self.run.start_over()
            with held():
                ahead = self.iterations - self.agent.iteration
                self.agent.train(ahead, total=self.iterations, after=self._after)

    def _continue(self, run: RunDirectory) -> None:
        found = run.latest()
        if found is None:
            return
        with understood(f"{run.path}, checkpoint {found[0]}"):
            self.agent.restore(found[1]["agent"])
            for weights in found[1]["candidates"]:
                network = frozen(self.agent.network)
                network.load_state_dict(weights)
                self.candidates.append(network)
        run.trim_metrics(self.agent.iteration * self.agent.steps_per_iteration)

    def _after(self, agent: PPO, metrics: Metrics) -> None:
        now = time.monotonic()
        metrics["steps_per_s"] = agent.steps_per_iteration / max(now - self.began, 1e-9)
        self.began = now
        self.progress(f"baseline {self.name}", int(metrics["step"]), self.loop.steps, metrics)
        if agent.iteration % self.every == 0:
            self.candidates.append(frozen(agent.network))
        if self.run is not None:
            self.run.log(metrics)
            due = now - self.saved > self.loop.checkpoint_seconds
            if due or asked() or agent.iteration == self.iterations:
                self.run.save(agent.iteration, self._state())
                self.saved = now
        if asked():
            stop(agent.iteration, self.run)

    def _state(self) -> dict[str, Any]:
        weights = [network.state_dict() for network in self.candidates]
        return {"agent": self.agent.state(), "candidates": weights}


def train_baseline(
    experiment: Experiment,
    split: Split,
    stream: RewardStream,
    worth: Callable[[EpisodeBatch], Floats],
    name: str,
    progress: Progress,
    run: RunDirectory | None = None,
    resume: bool = False,
) -> Policy:
    """PPO on one reward, with the same environment, settings and steps as the RLHF policy.

    Args:
        experiment: settings.
        split: bars; the candidate with the highest mean `worth` in validation is kept.
        stream: what PPO is paid by.
        worth: [B] of B episodes.
        name: of the baseline.
        progress: called with (phase, done, total, metrics).
        run: for checkpoints and metrics; nothing is written when not given.
        resume: continue from the newest checkpoint of `run`, if there is one.

    Raises:
        CheckpointError: another process writes to `run`, or its checkpoint is of another task.
        Stopped: a signal came within `stopping.stoppable`; a checkpoint was written.

    """
    env = MarketEnv(
        split.train, num_envs=experiment.envs, config=experiment.env, costs=experiment.costs
    )
    training = _Training(experiment, env, stream, name, progress, run)
    training.train(resume)
    network = training.agent.network
    assert network is not None
    if split.validation is not None:
        calm = env_like(env, split.validation, VALIDATION_EPISODES)
        best, _ = best_network(training.candidates, calm, [(1.0, worth)], experiment.seed)
        network.load_state_dict(training.candidates[best].state_dict())
    return Policy(network, experiment.env, env.scaler, f"ppo_{name}")


__all__ = ["train_baseline"]
