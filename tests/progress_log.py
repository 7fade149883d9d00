"""A progress watcher of comparisons and benchmarks that records its calls."""

from __future__ import annotations


class ProgressLog:
    """Remembers which method was at work, in order."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.expected = self.done = 0.0
        self.seconds: float | None = None

    def expect(self, work: float, seconds: float | None = None) -> None:
        self.expected, self.seconds = work, seconds

    def step(self, method: str, work: float = 1.0) -> None:
        self.done += work
        if not self.order or self.order[-1] != method:
            self.order.append(method)
