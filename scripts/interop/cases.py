"""What is tried with each library: `python scripts/interop/cases.py LIBRARY` prints JSON.

One line per case: its name, and "" where it passed or the last line of the error. Every case runs
unmodified code of the library on our environments and fails by an exception.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from tradinghf import EnvConfig, MarketEnv
from tradinghf.simulation import torchrl_env  # registers the ids

HERE = Path(__file__).resolve().parent
MARKET = "synthetic:bars=300"
TASK: dict[str, Any] = {"market": MARKET, "horizon": 16}
DISCRETE, CONTINUOUS = "tradinghf/Market-v0", "tradinghf/MarketContinuous-v0"
PORTFOLIO = "tradinghf/Portfolio-v0"
OPTIONS = {
    DISCRETE: TASK,
    CONTINUOUS: TASK,
    PORTFOLIO: TASK | {"market": f"{MARKET},assets=3"},
}
Case = Callable[[], None]
CASES: dict[str, dict[str, Case]] = {}


def case(library: str, name: str) -> Callable[[Case], Case]:
    """Register a case under what the table calls it."""

    def register(function: Case) -> Case:
        CASES.setdefault(library, {})[name] = function
        return function

    return register


def load(module: str, name: str) -> Any:
    """Something of a library that may not be installed here."""
    return getattr(importlib.import_module(module), name)


def make(env_id: str = DISCRETE) -> Any:
    """One environment."""
    return gymnasium.make(env_id, **OPTIONS[env_id])


def make_vec(count: int = 4, env_id: str = DISCRETE, **options: Any) -> Any:
    """The native vector environment."""
    return gymnasium.make_vec(env_id, num_envs=count, **OPTIONS[env_id], **options)


# ------------------------------------------------------------------ Gymnasium


@case("gymnasium", "check_env of all three ids")
def check_gymnasium() -> None:
    """Its own checker, with render modes."""
    from gymnasium.utils.env_checker import check_env

    for env_id in OPTIONS:
        check_env(make(env_id).unwrapped)


@case("gymnasium", "make_vec: native, sync and async, the same episodes")
def vector_modes() -> None:
    """Rewards of the three ways are equal, from a seed for each environment.

    One number is made into seeds differently: Gymnasium counts up from it, so that two
    neighbouring numbers share all environments but one; the native one hashes it.
    """
    found = []
    for mode in ("vector_entry_point", "sync", "async"):
        envs = make_vec(vectorization_mode=mode)
        envs.reset(seed=[3, 4, 5, 6])
        rows = [envs.step(np.array([4, 2, 0, 1]))[1] for _ in range(20)]
        envs.close()
        found.append(np.array(rows))
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, atol=1e-6)


@case("gymnasium", "RecordEpisodeStatistics, NormalizeObservation, FlattenObservation (vector)")
def vector_wrappers() -> None:
    """Whole episodes are counted, and observations stay finite."""
    from gymnasium.wrappers import vector

    envs = vector.RecordEpisodeStatistics(make_vec())
    envs = vector.FlattenObservation(vector.NormalizeObservation(envs))
    envs.reset(seed=0)
    lengths: list[int] = []
    for _ in range(40):
        obs, *_, info = envs.step(envs.action_space.sample())
        assert np.isfinite(obs).all()
        lengths += info["episode"]["l"][info["_episode"]].tolist() if "episode" in info else []
    assert set(lengths) == {16}, lengths


@case("gymnasium", "RecordVideo, single and vector")
def videos() -> None:
    """A file of each."""
    from gymnasium.wrappers import RecordVideo, vector

    with tempfile.TemporaryDirectory() as folder:
        one = gymnasium.make(DISCRETE, render_mode="rgb_array", **TASK)
        many = make_vec(2, render_mode="rgb_array")
        envs: list[tuple[Any, Any]] = [
            (RecordVideo(one, f"{folder}/one"), 4),
            (vector.RecordVideo(many, f"{folder}/many"), np.array([0, 4])),
        ]
        for env, action in envs:
            env.reset(seed=0)
            for _ in range(16):
                env.step(action)
            env.close()
        assert all(list(Path(folder, name).glob("*.mp4")) for name in ("one", "many"))


@case("gymnasium", "spec.to_json and back")
def specification() -> None:
    """The environment made from it starts the same episode."""
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(make().spec.to_json()))
    np.testing.assert_array_equal(make().reset(seed=4)[0], again.reset(seed=4)[0])


# ---------------------------------------------------------- Stable-Baselines3


@case("stable-baselines3", "check_env of all three ids, without a warning")
def check_sb3() -> None:
    """Its own checker."""
    check = load("stable_baselines3.common.env_checker", "check_env")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for env_id in OPTIONS:
            check(make(env_id).unwrapped)


@case("stable-baselines3", "PPO, A2C, DQN; SAC, TD3 on continuous actions and portfolios")
def learn_sb3() -> None:
    """Each learns some steps through make_vec_env."""
    vec = load("stable_baselines3.common.env_util", "make_vec_env")
    jobs: list[tuple[str, str, dict[str, Any]]] = [
        ("PPO", DISCRETE, {"n_steps": 32, "batch_size": 32, "n_epochs": 1}),
        ("A2C", DISCRETE, {}),
        ("DQN", DISCRETE, {"learning_starts": 16}),
        ("SAC", CONTINUOUS, {"learning_starts": 16}),
        ("TD3", PORTFOLIO, {"learning_starts": 16}),
    ]
    for name, env_id, settings in jobs:
        envs = vec(env_id, 2, env_kwargs=OPTIONS[env_id])
        kind = load("stable_baselines3", name)
        agent = kind("MlpPolicy", envs, device="cpu", seed=0, **settings).learn(64)
        assert agent.ep_info_buffer, f"{name} saw no episode end"
        assert agent.ep_info_buffer[0]["l"] == 16


@case("stable-baselines3", "DummyVecEnv and SubprocVecEnv, the same episodes; VecNormalize")
def vectors_sb3() -> None:
    """fork, forkserver and spawn."""
    vec = load("stable_baselines3.common.env_util", "make_vec_env")
    processes = load("stable_baselines3.common.vec_env", "SubprocVecEnv")
    normalize = load("stable_baselines3.common.vec_env", "VecNormalize")
    found = []
    for how in (None, "fork", "forkserver", "spawn"):
        own = {"vec_env_cls": processes, "vec_env_kwargs": {"start_method": how}} if how else {}
        envs = normalize(vec(DISCRETE, 2, seed=5, env_kwargs=TASK, **own), norm_reward=False)
        envs.reset()
        found.append(np.array([envs.step(np.array([4, 0]))[1] for _ in range(20)]))
        envs.close()
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, atol=1e-6)


@case("stable-baselines3", "save, load, evaluate_policy")
def saved_sb3() -> None:
    """The loaded agent earns what the saved one does."""
    evaluate = load("stable_baselines3.common.evaluation", "evaluate_policy")
    kind = load("stable_baselines3", "PPO")
    monitor = load("stable_baselines3.common.monitor", "Monitor")
    agent = kind("MlpPolicy", make(), n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu")
    agent.learn(32)
    with tempfile.TemporaryDirectory() as folder:
        agent.save(f"{folder}/agent")
        again = kind.load(f"{folder}/agent", device="cpu")
    env = monitor(make())
    found = []
    for one in (agent, again):
        env.reset(seed=1)
        found.append(evaluate(one, env, n_eval_episodes=3)[0])
    assert np.isfinite(found).all()


# -------------------------------------------------------------------- CleanRL


def cleanrl(*arguments: str) -> str:
    """What their script prints; its last error is raised."""
    with tempfile.TemporaryDirectory() as folder:
        script = shutil.copy(HERE / "cleanrl" / "ppo.py.txt", f"{folder}/ppo.py")
        done = subprocess.run(
            [sys.executable, script, "--no-cuda", "--total-timesteps", "512", *arguments],
            capture_output=True, text=True, cwd=folder, check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


@case("cleanrl", "ppo.py as it is trains on tradinghf/Market-v0")
def cleanrl_trains() -> None:
    """Four of their environments, one update."""
    assert "SPS:" in cleanrl("--env-id", f"tradinghf.simulation:{DISCRETE}")


@case("cleanrl", "ppo.py as it is logs episodic returns")
def cleanrl_logs() -> None:
    """It does on Gymnasium 0.29 only, on their environments as on ours."""
    if "episodic_return" in cleanrl("--env-id", "CartPole-v1"):
        assert "episodic_return" in cleanrl("--env-id", f"tradinghf.simulation:{DISCRETE}")
        return
    raise RuntimeError("no episode of CartPole-v1 is logged either")


@case("cleanrl", "its loop on make_vec logs episodic returns")
def cleanrl_loop() -> None:
    """Their storage, seeding and episode statistics, in Gymnasium's present words."""
    from gymnasium.wrappers.vector import RecordEpisodeStatistics

    envs = RecordEpisodeStatistics(make_vec(8))
    envs.reset(seed=1)
    returns: list[float] = []
    for _ in range(40):
        _, _, terminated, truncated, info = envs.step(envs.action_space.sample())
        if "episode" in info:
            assert np.array_equal(info["_episode"], terminated | truncated)
            returns += info["episode"]["r"][info["_episode"]].tolist()
    assert len(returns) == 16
    assert np.isfinite(returns).all()


