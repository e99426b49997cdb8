"""From trainings to S, G, their intervals, and whether learning ever did harm.

S = (U - U_random) / (U_best - U_random)        G = (U - U_pnl) / (U_best - U_pnl)

The best is the best policy known of a utility, market and seed: PPO on the true utility, or any
other training of the same benchmark that beats it. So neither is above 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradinghf._intervals import quantile

Found = Mapping[str, Any]
_LEAST_GAP = 0.1  # G counts where PPO on PnL leaves at least this share of the range
_HARM = 0.05  # of the range, below PPO on PnL
_STILL = 0.02  # of the range: what PPO on the true utility may yet gain in its last quarter
_RESAMPLES = 2000


def iqm(values: NDArray[np.float64]) -> float:
    """Mean of the middle half (interquartile mean); the mean of fewer than four values.

    Source: Agarwal et al. 2021 (arXiv:2108.13264).
    """
    return float(_iqms(values[None])[0])


def _iqms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[D] `iqm` of each row of [D, N]."""
    count = values.shape[1]
    if count < 4:
        return np.asarray(values.mean(axis=1))
    weight = np.clip(np.arange(1, count + 1) - count / 4, 0, 1)
    weight = np.minimum(weight, weight[::-1])
    return np.asarray(np.sort(values, axis=1) @ weight / weight.sum())


