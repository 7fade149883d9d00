"""What `lesa eval`, `lesa demo` and `lesa bench` will need, said when their models were looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lesa_framework.cli import foreseen, written
from lesa_framework.cli.forecast import Forecast, Job, Part, Room
from lesa_framework.cli.foreseen import Model
from lesa_framework.generation import check_pictures
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.tasks import Benchmark, Task
from lesa_framework.pipelines import CallablePipeline


class Outlook:
    """Says what a comparison will need, when all of its models were looked at, before anything is measured.

    Args:
        job: Learns where the models are.
        bench: What is measured.
        out: The file or folder; None if nothing is written.
        numbers: Whether a file of results is written.
        page: Whether a page is written.
        beside: The page, where it is another file than `out`.
        demo: Whether its images are written as files too, and on a sheet.
        keeps: Whether finished parts are kept on disk until everything is done, and outputs of the model with them.

    Attributes:
        screen: Where to say it; standard error if None.
    """

    def __init__(
        self,
        job: Job,
        bench: Benchmark,
        out: Path | None,
        *,
        numbers: bool = True,
        page: bool,
        beside: Path | None = None,
        demo: bool = False,
        keeps: bool = False,
    ) -> None:
        self._job, self._bench, self._out, self._beside = job, bench, out, beside
        self._numbers, self._page, self._demo, self._keeps = numbers, page, demo, keeps
        self._work: list[str] = []
        self._memory: tuple[Room, ...] = ()
        self._parts: list[Part] = [written.page_itself()] if page else []
        self._left = len(bench.tasks)
        self.screen: Console | None = None

    def __call__(self, pipe: CallablePipeline, task: Task, contenders: Sequence[Contender]) -> None:
        """Look at a model; the last one makes it speak."""
        self._left -= 1
        if len(contenders) > 1:
            model = foreseen.compared(pipe, task, contenders)
            check_pictures(pipe, model.sample)
            self._job.device = model.device
            self._work.append(foreseen.work_of(task, contenders))
            self._look(model, task, len(contenders))
        if not self._left and self._work:
            disk = (
                None
                if self._out is None
                else written.room_of(self._out, written.merged(self._parts), beside=self._beside)
            )
            Forecast(tuple(self._work), self._memory, disk).say(self.screen)

    def _look(self, model: Model, task: Task, rows: int) -> None:
        samples, steps = len(task.pairs), task.settings.num_steps
        kept = foreseen.kept_samples(model, samples)
        outputs = foreseen.kept_outputs(model, steps) if self._keeps else 0
        here = [Part("samples of the uncached run", kept)] if not self._keeps else []
        memory = model.memory(*here, Part("outputs that are compared", 2 * outputs))
        if sum(room.nbytes for room in memory) > sum(room.nbytes for room in self._memory):
            self._memory = memory
        shown = min(samples, task.spec.images)
        parts = written.results(model.sample, rows, samples, shown, numbers=self._numbers, page=self._page)
        if self._keeps:
            batches = -(-samples // task.spec.batch)
            cells = written.cells(model.sample, rows, batches, shown)
            parts = (*parts, Part("finished parts, until everything is done,", kept + outputs + cells))
        if self._demo:
            pixels = written.pictures(model.sample, rows * shown) + written.sheet(rows, shown)
            parts = (*parts, Part("images", pixels))
        self._parts += parts
