"""Environment steps of other libraries on the same bars, in the same run.

    python benchmarks/env_peers.py [--cache DIR] [--only NAME ...]

Each contender runs in a process of its own with one thread (env_peers_worker.py), peers in virtual
environments that this script makes under --cache; they read what they share with us, torch and
NumPy, from the environment that runs it. First every contender trades the same sequence of long
and flat without costs, and must end with the value that the closing prices give. Then they take
turns of a third of a second, so that a busy machine disturbs all alike; rates per second of
processor time are the ones to compare. Writes benchmarks/results/env_peers.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tradinghf.bench._core import commit, device
from tradinghf.config import EnvConfig
from tradinghf.market import FeatureScaler, features, synthetic

HERE = Path(__file__).resolve().parent
BARS, TARGETS = 16_384, 50


@dataclass(frozen=True)
class Peer:
    """A contender.

    Attributes:
        name: as in env_peers_worker.py.
        envs: numbers of environments to time.
        package: requirement that pip installs into a virtual environment; "" runs in this one.
        leaves_out: what our default task has and this one does not.
        dependencies: whether pip also installs what the package needs.

    """

    name: str
    envs: tuple[int, ...]
    package: str = ""
    leaves_out: str = ""
    dependencies: bool = True


ALL = (1, 64, 1024, 16384)
CLOSE = "fills at the close that was seen"
PEERS = (
    Peer("tradinghf, fused", ALL),
    Peer("tradinghf, fused, by index", ALL, leaves_out="the window, which it names in a table"),
    Peer("tradinghf, tensor", ALL),
    Peer(
        "gym-anytrading",
        (1, 64),
        "gym-anytrading==2.0.0",
        "shorts earn nothing; reward without costs; no account in the observation; ends fixed",
    ),
    Peer(
        "gym-trading-env",
        (1, 64),
        "gym-trading-env==0.3.5",
        f"{CLOSE}; no slippage; resets without seed",
    ),
    Peer(
        "torchtrade",
        (64, 1024, 16384),
        "torchtrade==0.1.0",
        f"{CLOSE}; random instead of adverse slippage",
    ),
    Peer(
        "FinRL-Contest-style",
        (64, 1024, 16384),
        "",
        "no window, no fees, one unit at a time, no cash limit, no ruin; written here: it is "
        "not on a package index",
    ),
    Peer("torchrl around tradinghf", (1,), "torchrl==0.14.1", "nothing: it wraps ours"),
    Peer(
        "PufferLib around tradinghf",
        (1, 64),
        "pufferlib-core==3.0.23",
        "nothing: it wraps ours",
        dependencies=False,  # they pin another torch, which the serial vector does not need
    ),
)


class Worker:
    """A contender's process.

    Raises:
        RuntimeError: it ended instead of answering.

    """

    def __init__(self, peer: Peer, count: int, python: Path, data: Path) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        self.peer, self.count = peer, count
        self.process = subprocess.Popen(
            [python, HERE / "env_peers_worker.py", peer.name, str(count), data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **threads,
                "PYTHONPATH": str(HERE.parent),
                "PYTHONWARNINGS": "ignore",
            },
        )
        self.turns: list[dict[str, float]] = []

    def ask(self, **order: Any) -> Any:
        """Send an order, wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError) as error:
            assert self.process.stderr is not None
            last = self.process.stderr.read().strip().splitlines()[-1:]
            raise RuntimeError(f"{self.peer.name}, N={self.count}: {' '.join(last)}") from error

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def python_of(peer: Peer, cache: Path) -> Path:
    """The interpreter that has the peer; made on first use.

    Raises:
        RuntimeError: pip could not install it; its message goes to stderr.

    """
    if not peer.package:
        return Path(sys.executable)
    home = cache / peer.package.replace("==", "-")
    python, done = home / "bin" / "python", home / "installed"
    if not done.exists():
        venv.create(home, with_pip=True, clear=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = home / "lib" / version / "site-packages"
        (packages / "_shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
        extra = [] if peer.dependencies else ["--no-deps"]
        command = [python, "-m", "pip", "install", "-q", *extra, peer.package]
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(f"{peer.package} could not be installed")
        done.touch()
    return python


def write_bars(folder: Path) -> Path:
    """The bars and five scaled features that all contenders get."""
    market = synthetic(seed=0, bars=BARS, assets=1)
    values = features(market, EnvConfig().features)
    scaled = FeatureScaler.fit(values).apply(values)[:, 0]
    names = ("open", "high", "low", "close", "volume")
    columns = {name: np.asarray(getattr(market, name))[:, 0] for name in names}
    np.savez(folder / "bars.npz", features=scaled, **columns)
    return folder / "bars.npz"


def check(worker: Worker, close: Any) -> float | None:
    """Difference of a replay's final value from that of the closing prices; None for wrappers.

    Raises:
        RuntimeError: they differ, so that this contender is not timed.

    """
    targets = [*np.random.default_rng(0).integers(2, size=TARGETS - 1).tolist(), 0]
    found = worker.ask(do="replay", targets=targets)
    if found is None:
        return None
    value, first = found
    prices = close[first : first + TARGETS + 1]
    if worker.peer.name == "FinRL-Contest-style":
        expected = float(np.sum(np.array(targets) * np.diff(prices)))
    else:
        expected = float(np.prod(1 + np.array(targets) * (prices[1:] / prices[:-1] - 1)))
    gap = abs(value / expected - 1)
    if not gap < 1e-5:
        raise RuntimeError(
            f"{worker.peer.name}: ends with {value:.6g} instead of {expected:.6g}; not timed"
        )
    return gap


def measure(
    peers: list[Peer], count: int, pythons: dict[str, Path], data: Path, turns: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rates of all contenders with `count` environments, and what failed."""
    close, rows, failed = np.load(data)["close"], [], []
    workers = [Worker(p, count, pythons[p.name], data) for p in peers if count in p.envs]
    gaps: dict[str, float | None] = {}
    for worker in list(workers):
        try:
            gaps[worker.peer.name] = check(worker, close)
            worker.ask(do="time")
        except RuntimeError as error:
            failed.append(str(error))
            workers.remove(worker)
            worker.close()
    for _ in range(turns):
        for worker in workers:
            worker.turns.append(worker.ask(do="time"))
    for worker in workers:
        worker.close()
        found = worker.turns
        rows.append(
            {
                "contender": worker.peer.name,
                "envs": count,
                "value": float(np.median([t["steps"] / t["wall"] for t in found])),
                "best": max(t["steps"] / t["wall"] for t in found),
                "per_cpu_second": max(t["steps"] / t["cpu"] for t in found),
                "unit": "steps/s",
                "parity": gaps[worker.peer.name],
                "leaves_out": worker.peer.leaves_out,
            }
        )
    return rows, failed


def main() -> int:
    """Install, compare, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--cache", type=Path, default=home / "tradinghf" / "peers")
    parser.add_argument("--only", nargs="+", help="contenders, by name")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "env_peers.json")
    options = parser.parse_args()
    pythons, failed = {}, []
    for peer in PEERS:
        if options.only and peer.name not in options.only:
            continue
        try:
            pythons[peer.name] = python_of(peer, options.cache)
        except RuntimeError as error:
            failed.append(str(error))
    peers, rows = [p for p in PEERS if p.name in pythons], []
    with tempfile.TemporaryDirectory() as folder:
        data = write_bars(Path(folder))
        for count in ALL:
            found, lost = measure(peers, count, pythons, data, options.turns)
            rows, failed = rows + found, failed + lost
    names = ("torch", "numpy", "gymnasium", "numba")
    versions = {name: metadata.version(name) for name in names}
    about = {
        "benchmark": "env_peers",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": {**device(), "torch_threads": 1},
        "versions": versions | dict(p.package.split("==") for p in peers if p.package),
        "commit": commit(),
        "failed": failed,
        "results": rows,
    }
    options.out.write_text(json.dumps(about, indent=1) + "\n")
    for row in rows:
        rate = f"{row['per_cpu_second']:,.0f} steps per CPU second"
        sys.stdout.write(f"N={row['envs']}, {row['contender']}: {rate}\n")
    sys.stderr.writelines(f"{line}\n" for line in failed)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
