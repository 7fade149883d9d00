"""Other people's caches, attached for real; see README.md."""
