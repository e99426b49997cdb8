"""Backtests, metrics, validation statistics, and reports."""
