"""Write the tables of docs/benchmarks.md, its plots and other pages' from benchmarks/results.

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
OWN_PAGE = ROOT / "docs" / "reports" / "own_strategy.md"
IMAGES = ROOT / "docs" / "images"
SHARES = {"copy_share": "share of copy rate", "gemm_share": "share of GEMM rate"}
TIMES = {"times_plain": "times the plain task"}


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
    shares = [key for key in SHARES if any(key in row for row in found["results"])]
    times = [key for key in TIMES if any(key in row for row in found["results"])]
    rows = []
    for row in found["results"]:
        cells = [row["case"], number(row["value"]), number(row["best"])]
        cells.append(number(row["per_cpu_second"]) if "per_cpu_second" in row else "")
        cells += [f"{row[key]:.1%}" if key in row else "" for key in shares]
        rows.append(cells + [f"{row[key]:.2f}" if key in row else "" for key in times])
    unit = found["results"][0]["unit"]
    minutes = "CPU minute" if unit.endswith("/min") else "CPU second"
    header = ["case", f"median {unit}", f"best {unit}", f"best per {minutes}"]
    header += [SHARES[key] for key in shares] + [TIMES[key] for key in times]
    return markdown(header, rows) + source(found)


OURS = ("tradinghf", "tradinghf, learned + PnL")


def env_peers() -> str:
    """Results of env_peers.py."""
    file = RESULTS / "env_peers.json"
    if not file.exists():
        return "Not measured."
    found = json.loads(file.read_text())
    ours = {
        row["envs"]: row["per_cpu_second"]
        for row in found["results"]
        if row["contender"] == "tradinghf, fused"
    }
    rows = [
        [
            f"N={row['envs']}, {row['contender']}",
            number(row["value"]),
            number(row["per_cpu_second"]),
            number(ours[row["envs"]] / row["per_cpu_second"]),
            row["leaves_out"],
        ]
        for row in found["results"]
    ]
    header = ["environment", "median steps/s", "best steps per CPU second"]
    header += ["CPU time, fused = 1", "what ours has and it leaves out"]
    names = [name for name in found["versions"] if name not in ("torch", "numpy", "numba")]
    versions = ", ".join(f"{name} {found['versions'][name]}" for name in names)
    lost = "".join(f"\n\nNot measured: {line}." for line in found["failed"])
    return markdown(header, rows) + source(found) + f" Versions: {versions}." + lost


def finrl() -> str:
    """Results of finrl_peer.py."""
    file = RESULTS / "finrl_peer.json"
    if not file.exists():
        return "Not measured."
    found = json.loads(file.read_text())
    rows = [
        [row["contender"], number(row["value"]), number(row["best"]), number(row["times_finrl"])]
        for row in found["results"]
    ]
    header = ["environment", "median steps per CPU second", "best", "times FinRL's"]
    return markdown(header, rows) + source(found) + f" Accounts apart: {found['parity']:.1g}."


def peers() -> str:
    """Results of ppo_peers.py."""
    found = json.loads((RESULTS / "ppo_peers.json").read_text())
    rates, medians = (
        {(r["learner"], r["envs"], r["threads"]): r[kind] for r in found["results"]}
        for kind in ("best", "median")
    )
    rows = []
    for row in found["results"]:
        place = row["envs"], row["threads"]
        threads = ", 2 threads" if row["threads"] > 1 else ""
        cells = [f"N={row['envs']}, {row['learner']}{threads}"]
        cells += [number(row[key]) for key in ("median", "best", "per_cpu_second")]
        for ours in OURS:
            is_peer = row["learner"] not in OURS and (ours, *place) in rates
            cells.append(f"{rates[ours, *place] / row['best']:.1f}" if is_peer else "")
        rows.append(cells)
    header = ["learner", "median steps/s", "best steps/s", "best per CPU second"]
    header += ["ours is faster by", "with the learned reward"]
    theirs = ("Stable-Baselines3", 64, 1)
    one, two = (
        f"{medians[ours] / medians[theirs]:.1f} ({rates[ours] / rates[theirs]:.1f}) times"
        for ours in ((OURS[1], 2_048, threads) for threads in (1, 2))
    )
    line = (
        "\n\nBy the median (by the best), ours with the learned reward at N = 2,048 makes "
        f"{one} the steps of Stable-Baselines3 at N = 64 on one thread, and {two} with two "
        "threads of ours."
    )
    return markdown(header, rows) + line + source(found)


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


def share(value: float) -> str:
    """A chance in percent."""
    return f"{100 * value:.1f} %"


def gate() -> str:
    """Errors, worlds beyond the promise, power, monitor and breaks of the no-harm gate."""
    if not (RESULTS / "gate.json").exists():
        return "Not measured."
    found = json.loads((RESULTS / "gate.json").read_text())
    tables, parts = found["tables"], []
    for title, name in (
        ("Let through (promised: at most 5 %)", "errors"),
        ("Let through, in worlds beyond the promise", "beyond"),
    ):
        rows = [
            [r["world"], str(r["windows"]), f"{r['effect']:g}", share(r["let_through"])]
            for r in tables[name]
        ]
        parts.append(markdown([title, "windows", "true difference", "let through"], rows))
    effects = sorted({r["effect"] for r in tables["power"]})
    power = {(r["worst"], r["windows"], r["effect"]): r["let_through"] for r in tables["power"]}
    rows = [
        [f"{n} windows, worst {100 * w:g} %", *(share(power[w, n, e]) for e in effects)]
        for w, n in sorted({key[:2] for key in power})
    ]
    parts.append(markdown(["Better by ... is let through", *(f"{e:g}" for e in effects)], rows))
    rows = [
        [r["world"], share(r["false_alarms"]), share(r["alarms"]), str(r["median_delay"])]
        for r in tables["monitor"]
    ]
    header = ["The monitor over 250 windows", "false alarms", "alarms at -0.5", "median delay"]
    parts.append(markdown(header, rows))
    rows = [
        [f"{r['effect']:g}", share(r["let_through"]), share(r["alarms"] or 0.0)]
        + [str(r["median_delay"])]
        + [f"{r[k]:.2f}" for k in ("lost_until_alarm", "lost_without_monitor")]
        for r in tables["breaks"]
    ]
    header = ["The edge turns after the gate", "let through", "alarms", "median delay"]
    parts.append(markdown([*header, "lost until the alarm", "lost without"], rows))
    return "\n\n".join(parts) + f"\n\n`{found['command']}`" + source(found)


def trust() -> str:
    """Planted leaks, the oracle, and noise."""
    if not (RESULTS / "trust.json").exists():
        return "Not measured."
    found = json.loads((RESULTS / "trust.json").read_text())
    leaks, oracle, noise = (found[name] for name in ("leaks", "oracle", "noise"))
    rows = [
        ["planted leaks called leaking", f"{leaks['caught']} of {leaks['planted']}"],
        [
            "honest, suspicious strategies called leaking",
            f"{leaks['flagged']} of {leaks['honest']}",
        ],
        ["of perfect foresight's profit, PPO learned", share(oracle["share"])],
        [f"verdicts of proof on {noise['worlds']} worlds of noise", share(noise["claims"])],
    ]
    table = markdown(["trust", "measured"], rows)
    return table + f"\n\n`{found['command']}`" + source(found)


def own() -> str:
    """What tuning and overlays of one's own strategy gain, and whether the base is ever harmed."""
    if not (RESULTS / "own.json").exists():
        return "Not measured."
    found = json.loads((RESULTS / "own.json").read_text())
    summary, worlds = found["summary"], found["summary"]["worlds"]
    rows = []
    for name in ("overlay", "tuned"):
        part = summary[name]
        low, high = part["interval"] or (None, None)
        measured = "not measured" if part["G"] is None else f"{part['G']:.2f}"
        measured += "" if low is None else f" ({low:.2f} to {high:.2f})"
        rows += [
            [f"{name}: G, in {part['worlds']} worlds", measured],
            [f"{name}: better than the base", f"{part['better_than_base']} of {worlds}"],
        ]
    ended = summary["deployed"]
    said = ", ".join(f"{ended[k]} {k}" for k in ("overlay", "tuned", "base"))
    rows += [
        ["what the gate deployed", said],
        ["ended with less profit than the margin allows", str(ended["profit_worse_than_margin"])],
        ["ended with less utility", str(ended["utility_worse"])],
    ]
    return markdown(["own", "measured"], rows) + "\n\n`tradinghf bench own`" + source(found)


