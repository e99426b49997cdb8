"""The label-efficiency benchmark: how much of a trader's taste so many rankings teach."""

from __future__ import annotations

from tradinghf.loop.labels._cells import IN_SPAN, LabelBench
from tradinghf.loop.labels._run import run_labels
from tradinghf.loop.labels._summary import iqm, iqm_interval, markdown, summarise
from tradinghf.loop.labels._taste_table import taste_table
from tradinghf.loop.labels._tastes import TasteBench, run_tastes

__all__ = [
    "IN_SPAN",
    "LabelBench",
    "TasteBench",
    "iqm",
    "iqm_interval",
    "markdown",
    "run_labels",
    "run_tastes",
    "summarise",
    "taste_table",
]
