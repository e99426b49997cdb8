"""Validated market data, its sources, and features of it. NumPy and pandas only."""
