"""What traders value, learned from their answers."""
