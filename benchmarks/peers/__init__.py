"""Other people's caches, attached for real and matched by the work that they really do; see README.md."""
