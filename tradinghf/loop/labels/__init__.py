"""The label-efficiency benchmark: how much of a trader's taste so many rankings teach."""

from __future__ import annotations

from tradinghf.loop.labels._cells import IN_SPAN, LabelBench
from tradinghf.loop.labels._run import run_labels
from tradinghf.loop.labels._summary import iqm, iqm_interval, markdown, summarise

__all__ = [
    "IN_SPAN",
    "LabelBench",
    "iqm",
    "iqm_interval",
    "markdown",
    "run_labels",
    "summarise",
]
