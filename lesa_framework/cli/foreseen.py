"""What commands will need, from the loaded pipeline and a rehearsal of its call on models without data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from lesa_framework.api import plan_run
from lesa_framework.branch_names import split_name
from lesa_framework.cli import machine
from lesa_framework.cli.forecast import Part, Room
from lesa_framework.errors import LesaError
from lesa_framework.generation import GenerationSettings
from lesa_framework.interfaces.backbone import BackboneConfig
from lesa_framework.measure.lineup import PREDICTED_STEP, Contender
from lesa_framework.measure.pace import effort_of
from lesa_framework.measure.results import Kind
from lesa_framework.measure.tasks import Task
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.place import Pipeline, first_weight
from lesa_framework.run_plan import RunPlan
from lesa_framework.runtime.strategy import Strategy
from lesa_framework.runtime.uncached import uncached
from lesa_framework.words import amount

_FLOAT = 4
#: What a fit keeps on the model's device besides.
GRADIENTS = "plus what gradients need, if the fit uses them"


@dataclass(frozen=True)
class Model:
    """A loaded pipeline, and what calls of it need.

    Attributes:
        device: Where its transformer is.
        weights: Bytes of all parameters of its models.
        plans: Rehearsed calls; empty where a call cannot be rehearsed.
        batch: Samples of a call.
    """

    device: torch.device
    weights: int
    plans: tuple[RunPlan, ...]
    batch: int

    @property
    def sample(self) -> tuple[int, ...]:
        """Shape of one decoded sample; empty where it is not known."""
        shape = self.plans[0].sample_shape if self.plans else None
        return () if shape is None else shape[1:]

    @property
    def latents(self) -> int:
        """Numbers in the latents of one sample; 0 where that is not known."""
        return math.prod(self.plans[0].latent_shape) // self.batch if self.plans else 0

    @property
    def branches(self) -> int:
        """The model's calls in a step; of transformers that take turns, those of one."""
        if not self.plans:
            return 1
        plan = self.plans[0]
        return len({split_name(branch)[0] for branch in plan.plans} if plan.has_turns else plan.plans)

    def memory(self, *kept: Part, depth: int | None = None, more: str = "") -> tuple[Room, ...]:
        """What is needed on the model's device and on the CPU.

        Args:
            kept: What is kept on the CPU besides.
            depth: Features of each branch that are kept; by default what the plans say.
            more: What else is needed on the model's device, in words.
        """
        here, there = [Part("weights", self.weights, held=True)], list(kept)
        features = max((each.cache_bytes for each in self.plans), default=0)
        if depth is not None:
            features = max((sum(_one(size.nbytes, size.kept) for size in each.features.values()) * depth
                            for each in self.plans), default=0)  # fmt: skip
        offloaded = any(each.place.device not in (None, self.device) for each in self.plans)
        (there if offloaded else here).append(Part("stored features", features))
        working = max((each.working_bytes for each in self.plans), default=0)
        here.append(Part(f"working memory for {amount(self.batch, 'sample')}", working))
        more = more if self.plans else "calls need more, which cannot be told before the first"
        if self.device.type != "cpu":
            beside = [each for each in there if each.nbytes]
            rooms = (Room(f"on {self.device}", tuple(here), machine.free_memory(self.device), more),)
            cpu = Room("on the CPU", tuple(beside), machine.free_memory(torch.device("cpu")))
            return (*rooms, cpu) if beside else rooms
        program = Part("Python and libraries", max(0, machine.resident() - self.weights), held=True)
        return (Room("on the CPU", (*here, *there, program), machine.free_memory(self.device), more),)


def _one(nbytes: int, kept: int) -> int:
    return nbytes // max(1, kept)


def model_of(
    pipe: CallablePipeline,
    settings: GenerationSettings,
    batch: int,
    caches: Sequence[tuple[Strategy, BackboneConfig]] = (),
) -> Model:
    """What calls of a loaded pipeline need.

    Args:
        pipe: The pipeline, bare.
        settings: How it is called.
        batch: Samples of a call.
        caches: What is attached, one after another; nothing if empty.
    """
    plans: list[RunPlan] = []
    for strategy, backbone in caches or [(uncached("", settings.num_steps), BackboneConfig())]:
        steps, call = settings.num_steps, settings.call
        plans += rehearsed(partial(plan_run, pipe, strategy, backbone, backbone.tap, steps, batch=batch, call=call))
    return loaded(pipe, plans, batch)


