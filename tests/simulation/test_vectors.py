"""Vector environments in other processes, in others' wrappers, and in videos."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import FlattenObservation, NormalizeObservation
from stable_baselines3.common.env_util import make_vec_env

from tradinghf.market import synthetic
from tradinghf.simulation import _ENV_IDS
from tradinghf.simulation._frames import HEIGHT, WIDTH
from tradinghf.simulation._gym import TradingEnv, TradingVectorEnv

MARKET = synthetic(0, 300, 3)
OPTIONS: dict[str, Any] = {"market": MARKET, "horizon": 6}

PROCESSES = """
import sys, gymnasium, torch, tradinghf.simulation
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

if __name__ == "__main__":
    how = sys.argv[1]
    torch.set_num_threads(4)
    torch.randn(2_000_000).exp().sum()  # wakes the pool whose threads a fork does not get
    options = dict(market="synthetic:bars=300", horizon=8)
    env = gymnasium.make_vec(
        "tradinghf/Market-v0", num_envs=2, vectorization_mode="async",
        vector_kwargs={"context": how}, **options,
    )
    env.reset(seed=0)
    for _ in range(12):
        env.step([0, 4])
    env.close()
    env = make_vec_env(
        "tradinghf/Market-v0", 2, env_kwargs=options, vec_env_cls=SubprocVecEnv,
        vec_env_kwargs={"start_method": how},
    )
    env.reset()
    for _ in range(12):
        env.step([0, 4])
    env.close()
    print("done", torch.get_num_threads())
"""


@pytest.mark.parametrize("how", ["fork", "forkserver", "spawn"])
def test_environments_in_processes_of_their_own_never_hang(how: str, tmp_path: Path) -> None:
    script = tmp_path / "processes.py"
    script.write_text(PROCESSES)
    env = {**os.environ, "OMP_NUM_THREADS": "4"}
    done = subprocess.run(
        [sys.executable, str(script), how],
        capture_output=True, text=True, check=False, timeout=240, env=env,
    )  # fmt: skip
    assert done.stdout.split() == ["done", "4"], done.stderr[-2000:]


def test_an_environment_made_before_a_fork_works_after_it(tmp_path: Path) -> None:
    code = """
        import os, torch
        from tradinghf import EnvConfig, MarketEnv, load_market
        torch.set_num_threads(4)
        task = EnvConfig(horizon=8)
        env = MarketEnv(load_market("synthetic:bars=300"), num_envs=8192, config=task, threads=2)
        env.reset(seed=0)
        torch.randn(2_000_000).exp().sum()
        env.step(torch.zeros(8192, dtype=torch.long))
        child = os.fork()
        if child == 0:
            _, reward, *_ = env.step(torch.full((8192,), 4))
            (torch.randn(2_000_000).exp().sum() * reward.sum()).item()
            os._exit(0 if torch.get_num_threads() == 1 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "0", done.stderr[-2000:]


def test_wrappers_of_gymnasium_take_the_vector_environment_as_it_comes() -> None:
    for wrap in (NormalizeObservation, FlattenObservation):
        env = wrap(gymnasium.make_vec("tradinghf/Market-v0", num_envs=3, **OPTIONS))
        obs, _ = env.reset(seed=0)
        assert obs.shape[0] == 3
        for _ in range(14):
            obs, *_ = env.step(np.array([0, 2, 4]))
        assert np.isfinite(obs).all()


def test_a_dict_observation_is_flattened() -> None:
    options = OPTIONS | {"observation": "dict"}
    env = FlattenObservation(gymnasium.make_vec("tradinghf/Market-v0", num_envs=3, **options))
    plain = gymnasium.make_vec("tradinghf/Market-v0", num_envs=3, **OPTIONS)
    seen, expected = env.reset(seed=0)[0], plain.reset(seed=0)[0]
    for _ in range(8):
        assert sorted(seen[0].tolist()) == sorted(expected[0].tolist())
        seen, expected = env.step(np.array([0, 2, 4]))[0], plain.step(np.array([0, 2, 4]))[0]


@pytest.mark.parametrize("whole", [True, False])
def test_a_mask_resets_ended_environments_before_the_next_step_does(whole: bool) -> None:
    """What TorchRL does with an environment whose `autoreset_mode` is DISABLED."""
    env = TradingVectorEnv(MARKET, num_envs=3, horizon=4)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert env.autoreset_mode == AutoresetMode.DISABLED
    env.reset(seed=0)
    for _ in range(4):
        *_, truncated, _ = env.step(np.array([4, 4, 4]))
    assert truncated.all()
    mask = np.array([True, True, whole])
    _, info = env.reset(options={"reset_mask": mask})
    *_, truncated, after = env.step(np.array([4, 4, 4]))
    assert not truncated.any()
    assert (after["bar"][mask] == info["start"][mask] + 1).all()
    if not whole:
        assert int(env.env.state.bar[2]) == int(env.env.state.start[2])


@pytest.mark.parametrize("env_id", sorted(_ENV_IDS))
def test_a_specification_survives_json(env_id: str) -> None:
    made = gymnasium.make(env_id, market="synthetic:bars=300", horizon=8, fee_bps=3)
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(made.spec.to_json()))  # type: ignore[union-attr]
    first, _ = made.reset(seed=4)
    second, _ = again.reset(seed=4)
    np.testing.assert_array_equal(first, second)
    assert again.unwrapped.env.costs.fee_bps == 3  # type: ignore[attr-defined]


