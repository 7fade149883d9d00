"""What our own code costs, each part against the floor below which nothing can go. Start at `command.py`."""