def own_stocks() -> str:
    """What tuning, overlays and policies from nothing gain on real stocks, pooled."""
    found = json.loads((RESULTS / "own_stocks20.json").read_text())
    lines = found["markdown"].strip().split("\n")
    pooled = [line for line in lines[2:] if "| all |" in line]
    return "\n".join([*lines[:2], *pooled]) + source(found)


OWN_TABLES: dict[str, Callable[[], str]] = {"own-stocks20": own_stocks}


def large_data() -> str:
    """Results of large_data.py."""
    file = RESULTS / "large_data.json"
    if not file.exists():
        return "Not measured."
    found = json.loads(file.read_text())
    steps = list(dict.fromkeys(row["step"] for row in found["results"]))
    rows: dict[str, dict[str, str]] = {}
    for row in found["results"]:
        name = f"{row['size']} ({row['arrays_mib']:,.0f} MiB of arrays)"
        cell = f"{row['seconds']:.1f} s, {row['times']:.2f} x"
        rows.setdefault(name, {})[row["step"]] = cell
    cells = [[name, *(row.get(step, "") for step in steps)] for name, row in rows.items()]
    return markdown(["bars", *steps], cells) + source(found)


TABLES: dict[str, Callable[[], str]] = {
    "env": lambda: bench("env"),
    "ppo": lambda: bench("ppo"),
    "backtest": lambda: bench("backtest"),
    "peers": peers,
    "env-peers": env_peers,
    "finrl": finrl,
    "classic": classic,
    "gate": gate,
    "trust": trust,
    "own": own,
    "large-data": large_data,
}


