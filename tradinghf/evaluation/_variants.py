"""What tells one trial from another: its name, its parameters, and the code of a rule of one's own.

The same trial again, also on appended bars, must not count twice; an edited rule must.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import math
import textwrap
import tokenize
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tradinghf.evaluation._result import BacktestResult
from tradinghf.evaluation._study import Study
from tradinghf.resources import resource_dir
from tradinghf.strategies import Strategy


def backtest_variant(x: Any, report: BacktestResult, study: Study) -> dict[str, Any]:
    """What distinguishes a backtest: of a rule its parameters, of anything else its orders.

    Not the engine: all keep the same account.
    """
    how: dict[str, Any] = {"costs": asdict(report.costs), "fill": report.fill}
    if not report.terms.plain:
        how["terms"] = {name: asdict(part) for name, part in report.terms.named.items()}
        how["events"] = sorted(report.terms.events)
    if isinstance(x, Strategy):
        return rule_variant(x, report.params) | how
    if hasattr(x, "fingerprint"):  # a saved policy, whose name says which one
        return {"params": {}} | how
    tables = {"orders": report.targets, **report.prices}
    return {name: study.fingerprint(table) for name, table in tables.items()} | how


def rule_variant(strategy: Strategy, params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a rule, and its code where it is not one of ours."""
    plain = {name: _plain(value) for name, value in params.items()}
    return {"params": plain} | _own_code(strategy.function)


def _plain(value: Any) -> Any:
    """Infinity and NaN as words: JSON has no numbers for them."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _own_code(function: Callable[..., Any]) -> dict[str, str]:
    """Hash of a function's code, whatever its comments and its layout; none for shipped rules."""
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    if code is None:
        return {}
    if Path(code.co_filename).resolve().parent == resource_dir("strategies").resolve():
        return {}
    try:
        text = ast.dump(ast.parse(textwrap.dedent(inspect.getsource(inner))))
    except (OSError, SyntaxError, TypeError, tokenize.TokenError):
        text = code.co_code.hex() + repr(code.co_names)
    return {"code": hashlib.sha256(text.encode()).hexdigest()[:16]}
