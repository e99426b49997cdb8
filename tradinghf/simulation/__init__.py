"""Orders in, fills out: costs, accounting, rewards, and the vectorised environment."""
