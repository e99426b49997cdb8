"""Reward model, policy networks, PPO, the RLHF loop, and checkpoints."""
