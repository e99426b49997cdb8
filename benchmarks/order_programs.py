"""Random order programs by the thousand against vectorbt and backtesting.py: do all agree?

`python benchmarks/order_programs.py --programs 10000 --json FILE` stops at the first program whose
equity differs by more than 1e-9 at any close.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.order_programs import brackets, market_orders, signal_brackets

BLOCK = 100


def measure(programs: int) -> dict[str, object]:
    """Compare so many programs: nine in ten with vectorbt, one in ten with backtesting.py."""
    blocks = max(programs // BLOCK, 1)
    compared = {"from_orders": 0, "from_signals": 0, "backtesting.py": 0}
    left_out, start = 0, time.perf_counter()
    for block in range(blocks):
        turn = block % 10
        if turn == 9:
            agreed, name = brackets(block, BLOCK), "backtesting.py"
        elif turn % 2:
            agreed, name = signal_brackets(block, BLOCK), "from_signals"
        else:
            market_orders(block, BLOCK)
            agreed, name = BLOCK, "from_orders"
        compared[name] += agreed
        left_out += BLOCK - agreed
    return {
        "programs": blocks * BLOCK,
        "agree_to_1e-9": sum(compared.values()),
        **compared,
        "not_defined_alike": left_out,
        "seconds": round(time.perf_counter() - start, 1),
        "vectorbt": version("vectorbt"),
        "backtesting": version("backtesting"),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = measure(options.programs)
    for key, value in found.items():
        sys.stdout.write(f"{key:18} {value}\n")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
