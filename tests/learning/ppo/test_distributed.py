"""Two processes on Gloo train what one process with all environments trains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tradinghf.errors import ConfigError
from tradinghf.learning.ppo._distributed import ALONE, ProcessGroup

SCRIPT = """
import json, sys
import torch
from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo._distributed import ProcessGroup
from tradinghf.learning.ppo._distributed import ALONE
from tradinghf.learning.ppo import PPO, Stream
from tradinghf.learning.ppo import env_reward, sparse_pnl
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

out, together = sys.argv[1], sys.argv[2] == "together"
group = ProcessGroup.join() if together else ALONE
market = synthetic(seed=0, bars=400, assets=3)
env = MarketEnv(market, num_envs=16 // group.size, config=EnvConfig(horizon=16))
# One minibatch of everything: the only batch that both setups share exactly.
config = PPOConfig(hidden=(16, 16), minibatches=1, epochs=3)
streams = {"env": Stream(env_reward), "pnl": Stream(sparse_pnl, 0.3)}
agent = PPO(env, streams, config, seed=7, group=group)
history = agent.train(4)
weights = torch.cat([p.detach().flatten() for p in agent.network.parameters()]).tolist()
with open(f"{out}-{group.rank}.json", "w") as file:
    json.dump({"history": history, "weights": weights}, file)
if together:
    torch.distributed.destroy_process_group()
"""


def test_two_ranks_equal_one_with_twice_the_environments(python, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    alone = python(str(script), str(tmp_path / "alone"), "alone")
    assert alone.returncode == 0, alone.stderr
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    both = python(*run, str(tmp_path / "two"), "together", GLOO_SOCKET_IFNAME="lo")
    assert both.returncode == 0, both.stderr
    names = ("alone-0", "two-0", "two-1")
    one, first, second = (json.loads((tmp_path / f"{n}.json").read_text()) for n in names)
    assert first == second
    assert first["weights"] == pytest.approx(one["weights"], abs=1e-4)
    for row, expected in zip(first["history"], one["history"], strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_moments_are_the_usual_ones_for_one_process() -> None:
    x = torch.randn(7, 5, 3, dtype=torch.float64)
    mean, spread = ALONE.moments(x)
    torch.testing.assert_close(mean, x.mean((0, 1)))
    torch.testing.assert_close(spread, x.std((0, 1)))


def test_joining_without_torchrun_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="torchrun"):
        ProcessGroup.join()
