"""What traders say: rankings, ratings, comments, the store, synthetic traders."""
