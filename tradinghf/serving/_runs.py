"""Run folders, as trainings and fits write them: only read here, and never trusted.

RUNS/NAME/config.json     settings
RUNS/NAME/metrics.jsonl   one row per iteration: step, learned_reward, pnl, kl, entropy, ...
RUNS/NAME/reward.json     what the reward model believes: values, held_out, warnings
RUNS/NAME/result.json     figures at the end
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tradinghf._json import parse_json

METRICS_FILE = "metrics.jsonl"
REWARD_FILE = "reward.json"
BAR_REWARDS_FILE = "bar_rewards.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """One run directory.

    Attributes:
        folder: its path.

    """

    folder: Path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def data(self) -> str:
        """The bars that it was trained on; empty where it does not say."""
        experiment = self.document("config.json").get("experiment")
        return str(experiment.get("data", "")) if isinstance(experiment, dict) else ""

    def document(self, name: str) -> dict[str, Any]:
        """A JSON file of the run; empty when missing or half written."""
        try:
            found = parse_json((self.folder / name).read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {"values": found}

    def metrics(self) -> pd.DataFrame:
        """Rows of metrics.jsonl; a last line that is still being written is left out."""
        rows = []
        try:
            lines = (self.folder / METRICS_FILE).read_text().splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                rows.append(parse_json(line))
            except (ValueError, RecursionError):
                continue
        return pd.DataFrame([row for row in rows if isinstance(row, dict)])

    def bar_rewards(self, episode: str) -> NDArray[np.float32] | None:
        """[2, L] learned reward per bar and its standard deviation; None when not computed."""
        try:
            found: NDArray[np.float32] | None = load_file(self.folder / BAR_REWARDS_FILE).get(
                episode
            )
        except (OSError, SafetensorError):
            return None
        return found


def list_runs(folder: Path | str, having: str) -> list[RunFolder]:
    """Runs that have a certain file, the one written last first."""
    found = [path for path in Path(folder).glob(f"*/{having}") if path.is_file()]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [RunFolder(path.parent) for path in found]
