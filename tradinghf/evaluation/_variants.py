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

from tradinghf.config import CostModel
from tradinghf.evaluation._result import BacktestResult
from tradinghf.evaluation._study import Study
from tradinghf.evaluation._terms import Terms
from tradinghf.resources import resource_dir
from tradinghf.strategies import Strategy


def backtest_variant(x: Any, report: BacktestResult, study: Study) -> dict[str, Any]:
    """What distinguishes a backtest: of a rule its parameters, of anything else its orders.

    Not the engine: all keep the same account.
    """
    how: dict[str, Any] = {"costs": costs_variant(report.costs), "fill": report.fill}
    how |= terms_variant(report.terms)
    if isinstance(x, Strategy):
        return rule_variant(x, report.params) | how
    if hasattr(x, "fingerprint"):  # a saved policy, whose name says which one
        return {"params": {}} | how
    tables = {"orders": report.targets, **report.prices}
    how |= {} if report.kind == "target_percent" else {"kind": str(report.kind)}
    return {name: study.fingerprint(table) for name, table in tables.items()} | how


def terms_variant(terms: Terms) -> dict[str, Any]:
    """Rules, margin, exits and events, where they are not the default."""
    if terms.plain:
        return {}
    named = {name: asdict(part) for name, part in terms.named.items()}
    return {"terms": named, "events": sorted(terms.events)}


def costs_variant(costs: CostModel) -> dict[str, Any]:
    """Costs as stored with a trial: settings that came later only where they are used."""
    plain = CostModel()
    later = ("min_fee", "max_fee_bps", "maker_fee_bps", "fee_tiers", "schedule", "by_asset")
    chosen = asdict(costs)
    return {k: v for k, v in chosen.items() if k not in later or v != getattr(plain, k)}


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
    if code is None and not isinstance(inner, type):
        return {}
    shipped = resource_dir("strategies").resolve()
    if code is not None and Path(code.co_filename).resolve().parent == shipped:
        return {}
    try:
        text = ast.dump(ast.parse(textwrap.dedent(inspect.getsource(inner))))
    except (OSError, SyntaxError, TypeError, tokenize.TokenError):
        # A class whose source is nowhere: what its methods do tells it apart.
        parts = [code] if code else [getattr(m, "__code__", None) for m in vars(inner).values()]
        text = "".join(c.co_code.hex() + repr(c.co_names) for c in parts if c is not None)
    return {"code": hashlib.sha256(text.encode()).hexdigest()[:16]}