# -------------------------------------------------------------------- TorchRL


@case("torchrl", "GymEnv: check_env_specs and a Collector")
def torchrl_single() -> None:
    """Ids as they are."""
    check = load("torchrl.envs.utils", "check_env_specs")
    for env_id, options in OPTIONS.items():
        check(load("torchrl.envs", "GymEnv")(env_id, device="cpu", **options), seed=0)
    env = load("torchrl.envs", "GymEnv")(DISCRETE, device="cpu", **TASK)
    collector = load("torchrl.collectors", "Collector")(
        env, None, frames_per_batch=48, total_frames=96
    )
    done = [
        batch["next", "truncated"].flatten().nonzero().flatten().tolist() for batch in collector
    ]
    collector.shutdown()
    assert done == [[15, 31, 47]] * 2, done


@case("torchrl", "GymWrapper around make_vec: rollouts over the ends of episodes")
def torchrl_vector() -> None:
    """Their auto-reset drives our reset masks."""
    env = load("torchrl.envs", "GymWrapper")(make_vec(3), device="cpu")
    found = env.rollout(40, break_when_any_done=False)
    assert tuple(found.batch_size) == (3, 40)
    ends = found["next", "done"][0].flatten().nonzero().flatten().tolist()
    assert ends == [15, 31], ends
    assert torch.isfinite(found["next", "reward"]).all()


