"""What a session puts into a model: at its forward, its blocks and its head."""
