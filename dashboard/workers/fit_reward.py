"""`python fit_reward.py STORE RUN`: fit the reward model to all answers and write what it says.

A process of its own: it loads torch, which the dashboard must not.
"""

import sys
from pathlib import Path

from tradinghf.errors import TradingHFError
from tradinghf.feedback.store import Store
from tradinghf.learning.reward import fit_reward_run


def tell(phase: str, done: int, total: int) -> None:
    """A line that the page turns into a bar."""
    print(f"{phase} {done}/{total}", flush=True)  # noqa: T201 - the job's output


def main(store_name: str, folder: str) -> None:
    """Fit and write."""
    with Store(store_name) as store:
        found = fit_reward_run(store, Path(folder), progress=tell)
    print(f"Fitted to {found['rankings']} rankings.")  # noqa: T201 - the job's output


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TradingHFError as error:
        sys.exit(str(error))
