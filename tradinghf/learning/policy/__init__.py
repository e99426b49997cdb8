"""Networks that trade: shapes, heads, saving, export."""
