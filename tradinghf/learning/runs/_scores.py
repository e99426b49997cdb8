"""Numbers about a run that print as a table."""

from __future__ import annotations

from typing import Any


class Scores(dict[str, Any]):
    """A dict of numbers; printed, or shown by a notebook, it is one line per name.

    Intervals ("NAME_interval") stand beside what they are of; lists are left out.
    """

    def __str__(self) -> str:
        rows = []
        for name, value in self.items():
            if name.endswith("_interval") or isinstance(value, list | tuple | dict):
                continue
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            interval = self.get(f"{name}_interval")
            if interval:
                shown += f"  ({interval[0]:.3g} to {interval[1]:.3g})"
            rows.append((name.replace("_", " "), shown))
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join(f"{name:<{width}}  {shown}" for name, shown in rows)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython shows."""
        printer.text("Scores(...)" if cycle else str(self))
