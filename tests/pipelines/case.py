"""One real pipeline with tiny random weights, and what must hold for a session in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import lesa_framework as lesa
from lesa_framework import RunReport
from lesa_framework.api import transformers_of

#: Computes 0, 1, 2, 5 and 8, as far as the run has these steps.
INTERVAL = {"kind": "fixed_interval", "interval": 3, "warmup": 3}
#: The plan of eight steps under it.
EIGHT = "FFFPPFPP"


@dataclass(frozen=True)
class PipelineCase:
    """A pipeline and a call of it.

    Attributes:
        name: For the test's name.
        kind: The adapter that is found for its transformers.
        make: Makes the pipeline.
        generate: Calls it and returns latents or images; the same each time.
        plans: Branch -> its plan at an interval of 3.
        indices: Branch -> its steps, where they are not 0, 1, 2, ...
    """

    name: str
    kind: str
    make: Callable[[], Any]
    generate: Callable[[Any], Tensor]
    plans: Mapping[str, str] = field(default_factory=lambda: {"branch0": EIGHT})
    indices: Mapping[str, list[int]] = field(default_factory=dict)


def config(schedule: Mapping[str, object] = INTERVAL, **changes: object) -> dict[str, object]:
    """A configuration with straight lines between few computed steps."""
    return {"schedule": dict(schedule), "predictor": {"kind": "taylorseer", "order": 1}, **changes}


def pipeline_of(case: PipelineCase) -> Any:
    """The case's pipeline, silent."""
    pipe = case.make()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def check_pipeline(case: PipelineCase, pipe: Any) -> None:
    """`always` and `detach` change nothing, an interval predicts as planned, and a second run equals the first."""
    bare = case.generate(pipe)
    before = [trace(model) for model in transformers_of(pipe).values()]  # now, since a first run leaves its own
    assert torch.equal(case.generate(pipe), bare), "the bare pipeline does not repeat itself"
    with lesa.accelerate(pipe, config({"kind": "always"})) as session:
        assert torch.equal(case.generate(pipe), bare), "always is not the bare pipeline"
    assert not session.report.fallbacks
    with lesa.accelerate(pipe, config()) as session:
        first = case.generate(pipe)
        check_report(case, session.report)
        assert torch.equal(case.generate(pipe), first), "the second run differs"
        check_report(case, session.report)
    assert first.isfinite().all()
    assert not torch.equal(first, bare), "predicting changed nothing at all"
    assert [trace(model) for model in transformers_of(pipe).values()] == before
    assert torch.equal(case.generate(pipe), bare), "detach left a trace"


def check_report(case: PipelineCase, report: RunReport) -> None:
    """The branches, their plans and their steps are those expected, and nothing fell back to computing."""
    assert report.info.backbone == case.kind
    assert {branch: report.plan(branch) for branch in report.branches} == dict(case.plans)
    assert not report.fallbacks
    for branch, plan in case.plans.items():
        indices = [record.index for record in report.records if record.branch == branch]
        assert indices == case.indices.get(branch, list(range(len(plan))))


def trace(model: nn.Module) -> tuple[object, ...]:
    """What attaching could leave in a model."""
    hooks = [(len(each._forward_hooks), len(each._forward_pre_hooks)) for each in model.modules()]
    return sorted(vars(model)), hooks, [name for name, _ in model.named_modules()], model.forward


def lively(module: nn.Module) -> nn.Module:
    """The module with no parameter left at zero, so that nothing is switched off by its initialisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for parameter in module.requires_grad_(False).eval().parameters():
            if not (parameter.any() and parameter.isfinite().all()):
                parameter.normal_(std=0.05)
    return module
