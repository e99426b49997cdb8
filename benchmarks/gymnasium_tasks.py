"""How many answers does it take to learn a Gymnasium task from preferences, ours and imitation's?

    python benchmarks/gymnasium_tasks.py --task Pendulum-v1 --questions 0 1 2 3 --seeds 0 1 2
    python benchmarks/gymnasium_tasks.py --comparisons 12 25 50 --imitation DIR/bin/python
    python benchmarks/gymnasium_tasks.py --page

Ours asks for rankings of five fragments (6.9 bits each); `imitation` 1.0.1 for comparisons of two
(1 bit each), in an environment of its own (benchmarks/imitation_peer.py). Both ask an oracle, and
take the same environment steps. 0 trains on the true reward. Every run is added to
benchmarks/results/gymnasium_tasks.json, and one that is already there is not repeated; --page
writes the table in docs/learning.md and the plot.

S = (U - U(random)) / (U(PPO on the true reward) - U(random)), U the mean true return of the
deterministic policy in fresh episodes; the yardstick is our PPO, for both.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

from tradinghf.bench._core import commit, device
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.tasks import TaskConfig, TaskEnv, TaskRLHF
from tradinghf.learning.tasks._learners import true_return
from tradinghf.learning.tasks._loop import train_on_true_reward

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "gymnasium_tasks.json"
PAGE, PLOT = ROOT / "docs" / "learning.md", ROOT / "docs" / "images" / "gymnasium_tasks.svg"
TASKS: dict[str, dict[str, Any]] = {
    "Pendulum-v1": {
        "steps": 122_880,
        "envs": 16,
        "fragment": 25,
        "ppo": PPOConfig(
            final_learning_rate=0.0,
            epochs=10,
            minibatches=50,
            gamma=0.9,
            entropy=0.0,
            bootstrap=True,
        ),
    },
    "Reacher-v5": {
        "steps": 122_880,
        "envs": 64,
        "fragment": 10,
        "ppo": PPOConfig(
            final_learning_rate=0.0,
            epochs=10,
            minibatches=25,
            gamma=0.9,
            entropy=0.0,
            bootstrap=True,
        ),
    },
    "HalfCheetah-v5": {
        "steps": 200_000,
        "envs": 8,
        "fragment": 25,
        "ppo": PPOConfig(
            final_learning_rate=0.0,
            epochs=10,
            minibatches=64,
            gamma=0.98,
            entropy=0.0,
            bootstrap=True,
        ),
    },
}
EPISODES = 96
ROUNDS = 8
GOAL = 0.8
BEGIN, END = "<!-- gymnasium tasks -->", "<!-- end gymnasium tasks -->"


def ours(name: str, questions: int, seed: int) -> dict[str, Any]:
    """One training from `questions` rankings of five; 0 is the true reward."""
    torch.set_num_threads(1)
    began = time.process_time()
    settings = TASKS[name] | {"seed": seed}
    if questions == 0:
        config = TaskConfig(**settings)
        agent, env = train_on_true_reward(name, config)
        value = float(true_return(agent, env, EPISODES, 1_000_000 + seed).mean())
        explored = env.num_envs * (env.config.horizon or 0)
        steps = agent.done * agent.each + explored
        facts: dict[str, Any] = {"steps": steps}
    else:
        config = TaskConfig(questions=questions, rounds=min(ROUNDS, questions), **settings)
        learner = TaskRLHF(name, config).train()
        value = learner.evaluate(episodes=EPISODES, rankings=0)["mean_return"]
        facts = {"steps": learner.steps, "bits": round(config.bits, 1)}
        facts["training"] = [round(h["training_return"], 2) for h in learner.history]
    facts |= {"return": round(value, 3), "cpu_seconds": round(time.process_time() - began, 1)}
    return {"by": "tradinghf", "asked": questions, "seed": seed, **facts}


def imitation(python: str, name: str, comparisons: int, seed: int) -> dict[str, Any]:
    """One training of `imitation`; 0 comparisons is the true reward."""
    script = Path(__file__).with_name("imitation_peer.py")
    steps = str(TASKS[name]["steps"])
    fragment = "50" if name.startswith("Reacher") else "100"  # an episode has 50 steps
    command = [python, "-W", "ignore", str(script), name, "--comparisons", str(comparisons)]
    command += ["--seed", str(seed), "--steps", steps, "--fragment", fragment]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(x for x in done.stdout.splitlines() if x.startswith("RESULT "))
    return from_peer(json.loads(line.removeprefix("RESULT ")))


def from_peer(found: dict[str, Any]) -> dict[str, Any]:
    """What imitation_peer.py printed, as a run."""
    kept = ("seed", "steps", "return", "cpu_seconds", "versions")
    run = {"by": "imitation", "asked": found["comparisons"], **{k: found[k] for k in kept}}
    return run | {"bits": float(found["comparisons"]), "fragment": found["fragment"]}


def at_random(name: str) -> float:
    """Mean return of uniform random actions in fresh episodes."""
    env = TaskEnv(name, 16)
    generator = torch.Generator().manual_seed(0)
    env.reset(seed=2_000_000)
    total = 0.0
    for _ in range((env.config.horizon or 0) * EPISODES // 16):
        actions = torch.rand(16, env.action_size, generator=generator) * 2 - 1
        total += float(env.step(actions)[1].sum())
    return total / EPISODES


def stored() -> dict[str, Any]:
    """Runs so far."""
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"tasks": {}}
    return found


def keep(name: str, run: dict[str, Any]) -> None:
    """Add one run to the file."""
    found = stored() | {"commit": commit(), "device": device()}
    if name not in found["tasks"]:
        found["tasks"][name] = {"random": round(at_random(name), 3), "runs": []}
    found["tasks"][name]["runs"].append(run)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(name, {k: v for k, v in run.items() if k != "versions"}, flush=True)  # noqa: T201


def known(name: str, by: str, asked: int, seed: int) -> bool:
    """Whether the run is in the file."""
    runs = stored()["tasks"].get(name, {"runs": []})["runs"]
    return any((r["by"], r["asked"], r["seed"]) == (by, asked, seed) for r in runs)


def summary(task: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per method and number of answers, with S of every seed."""
    true = [r["return"] for r in task["runs"] if r["by"] == "tradinghf" and r["asked"] == 0]
    if not true:
        return []
    top = statistics.mean(true)
    cells: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for run in task["runs"]:
        cells.setdefault((run["by"], run["asked"]), []).append(run)
    return [
        {
            "by": by,
            "asked": asked,
            "bits": asked * (math.log2(120) if by == "tradinghf" else 1),
            "pairs": asked * (10 if by == "tradinghf" else 1),
            "returns": [r["return"] for r in runs],
            "scores": [(r["return"] - task["random"]) / (top - task["random"]) for r in runs],
        }
        for (by, asked), runs in sorted(cells.items())
    ]


