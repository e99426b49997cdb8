"""The label benchmark on one Ray node and on two, a core each: trainings per second.

    python benchmarks/two_nodes.py [--repeats 3]

Needs the extra `cluster`, and two idle cores for a figure that means something. Both nodes are
processes of this machine (`ray.cluster_utils`), which share nothing but its processor.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tradinghf.loop.labels import LabelBench, run_labels
from tradinghf.loop.labels._cells import Cell


@dataclass(frozen=True)
class Small(LabelBench):
    """Trainings on profit and on the true utility, some seconds each."""

    traders: tuple[str, ...] = ("drawdown",)
    markets: tuple[str, ...] = ("momentum",)
    seeds: int = 6
    steps: int = 50_000
    envs: int = 64
    test_episodes: int = 512

    def cells(self) -> list[list[Cell]]:
        """Without those that learn from rankings."""
        return super().cells()[:2]


def on(nodes: int) -> dict[str, float]:
    """Trainings per second on so many nodes, after a round that starts the workers."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes()
    with tempfile.TemporaryDirectory() as folder:
        run_labels(Small(seeds=2 * nodes, steps=8_192), Path(folder, "first"), executor="ray:auto")
        begun = time.perf_counter()
        rows = run_labels(Small(), Path(folder, "timed"), executor="ray:auto")
        seconds = time.perf_counter() - begun
    ray.shutdown()
    cluster.shutdown()
    return {"trainings": len(rows), "seconds": seconds, "load": os.getloadavg()[0]}


def main() -> None:
    """One node and two in turns, each in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=0, help="only this many, as JSON")
    args = parser.parse_args()
    if args.nodes:
        sys.stdout.write("\n" + json.dumps(on(args.nodes)) + "\n")
        return
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(args.repeats):
        for nodes, found in rates.items():
            command = [sys.executable, __file__, "--nodes", str(nodes)]
            # Ray's workers are nice to others by default, and would hardly run beside them.
            env = os.environ | {"RAY_worker_niceness": "0"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
            lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
            row = json.loads(lines[-1])
            found.append(row["trainings"] / row["seconds"])
            sys.stdout.write(
                f"{nodes} node(s): {found[-1]:.3f} trainings/s, load {row['load']:.1f}\n"
            )
            sys.stdout.flush()
    one, two = (median(found) for found in rates.values())
    sys.stdout.write(f"{two / one:.2f} times the rate of one node\n")


if __name__ == "__main__":
    main()
