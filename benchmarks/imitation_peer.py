"""Preference comparisons of `imitation` 1.0.1 with its documented settings, one run per call.

`imitation` pins Gymnasium below 1.0, so it lives in an environment of its own and this script is
run by that environment's Python (benchmarks/gymnasium_tasks.py does so with --imitation):

    python3.11 -m venv DIR && DIR/bin/pip install imitation==1.0.1 "setuptools<81" mujoco
    DIR/bin/python benchmarks/imitation_peer.py Pendulum-v1 --comparisons 200 --seed 0

Settings are those of the algorithm's page in its documentation (tuned there on Pendulum-v1), with
the number of iterations that the page recommends "for better performance" as far as there are
comparisons for them, and an oracle without noise. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib import import_module, metadata
from typing import Any

import numpy as np

BATCH = 2048  # steps between updates of the agent, as documented
MAX_ITERATIONS = 60  # "Set to 60 for better performance"
PER_ITERATION = 3  # fewer comparisons than this per iteration are not spread thinner


def schedule(comparisons: int, steps: int) -> tuple[int, int]:
    """Iterations, and steps to ask for; the library trains once more than it has iterations."""
    iterations = max(min(MAX_ITERATIONS, comparisons // PER_ITERATION), 1)
    each = max(round(steps / (iterations + 1) / BATCH), 1) * BATCH
    return iterations, each * iterations


def make_agent(venv: Any, seed: int) -> Any:
    """PPO of Stable-Baselines3 with the documented settings."""
    base = import_module("imitation.policies.base")
    return import_module("stable_baselines3").PPO(
        policy=base.FeedForward32Policy,
        policy_kwargs={
            "features_extractor_class": base.NormalizeFeaturesExtractor,
            "features_extractor_kwargs": {
                "normalize_class": import_module("imitation.util.networks").RunningNorm
            },
        },
        env=venv,
        n_steps=BATCH // venv.num_envs,
        clip_range=0.1,
        ent_coef=0.01,
        gae_lambda=0.95,
        n_epochs=10,
        gamma=0.97,
        learning_rate=2e-3,
        seed=seed,
        device="cpu",
    )


def learn(venv: Any, agent: Any, options: argparse.Namespace, rng: Any) -> None:
    """Train the agent on a reward learned from comparisons."""
    pc = import_module("imitation.algorithms.preference_comparisons")
    reward = import_module("imitation.rewards.reward_nets").BasicRewardNet(
        venv.observation_space,
        venv.action_space,
        normalize_input_layer=import_module("imitation.util.networks").RunningNorm,
    )
    iterations, steps = schedule(options.comparisons, options.steps)
    pc.PreferenceComparisons(
        pc.AgentTrainer(
            algorithm=agent, reward_fn=reward, venv=venv, exploration_frac=0.05, rng=rng
        ),
        reward,
        num_iterations=iterations,
        fragmenter=pc.RandomFragmenter(warning_threshold=0, rng=rng),
        preference_gatherer=pc.SyntheticGatherer(rng=rng, temperature=0),
        reward_trainer=pc.BasicRewardTrainer(
            preference_model=pc.PreferenceModel(reward),
            loss=pc.CrossEntropyRewardLoss(),
            epochs=10,
            rng=rng,
        ),
        fragment_length=options.fragment,
        initial_epoch_multiplier=4,
        initial_comparison_frac=0.1,
        query_schedule="hyperbolic",
    ).train(total_timesteps=steps, total_comparisons=options.comparisons)


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("--comparisons", type=int, default=200, help="0 trains on the true reward")
    parser.add_argument("--fragment", type=int, default=100)
    parser.add_argument("--steps", type=int, default=122_880)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    began = time.process_time()
    torch = import_module("torch")
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    make = import_module("imitation.util.util").make_vec_env
    venv = make(options.task, rng=rng)
    agent = make_agent(venv, options.seed)
    if options.comparisons:
        learn(venv, agent, options, rng)
    else:
        agent.learn(options.steps)
    evaluate = import_module("stable_baselines3.common.evaluation").evaluate_policy
    fresh = make(options.task, rng=np.random.default_rng(1_000_000 + options.seed))
    mean, spread = evaluate(agent.policy, fresh, options.episodes)
    packages = ("imitation", "stable-baselines3", "gymnasium", "torch", "numpy")
    found = {
        "task": options.task,
        "comparisons": options.comparisons,
        "fragment": options.fragment,
        "seed": options.seed,
        "steps": agent.num_timesteps,
        "return": round(float(mean), 3),
        "spread": round(float(spread), 3),
        "cpu_seconds": round(time.process_time() - began, 1),
        "versions": {name: metadata.version(name) for name in packages},
    }
    print("RESULT " + json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
