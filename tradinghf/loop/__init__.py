"""The loop: collect episodes, ask traders, learn what they value, train, and ask again."""
