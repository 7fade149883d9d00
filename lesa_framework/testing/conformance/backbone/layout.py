"""Does what the adapter declares fit the model, and does the example show enough?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.testing.conformance.backbone.trial import SIGMAS, NotApplicableError, Trial, blocks, counted
from lesa_framework.types import Decision

_SHIFT = 0.125  # of a noise level: exact in any dtype


def names_the_model_class(trial: Trial) -> None:
    """`model_class` is the name of the model's class or of one of its bases."""
    names = [base.__name__ for base in type(trial.make_model()).__mro__]
    given = trial.adapter.model_class
    assert given in names, f"model_class: '{given}' is not among the model's classes: {names}"


def names_blocks_and_taps(trial: Trial) -> None:
    """Block lists and taps are named; an adapter that hooks nothing is an error."""
    assert trial.adapter.taps, "taps: names none, so the adapter could never be used"


def finds_its_modules(trial: Trial) -> None:
    """The modules that the adapter names are in the model."""
    trial.attach(trial.make_model()).detach()


def has_a_sound_example(trial: Trial) -> None:
    """The model repeats itself, and another latent, noise level or prompt changes its output."""
    one, two = trial.make_latent(1), trial.make_latent(2)
    assert one.shape != two.shape, "make_latent: sizes 1 and 2 must differ in shape"
    model = trial.make_model()
    with torch.no_grad():
        first = trial.call(model, one, SIGMAS[1], 1)
        assert first.shape == one.shape, (
            f"call: it returned {tuple(first.shape)} for a latent of {tuple(one.shape)}; return the model's output "
            "with the latent's shape"
        )
        assert torch.equal(first, trial.call(model, one, SIGMAS[1], 1)), (
            "make_model: the bare model must give the same output for the same input; see dropout and random numbers"
        )
        assert torch.equal(first, trial.call(trial.make_model(), one, SIGMAS[1], 1)), (
            "make_model: it must make the same weights each time; seed it"
        )
        assert not torch.equal(first, trial.call(model, 0.5 * one, SIGMAS[1], 1)), (
            "make_model: another latent gave the same output; see weights that are zero"
        )
        assert not torch.equal(first, trial.call(model, one, SIGMAS[2], 1)), (
            "call: another noise level gave the same output; pass it to the model"
        )
        assert trial.adapter.condition_argument is None or not torch.equal(
            first, trial.call(model, one, SIGMAS[1], 2)
        ), "call: another prompt gave the same output; make the conditioning from its number"


def runs_every_list(trial: Trial) -> None:
    """On a computed step every block list is called."""
    model = trial.make_model()
    with counted(blocks(model, trial.adapter)) as calls:
        trial.sample(model, steps=1)
    unused = [path for path, count in calls.items() if not count]
    assert not unused, (
        f"blocks: no block of {unused} was called on a computed step; those are not the stack, or lists that only some "
        "calls run, which are left out"
    )


def runs_the_head(trial: Trial) -> None:
    """On a computed step the head is called, once."""
    model, head = trial.make_model(), trial.adapter.head
    with counted({head: [model.get_submodule(head)]}) as calls:
        trial.sample(model, steps=1)
    assert calls[head] == 1, (
        f"head: '{head}' was called {calls[head]} times on a computed step, not once; "
        "name the module that follows the block stack"
    )


def forgets_no_list(trial: Trial) -> None:
    """On a predicted step, nothing runs of a list that is called between the named blocks and the head."""
    model, adapter = trial.make_model(), trial.adapter
    order = _noted_order(model, adapter)
    trial.sample(model, steps=1)
    start = order.index("named")
    before, between = order[:start], order[start : order.index("head")]
    order.clear()
    with trial.attach(model, [0]) as session:
        trial.sample(model, steps=2)
        was_predicted = session.report.records[-1].decision is Decision.PREDICT  # if not, another check says so
    predicted = order[order.index("head") + 1 :] if was_predicted else []
    lists = [path for path in dict.fromkeys(between) if path != "named"]
    forgotten = [path for path in lists if predicted.count(path) > before.count(path)]
    assert not forgotten, (
        f"blocks: {forgotten} run between the named blocks and '{adapter.head}', on predicted steps too; name them"
    )


def tells_another_noise_level(trial: Trial) -> None:
    """What `shifted` gives is a timestep whose `noise_level` is as far from the call's as it was asked to be."""
    adapter, arguments = trial.adapter, trial.arguments(SIGMAS[1])
    level = adapter.noise_level(arguments)
    for shift in (_SHIFT, -_SHIFT):
        shifted = adapter.shifted(arguments, shift)
        if _apart(shifted, adapter.timestep(arguments)) == 0:
            raise NotApplicableError("shifted leaves the timestep as it is, so predictors cannot tune it")
        found = adapter.noise_level({**arguments, adapter.timestep_argument: shifted})
        assert _apart(found, level + shift) <= _SHIFT / 4, (  # timesteps may be as coarse as bfloat16
            f"shifted: asked for a noise level of {_number(level + shift):.3g} where it was {_number(level):.3g}, it "
            f"gave what noise_level takes for {_number(found):.3g}; an adapter that overrides one overrides both"
        )


def gives_the_latent_back(trial: Trial) -> None:
    """What `latent` returns, `as_given` brings into the shape of the call's own argument."""
    adapter, arguments = trial.adapter, trial.arguments(SIGMAS[1])
    given: Any = arguments.get(adapter.latent_argument)
    assert isinstance(given, Tensor | list | tuple), (
        f"latent_argument: the call has no tensor '{adapter.latent_argument}', so predictors cannot tune its latent; "
        "set it to the argument that latent reads"
    )
    shape, wanted = adapter.as_given(adapter.latent(arguments), arguments).shape[1:], given[0].shape
    assert shape == wanted, (
        f"as_given returned samples of {tuple(shape)}, but those in '{adapter.latent_argument}' are of "
        f"{tuple(wanted)}; override it to undo what latent does"
    )


def _noted_order(model: nn.Module, adapter: BackboneAdapter) -> list[str]:
    """A list that notes calls as they come: `head`, `named` for the named blocks, of the other lists their paths."""
    order: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_: order.append(name)

    named = {module for path in adapter.blocks for module in model.get_submodule(path).modules()}
    model.get_submodule(adapter.head).register_forward_pre_hook(note("head"))
    for block in (block for listed in blocks(model, adapter).values() for block in listed):
        block.register_forward_pre_hook(note("named"))
    for path, container in model.named_modules():
        if isinstance(container, nn.ModuleList | nn.ModuleDict) and container not in named:
            for block in container.children():
                block.register_forward_pre_hook(note(path))
    return order


def _apart(one: Tensor | float, other: Tensor | float) -> float:
    return float((torch.as_tensor(one) - torch.as_tensor(other)).abs().max())


def _number(level: Tensor | float) -> float:
    return float(torch.as_tensor(level).max())
