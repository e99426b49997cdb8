"""What the gate and the monitor say, in words."""

from __future__ import annotations

from tradinghf.evaluation._gate import FEWEST_WINDOWS, NEVER, PROFIT, Decision, Measured


def decision_text(found: Decision, baseline: str) -> str:
    """The answer in a sentence or two."""
    harm = f"{100 * found.config.harm:g} %"
    of = f"{found.windows:,} windows"
    if found.answer == "deploy":
        tested = len({m.candidate for m in found.measured})
        several = f" (one of {tested} tested)" if tested > 1 else ""
        return (
            f"Deploy {found.chosen}{several}: over {of} it is not worse than {baseline}; a harmful "
            f"candidate would get this answer with a chance of at most {harm}."
        )
    if found.answer == "keep":
        shown = "the candidate is" if len(found.measured) < 3 else "every candidate is"
        return f"Keep {baseline}: over {of} {shown} shown to be worse (chance of error {harm})."
    return f"Not enough evidence, so keep {baseline}: {_why_unclear(found)}"


def _why_unclear(found: Decision) -> str:
    more = found.more or 0
    if found.windows < FEWEST_WINDOWS:
        return (
            f"there are {found.windows} windows, and {FEWEST_WINDOWS} are the fewest that say "
            f"anything; at the differences measured about {_many(more)} more would settle it."
        )
    if found.windows + more >= NEVER:
        return f"over {found.windows:,} windows there is no difference that more would settle."
    return (
        f"{found.windows:,} windows do not settle it; at the differences measured about "
        f"{_many(more)} more would."
    )


def _many(windows: int) -> str:
    """A number of windows without false precision."""
    if windows >= NEVER - FEWEST_WINDOWS:
        return "a million"
    step = 10 ** max(len(str(windows)) - 2, 0)
    return f"{-(-windows // step) * step:,}"


def measured_rows(found: Decision) -> list[tuple[str, str, str, str, float]]:
    """For a table: candidate, measure, mean difference a window, its lower bound, p-value."""
    return [
        (m.candidate, m.measure, _shown(m, m.mean), _shown(m, m.low), m.p) for m in found.measured
    ]


def _shown(m: Measured, value: float) -> str:
    return f"{100 * value:+.2f} %" if m.measure == PROFIT else f"{value:+.4g}"
