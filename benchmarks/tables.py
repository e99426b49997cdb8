"""Write the tables of docs/benchmarks.md, and the learning curves' plot, from benchmarks/results.

Run `python benchmarks/tables.py`; with --check, exit code 1 says that the page is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "images" / "classic_control.svg"


def number(value: float) -> str:
    """Three significant figures, with thousands separated."""
    return f"{float(f'{value:.3g}'):,.10g}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def source(found: dict[str, Any]) -> str:
    """What the figures were measured on."""
    about = found["device"]
    where = about["gpu"] or about["cpu"]
    threads = f"{about['torch_threads']} thread(s)"
    return f"\n\n{where}, {about['cores']} cores, {threads}; commit `{found['commit']}`."


def bench(name: str) -> str:
    """Results of `tradinghf bench NAME`."""
    file = RESULTS / f"{name}.json"
    if not file.exists():
        return "Not measured."
    found = json.loads(file.read_text())
    rows = []
    for row in found["results"]:
        cells = [row["case"], number(row["value"]), number(row["best"])]
        cells.append(number(row["per_cpu_second"]) if "per_cpu_second" in row else "")
        cells.append(f"{row['gemm_share']:.0%}" if "gemm_share" in row else "")
        rows.append(cells)
    unit = found["results"][0]["unit"]
    minutes = "CPU minute" if unit.endswith("/min") else "CPU second"
    header = ["case", f"median {unit}", f"best {unit}", f"best per {minutes}", "share of GEMM rate"]
    if not any("gemm_share" in row for row in found["results"]):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return markdown(header, rows) + source(found)


def peers() -> str:
    """Results of ppo_peers.py."""
    found = json.loads((RESULTS / "ppo_peers.json").read_text())
    rows = [
        [
            f"N={row['envs']}, {row['learner']}",
            number(row["steps_per_second"]),
            number(row["steps_per_cpu_second"]),
            f"{row['times_slower_than_ours']:.2f}",
        ]
        for row in found["results"]
    ]
    header = ["learner", "median steps/s", "best steps per CPU second", "CPU time, ours = 1"]
    return markdown(header, rows) + source(found)


def classic() -> str:
    """Results of classic_control.py."""
    found = json.loads((RESULTS / "classic_control.json").read_text())
    rows = []
    for name, task in found["tasks"].items():
        published = "; ".join(f"{who}: {score:g}" for who, score in task["published"].items())
        scores = [run["training_return"] for run in task["runs"]]
        rows.append(
            [
                name,
                f"{len(scores)}",
                f"{task['training_return']:.1f} ({min(scores):.1f} to {max(scores):.1f})",
                f"{task['deterministic_return']:.1f}",
                published,
            ]
        )
    header = ["task", "seeds", "last 100 episodes (range of seeds)", "best action", "published"]
    return markdown(header, rows) + source(found)


TABLES: dict[str, Callable[[], str]] = {
    "env": lambda: bench("env"),
    "ppo": lambda: bench("ppo"),
    "stacked": lambda: bench("stacked"),
    "backtest": lambda: bench("backtest"),
    "peers": peers,
    "classic": classic,
}


def filled(page: str) -> str:
    """The page with every table between its markers renewed."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{table()}\n{end}{after}"
    return page


def plot() -> None:
    """Learning curves of every seed, with the published scores as lines."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "tradinghf"
    from matplotlib import pyplot as plt

    tasks = json.loads((RESULTS / "classic_control.json").read_text())["tasks"]
    figure, axes = plt.subplots(1, len(tasks), figsize=(4 * len(tasks), 3), squeeze=False)
    for axis, (name, task) in zip(axes[0], tasks.items(), strict=True):
        for run in task["runs"]:
            steps, values = zip(*run["curve"], strict=True)
            axis.plot([s / 1000 for s in steps], values, color="#2962ff", alpha=0.6, linewidth=1)
        for (who, score), style in zip(task["published"].items(), ("--", ":"), strict=False):
            axis.axhline(score, color="black", linewidth=0.8, linestyle=style, label=who)
        axis.set_title(name)
        axis.set_xlabel("environment steps [thousands]")
        axis.legend(fontsize=7, loc="lower right")
    axes[0][0].set_ylabel("return of an episode")
    figure.tight_layout()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    page = PAGE.read_text()
    if options.check:
        return int(filled(page) != page)
    PAGE.write_text(filled(page))
    plot()
    return 0


if __name__ == "__main__":
    sys.exit(main())