@case("torchrl", "torchrl_env: check_env_specs, a Collector, the rewards of MarketEnv")
def torchrl_native() -> None:
    """Native tensors of every kind of task."""
    check = load("torchrl.envs.utils", "check_env_specs")
    settings: tuple[dict[str, Any], ...] = (
        {},
        {"observation": "dict"},
        {"actions": "continuous"},
        {"actions": "continuous", "portfolio": True},
    )
    for task in settings:
        config = EnvConfig(horizon=16, **task)
        env = torchrl_env(MarketEnv(f"{MARKET},assets=3", num_envs=4, config=config))
        check(env, seed=0)
    own = MarketEnv(f"{MARKET},assets=3", num_envs=4, config=EnvConfig(horizon=16))
    env = torchrl_env(own)
    collector = load("torchrl.collectors", "Collector")(
        env, None, frames_per_batch=96, total_frames=192
    )
    done = [batch["next", "done"][1].flatten().nonzero().flatten().tolist() for batch in collector]
    collector.shutdown()
    assert done == [[15], [7, 23]], done
    env.set_seed(7)
    state, (obs, _) = env.reset(), own.reset(seed=7)
    assert torch.equal(state["observation"], obs)
    for action in (4, 0, 2, 1):
        state = env.step(state.set("action", torch.full((4,), action)))["next"]
        torch.testing.assert_close(state["reward"][:, 0], own.step([action] * 4)[1].float())


# ----------------------------------------------------------------------- skrl


def skrl_model(base: Any, mixin: Any, out: int) -> Any:
    """A policy or a value of skrl around one linear layer."""

    class Model(mixin, base):  # type: ignore[misc]
        def __init__(self, env: Any) -> None:
            spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
            base.__init__(self, **spaces, device="cpu")
            mixin.__init__(self)
            self.net = torch.nn.Linear(env.observation_space.shape[0], out)

        def compute(self, inputs: Any, role: str) -> Any:
            return self.net(inputs.get("observations", inputs.get("states"))), {}

    return Model


@case("skrl", "wrap_env around one environment and around make_vec")
def skrl_wraps() -> None:
    """Shapes, and the ends of episodes."""
    wrap = load("skrl.envs.wrappers.torch", "wrap_env")
    for raw, count in ((make(), 1), (make_vec(3), 3)):
        env = wrap(raw)
        assert env.num_envs == count
        env.reset()
        ends = []
        for _ in range(16):
            obs, reward, _, truncated, _ = env.step(torch.full((count, 1), 4))
            ends.append(bool(truncated.all()))
        assert obs.shape == (count, 44)
        assert reward.shape == (count, 1)
        assert ends.index(True) == 15


