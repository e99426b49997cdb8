"""Run directories: checkpoints, clean stops, logs."""

from __future__ import annotations

from tradinghf.learning.runs._checkpoints import (
    RunDirectory,
    State,
    recall,
    torch_settings,
    understood,
)
from tradinghf.learning.runs._scores import Scores
from tradinghf.learning.runs._stopping import (
    deferring_stops,
    stop_requested,
    stop_training,
    stoppable,
)

__all__ = [
    "RunDirectory",
    "Scores",
    "State",
    "deferring_stops",
    "recall",
    "stop_requested",
    "stop_training",
    "stoppable",
    "torch_settings",
    "understood",
]
