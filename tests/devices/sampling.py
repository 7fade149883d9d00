"""What two processes do with a model between them."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

import lesa_framework as lesa
from lesa_framework import Filter, Strategy, Tap, UnsupportedBackboneError, World
from lesa_framework.runtime.agreement import agreement
from lesa_framework.runtime.strategy import FiniteCheck, alone
from lesa_framework.testing import TinyDiT, TinyPipeline
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from tests.devices.ranks import STATIC, OfRank, Outcome, outcome
from tests.fixtures_flux import new_transformer
from tests.runtime.sessions import cached

OUTPUT = {**STATIC, "backbone": {"tap": "output"}}


def by_sequence(model: Any) -> None:
    """Diffusers' context parallelism."""
    from diffusers import ContextParallelConfig

    _enable(model, ContextParallelConfig(ulysses_degree=2))


def by_weights(model: Any) -> None:
    """FSDP2."""
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (2,))
    for block in (*model.transformer_blocks, *model.single_transformer_blocks, model):
        fully_shard(block, mesh=mesh)


def by_matrices(model: Any) -> None:
    """Diffusers' tensor parallelism; its list of devices lacks the CPU."""
    from diffusers import TensorParallelConfig
    from diffusers.hooks import tensor_parallel

    tensor_parallel._SUPPORTED_TP_DEVICES = ("cpu",)
    _enable(model, TensorParallelConfig(mesh=init_device_mesh("cpu", (2,))))


def _enable(model: Any, config: Any) -> None:
    """Diffusers asks for an accelerator, and is content with its count; other scenarios must not see that one."""
    with patch.object(torch.accelerator, "device_count", lambda: 1):
        model.enable_parallelism(config=config)


def split_flux(split: Any) -> Any:
    model = new_transformer()
    split(model)
    return model


def gate(rank: int) -> Strategy:
    return Strategy(OfRank(rank), EqualStages(), Line())


class Line(lesa.AffinePredictor):
    """A straight line through two features; at one step what is not finite.

    Args:
        broken: The step.
    """

    depth = 2

    def __init__(self, broken: int = -1) -> None:
        self._broken = broken

    def min_history(self, stage: int) -> int:
        return 2

    def filter(self, entries: Any, ctx: lesa.StepContext) -> Filter:
        return Filter((1.5, -0.5), bias=math.nan if ctx.index == self._broken else 0.0)


def line(computed: tuple[int, ...], broken: int = -1, *, check_finite: FiniteCheck = True) -> Strategy:
    return Strategy(ComputeSteps(computed), EqualStages(), Line(broken), check_finite=check_finite)


def one_process(world: World) -> Outcome:
    """Each for itself, as the others are compared with."""
    return {
        "static": outcome(new_transformer()),
        "other prompt": outcome(new_transformer(), seed=world.rank),
        "output": outcome(new_transformer(), OUTPUT),
        "both": outcome(new_transformer(), line((0, 1, 4, 8))),
        "all but broken": outcome(new_transformer(), line((0, 1, 4, 6, 8))),
    }


def sequences(world: World) -> Outcome:
    return {
        "before": outcome(split_flux(by_sequence)),
        "after": outcome(new_transformer(), split=by_sequence),
        "output": outcome(split_flux(by_sequence), OUTPUT),
        "gate": outcome(new_transformer(), gate(world.rank), split=by_sequence),
        "broken": outcome(split_flux(by_sequence), line((0, 1, 4, 8), 6 if world.rank else -1, check_finite="strict")),
    }


def weights(world: World) -> Outcome:
    """The processes sample other prompts, and still have to fetch each other's weights at the same steps."""
    return {
        "static": outcome(split_flux(by_weights), seed=world.rank),
        "after": outcome(new_transformer(), seed=world.rank, split=by_weights),
        "gate": outcome(split_flux(by_weights), gate(world.rank)),
    }


def matrices(world: World) -> Outcome:
    return {"static": outcome(split_flux(by_matrices)), "gate": outcome(split_flux(by_matrices), gate(world.rank))}


def replicas(world: World) -> Outcome:
    """Whole models, under `DistributedDataParallel`, with requests of their own."""
    model = nn.parallel.DistributedDataParallel(new_transformer().requires_grad_(True)).requires_grad_(False)
    return {
        "alone": agreement([model.module]) is alone,
        "static": outcome(model.module, seed=world.rank),
        "gate": outcome(model.module, gate(world.rank)),
    }


def groups(world: World) -> Outcome:
    """Which processes have to agree: those that split something, and not their copies."""
    from torch.distributed.fsdp import fully_shard

    copies, shards = TinyDiT(), TinyDiT()
    fully_shard(copies, mesh=init_device_mesh("cpu", (2, 1), mesh_dim_names=("copies", "shards")))
    fully_shard(shards, mesh=init_device_mesh("cpu", (1, 2), mesh_dim_names=("copies", "shards")))
    return {
        "copies": agreement([copies]) is alone,
        "shards": agreement([shards])(not world.is_first),
        "neither": agreement([shards])(False),
    }


def with_layout(layout: Any, *, whole: bool = True) -> TinyPipeline:
    """A model whose head is given a `DTensor` with a layout, and returns one; the output is whole, or not."""
    from torch.distributed.tensor import Replicate, distribute_module
    from torch.distributed.tensor.parallel import PrepareModuleInput, parallelize_module

    model, mesh = TinyDiT(), init_device_mesh("cpu", (2,))
    distribute_module(model.norm_out, mesh)
    made = layout if layout.is_partial() else Replicate()  # a sum is taken for one, and is none
    given = PrepareModuleInput(input_layouts=(made, Replicate()), desired_input_layouts=(layout, Replicate()))
    parallelize_module(model.norm_out, mesh, given)
    if whole:
        rest = PrepareModuleInput(input_layouts=(layout,), desired_input_layouts=(Replicate(),), use_local_output=True)
        parallelize_module(model.proj_out, mesh, rest)
    else:
        distribute_module(model.proj_out, mesh)
    return TinyPipeline(model)


def parts(world: World) -> Outcome:
    """Heads that are given a `DTensor`; 5 tokens do not come out even."""
    from torch.distributed.tensor import Partial, Replicate, Shard

    found: Outcome = {}
    for name, layout in (("copied", Replicate()), ("split", Shard(1))):
        for tap in Tap:
            whole, part = TinyPipeline(TinyDiT()), with_layout(layout)
            results = []
            for pipe in (whole, part):
                with cached(pipe, line((0, 1, 5)), tap) as session:
                    results.append(pipe(tokens=5))
            found[f"{name}, {tap}"] = [float((results[1] - results[0]).abs().max()), session.report.cache_bytes]
    for name, pipe, tap in (
        ("summands", with_layout(Partial()), Tap.PRE_HEAD),
        ("output", with_layout(Replicate(), whole=False), Tap.OUTPUT),
    ):
        with cached(pipe, line((0, 1, 5)), tap), pytest.raises(UnsupportedBackboneError) as refusal:
            pipe(tokens=5)
        found[name] = str(refusal.value)
    return found


SCENARIOS = {each.__name__: each for each in (one_process, sequences, weights, matrices, replicas, groups, parts)}
