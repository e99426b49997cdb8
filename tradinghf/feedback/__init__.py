"""What traders say: rankings, their likelihoods, the store, queries, synthetic traders."""