def iqm_interval(
    strata: Sequence[NDArray[np.float64]], seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of the IQM: runs are resampled within each stratum (trader and market).

    None where a stratum has one run, which would count as certain. The n runs of a stratum lie
    nearer to their own mean than to the true one, so they are moved away from it by the root of
    n / (n - 1); and only the middle half of all runs carries the mean, so that half counts as
    degrees of freedom.

    Source: Tukey and McLaughlin 1963 (Sankhya A 25), for a trimmed mean.
    """
    if min(len(stratum) for stratum in strata) < 2:
        return None
    rng = np.random.default_rng(seed)
    wide = [s.mean() + (s - s.mean()) * math.sqrt(len(s) / (len(s) - 1)) for s in strata]
    draws = [s[rng.integers(len(s), size=(_RESAMPLES, len(s)))] for s in wide]
    error = float(_iqms(np.concatenate(draws, axis=1)).std())
    width = error * quantile(sum(len(s) - 1 for s in strata) / 2)
    middle = iqm(np.concatenate(strata))
    return middle - width, middle + width


def scored(found: Iterable[Found]) -> list[dict[str, Any]]:
    """Every training with S, G (None where PnL leaves too small a gap) and harm.

    `lost` is what it lost to PPO on PnL, as a share of the range; `converged` tells whether its
    yardstick had stopped rising. Trainings whose yardstick is missing are left out.
    """
    rows = list(found)
    marks = {(r["market"], r["seed"], r["trader"]): r for r in rows if r["kind"] == "true"}
    best = {place: max(mark["utility"], mark["utility_pnl"]) for place, mark in marks.items()}
    for row in rows:
        place = (row["market"], row["seed"], row["trader"])
        if place in best:
            best[place] = max(best[place], row["utility"])
    out = []
    for row in rows:
        mark = marks.get((row["market"], row["seed"], row["trader"]))
        if mark is None or row["kind"] == "pnl":
            continue
        chance, pnl = mark["utility_random"], mark["utility_pnl"]
        true = best[row["market"], row["seed"], row["trader"]]
        span, gap = true - chance, true - pnl
        own = row["utility"]
        about = {
            "S": (own - chance) / span,
            "G": (own - pnl) / gap if gap >= _LEAST_GAP * span else None,
            "S_pnl": (pnl - chance) / span,
            "lost": (pnl - own) / span,
            "converged": _converged(mark.get("curve"), span),
            "harm": own < pnl - _HARM * span,
            "harm_deployed": row.get("deployed") is not None
            and row["deployed"] < pnl - _HARM * span,
        }
        out.append({**row, **about})
    return out


def _converged(curve: Sequence[Sequence[float]] | None, span: float) -> bool:
    """Whether a learning curve, points of (steps, utility), hardly rose in its last quarter."""
    if not curve:
        return False
    return curve[-1][1] - curve[-1 - len(curve) // 4][1] <= _STILL * span


def summarise(found: Iterable[Found]) -> list[dict[str, Any]]:
    """One row per kind, teacher and number of rankings, over traders, markets and seeds.

    Returns:
        S and G as IQM with 95 % intervals, their means, the worst trader by mean S, the worst
        trader and market by mean G, what was lost at most to PPO on PnL where G does not count,
        harmed trainings, the share of yardsticks that had stopped rising, and the reward model's
        mean held-out accuracy, macro F1 and calibration error.

    """
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in scored(found):
        if row["kind"] != "true":
            groups.setdefault((row["kind"], row["teacher"], row["rankings"]), []).append(row)
    return [_row(key, rows) for key, rows in sorted(groups.items())]


def _row(key: tuple[str, str, int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    kind, teacher, rankings = key
    s_strata, g_strata = _strata(rows, "S"), _strata(rows, "G")
    traders = sorted({row["trader"] for row in rows})
    means = {t: float(np.mean([r["S"] for r in rows if r["trader"] == t])) for t in traders}
    worst = min(means, key=means.__getitem__)
    every = np.concatenate(s_strata)
    return {
        "kind": kind,
        "teacher": teacher,
        "rankings": rankings,
        "bits": float(np.mean([row["bits"] for row in rows])),
        "runs": len(rows),
        "S": iqm(every),
        "S_interval": iqm_interval(s_strata),
        "S_mean": float(every.mean()),
        "worst": worst,
        "worst_S": means[worst],
        "G": iqm(np.concatenate(g_strata)) if g_strata else None,
        "G_interval": iqm_interval(g_strata) if g_strata else None,
        "G_runs": sum(len(s) for s in g_strata),
        "G_mean": float(np.concatenate(g_strata).mean()) if g_strata else None,
        "G_worst": min((float(s.mean()) for s in g_strata), default=None),
        "lost": max((row["lost"] for row in rows if row["G"] is None), default=None),
        "converged": float(np.mean([row["converged"] for row in rows])),
        "harmed": sum(row["harm"] for row in rows),
        "gate": _gated(rows),
        "S_by_trader": means,
        **{name: float(np.mean([r[name] for r in rows])) for name in ("accuracy", "f1", "ece")},
    }


def _gated(rows: list[dict[str, Any]]) -> dict[str, int] | None:
    """Trainings that the gate judged, those of which it let a policy through, and its harm."""
    judged = [row for row in rows if row.get("gate")]
    if not judged:
        return None
    return {
        "judged": len(judged),
        "deployed": sum(row["gate"] == "deploy" for row in judged),
        "harmed": sum(row["harm_deployed"] for row in judged),
    }


def _strata(rows: list[dict[str, Any]], name: str) -> list[NDArray[np.float64]]:
    """Values by trader and market."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row[name] is not None:
            found.setdefault((row["trader"], row["market"]), []).append(row[name])
    return [np.array(values) for values in found.values()]


def markdown(rows: Sequence[Found], traders: Sequence[Found] = ()) -> str:
    """The summary as a Markdown table, and S by trader under it."""
    header = (
        "| learned from | teacher | rankings | bits | runs | S, IQM | mean S | worst utility "
        "| G, IQM | mean G (worst) of | lost elsewhere | harmed | accuracy | macro F1 | ECE |"
    )
    lines = [header, "|---|---|" + "---:|" * 13]
    for row in rows:
        cells = [
            {"rlhf": "rankings of five", "plain": "pairs, plain network"}[row["kind"]],
            row["teacher"],
            str(row["rankings"]),
            f"{row['bits']:.0f}",
            str(row["runs"]),
            _with_interval(row["S"], row["S_interval"]),
            f"{row['S_mean']:.3f}",
            f"{row['worst_S']:.2f} ({label(row['worst'])})",
            _with_interval(row["G"], row["G_interval"]),
            _mean_g(row),
            "" if row["lost"] is None else f"{row['lost']:.2f}",
            str(row["harmed"]),
            *(f"{row[name]:.3f}" for name in ("accuracy", "f1", "ece")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + _by_trader(rows)


def _mean_g(row: Found) -> str:
    """Mean of G, the worst utility and market, and how many trainings they are."""
    if row["G_mean"] is None:
        return ""
    return f"{row['G_mean']:.3f} ({row['G_worst']:.2f}) of {row['G_runs']}"


def _by_trader(rows: Sequence[Found]) -> str:
    names = sorted({name for row in rows for name in row["S_by_trader"]})
    header = ["mean S", *(_case(row) for row in rows)]
    lines = ["", "| " + " | ".join(header) + " |", "|---|" + "---:|" * len(rows)]
    for name in names:
        cells = [row["S_by_trader"].get(name, math.nan) for row in rows]
        text = ["" if math.isnan(value) else f"{value:.2f}" for value in cells]
        lines.append("| " + " | ".join([label(name), *text]) + " |")
    return "\n".join(lines) + "\n"


def _case(row: Found) -> str:
    kind = "" if row["kind"] == "rlhf" else "plain, "
    return f"{kind}{row['teacher']} {row['rankings']}"


def label(trader: str) -> str:
    """A utility's name without its file."""
    return trader.rpartition(":")[2].replace("_", " ")


def _with_interval(value: float | None, bounds: Sequence[float] | None) -> str:
    if value is None:
        return ""
    if bounds is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({bounds[0]:.3f} to {bounds[1]:.3f})"
