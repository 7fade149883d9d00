"""What a backbone adapter must keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework.api import Session
from lesa_framework.errors import LesaError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.interfaces.predictor import Predictor
from lesa_framework.interfaces.schedule import SchedulePolicy
from lesa_framework.runtime.engine import Strategy
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages, Hold, Oracle, Recorder
from lesa_framework.testing.conformance.traces import differences, traces
from lesa_framework.testing.sampling import ModelCall, attach, even_grid, sample
from lesa_framework.types import Decision, Tap

_SIGMAS = even_grid(6)
_COMPUTED = (0, 3)


def check_backbone(
    adapter: type[BackboneAdapter],
    *,
    make_model: Callable[[], nn.Module],
    call: ModelCall,
    make_latent: Callable[[int], Tensor],
) -> None:
    """Check an adapter on a small model with random weights.

    Checked for every tap it declares: nothing changes when every step is computed; a captured feature that is
    put back gives the same output, bit for bit, without any block being called; what is put back is really
    used; branches do not mix; an exception or another shape does no harm; detaching leaves no trace.

    Args:
        adapter: The adapter's class.
        make_model: Makes the model, with the same weights each time and no zero-initialised output.
        call: Calls it: `call(model, latent, sigma, prompt)` returns the velocity, of the latent's shape. `prompt` is
            a number that stands for a conditioning: another number, another tensor.
        make_latent: `make_latent(size)` for sizes 1 and 2, which must differ in shape.

    Raises:
        AssertionError: The adapter breaks the contract; the message says where.

    Example:
        ::

            def call(model, latent, sigma, prompt):
                words = torch.full((latent.shape[0], 3, 4), float(prompt))
                return model(latent, sigma, words, return_dict=False)[0]

            check_backbone(
                TinyDiTAdapter, make_model=TinyDiT, call=call, make_latent=lambda size: torch.ones(1, 4 * size, 4)
            )
    """
    names = [base.__name__ for base in type(make_model()).__mro__]
    assert adapter.model_class in names, f"model_class: '{adapter.model_class}' is none of the model's classes: {names}"
    assert adapter.block_lists, "block_lists: names no list, so nothing would ever be saved"
    assert adapter.taps, "taps: names none, so the adapter could never be used"
    assert make_latent(1).shape != make_latent(2).shape, "make_latent: sizes 1 and 2 must differ in shape"
    for tap in adapter.taps:
        case = _Case(adapter, tap, make_model, call, make_latent)
        for check in (_computes, _replays, _isolates, _survives_exception, _survives_shape, _detaches):
            try:
                check(case)
            except LesaError as error:
                raise AssertionError(f"tap '{tap}': {error}") from error


@dataclass(frozen=True)
class _Case:
    adapter: type[BackboneAdapter]
    tap: Tap
    make_model: Callable[[], nn.Module]
    call: ModelCall
    make_latent: Callable[[int], Tensor]

    def attach(
        self, model: nn.Module, schedule: SchedulePolicy, predictor: Predictor, recorder: Recorder | None = None
    ) -> Session:
        strategy = Strategy(schedule, EqualStages(), predictor)
        return attach(model, self.adapter(), strategy, _SIGMAS, self.tap, [recorder] if recorder else [])

    def sample(self, model: nn.Module, *, prompt: int = 0, guidance: float = 1.0) -> list[Tensor]:
        return sample(model, self.call, self.make_latent(1), _SIGMAS, prompt=prompt, guidance=guidance)

    def require(self, outputs: Sequence[Tensor], expected: Sequence[Tensor], claim: str) -> None:
        for step, (mine, theirs) in enumerate(zip(outputs, expected, strict=True)):
            assert torch.equal(mine, theirs), (
                f"tap '{self.tap}', step {step}: {claim}; the outputs differ by up to {(mine - theirs).abs().max():.3g}"
            )


def _computes(case: _Case) -> None:
    recorder = Recorder()
    model = case.make_model()
    bare = case.sample(model)
    case.require(case.sample(model), bare, "the bare model must give the same output for the same input")
    with case.attach(model, ComputeSteps(), Hold(), recorder):
        case.require(case.sample(model), bare, "computing every step must change nothing")
    found = [record.index for record in recorder.records]
    assert found == list(range(len(_SIGMAS) - 1)), (
        f"tap '{case.tap}': noise levels {_SIGMAS[:-1]} were taken for the steps {found}; "
        "see timestep_argument and timestep_scale"
    )


def _replays(case: _Case) -> None:
    model, recorder = case.make_model(), Recorder()
    with case.attach(model, ComputeSteps(), Hold(), recorder):
        bare = case.sample(model)
    with case.attach(model, ComputeSteps([0]), Oracle(recorder.features)), _counted(model, case.adapter) as calls:
        replayed = case.sample(model)
    case.require(replayed, bare, "a captured feature that is put back must give the same output, bit for bit")
    unused = [path for path, count in calls.items() if not count]
    assert not unused, f"block_lists: no block of {unused} was called on a computed step; those are not the stack"
    expected = {path: len(model.get_submodule(path)._modules) for path in calls}
    assert calls == expected, f"block_lists: blocks were called on predicted steps too ({calls}, expected {expected})"
    with case.attach(model, ComputeSteps([0]), Oracle(recorder.features, change=0.5)):
        changed = case.sample(model)
    assert not torch.equal(changed[1], bare[1]), (
        f"tap '{case.tap}': a changed feature gave the same output, so what is put back is not used; see closing"
    )


def _isolates(case: _Case) -> None:
    model, recorder = case.make_model(), Recorder()
    with case.attach(model, ComputeSteps(_COMPUTED), Hold()):
        alone = case.sample(model, prompt=1)
    with case.attach(model, ComputeSteps(_COMPUTED), Hold(), recorder), torch.no_grad():
        together, latent = [], case.make_latent(1)
        for step, (sigma, following) in enumerate(pairwise(_SIGMAS)):
            # The order changes at every step: it is the conditioning that tells branches apart.
            prompts = (2, 1) if step % 2 else (1, 2)
            outputs = {prompt: case.call(model, latent, sigma, prompt) for prompt in prompts}
            together.append(outputs[1])
            latent = latent + (following - sigma) * outputs[1]
    case.require(together, alone, "a branch must give the same alone and beside another one; see condition_argument")
    assert len({record.branch for record in recorder.records}) == 2, (
        "condition_argument: two prompts, yet not 2 branches"
    )


def _survives_exception(case: _Case) -> None:
    model = case.make_model()
    with case.attach(model, ComputeSteps(_COMPUTED), Hold()):
        fresh = case.sample(model)
    with case.attach(model, ComputeSteps(_COMPUTED), Hold()):
        for step in (1, 3):
            with _failing_call(case, step) as call, _ignoring(_PlannedError):
                sample(model, call, case.make_latent(1), _SIGMAS)
            case.require(case.sample(model), fresh, "the run behind an exception must be as a fresh one")


def _survives_shape(case: _Case) -> None:
    model, recorder = case.make_model(), Recorder()
    with case.attach(model, ComputeSteps([0]), Hold(), recorder), torch.no_grad():
        case.call(model, case.make_latent(1), _SIGMAS[0], 0)
        case.call(model, case.make_latent(1), _SIGMAS[1], 0)
        output = case.call(model, case.make_latent(2), _SIGMAS[2], 0)
    with torch.no_grad():
        bare = case.call(model, case.make_latent(2), _SIGMAS[2], 0)
    case.require([output], [bare], "a step on which the shape changes must be computed")
    decisions = [record.decision for record in recorder.records]
    assert decisions == [Decision.COMPUTE, Decision.PREDICT, Decision.COMPUTE], f"decisions were {decisions}"


def _detaches(case: _Case) -> None:
    model = case.make_model()
    bare = case.sample(model, guidance=2.0)
    before = traces(model)
    with case.attach(model, ComputeSteps(_COMPUTED), Hold()):
        case.sample(model, guidance=2.0)
    left = differences(before, traces(model))
    assert not left, f"tap '{case.tap}': detaching left traces: " + "; ".join(left)
    case.require(case.sample(model, guidance=2.0), bare, "a detached model must be as before")


@contextmanager
def _counted(model: nn.Module, adapter: type[BackboneAdapter]) -> Iterator[dict[str, int]]:
    calls = dict.fromkeys(adapter.block_lists, 0)

    def counter(path: str) -> Callable[..., None]:
        def count(*_: Any) -> None:
            calls[path] += 1

        return count

    handles = [
        block.register_forward_pre_hook(counter(path))
        for path in adapter.block_lists
        for block in model.get_submodule(path).children()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


class _PlannedError(Exception):
    """Thrown on purpose."""


@contextmanager
def _failing_call(case: _Case, step: int) -> Iterator[ModelCall]:
    """A model call that fails inside the model (in its closing module) at one step."""

    def fail(*_: Any) -> None:
        raise _PlannedError

    def call(model: nn.Module, latent: Tensor, sigma: float, prompt: int) -> Tensor:
        if sigma != _SIGMAS[step]:
            return case.call(model, latent, sigma, prompt)
        handle = model.get_submodule(case.adapter.closing).register_forward_pre_hook(fail)
        try:
            output = case.call(model, latent, sigma, prompt)
        finally:
            handle.remove()
        # The head is not run on a predicted step at the model's output; then it fails behind the call.
        raise _PlannedError if case.tap is Tap.OUTPUT else AssertionError(f"closing was not called, {output.shape}")

    yield call


@contextmanager
def _ignoring(kind: type[BaseException]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError("the planned exception did not come through")
