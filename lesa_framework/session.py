"""What `accelerate` returns: a cache in a model, until it is detached."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Any, TypeAlias

from torch import nn

from lesa_framework.errors import LesaError
from lesa_framework.layout import unwrapped
from lesa_framework.report import CallReport
from lesa_framework.run_plan import RunPlan
from lesa_framework.runtime.model.attach import Attachment
from lesa_framework.runtime.requests import Requests
from lesa_framework.runtime.strategy import Strategy, StrategySource
from lesa_framework.types import Choice, Tap
from lesa_framework.warning import warn

#: Plans a run: (steps, samples, further arguments of the pipeline) -> the plan.
PlanRun: TypeAlias = Callable[[int, int, Mapping[str, Any]], RunPlan]


def _no_plan(num_steps: int, batch: int, call: Mapping[str, Any]) -> RunPlan:  # noqa: ARG001 - the contract's signature
    raise LesaError("Session.plan: this session was made without a pipeline that could be planned.")


def described(models: Mapping[str, nn.Module], tap: Tap, source: StrategySource) -> str:
    """What is cached, and by what, in a few words."""
    by = (
        f"{type(source.schedule).__name__} and {type(source.predictor).__name__}"
        if isinstance(source, Strategy)
        else "chosen for each run"
    )
    return f"on {' and '.join(type(unwrapped(model)).__name__ for model in models.values())} at {Tap(tap)}, {by}"


class Exchange:
    """Notices that a pipeline has another transformer by now: no call of the new one reaches a session.

    Nothing of a session runs in such a call, so this looks when something does: in a call of another transformer of
    the pipeline, and when somebody asks for the report or detaches.

    Args:
        look: Names the transformers in whose place there is another one.

    Attributes:
        names: Those that the last look found; empty for none.
    """

    def __init__(self, look: Callable[[], str] = str) -> None:
        self._look, self._has_warned = look, False
        self.names = ""

    def check(self) -> None:
        """Look, and warn once."""
        self.names = self._look()
        if self.names and not self._has_warned:
            self._has_warned = True
            warn(
                f"Session: the pipeline's {self.names} was exchanged after it was accelerated. No call of the new one "
                "reaches this session, and nothing of it is cached. Detach the session, and accelerate again.",
            )


class Session:
    """A configuration attached to a model. A context manager: leaving it detaches for good.

    Made by [`accelerate`][lesa_framework.accelerate].

    Args:
        requests: Who calls the model.
        attachments: One for each transformer.
        exchange: Notices that the pipeline has another transformer; by default it has not.
        plan: Plans a run.
        what: What is cached, and by what, in a few words.
    """

    def __init__(
        self,
        requests: Requests,
        *attachments: Attachment,
        exchange: Exchange | None = None,
        plan: PlanRun = _no_plan,
        what: str = "",
    ) -> None:
        self._plan, self._what = plan, what
        self._requests, self._attachments, self._exchange = requests, attachments, exchange or Exchange()
        self._detached = False
        try:
            for attachment in attachments:
                attachment.attach()
        except BaseException:
            self.detach()
            raise

    def __repr__(self) -> str:
        if self._detached:
            return f"<Session{self._about()}: detached>"
        report = self._requests.report
        ran = f"{report.nfe} of {report.num_steps} steps computed in the last run" if report.num_steps else "no run yet"
        return f"<Session{self._about()}: {ran}>"

    def _about(self) -> str:
        return f" {self._what}" if self._what else ""

    @property
    def report(self) -> CallReport:
        """The report of the pipeline's call in progress, or of the last one; of this thread, if it made any."""
        self._check_place()
        report, names = self._requests.report, self._exchange.names
        return replace(report, exchanged=names) if names else report

    @property
    def choice(self) -> Choice | None:
        """What was chosen for the run in progress or the last one, and why.

        None before the first run, because the choice depends on the run's noise levels; and where a configuration was
        given and serves the run.
        """
        return self.report.choice

    def plan(
        self,
        num_steps: int = 50,
        *,
        height: int | None = None,
        width: int | None = None,
        frames: int | None = None,
        batch: int = 1,
        call: Mapping[str, Any] = MappingProxyType({}),
    ) -> RunPlan:
        """What a run will compute, and the bytes that it will keep, before anything runs.

        The pipeline's own code and the engine's run once, on models that have shapes and no data: no weight is read or
        moved, and nothing of the pipeline is changed. It takes a few seconds.

        Args:
            num_steps: Steps of the sampler.
            height: In pixels; by default the pipeline's own.
            width: In pixels; by default the pipeline's own.
            frames: Of a video; by default the pipeline's own.
            batch: Prompts of a call. Leave it out where `call` has `prompt`, or embeddings of prompts such as
                `prompt_embeds`: these have a number of their own.
            call: Further arguments of the pipeline, such as `true_cfg_scale`, which may make a second branch, or
                `num_images_per_prompt`.

        Raises:
            ConfigError: The pipeline does not take the arguments, `batch` comes with prompts or embeddings, or the
                configuration does not fit the run.
            ArtifactError: The weights are for other runs.
            UnsupportedBackboneError: It cannot be told without running; the message says how to find out.

        Example:
            ::

                print(session.plan(50, height=1024, width=1024))
        """
        sizes = {"height": height, "width": width, "num_frames": frames}
        given = {name: size for name, size in sizes.items() if size is not None}
        return self._plan(num_steps, batch, {**call, **given})

    def end_run(self, run: Hashable) -> None:
        """End a run of a host, if it is open: its histories are freed, and its observers are told.

        Args:
            run: What the host calls it; see [`HostCall`][lesa_framework.HostCall].
        """
        self._requests.end_run(run)

    def detach(self) -> None:
        """Leave the model as it was before, bit for bit, and free the histories."""
        try:
            self._check_place()  # its warning may be an error
        finally:
            self._detached = True
            with ExitStack() as each:  # one that fails keeps none of the others attached
                each.callback(self._requests.close)
                for attachment in reversed(self._attachments):
                    each.callback(attachment.detach)

    def _check_place(self) -> None:
        """Look whether the pipeline has another transformer; what comes after detaching does not matter."""
        if not self._detached:
            self._exchange.check()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied or saved: a copy would not be what is attached to the model.

        Raises:
            LesaError: Always.
        """
        raise LesaError(
            "Session: it cannot be copied or pickled, because it belongs to the model that it is attached to. Copy the "
            "pipeline, for example with copy.deepcopy, and accelerate the copy; in another process, accelerate there."
        )

    def __enter__(self) -> Session:
        if self._detached:  # runs would silently be uncached
            raise LesaError("Session: it was detached, so nothing would be cached. Call accelerate() again.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()