def filled(page: str, tables: dict[str, Callable[[], str]]) -> str:
    """The page with every table between its markers renewed."""
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{table()}\n{end}{after}"
    return page


def pyplot() -> Any:
    """Matplotlib, set up to write the same SVG file for the same figures."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "tradinghf"
    from matplotlib import pyplot as plt

    return plt


def save(figure: Any, name: str) -> None:
    """Write docs/images/NAME.svg."""
    figure.tight_layout()
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})


def plot_env_peers() -> None:
    """Rates of every environment, one panel per number of environments."""
    file = RESULTS / "env_peers.json"
    if not file.exists():
        return
    found = json.loads(file.read_text())["results"]
    sizes = sorted({row["envs"] for row in found})
    most = max(sum(row["envs"] == size for row in found) for size in sizes)
    plt = pyplot()
    figure, axes = plt.subplots(len(sizes), 1, figsize=(8, 0.36 * most * len(sizes)), sharex=True)
    for axis, size in zip(axes, sizes, strict=True):
        rows = sorted((r for r in found if r["envs"] == size), key=lambda r: r["per_cpu_second"])
        own = ["#2962ff" if r["contender"].startswith("tradinghf") else "#9aa4b2" for r in rows]
        rates = [r["per_cpu_second"] for r in rows]
        bars = axis.barh([r["contender"] for r in rows], rates, color=own)
        axis.bar_label(bars, [number(rate) for rate in rates], padding=3, fontsize=8)
        axis.set_xscale("log")
        axis.set_title(f"N = {size:,}", loc="left", fontsize=10)
        axis.tick_params(axis="y", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_xlim(min(r["per_cpu_second"] for r in found) / 2, 1e8)
    axes[-1].set_xlabel("environment steps per CPU second, logarithmic")
    save(figure, "env_peers")


def plot_classic() -> None:
    """Learning curves of every seed, with the published scores as lines."""
    plt = pyplot()
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
    save(figure, "classic_control")


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    pages = {
        path: (path.read_text(), filled(path.read_text(), tables))
        for path, tables in ((PAGE, TABLES), (OWN_PAGE, OWN_TABLES))
    }
    if options.check:
        return int(any(before != after for before, after in pages.values()))
    for path, (_, after) in pages.items():
        path.write_text(after)
    plot_classic()
    plot_env_peers()
    return 0


if __name__ == "__main__":
    sys.exit(main())
