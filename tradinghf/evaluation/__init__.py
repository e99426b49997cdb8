"""Backtests, metrics, validation statistics, and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradinghf._exports import on_first_use

if TYPE_CHECKING:
    from tradinghf.evaluation._backtest import backtest, decisions, trade
    from tradinghf.evaluation._check import check_strategy
    from tradinghf.evaluation._columns import column_metrics, run_columns
    from tradinghf.evaluation._comparison import compare_page, comparison_report
    from tradinghf.evaluation._crossvalidation import CrossValidation, cross_validate_parameters
    from tradinghf.evaluation._crossvalidation_page import cross_validation_page
    from tradinghf.evaluation._engines import order_rows, run_engine
    from tradinghf.evaluation._export import write_json, write_table
    from tradinghf.evaluation._gate import (
        PROFIT,
        UTILITY,
        Decision,
        GateConfig,
        decide,
        let_through,
    )
    from tradinghf.evaluation._gate_words import decision_text, measured_rows
    from tradinghf.evaluation._headline import grouped, headline
    from tradinghf.evaluation._order_tables import Orders, Signals
    from tradinghf.evaluation._policies import WEIGHTS, load_tradable
    from tradinghf.evaluation._report import Report
    from tradinghf.evaluation._result import BacktestResult
    from tradinghf.evaluation._run_study import RunStudy, store_for_run
    from tradinghf.evaluation._seals import first_sealed_day
    from tradinghf.evaluation._search import search
    from tradinghf.evaluation._selection import select
    from tradinghf.evaluation._signal import signal
    from tradinghf.evaluation._study import (
        DEFAULT_STORE,
        Study,
        open_bars,
        open_study,
        store_without_password,
        trial_name,
    )
    from tradinghf.evaluation._sweep import Sweep, allowed_combinations, sweep
    from tradinghf.evaluation._sweep_page import sweep_page
    from tradinghf.evaluation._taste import Taste
    from tradinghf.evaluation._track_record import excess_growth, other_histories, track_intervals
    from tradinghf.evaluation._validation import deflated_sharpe, overfitting_probability
    from tradinghf.evaluation._verdict import Verdict, judge
    from tradinghf.evaluation._walkforward import walk_forward
    from tradinghf.evaluation._walkpolicy import PolicyTrainer, walk_forward_policy
    from tradinghf.evaluation._watch import harm_evidence


__all__ = [
    "DEFAULT_STORE",
    "PROFIT",
    "UTILITY",
    "WEIGHTS",
    "BacktestResult",
    "CrossValidation",
    "Decision",
    "GateConfig",
    "Orders",
    "PolicyTrainer",
    "Report",
    "RunStudy",
    "Signals",
    "Study",
    "Sweep",
    "Taste",
    "Verdict",
    "allowed_combinations",
    "backtest",
    "check_strategy",
    "column_metrics",
    "compare_page",
    "comparison_report",
    "cross_validate_parameters",
    "cross_validation_page",
    "decide",
    "decision_text",
    "decisions",
    "deflated_sharpe",
    "excess_growth",
    "first_sealed_day",
    "grouped",
    "harm_evidence",
    "headline",
    "judge",
    "let_through",
    "load_tradable",
    "measured_rows",
    "open_bars",
    "open_study",
    "order_rows",
    "other_histories",
    "overfitting_probability",
    "run_columns",
    "run_engine",
    "search",
    "select",
    "signal",
    "store_for_run",
    "store_without_password",
    "sweep",
    "sweep_page",
    "track_intervals",
    "trade",
    "trial_name",
    "walk_forward",
    "walk_forward_policy",
    "write_json",
    "write_table",
]

__getattr__ = on_first_use(
    __name__,
    {
        "backtest": "tradinghf.evaluation._backtest",
        "decisions": "tradinghf.evaluation._backtest",
        "select": "tradinghf.evaluation._selection",
        "deflated_sharpe": "tradinghf.evaluation._validation",
        "overfitting_probability": "tradinghf.evaluation._validation",
        "trade": "tradinghf.evaluation._backtest",
        "check_strategy": "tradinghf.evaluation._check",
        "column_metrics": "tradinghf.evaluation._columns",
        "run_columns": "tradinghf.evaluation._columns",
        "compare_page": "tradinghf.evaluation._comparison",
        "comparison_report": "tradinghf.evaluation._comparison",
        "CrossValidation": "tradinghf.evaluation._crossvalidation",
        "cross_validate_parameters": "tradinghf.evaluation._crossvalidation",
        "cross_validation_page": "tradinghf.evaluation._crossvalidation_page",
        "order_rows": "tradinghf.evaluation._engines",
        "run_engine": "tradinghf.evaluation._engines",
        "write_json": "tradinghf.evaluation._export",
        "write_table": "tradinghf.evaluation._export",
        **dict.fromkeys(
            ("PROFIT", "UTILITY", "Decision", "GateConfig", "decide", "let_through"),
            "tradinghf.evaluation._gate",
        ),
        "decision_text": "tradinghf.evaluation._gate_words",
        "measured_rows": "tradinghf.evaluation._gate_words",
        "harm_evidence": "tradinghf.evaluation._watch",
        "grouped": "tradinghf.evaluation._headline",
        "headline": "tradinghf.evaluation._headline",
        "Orders": "tradinghf.evaluation._order_tables",
        "Signals": "tradinghf.evaluation._order_tables",
        "excess_growth": "tradinghf.evaluation._track_record",
        "other_histories": "tradinghf.evaluation._track_record",
        "track_intervals": "tradinghf.evaluation._track_record",
        "WEIGHTS": "tradinghf.evaluation._policies",
        "load_tradable": "tradinghf.evaluation._policies",
        "Report": "tradinghf.evaluation._report",
        "BacktestResult": "tradinghf.evaluation._result",
        "search": "tradinghf.evaluation._search",
        "signal": "tradinghf.evaluation._signal",
        "DEFAULT_STORE": "tradinghf.evaluation._study",
        "RunStudy": "tradinghf.evaluation._run_study",
        "Study": "tradinghf.evaluation._study",
        "first_sealed_day": "tradinghf.evaluation._seals",
        "open_bars": "tradinghf.evaluation._study",
        "open_study": "tradinghf.evaluation._study",
        "store_for_run": "tradinghf.evaluation._run_study",
        "store_without_password": "tradinghf.evaluation._study",  # a name  # nosec B105
        "trial_name": "tradinghf.evaluation._study",
        "Sweep": "tradinghf.evaluation._sweep",
        "allowed_combinations": "tradinghf.evaluation._sweep",
        "sweep": "tradinghf.evaluation._sweep",
        "sweep_page": "tradinghf.evaluation._sweep_page",
        "Taste": "tradinghf.evaluation._taste",
        "Verdict": "tradinghf.evaluation._verdict",
        "judge": "tradinghf.evaluation._verdict",
        "walk_forward": "tradinghf.evaluation._walkforward",
        "PolicyTrainer": "tradinghf.evaluation._walkpolicy",
        "walk_forward_policy": "tradinghf.evaluation._walkpolicy",
    },
)
