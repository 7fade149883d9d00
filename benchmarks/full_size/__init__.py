"""The speed benchmark at full size. Start at `command.py`; `bench.py` measures one model."""
