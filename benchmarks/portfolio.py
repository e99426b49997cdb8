"""RLHF on portfolios: three traders on a synthetic universe, S and G of 25 rankings each.

Run: `python benchmarks/portfolio.py`; `--steps`, `--assets` and `--envs` make it smaller.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.runs import torch_settings
from tradinghf.loop import Experiment, run_experiment
from tradinghf.resources import code_version

RESULT = Path(__file__).parent / "results" / "portfolio.json"
TRADERS = ("drawdown", "concentration_averse", "turnover_averse")
KEPT = (
    *("S", "S_interval", "G", "G_interval", "rankings", "bits", "env_steps", "seconds"),
    *("utility_policy", "utility_random", "utility_pnl", "utility_true"),
    *("windows", "independent_windows"),
)


def measure(trader: str, options: argparse.Namespace) -> dict[str, object]:
    """One trader's experiment, its numbers and what the model believes is valued."""
    began = time.process_time()
    ppo = PPOConfig(
        hidden=(16,),
        shared=True,
        minibatches=8,
        gamma=0.95,
        gae_lambda=0.9,
        learning_rate=3e-3,
        final_learning_rate=3e-4,
        entropy=0.0,
    )
    loop = RLHFConfig(rankings=25, rounds=3, steps=options.steps, windows=12, ppo=ppo)
    found = run_experiment(
        Experiment(
            trader=trader,
            data=f"synthetic:assets={options.assets}",
            env=EnvConfig(horizon=options.horizon, lookback=1),
            portfolio=True,
            envs=options.envs,
            loop=loop,
            test_episodes=512,
            seed=options.seed,
        )
    ).result
    row = {name: found[name] for name in KEPT if name in found}
    row["accuracy"] = found["reward_model"].get("accuracy")
    row["values"] = [value["sentence"] for value in found["values"][:3]]
    return row | {"processor_seconds": round(time.process_time() - began, 1)}


def main() -> None:
    """Measure every trader, print the rows, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traders", nargs="+", default=list(TRADERS))
    for name, default in (("assets", 30), ("steps", 80_000), ("envs", 128), ("horizon", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = {k: v for k, v in vars(options).items() if k not in ("out", "traders")}
    about = {"settings": settings, "machine": torch_settings(), "code": code_version()}
    rows: dict[str, object] = {}
    for trader in options.traders:
        rows[trader] = measure(trader, options)
        sys.stdout.write(f"{trader}: {json.dumps(rows[trader])}\n")
        sys.stdout.flush()
        options.out.write_text(json.dumps(about | {"traders": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
