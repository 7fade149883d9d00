"""Calls of a model: who makes them, and to which run, step and branch they belong."""
