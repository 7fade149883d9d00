"""The options of `backbone: {kind: module}`, and their checks against a model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from torch import nn

from lesa_framework import BackboneAdapter, CustomBackboneConfig, UnsupportedBackboneError, did_you_mean
from lesa_framework.layout import CONTAINERS, arguments, lists_inside, missing, no_module
from lesa_module.adapter import Layout, ModuleAdapter
from lesa_module.formula import Formula


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _readable(text: str) -> str:
    Formula(text)
    return text


#: One name or several.
Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_several, json_schema_input_type=str | list[str])
]


class ModuleConfig(CustomBackboneConfig):
    """Any model with a stack of blocks, described by these options."""

    kind: Literal["module"] = "module"
    blocks: Annotated[Names, Field(min_length=1)]
    """Path of the list of blocks, such as `blocks` or `core.layers`; several paths when the stack has several lists."""
    head: Annotated[str, Field(min_length=1)]
    """Path of the module after the stack, called once, with the hidden state."""
    sigma: Annotated[str, AfterValidator(_readable)]
    """The noise level in [0, 1] from one argument of the forward: `timestep`, `t/1000`, `1 - t`."""
    latent: str | None = None
    """Argument that holds the current latent; by default the first one that `sigma` does not name."""
    condition: str | None = "auto"
    """Argument that tells branches apart; `auto` is the first tensor among the others, null goes by order alone."""
    head_argument: str = ""
    """Argument of the head that is the hidden state; by default its first."""
    block_returns: dict[str, Annotated[Names, Field(min_length=1)]] = Field(default_factory=dict)
    """For forwards that need blocks on predicted steps too: a list's path, and the arguments that its blocks return."""

    def build(self, model: nn.Module) -> BackboneAdapter:
        """Make the adapter for a model.

        Raises:
            UnsupportedBackboneError: The model does not have what the options name; the message lists every mismatch.
        """
        formula = Formula(self.sigma)
        problems = [*self._wrong_modules(model), *self._wrong_arguments(model, formula)]
        named = arguments(model)
        others = [name for name in named if name != formula.name]
        latent = self.latent or next(iter(others), None)
        if latent is None:
            problems.append(f"backbone.latent: {_called(model, named)} None of these can be the latent; name it.")
        if latent == formula.name:
            problems.append(f"backbone.latent: '{latent}' is the argument that backbone.sigma reads; name another one.")
        if latent is None or problems:
            raise UnsupportedBackboneError("\n".join(problems))
        return ModuleAdapter(
            Layout(
                model_class=type(model).__name__,
                blocks=self.blocks,
                head=self.head,
                head_argument=self.head_argument,
                block_returns=self.block_returns,
                latent=latent,
                conditions=self._conditions([name for name in others if name != latent]),
                any_condition=self.condition == "auto",
            ),
            formula,
        )

    def _conditions(self, others: Sequence[str]) -> tuple[str, ...]:
        if self.condition == "auto":
            return tuple(others)
        return () if self.condition is None else (self.condition,)

    def _wrong_arguments(self, model: nn.Module, formula: Formula) -> Iterator[str]:
        """A message for every argument that an option names and the forward does not take."""
        if _takes_any(model):
            return
        named = arguments(model)
        wanted = {"sigma": formula.name, "latent": self.latent}
        wanted["condition"] = None if self.condition == "auto" else self.condition
        for option, name in wanted.items():
            if name is not None and name not in named:
                given = f"'{self.sigma}' needs an argument" if option == "sigma" else "there is no argument"
                yield f"backbone.{option}: {given} '{name}'. {_called(model, named)}{did_you_mean(name, named)}"

    def _wrong_modules(self, model: nn.Module) -> Iterator[str]:
        """A message for every path at which the model does not have what the option needs."""
        absent = missing(model, [*self.blocks, self.head])
        yield from (f"backbone.blocks: {no_module(model, path)}" for path in self.blocks if path in absent)
        for path in self.blocks:
            problem = None if path in absent else _no_stack(path, model.get_submodule(path))
            if problem:
                yield f"backbone.blocks: '{path}' {problem}"
        for path in self.block_returns:
            if path not in self.blocks:
                yield f"backbone.block_returns: '{path}' is not among backbone.blocks: {', '.join(self.blocks)}."
        if self.head in absent:
            yield f"backbone.head: {no_module(model, self.head)}"
        elif any(f"{self.head}.".startswith(f"{path}.") for path in self.blocks):
            yield f"backbone.head: '{self.head}' is in the blocks; name the module after them."


def _no_stack(path: str, found: nn.Module) -> str | None:
    """Why a module cannot be a stack of blocks; None when it can."""
    if not isinstance(found, CONTAINERS):
        inner = ", ".join(name for name, _ in found.named_children()) or "nothing"
        return (
            f"is a {type(found).__name__}, not a ModuleList, Sequential or ModuleDict. "
            f"Name the list of blocks inside it: it has {inner}."
        )
    if not len(found):
        return "is empty, so caching it would save nothing."
    lists = lists_inside(path, found)
    return f"is a ModuleDict of lists. Name the lists inside it: {', '.join(lists)}." if lists else None


def _takes_any(model: nn.Module) -> bool:
    """Whether the forward takes any further argument as `**kwargs`."""
    parameters = inspect.signature(type(model).forward).parameters.values()
    return any(one.kind is one.VAR_KEYWORD for one in parameters)


def _called(model: nn.Module, named: Sequence[str]) -> str:
    return f"{type(model).__name__}.forward takes: {', '.join(named) or 'no arguments with names'}."
