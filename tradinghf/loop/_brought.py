"""Agents of other libraries as the learner of `RLHF` on a market."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tradinghf.errors import CheckpointError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic, frozen
from tradinghf.learning.ppo import PPO, Callback, Metrics, Stream
from tradinghf.learning.tasks import Agent
from tradinghf.loop._paid_market import PaidMarket, arrays
from tradinghf.simulation import MarketEnv


class BroughtNetwork(nn.Module):
    """What an agent does, in the place of our policies' network.

    Args:
        acting: `predict` of Stable-Baselines3's policies, `act`, or a function, from observations
            [N, ..] as arrays.
        shown: observations that tell agents without weights apart.

    """

    def __init__(self, acting: Any, shown: Any) -> None:
        super().__init__()
        self.acting, self._shown = acting, shown

    def act(self, obs: Any, deterministic: bool = True, uniform: Tensor | None = None) -> Tensor:
        """[N] or [N, A] actions; those that are drawn follow `uniform` where given."""
        device = obs.device if isinstance(obs, Tensor) else "cpu"
        shown = arrays(obs)
        predict = getattr(self.acting, "predict", None)
        if predict is None:
            found = getattr(self.acting, "act", self.acting)(shown)
        else:
            with torch.random.fork_rng(devices=[], enabled=uniform is not None):
                if uniform is not None:
                    torch.manual_seed(int(uniform.double().sum() * 1e6))
                found = predict(shown, deterministic=deterministic)[0]
        return torch.as_tensor(np.asarray(found), device=device)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The agent's weights; of an agent without any, what it does in some observations."""
        weights = super().state_dict(*args, **kwargs)
        return weights or {"actions": self.act(self._shown)}


class BroughtAgent:
    """An agent of another library, in the place of `PPO`: paid the same streams in one sum.

    It keeps its own settings, schedule and number of environments. An iteration is, as of ours,
    one episode in every environment of the task; agents may overshoot it by a rollout of theirs.

    Args:
        agent: who learns.
        env: the task.
        streams: what steps are paid.
        seed: of everything random.

    Attributes:
        market: where the agent trains.
        iteration: of the loop, done.
        callbacks: as of `PPO`: called with the learner and its metrics; False ends the training.
        stopped: one of them ended it.

    """

    def __init__(
        self, agent: Agent, env: MarketEnv, streams: Mapping[str, Stream], seed: int
    ) -> None:
        self.agent, self.env, self.streams, self.seed = agent, env, streams, seed
        self.config = PPOConfig(learning_rate=1e-3, final_learning_rate=1e-3, entropy=0.0)
        count = getattr(agent, "num_envs", None) or env.num_envs
        # Whoever lets a policy trade shows it flat observations.
        task = replace(env.config, observation="flat")
        market = env.like(num_envs=count, config=task)
        self.market = PaidMarket(market, streams, seed)
        self._shown = arrays(market.like(num_envs=64).reset(seed=seed)[0])
        self.iteration = 0
        self.callbacks: list[Callback] = []
        self.stopped = False
        self._paid_anew = True
        agent.begin(self.market, seed)

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration, L·N."""
        return self.env.config.horizon * self.env.num_envs

    @property
    def network(self) -> BroughtNetwork:
        """What the agent does now; for good, where it has `snapshot`."""
        take = getattr(self.agent, "snapshot", None)
        return BroughtNetwork(self.agent if take is None else take(), self._shown)

    def weigh(self, stream: str, weight: float) -> None:
        """Change the weight of a reward stream, which was fitted again."""
        self.market.weights[stream] = weight
        self._paid_anew = True

    def train(
        self,
        iterations: int,
        *,
        total: int | None = None,
        after: Callable[[Any, Metrics], None] | None = None,
    ) -> list[Metrics]:
        """Train for about so many iterations at once; not once a callback has ended it.

        Raises:
            ConfigError: the agent took no steps in its environment.

        """
        if self.stopped:
            return []
        if self._paid_anew:
            self.market.measure()
            if self.market.steps and hasattr(self.agent, "reward_changed"):
                self.agent.reward_changed(self.market)
            self._paid_anew = False
        self.iteration += iterations
        market, before = self.market, dict(self.market.earned)
        ended = market.episodes
        market.teach(self.agent, self.iteration * self.steps_per_iteration)
        count = max(market.episodes - ended, 1)
        metrics = {"step": float(self.iteration * self.steps_per_iteration)}
        metrics |= {f"reward/{k}": (v - before[k]) / count for k, v in market.earned.items()}
        told = [*self.callbacks, *([] if after is None else [after])]
        answers = [tell(self, metrics) for tell in told]
        self.stopped = any(isinstance(one, bool | np.bool_) and not one for one in answers)
        return [metrics]

    def state(self) -> dict[str, Any]:
        """What `restore` goes back to; empty where the agent cannot."""
        state = getattr(self.agent, "state", None)
        return {} if state is None else {"agent": state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Undo what was learned since `state()`, where the agent can."""
        if "agent" in state:
            restore: Any = getattr(self.agent, "restore")  # noqa: B009
            restore(state["agent"])


def kept(learner: Any) -> Any:
    """A copy of a learner's policy that no training changes."""
    network = learner.network
    return frozen(network) if isinstance(network, ActorCritic) else network


def resumable(learner: PPO | BroughtAgent) -> PPO:
    """The learner, if checkpoints hold it: other libraries' agents are saved by their own means.

    Raises:
        CheckpointError: they do not.

    """
    if isinstance(learner, PPO):
        return learner
    raise CheckpointError(
        f"A training of {type(learner.agent).__name__} cannot be resumed from checkpoints, "
        "which hold only tradinghf's own PPO; save the agent by its library's own means, and "
        "give it to a new RLHF with the same store."
    )
