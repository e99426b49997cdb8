"""PPO over vector environments: rollout, advantages, update."""
