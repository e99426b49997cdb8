"""Run directories: checkpoints, clean stops, logs."""