# ------------------------------------------------------------------ pictures


@pytest.mark.parametrize("env_id", sorted(_ENV_IDS))
def test_frames_show_more_as_the_episode_goes_on(env_id: str) -> None:
    env = gymnasium.make(env_id, render_mode="rgb_array", **OPTIONS)
    env.reset(seed=0)
    frames = [np.asarray(env.render())]
    for _ in range(6):
        env.step(env.action_space.sample())
        frames.append(np.asarray(env.render()))
    assert {f.shape for f in frames} == {(HEIGHT, WIDTH, 3)}
    assert {f.dtype for f in frames} == {np.dtype(np.uint8)}
    drawn = [int((f != f[0, 0]).any(-1)[24:280, 60:630].sum()) for f in frames]
    assert drawn[-1] > drawn[0], "prices fill the time axis"
    right = [int((f != f[0, 0]).any(-1)[24:280, 400:630].sum()) for f in frames[:3]]
    assert len(set(right)) == 1, "nothing is drawn where the future will be"


def test_a_frame_marks_fills_and_says_where_the_account_stands() -> None:
    env = TradingEnv(MARKET, horizon=20, render_mode="rgb_array")
    env.reset(seed=1)
    env.step(2)
    flat = np.asarray(env.render())
    env.reset(seed=1)
    env.step(4)
    long = np.asarray(env.render())
    assert (flat[:282] != long[:282]).any(), "the fill's marker"
    assert (flat[300:376] != long[300:376]).any(), "the position"


def test_the_vector_environment_draws_each_of_its_episodes() -> None:
    env = gymnasium.make_vec("tradinghf/Market-v0", num_envs=3, render_mode="rgb_array", **OPTIONS)
    single = gymnasium.make("tradinghf/Market-v0", render_mode="rgb_array", **OPTIONS)
    env.reset(seed=[5, 6, 7])
    single.reset(seed=6)
    for _ in range(6):
        np.testing.assert_array_equal(env.render()[1], single.render())  # type: ignore[index]
        env.step(np.array([0, 4, 2]))
        single.step(4)
    ended = env.render()
    env.step(np.array([0, 4, 2]))  # the next episodes begin
    assert (env.render()[1] != ended[1]).any()  # type: ignore[index]


def test_others_make_vectors_that_can_be_drawn() -> None:
    env = make_vec_env("tradinghf/Market-v0", 2, env_kwargs=OPTIONS)
    env.reset()
    env.step([0, 4])
    frame = env.render()
    assert frame is not None
    assert frame.ndim == 3
    assert frame.shape[0] * frame.shape[1] == 2 * HEIGHT * WIDTH


@pytest.mark.extra("moviepy")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_videos_of_single_and_vector_environments(tmp_path: Path) -> None:
    from gymnasium.wrappers import RecordVideo
    from gymnasium.wrappers.vector import RecordVideo as RecordVideos
    from stable_baselines3.common.vec_env import VecVideoRecorder

    one = gymnasium.make("tradinghf/Market-v0", render_mode="rgb_array", **OPTIONS)
    many = gymnasium.make_vec("tradinghf/Market-v0", 2, render_mode="rgb_array", **OPTIONS)
    first = RecordVideo(one, str(tmp_path / "one"), episode_trigger=lambda _: True)
    second = RecordVideos(many, str(tmp_path / "many"), episode_trigger=lambda _: True)
    for env, action in ((first, 4), (second, np.array([0, 4]))):
        env.reset(seed=0)  # type: ignore[attr-defined]
        for _ in range(6):
            env.step(action)  # type: ignore[attr-defined]
        env.close()  # type: ignore[attr-defined]
    vec = make_vec_env("tradinghf/Market-v0", 2, env_kwargs=OPTIONS)
    third = VecVideoRecorder(vec, str(tmp_path / "sb3"), lambda step: step == 0, video_length=5)
    third.reset()
    for _ in range(6):
        third.step(np.array([0, 4]))
    third.close()
    for folder in ("one", "many", "sb3"):
        assert list((tmp_path / folder).glob("*.mp4")), folder


def test_people_read_the_episode_in_their_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    env = gymnasium.make("tradinghf/Market-v0", render_mode="human", **OPTIONS)
    env.reset(seed=0)
    env.step(4)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "position +1.0" in lines[1]
    assert env.render() is None


@pytest.mark.parametrize("kind", [TradingEnv, TradingVectorEnv])
def test_nothing_is_drawn_before_the_first_reset(kind: Any) -> None:
    with pytest.raises(ResetNeeded, match=r"no episode to render yet. Call reset"):
        kind(MARKET, horizon=6, render_mode="rgb_array").render()
