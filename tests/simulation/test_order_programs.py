"""Random order programs against vectorbt and backtesting.py, wherever both define the case.

`benchmarks/order_programs.py` runs the same by the thousand.
"""

from __future__ import annotations

import pytest
from support.order_programs import brackets, market_orders, signal_brackets


@pytest.mark.filterwarnings("ignore")
def test_random_programs_agree_with_both_peers() -> None:
    programs = 60
    market_orders(0, programs)
    assert signal_brackets(0, programs) > 0.3 * programs
    assert brackets(0, programs) > 0.3 * programs
