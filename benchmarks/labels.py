"""Draw the label-efficiency benchmark, and write its tables into docs/labels.md.

Run `tradinghf bench labels --json benchmarks/results/labels.json`, then
`python benchmarks/labels.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tradinghf.loop.labels import markdown, summarise
from tradinghf.loop.labels._summary import label, scored

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "labels.json"
OUTSIDE = ROOT / "benchmarks" / "results" / "labels_outside.json"
TASTES = ROOT / "benchmarks" / "results" / "labels_tastes.json"
PAGE = ROOT / "docs" / "labels.md"
PLOT = ROOT / "docs" / "images" / "labels.svg"
CURVES = ROOT / "docs" / "images" / "labels_curves.svg"


def pyplot() -> Any:
    """matplotlib, drawing reproducible SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "tradinghf"
    mpl.rcParams["font.size"] = 9
    from matplotlib import pyplot as plt

    return plt


def draw_labels(found: dict[str, Any]) -> None:
    """S against the number of rankings: all traders together, and each by itself."""
    plt = pyplot()
    teacher = found["settings"]["teachers"][0]
    rows = [r for r in found["summary"] if r["kind"] == "rlhf" and r["teacher"] == teacher]
    plain = [r for r in found["summary"] if r["kind"] == "plain"]
    pnl = [r["S_pnl"] for r in scored(found["trainings"]) if r["kind"] == "true"]
    counts = [r["rankings"] for r in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), width_ratios=(1, 1.25))
    value = np.array([r["S"] for r in rows])
    bounds = np.array([r["S_interval"] or (r["S"], r["S"]) for r in rows])
    error = np.abs(bounds.T - value)
    left.errorbar(counts, value, yerr=error, marker="o", capsize=3, label="rankings of five")
    for row in plain:
        low, high = row["S_interval"] or (row["S"], row["S"])
        bars = [[row["S"] - low], [high - row["S"]]]
        spot = {"marker": "s", "capsize": 3, "color": "tab:orange"}
        left.errorbar(
            [row["rankings"]], [row["S"]], yerr=bars, label="pairs, plain network", **spot
        )
    mean = float(np.mean(pnl))
    left.axhline(mean, color="gray", linestyle=":", label=f"PPO on PnL alone (mean {mean:.2f})")
    left.axhline(1.0, color="black", linewidth=0.8)
    left.text(counts[0], 1.005, "PPO on the true utility", fontsize=7, va="bottom")
    left.set(xlabel="rankings (6.9 bits each)", ylabel="S, interquartile mean, 95 % interval")
    left.legend(fontsize=7, loc="lower right")
    for name in sorted(rows[0]["S_by_trader"]):
        series = [r["S_by_trader"][name] for r in rows]
        right.plot(counts, series, marker=".", label=label(name))
    right.axhline(1.0, color="black", linewidth=0.8)
    right.set(xlabel="rankings", ylabel="mean S of each utility")
    right.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    figure.savefig(PLOT, metadata={"Date": None})


def draw_curves(found: dict[str, Any]) -> None:
    """Is PPO on the true utility converged? Its utility on unseen paths while it trains."""
    plt = pyplot()
    rows = [r for r in found["trainings"] if r["kind"] == "true"]
    names = sorted({r["trader"] for r in rows})
    figure, axes = plt.subplots(2, -(-len(names) // 2), figsize=(9.5, 4), sharex=True)
    for axis, name in zip(axes.flat, names, strict=False):
        for row in rows:
            if row["trader"] == name:
                steps, values = np.array(row["curve"]).T
                colour = "tab:blue" if row["market"] == "momentum" else "tab:green"
                axis.plot(steps / 1e6, values, color=colour, linewidth=0.8)
        axis.set_title(label(name), fontsize=8)
        axis.tick_params(labelsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("M steps", fontsize=7)
    figure.suptitle(
        "True utility of PPO trained on it, unseen paths (blue: momentum, green: mean reversion)",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(CURVES, metadata={"Date": None})


def harm(found: dict[str, Any]) -> str:
    """The trainings that did worse than PPO on PnL by more than 5 % of the range."""
    rows = [r for r in scored(found["trainings"]) if r["kind"] == "rlhf"]
    bad = [r for r in rows if r["harm"]]
    head = f"{len(bad)} of {len(rows)} trainings"
    if not bad:
        return head + "."
    lines = [
        f"{label(r['trader'])}, {r['teacher']}, {r['rankings']} rankings, {r['market']}, seed "
        f"{r['seed']}: S {r['S']:.2f} against {r['S_pnl']:.2f}"
        for r in sorted(bad, key=lambda r: r["S"] - r["S_pnl"])
    ]
    return head + ":\n\n" + "\n".join(f"- {line}" for line in lines)


def fill(text: str, name: str, content: str) -> str:
    """Replace what stands between <!-- name --> and <!-- end name -->."""
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{content.strip()}\n{end}{after}"


def converged(found: dict[str, Any]) -> str:
    """Which yardsticks had not stopped rising."""
    rows = [r for r in scored(found["trainings"]) if r["kind"] == "true"]
    names = [f"{label(r['trader'])} ({r['market']})" for r in rows if not r["converged"]]
    text = ", ".join(sorted(set(names))) or "none"
    return f"Yardsticks that still rose in their last quarter, {len(names)} of {len(rows)}: {text}."


def read(file: Path) -> dict[str, Any]:
    """Results, summarised as is done now."""
    found: dict[str, Any] = json.loads(file.read_text())
    return found | {"summary": summarise(found["trainings"])}


def main() -> None:
    """Plots and page."""
    found = read(RESULTS)
    draw_labels(found)
    draw_curves(found)
    page = fill(PAGE.read_text(), "labels", markdown(found["summary"]))
    page = fill(page, "harm", harm(found))
    about = found["device"]
    page = fill(
        page, "about", f"{about['cpu']}, {about['cores']} cores; commit `{found['commit']}`."
    )
    for file, name in ((OUTSIDE, "outside"), (TASTES, "tastes")):
        if file.is_file():
            outside = read(file)
            text = markdown(outside["summary"]) + "\n" + converged(outside)
            page = fill(page, name, text + "\n\nHarmed: " + harm(outside))
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
