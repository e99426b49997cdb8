"""Bars in, arrays out: validated market data, its sources, and features. NumPy and pandas only."""
