"""The verdict on a backtest: statistical evidence, and what it proves in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tradinghf._intervals import Interval
from tradinghf.errors import ConfigError
from tradinghf.evaluation._order_tables import OrderTables
from tradinghf.evaluation._result import BacktestResult
from tradinghf.evaluation._sources import unreal_timing
from tradinghf.evaluation._timing import RandomTiming, random_timing
from tradinghf.evaluation._track_record import excess_growth, other_histories, track_intervals
from tradinghf.evaluation._validation import deflated_sharpe, min_track_record


@dataclass(frozen=True, eq=False)
class Verdict:
    """The evidence of one backtest, and the conclusion from it.

    Attributes:
        headline: one sentence.
        passed: True where timing and Sharpe ratio both survive the number of trials; False where
            one does not; None where there is nothing to judge: no decisions, a rehearsal, or
            bars that were seen in training.
        reasons: sentences, most important first.
        trials: how many variants were tried, this one included.
        timing: the random-timing baseline.
        timing_p: its p-value, corrected for the trials.
        deflated: deflated Sharpe ratio, a probability.
        sharpe: annual Sharpe ratio with its interval.
        intervals: of the headline metrics that have one; of the deepest fall and Calmar, where
            they would lie in another history of the same kind and length.
        excess: growth per year above the benchmark, with its interval [percentage points].
        track_years: years needed to be 95 % sure of a positive Sharpe ratio; None if it is not.
        rehearsal: the market is synthetic, so nothing is proven about a real one.
        doubt: a sentence where its timing is too good to be true; it does not pass then.

    """

    headline: str
    passed: bool | None
    reasons: tuple[str, ...]
    trials: int
    timing: RandomTiming
    timing_p: float | None
    deflated: float | None
    sharpe: Interval
    intervals: dict[str, Interval]
    excess: Interval
    track_years: float | None
    rehearsal: bool = False
    doubt: str = ""

    @property
    def label(self) -> str:
        """What it is: "Verdict", or "Rehearsal" on a synthetic market."""
        return "Rehearsal" if self.rehearsal else "Verdict"

    def __str__(self) -> str:
        return "\n".join([self.headline, *(f"- {reason}" for reason in self.reasons)])


def judge(
    report: BacktestResult,
    benchmark: BacktestResult,
    *,
    trials: int = 1,
    variance: float | None = None,
    draws: int = 1000,
) -> Verdict:
    """Judge a backtest against chance, against the number of trials, and against a benchmark.

    It passes when both hold at 5 %: the strategy beats circular shifts of itself (p-value
    Sidak-corrected for the trials), and its deflated Sharpe ratio exceeds 0.95. Requiring both
    keeps the rate of false passes on worlds without skill below 5 %. Orders that take most of what
    perfect foresight of the next bars would take do not pass: nobody can.

    Args:
        report: the backtest.
        benchmark: another one over the same bars, usually `report.benchmark()`.
        trials: how many strategies or variants were tried until this one was chosen.
        variance: variance of the trials' per-bar Sharpe ratios, where it is known.
        draws: other histories, for the interval of the deepest fall.

    """
    if trials < 1:
        raise ConfigError(f"trials is {trials}; expected at least 1: this backtest itself.")
    returns, bars_per_year = report.returns.to_numpy(), report.market.bars_per_year
    timing = random_timing(report)
    timing_p = timing.p_value(trials)
    deflated = deflated_sharpe(report.excess, trials, variance)

    known = track_intervals(returns, bars_per_year, report.excess)
    needed = min_track_record(report.excess)
    passed, rehearsal = None, report.market.made_up
    tables = OrderTables(report.targets, report.kind, report.prices)
    doubt = unreal_timing(tables, report.market)
    if timing_p is not None and deflated is not None and not (rehearsal or report.seen):
        passed = timing_p <= 0.05 and deflated >= 0.95 and not doubt
    found = Verdict(
        headline="",
        passed=passed,
        reasons=(),
        trials=trials,
        timing=timing,
        timing_p=timing_p,
        deflated=deflated,
        sharpe=known["sharpe_annual"],
        intervals=known | other_histories(returns, bars_per_year, draws=draws),
        excess=excess_growth(returns, benchmark.returns.to_numpy(), bars_per_year),
        track_years=None if needed is None else needed / bars_per_year,
        rehearsal=rehearsal,
        doubt=doubt,
    )
    reasons = tuple(_reasons(found, report, benchmark))
    return Verdict(
        **{**vars(found), "headline": _headline(found, report, benchmark.name), "reasons": reasons}
    )


def _after(trials: int) -> str:
    """How many trials, in words: "after 37 trials" or "in a single trial"."""
    return "in a single trial" if trials == 1 else f"after {trials:,} trials"


def _p_text(p: float) -> str:
    """A p-value without false precision."""
    return "p < 0.001" if p < 0.001 else "p > 0.99" if p > 0.99 else f"p = {p:.3f}"


def _signed(value: float | None) -> str:
    """One decimal with its sign, typographic minus."""
    return "n/a" if value is None else f"{value:+.1f}".replace("-", "−")


def _headline(v: Verdict, report: BacktestResult, benchmark: str) -> str:
    said = _finding(v, report, benchmark)
    return f"Rehearsal on a synthetic market: {said[0].lower()}{said[1:]}" if v.rehearsal else said


def _finding(v: Verdict, report: BacktestResult, benchmark: str) -> str:
    if not len(report.orders):
        return "Never traded, so there is nothing to judge."
    if report.account.equity[-1] <= 0:
        return "Lost all of the money."
    if v.doubt:
        return "Too good to be true: its orders know the next bars."
    if report.seen:
        return f"Not judged: {report.seen:.0%} of these bars were seen in training."
    if v.timing_p is None or v.deflated is None:
        return "Takes no timing decisions, so skill cannot be judged."
    if v.timing_p > 0.05:
        return f"Not distinguishable from random timing {_after(v.trials)}."
    if v.deflated < 0.95:
        return f"Better timed than chance, but not proven profitable {_after(v.trials)}."
    if v.excess.low is not None and v.excess.low > 0:
        return f"Better than random timing and than {benchmark} {_after(v.trials)}."
    return f"Better than random timing {_after(v.trials)}; not proven better than {benchmark}."


def _reasons(v: Verdict, report: BacktestResult, benchmark: BacktestResult) -> list[str]:
    found = [v.doubt] if v.doubt else []
    if report.seen:
        found.append(
            "On bars that a policy was trained or chosen on, figures are no evidence. Begin after "
            "them."
        )
    if v.rehearsal:
        found.append(
            "The bars were made up, and built to be learned from: this shows that the machinery "
            "works, not that anything would earn in a real market."
        )
    if v.timing.percentile is not None and v.timing_p is not None:
        found.append(
            f"Its timing beats {v.timing.percentile:.1f} % of the {len(v.timing.shifted):,} shifts "
            f"of its own positions, which keep turnover and costs "
            f"({_p_text(v.timing_p)} {_after(v.trials)})."
        )
        if 1 - (1 - 1 / (1 + len(v.timing.shifted))) ** v.trials > 0.05:
            found.append("With so many trials no strategy could pass on so few bars.")
    if v.deflated is not None:
        luck = (
            f"exceeds what luck gives the best of {v.trials:,}" if v.trials > 1 else "is positive"
        )
        found.append(
            f"The chance that its true Sharpe ratio {luck} is {100 * v.deflated:.0f} % "
            "(deflated Sharpe ratio; 95 % is the bar)."
        )
    same = np.allclose(report.returns, benchmark.returns, atol=1e-12)
    if not same and v.excess.value is not None and v.excess.low is not None:
        more = "more" if v.excess.value >= 0 else "less"
        found.append(
            f"It grew by {abs(v.excess.value):.1f} percentage points a year {more} than "
            f"{benchmark.name} (95 % interval {_signed(v.excess.low)} to {_signed(v.excess.high)})."
        )
    fall, other = report.metrics["max_drawdown_pct"], benchmark.metrics["max_drawdown_pct"]
    found.append(
        f"Its deepest fall was {fall:.1f} %, against {other:.1f} % for {benchmark.name}; costs "
        f"took {report.metrics['costs_pct_of_start']:.1f} % of the starting equity."
    )
    years = len(report.returns) / report.market.bars_per_year
    if v.track_years is not None and v.track_years > years:
        found.append(
            f"At this Sharpe ratio, being 95 % sure that it is positive takes {v.track_years:.0f} "
            f"years of data; there are {years:.1f}."
        )
    return found
