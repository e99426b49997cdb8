"""Reward model, policy networks, PPO, and checkpoints; their settings are in `config`."""
