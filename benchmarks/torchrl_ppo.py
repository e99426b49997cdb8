"""PPO from torchrl's parts, on our environment: what `gpu.py` and `ppo_peers.py` compare with."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from torch import nn

from tradinghf.simulation import MarketEnv


def torchrl_loop(
    env: MarketEnv,
    length: int,
    epochs: int,
    minibatches: int,
    network: Callable[[int], nn.Module],
) -> tuple[Callable[[], None], float]:
    """One iteration of PPO, and its environment steps.

    Its ProbabilisticActor, ValueOperator, GAE and ClipPPOLoss on tensordicts; the rollout
    is a plain loop instead of one of its collectors, which copy every step.

    Args:
        env: autoreset in the same step, on any device.
        length: of a rollout.
        epochs, minibatches: of the update.
        network: from a number of outputs to a network of observations.

    Raises:
        ImportError: torchrl is not installed.

    """
    from torchrl.envs import ExplorationType
    from torchrl.modules import ProbabilisticActor, ValueOperator
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE

    # What torchrl rests on comes with it.
    tensordict, module = import_module("tensordict").TensorDict, import_module("tensordict.nn")
    count, device, levels = env.num_envs, env.device, len(env.config.levels)
    actor = ProbabilisticActor(
        module.TensorDictModule(
            network(levels).to(device), in_keys=["observation"], out_keys=["logits"]
        ),
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        return_log_prob=True,
        default_interaction_type=ExplorationType.RANDOM,
    )
    critic = ValueOperator(network(1).to(device), in_keys=["observation"])
    advantages = GAE(gamma=0.999, lmbda=0.95, value_network=critic, vectorized=True)
    loss_of = ClipPPOLoss(
        actor,
        critic,
        clip_epsilon=0.2,
        entropy_coeff=0.005,
        critic_coeff=0.25,  # of the squared error, which the others halve
        loss_critic_type="l2",
        normalize_advantage=True,
        log_explained_variance=False,
    )
    optimiser = torch.optim.Adam(
        loss_of.parameters(), lr=1e-3, eps=1e-5, fused=device.type == "cuda"
    )
    state = {"obs": env.reset(seed=0)[0]}
    size = count * length // minibatches

    def iteration() -> None:
        steps, obs = [], state["obs"]
        with torch.no_grad():
            for _ in range(length):
                now = actor(tensordict({"observation": obs}, [count]))
                obs, reward, terminated, truncated, info = env.step(now["action"])
                then = {
                    "observation": info.get("final_obs", obs),
                    "reward": reward[:, None].float(),
                    "terminated": terminated[:, None],
                    "done": (terminated | truncated)[:, None],
                }
                steps.append(now.set("next", tensordict(then, [count])))
            state["obs"] = obs
            data = torch.stack(steps, 1).contiguous()
            advantages(data)
        flat = data.exclude("next").reshape(-1)
        for _ in range(epochs):
            order = torch.randperm(count * length, device=device)
            for start in range(0, count * length, size):
                found = loss_of(flat[order[start : start + size]])
                loss = found["loss_objective"] + found["loss_critic"] + found["loss_entropy"]
                loss.backward()
                nn.utils.clip_grad_norm_(loss_of.parameters(), 0.5)
                optimiser.step()
                optimiser.zero_grad()

    return iteration, float(length * count)
