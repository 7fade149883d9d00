"""A progress watcher of comparisons and benchmarks that records its calls."""

from __future__ import annotations


class ProgressLog:
    """Remembers which method was at work, in order."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.expected = self.steps = 0

    def expect(self, steps: int) -> None:
        self.expected = steps

    def step(self, method: str) -> None:
        self.steps += 1
        if not self.order or self.order[-1] != method:
            self.order.append(method)