@case("skrl", "PPO with SequentialTrainer on make_vec")
def skrl_learns() -> None:
    """Two updates."""
    base = load("skrl.models.torch", "Model")
    env = load("skrl.envs.wrappers.torch", "wrap_env")(make_vec(4))
    policy = skrl_model(base, load("skrl.models.torch", "CategoricalMixin"), 5)(env)
    value = skrl_model(base, load("skrl.models.torch", "DeterministicMixin"), 1)(env)
    before = policy.net.weight.detach().clone()
    memory = load("skrl.memories.torch", "RandomMemory")
    agent = load("skrl.agents.torch.ppo", "PPO")(
        models={"policy": policy, "value": value},
        memory=memory(memory_size=16, num_envs=4, device="cpu"),
        cfg={"rollouts": 16, "learning_epochs": 1, "mini_batches": 1,
             "experiment": {"write_interval": 0, "checkpoint_interval": 0}},
        observation_space=env.observation_space, action_space=env.action_space, device="cpu",
    )  # fmt: skip
    cfg = {"timesteps": 48, "headless": True, "disable_progressbar": True}
    load("skrl.trainers.torch", "SequentialTrainer")(cfg=cfg, env=env, agents=agent).train()
    assert not torch.equal(before, policy.net.weight), "nothing was learned"


# ------------------------------------------------------------------- tianshou


@case("tianshou", "DummyVectorEnv and SubprocVectorEnv with a Collector")
def tianshou_collects() -> None:
    """Whole episodes of a random policy."""
    spaces = make()
    policy = load("tianshou.algorithm.random", "MARLRandomDiscreteMaskedOffPolicyAlgorithm")
    collect = load("tianshou.data", "Collector")
    buffer = load("tianshou.data", "VectorReplayBuffer")
    for name in ("DummyVectorEnv", "SubprocVectorEnv"):
        envs = load("tianshou.env", name)([make for _ in range(3)])
        collector = collect(policy(action_space=spaces.action_space), envs, buffer(300, 3))
        collector.reset()
        found = collector.collect(n_episode=6, random=True)
        assert found.n_collected_episodes >= 6
        assert set(np.asarray(found.lens).tolist()) == {16}
        envs.close()


# ----------------------------------------------------------------- PufferLib


@case("pufferlib", "GymnasiumPufferEnv in the Serial and Multiprocessing vectors")
def puffer_steps() -> None:
    """Their emulation of one environment, several of it."""
    wrap = load("pufferlib.emulation", "GymnasiumPufferEnv")
    vector = importlib.import_module("pufferlib.vector")
    for backend in (vector.Serial, vector.Multiprocessing):
        envs = vector.make(puffer_env, num_envs=2, backend=backend)
        envs.reset(seed=0)
        ends = 0
        for _ in range(40):
            obs, reward, _, truncated, _ = envs.step(np.array([4, 0]))
            ends += int(truncated.sum())
        envs.close()
        assert wrap is not None
        assert obs.shape == (2, 44)
        assert np.isfinite(reward).all()
        assert ends == 4, ends


def puffer_env(buf: Any = None, seed: int = 0) -> Any:
    """At the top of the module: processes of their own look it up there."""
    return load("pufferlib.emulation", "GymnasiumPufferEnv")(env=make(), buf=buf, seed=seed)


# ---------------------------------------------------------------------- RLlib


@case("rllib", "PPO with its new API on tradinghf/Market-v0")
def rllib_learns() -> None:
    """One iteration, in this process, beside the smallest Ray that RLlib runs on."""
    ray = importlib.import_module("ray")
    ray.init(
        num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20
    )
    try:
        settings = load("ray.rllib.algorithms.ppo", "PPOConfig")()
        settings = settings.environment(f"tradinghf.simulation:{DISCRETE}", env_config=TASK)
        settings = settings.env_runners(num_env_runners=0, num_envs_per_env_runner=2)
        settings = settings.training(train_batch_size=128, minibatch_size=64, num_epochs=1)
        algorithm = settings.build_algo()
        runners = algorithm.train()["env_runners"]
        algorithm.stop()
    finally:
        ray.shutdown()
    assert runners["episode_len_mean"] == 16, runners
    assert np.isfinite(runners["episode_return_mean"])


def versions(library: str) -> dict[str, str]:
    """Of the library and of what it meets here."""
    package = {"rllib": "ray", "pufferlib": "pufferlib-core", "cleanrl": "gymnasium"}
    name = package.get(library, library)
    found = {n: metadata.version(n) for n in dict.fromkeys((name, "gymnasium", "torch"))}
    return {name: version.partition("+")[0] for name, version in found.items()}


def main(library: str) -> None:
    """Run the cases of a library, and print what became of each."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = {}
    for name, run in CASES[library].items():
        try:
            run()
            found[name] = ""
        except Exception as error:  # noqa: BLE001 - whatever a library raises is what is shown
            lines = str(error).strip().splitlines() or [""]
            found[name] = f"{type(error).__name__}: {lines[0]}"[:300]
    replies.write(json.dumps({"versions": versions(library), "cases": found}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
