"""`python -m benchmarks.micro`."""

from benchmarks.micro.command import app

app()
