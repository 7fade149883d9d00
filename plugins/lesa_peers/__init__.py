"""Caches of other libraries, attached as they are; see README.md."""