def table(tasks: dict[str, Any]) -> str:
    """The page's table."""
    lines = [
        "| task | learner | questions | bits | pairs implied | seeds | return | S (range) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in (n for n in TASKS if n in tasks):
        for row in summary(tasks[name]):
            low, mean, high = (f(row["scores"]) for f in (min, statistics.mean, max))
            what = [str(row["asked"]), f"{row['bits']:.0f}", str(row["pairs"])]
            if row["asked"] == 0:
                what = ["true reward", "", ""]
            spread = f"{mean:.2f} ({low:.2f} to {high:.2f})"
            value = f"{statistics.mean(row['returns']):.1f}"
            cells = [name, row["by"], *what, str(len(row["scores"])), value, spread]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(tasks: dict[str, Any]) -> None:
    """S of every run against the bits asked for."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "tradinghf"
    from matplotlib import pyplot as plt

    names = [n for n in TASKS if n in tasks]
    figure, axes = plt.subplots(1, len(names), figsize=(4.4 * len(names), 3.2), squeeze=False)
    styles = {"tradinghf": ("#2962ff", "o", "-"), "imitation": ("#e8833a", "s", "--")}
    for axis, name in zip(axes[0], names, strict=True):
        rows = [r for r in summary(tasks[name]) if r["asked"] > 0]
        for by, (colour, marker, line) in styles.items():
            mine = [r for r in rows if r["by"] == by]
            bits = [r["bits"] for r in mine]
            means = [statistics.mean(r["scores"]) for r in mine]
            axis.plot(bits, means, color=colour, linestyle=line, label=f"{by}, mean of seeds")
            for row in mine:
                each = [row["bits"]] * len(row["scores"])
                axis.scatter(each, row["scores"], color=colour, marker=marker, s=16, alpha=0.7)
        axis.axhline(GOAL, color="black", linewidth=0.8, linestyle=":")
        axis.set_xscale("log")
        ticks = [5, 10, 20, 50, 100, 200]
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.minorticks_off()
        axis.set_xlim(5, 250)
        axis.set_title(name)
        axis.set_xlabel("bits asked for")
        axis.set_ylim(-0.45, 1.15)
        axis.legend(fontsize=7, loc="lower right")
    axes[0][0].set_ylabel("S")
    figure.tight_layout()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


def page() -> None:
    """Renew the table between its markers, and the plot."""
    tasks = stored()["tasks"]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table(tasks)}\n{END}{rest.partition(END)[2]}")
    plot(tasks)


def main() -> None:
    """Run what is missing, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=TASKS, default="Pendulum-v1")
    parser.add_argument("--questions", type=int, nargs="*", default=[])
    parser.add_argument("--comparisons", type=int, nargs="*", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--imitation", help="python of the environment that has imitation")
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    for seed in options.seeds:
        for asked in options.questions:
            if not known(options.task, "tradinghf", asked, seed):
                keep(options.task, ours(options.task, asked, seed))
        for asked in options.comparisons:
            if not known(options.task, "imitation", asked, seed):
                keep(options.task, imitation(options.imitation, options.task, asked, seed))
    if options.page:
        page()


if __name__ == "__main__":
    main()