def rehearsed(plan: Callable[[], RunPlan]) -> list[RunPlan]:
    """The plan of a call; none where it cannot be rehearsed. Whatever is wrong with it, the run will tell."""
    try:
        return [plan()]
    except LesaError:
        return []


def loaded(pipe: Pipeline, plans: Sequence[RunPlan], batch: int) -> Model:
    """A loaded pipeline with rehearsals of its calls."""
    parts = [part for part in vars(pipe).values() if isinstance(part, nn.Module)]
    weights = {weight.data_ptr(): weight.nbytes for part in parts for weight in part.parameters()}
    return Model(first_weight(pipe).device, sum(weights.values()), tuple(plans), batch)


def compared(pipe: CallablePipeline, task: Task, contenders: Sequence[Contender]) -> Model:
    """What a comparison needs: of the caches at each tap, the one that keeps the most features is rehearsed."""
    deepest: dict[tuple[object, ...], tuple[Strategy, BackboneConfig]] = {}
    for each in contenders:
        if each.strategy is not None:
            place = (each.backbone.tap, each.strategy.history.device)
            known = deepest.get(place)
            if known is None or known[0].predictor.depth < each.strategy.predictor.depth:
                deepest[place] = (each.strategy, each.backbone)
    return model_of(pipe, task.settings, min(task.spec.batch, len(task.pairs)), list(deepest.values()))


def work_of(task: Task, contenders: Sequence[Contender]) -> str:
    """Runs and steps of a comparison, in words."""
    samples, batches = len(task.pairs), -(-len(task.pairs) // task.spec.batch)
    steps = sum(effort_of(each, samples).steps for each in contenders)
    methods, runs = amount(len(contenders), "method"), amount(len(contenders) * batches, "timed run")
    found = f"{task.source.name}: {methods} on {amount(samples, 'sample')}, {runs}"
    peers = ", and settings of peers are searched" * any(each.kind is Kind.PEER for each in contenders)
    return f"{found}, equivalent to about {steps:,.0f} uncached steps{peers}"


def work_of_steps(model: Model, num_steps: int) -> list[float]:
    """The work of each step of a call, in computed steps; a rough number. All are computed where it is not known."""
    letters = model.plans[0].letters if model.plans else ""
    return [PREDICTED_STEP if letter == "P" else 1.0 for letter in letters] or [1.0] * num_steps


def work_of_calls(model: Model, calls: int, num_steps: int) -> str:
    """Steps and passes through the model of so many calls of the pipeline, in words."""
    found = f"{amount(calls, 'call')} of up to {amount(model.batch, 'sample')}, {num_steps} steps each"
    plans = list(model.plans[0].plans.values()) if model.plans else []
    if not plans:
        return found
    if any("?" in line for line in plans):
        return f"{found}; how many are computed depends on data"
    letters = model.plans[0].letters
    computed = letters.count("F")
    passes = calls * sum(line.count("F") for line in plans)
    which = "all" if computed == len(letters) else str(computed)
    return f"{found}, {which} of them computed: the whole model runs {amount(passes, 'time')}"


def kept_samples(model: Model, samples: int) -> int:
    """Bytes of the uncached run's samples and their latents, which others are scored against."""
    return _FLOAT * samples * (math.prod(model.sample) * bool(model.sample) + model.latents)


def kept_outputs(model: Model, num_steps: int) -> int:
    """Bytes of what the model returned in an uncached run of a batch, call by call."""
    return _FLOAT * num_steps * model.branches * model.batch * model.latents


def trajectories(model: Model, samples: int, num_steps: int) -> Part:
    """Latents of all steps of the uncached runs, which a fit keeps."""
    return Part("latents of uncached runs", _FLOAT * samples * (num_steps + 1) * model.latents)
