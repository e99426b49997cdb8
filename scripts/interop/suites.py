"""The test suites of other libraries, on their own environments and then on ours.

    python scripts/interop/suites.py --gymnasium DIR --sb3 DIR --imitation DIR [--write]

A DIR is the unpacked source of that library with its `tests`; nothing is fetched. Only tests that
name an environment take part. They run twice: as they are, and with our ids in the place of
theirs, nothing else changed. What fails on their own environments here says nothing about ours.
--write keeps the outcome in benchmarks/results/suites.json and the table in docs/interop.md.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET  # nosec B405 - what our own pytest wrote
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "suites.json"
PAGE = ROOT / "docs" / "interop.md"
START, END = "<!-- suites -->", "<!-- end suites -->"
DISCRETE = "tradinghf.simulation:tradinghf/Market-v0"
CONTINUOUS = "tradinghf.simulation:tradinghf/MarketContinuous-v0"


@dataclass(frozen=True)
class Suite:
    """What takes part.

    Attributes:
        name: for the table.
        files: of the folder `tests`.
        ids: their environment -> ours.
        whole: whether every test of the files takes part: their fixtures name the environment.
        why: test -> why it cannot pass on another environment than theirs.

    """

    name: str
    files: tuple[str, ...]
    ids: Mapping[str, str]
    whole: bool = False
    why: Mapping[str, str] = field(default_factory=dict)


SUITES = {
    "gymnasium": Suite(
        "Gymnasium (vector)",
        (
            "vector/test_vector_env.py",
            "vector/test_sync_vector_env.py",
            "vector/test_async_vector_env.py",
            "vector/test_vector_wrapper.py",
            "vector/test_autoreset_mode.py",
            "wrappers/vector/test_dict_info_to_list.py",
            "wrappers/vector/test_record_episode_statistics.py",
            "wrappers/vector/test_vector_wrappers.py",
            "wrappers/vector/test_vectorize_transform.py",
        ),
        {"CartPole-v1": DISCRETE},
        why={
            "test_reset_async_vector_env": "wants a reset without info; ours names the window",
            "test_vector_env_wrapper_attributes": "asks for CartPole's gravity",
            "test_vectorize_dict_to_box_obs": "writes into CartPole's four numbers",
            "test_vector_wrapper_equivalence": "only with RescaleObservation by CartPole's bounds",
        },
    ),
    "sb3": Suite(
        "Stable-Baselines3",
        (
            "test_vec_envs.py",
            "test_vec_monitor.py",
            "test_vec_normalize.py",
            "test_monitor.py",
            "test_predict.py",
            "test_deterministic.py",
        ),
        {"CartPole-v1": DISCRETE, "Pendulum-v1": CONTINUOUS},
        why={
            "test_monitor": "compares the id with its name, which ours carries its module before",
            "test_monitor_error_cases": "resets with an option that ours refuses as unknown",
        },
    ),
    "imitation": Suite(
        "imitation (preference comparisons, rollouts, rewards)",
        (
            "algorithms/test_preference_comparisons.py",
            "data/test_rollout.py",
            "policies/test_exploration_wrapper.py",
            "policies/test_replay_buffer_wrapper.py",
            "rewards/test_reward_wrapper.py",
        ),
        {
            "seals/CartPole-v0": DISCRETE,
            "CartPole-v1": DISCRETE,
            "Pendulum-v1": CONTINUOUS,
        },
        whole=True,
        why={
            "test_rollout_stats": "halves returns that Monitor has rounded to six digits",
            "test_reward_overwrite": "asserts that every reward is negative, as Pendulum's are",
        },
    ),
}


def taking_part(file: Path, suite: Suite) -> Iterator[str]:
    """Names of the test functions that name an environment."""
    text = file.read_text()
    for part in ast.parse(text).body:
        if isinstance(part, ast.FunctionDef) and part.name.startswith("test_"):
            lines = text.splitlines()
            first = min([part.lineno, *(d.lineno for d in part.decorator_list)])
            own = "\n".join(lines[first - 1 : part.end_lineno])
            if suite.whole or any(f'"{name}"' in own for name in suite.ids):
                yield part.name


def outcomes(folder: Path, suite: Suite, nodes: list[str], seconds: int) -> dict[str, str]:
    """Test -> "" where it passed, the first line of its failure, or "skipped"."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "tradinghf.simulation", "-q", *nodes]
    command += [
        "--continue-on-collection-errors",
        f"--junitxml={report}",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "--timeout=120",
    ]
    paths = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    env |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}  # nothing is fetched
    subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=seconds, check=False)
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):  # nosec B314 - our own
        name = f"{case.get('classname', '').removeprefix('tests.')}.{case.get('name')}"
        failed = case.find("failure") if case.find("failure") is not None else case.find("error")
        if failed is not None:
            found[name] = (failed.get("message") or "failed").strip().splitlines()[0][:160]
        else:
            found[name] = "skipped" if case.find("skipped") is not None else ""
    return found


def tried(suite: Suite, source: Path, seconds: int) -> dict[str, Any]:
    """Both runs, compared."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copytree(source / "tests", folder / "tests")
        nodes = [
            f"tests/{name}::{test}"
            for name in suite.files
            for test in taking_part(folder / "tests" / name, suite)
        ]
        theirs = outcomes(folder, suite, nodes, seconds)
        for file in (folder / "tests").rglob("*.py"):
            text = file.read_text()
            for name, own in suite.ids.items():
                text = text.replace(f'"{name}"', f'"{own}"')
            file.write_text(text)
        ours = outcomes(folder, suite, nodes, seconds)
    for name, own in suite.ids.items():  # a test's parameters hold the id
        ours = {test.replace(own, name): outcome for test, outcome in ours.items()}
    sound = {test for test, outcome in theirs.items() if not outcome}
    return {
        "tests": len(sound),
        "passed": sum(not ours.get(test, "missing") for test in sound),
        "failed": {test: ours.get(test, "missing") for test in sound if ours.get(test, "missing")},
        "broken": sorted({_function(n) for n, v in theirs.items() if v not in ("", "skipped")}),
    }


def _function(name: str) -> str:
    """A test without its parameters, which hold the environment's id."""
    return name.partition("[")[0]


def table(found: Mapping[str, Any]) -> str:
    """Rows of a Markdown table."""
    lines = ["| suite | pass on theirs | pass on ours | fail on ours only |", "|---|---:|---:|---|"]
    for key, row in found.items():
        known, said = SUITES[key].why, {}
        for name, message in row["failed"].items():
            test = _function(name).rpartition(".")[2]
            said[test] = known.get(test, message).replace("|", "/")
        failed = "; ".join(f"{test}: {why}" for test, why in said.items())
        lines.append(f"| {SUITES[key].name} | {row['tests']} | {row['passed']} | {failed} |")
    return "\n".join(lines)


def main() -> None:
    """Run the suites whose source is given; --write alone renews the table."""
    parser = argparse.ArgumentParser()
    for key in SUITES:
        parser.add_argument(f"--{key}", type=Path)
    parser.add_argument("--seconds", type=int, default=1_200)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for key, suite in SUITES.items():
        if source := getattr(args, key):
            found[key] = tried(suite, source, args.seconds)
            sys.stdout.write(json.dumps({key: found[key]}, indent=1) + "\n")
            sys.stdout.flush()
    if args.write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        before, _, rest = PAGE.read_text().partition(START)
        PAGE.write_text(f"{before}{START}\n{table(found)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
