"""The speed benchmark at full size. Start at `command.py`; `measure.py` says what is done to one model."""
