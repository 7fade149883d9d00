"""Backbone adapters: where the feature sits in one model class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import suppress
from types import MappingProxyType

import torch
from torch import Tensor, nn

from lesa_framework.errors import PluginContractError, UnsupportedBackboneError, shown
from lesa_framework.interfaces.config import PluginConfig
from lesa_framework.interfaces.samples import named, stacked
from lesa_framework.types import Tap

Arguments = Mapping[str, object]
"""What a model was called with, by the model's own argument names."""

#: What an adapter must declare.
REQUIRED = ("model_class", "blocks", "head")


class BackboneAdapter(ABC):
    """Declares how one transformer class is laid out. Most adapters only set the class attributes.

    `model_class`, `blocks` and `head` must be set: on the class, or before `super().__init__()` is called.

    Attributes:
        model_class: Name of the class, matched against the model's class and its bases, so that no
            import of it is needed.
        model_module: Beginning of the name of the module in which the class is defined, such as `comfy.`, where classes
            of several libraries have the same name; empty for any.
        same_as: Empty for nearly every class. Name of another library's class that computes the same: the same blocks,
            and the same features in the same order. Configurations and artifacts made for that class, whose adapter
            must be registered, then fit this one too.
        blocks: Paths of the `ModuleList`s (or `Sequential`s, `ModuleDict`s) that make up the stack; they are
            empty on predicted steps. Name every list whose blocks are to be saved.
        head: Path of the module after the stack. The model's forward calls it exactly once, with the hidden
            state.
        taps: Taps that work on this class.
        head_argument: Name of the head's argument that is the hidden state; its first one when empty.
        head_in_float32: The forward calls the head with `hidden_states.float()`. At `pre_head` the history is
            then kept in the latent's dtype, which loses nothing and takes half the memory.
        block_returns: Empty for nearly every class. Where the forward goes through a list by number (`blocks[i]`),
            reads attributes of its blocks, or uses after the loop what only the loop sets, an emptied list would
            fail: map the list's path to the names of those arguments of a block that stand for what it returns, one
            for a tensor, several for a tuple. On predicted steps stand-ins with the blocks' attributes return
            these unchanged.
        unverified: The layout has not been checked with `lesa_framework.testing.check_backbone`, for example because
            it comes from a user's options. At `pre_head` and `post_norm`, the first computed step of a session is
            then followed by a second run of the forward with the stack bypassed and the step's own feature put back,
            which costs what the prelude and the head cost. If its output differs, that is a `PluginContractError`.
            If two such runs differ, as they do in training with dropout outside the blocks, nothing can be verified.
        latent_argument: Name of the argument that holds the current latent, a tensor or a list of tensors of one
            shape.
        condition_argument: Name of the argument that tells branches apart (text embeddings), or None.
        guidance_argument: Name of the argument that holds the guidance which the model was distilled to take, or None.
        timestep_argument: Name of the argument that holds the timestep, a tensor or a number.
        timestep_scale: `timestep * timestep_scale + timestep_offset` is the noise level in [0, 1], or what a sampler
            tells the model in its place, as those of EDM do.
        timestep_offset: 1 with a scale of -1 for models that count from 0 (noise) to 1.

    Example:
        The whole adapter of FLUX::

            class FluxAdapter(BackboneAdapter):
                model_class = "FluxTransformer2DModel"
                blocks = ("transformer_blocks", "single_transformer_blocks")
                head = "norm_out"
    """

    model_class: str
    model_module: str = ""
    same_as: str = ""
    blocks: tuple[str, ...]
    head: str
    taps: tuple[Tap, ...] = (Tap.PRE_HEAD, Tap.POST_NORM, Tap.OUTPUT)
    head_argument: str = ""
    head_in_float32: bool = False
    block_returns: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    unverified: bool = False
    latent_argument: str = "hidden_states"
    condition_argument: str | None = "encoder_hidden_states"
    guidance_argument: str | None = "guidance"
    timestep_argument: str = "timestep"
    timestep_scale: float = 1.0
    timestep_offset: float = 0.0

    def __init__(self) -> None:
        """Check the declaration.

        Raises:
            PluginContractError: It has no `model_class`, no `blocks` or no `head`, or `blocks` or `taps` is no list of
                what it should be.
        """
        missing = [name for name in REQUIRED if not getattr(self, name, None)]
        if missing:
            raise PluginContractError(
                f"{type(self).__name__}: sets no {' and no '.join(missing)}. An adapter needs {', '.join(REQUIRED)}: "
                "set them on the class, or in __init__ before super().__init__()."
            )
        wrong = misdeclared(self)
        if wrong:
            raise PluginContractError(f"{type(self).__name__}: {wrong}")
        if not all(isinstance(tap, Tap) for tap in self.taps):  # by their names
            with suppress(AttributeError):  # a property cannot be set; its names are equal to the taps
                self.taps = tuple(Tap(tap) for tap in self.taps)

    def latent(self, arguments: Arguments) -> Tensor:
        """The current latent, read-only; a list of tensors of one shape is stacked.

        Raises:
            UnsupportedBackboneError: The call has no latent under that name, or it is a list of something else.
        """
        latent = arguments.get(self.latent_argument)
        if isinstance(latent, list | tuple):
            return stacked(latent, self.latent_argument)
        if isinstance(latent, Tensor):
            return latent
        raise self._absent("latent_argument", "the latent, a tensor", arguments)

    def as_given(self, tensor: Tensor, arguments: Arguments) -> Tensor:  # noqa: ARG002 - for those that need it
        """A tensor in the shape of `latent`, brought into the shape in which the model is given the latent.

        An adapter whose `latent` has another shape than the argument needs its own here: predictors that tune computed
        steps add such a tensor to the argument. If that is a list, return one stacked tensor all the same.

        Args:
            tensor: (samples, ...), the samples of one branch: the call may have more.
            arguments: The call's.
        """
        return tensor

    def condition(self, arguments: Arguments) -> Tensor | None:
        """The tensor that tells one branch from another, of a list the first; None when the call has none."""
        condition = arguments.get(self.condition_argument) if self.condition_argument else None
        if isinstance(condition, list | tuple) and condition:
            condition = condition[0]
        return condition if isinstance(condition, Tensor) else None

    def guidance(self, arguments: Arguments) -> float | None:
        """The guidance that the model is given, in its own units, of several the greatest; None when it takes none."""
        guidance = arguments.get(self.guidance_argument) if self.guidance_argument else None
        if isinstance(guidance, Tensor) and guidance.numel() > 0 and not guidance.is_meta:
            return float(guidance.detach().max())
        return float(guidance) if isinstance(guidance, float | int) else None

    def timestep(self, arguments: Arguments) -> Tensor | float:
        """The timestep in the model's own units; a tensor stays on its device.

        Raises:
            UnsupportedBackboneError: The call has no timestep under that name.
        """
        timestep = arguments.get(self.timestep_argument)
        if isinstance(timestep, Tensor | float | int):
            return timestep
        raise self._absent("timestep_argument", "the timestep, a tensor or a number", arguments)

    def noise_level(self, arguments: Arguments) -> Tensor | float:
        """The call's noise level in [0, 1], up to rounding; a tensor stays on its device.

        A sampler may tell the model something else, as those of EDM do; then it is that.
        Of several levels (a timestep for each token) the greatest counts: a conditioning image has less noise.
        Frames given to Cosmos 2.5's transfer pipeline keep 0.1: below that, where levels are read, no step is found.
        It is asked for at the first two steps of a run, to check the scheduler's grid; after that only when the
        scheduler does not know the step, or the timestep is on the CPU.
        """
        timestep, scale, offset = self.timestep(arguments), self.timestep_scale, self.timestep_offset
        if scale == 1 and offset == 0:
            return timestep
        if isinstance(timestep, Tensor):  # bfloat16 would round the difference once more
            timestep = timestep.to(torch.promote_types(timestep.dtype, torch.float32))
        return timestep * scale + offset

    def shifted(self, arguments: Arguments, shift: float | Tensor) -> Tensor | float:
        """The timestep at another noise level, for a predictor that tunes computed steps.

        An adapter with a `noise_level` of its own needs its own here too; where it cannot, it returns the timestep.

        Args:
            arguments: The call's.
            shift: Added to what `noise_level` returns.
        """
        return self.timestep(arguments) + shift / self.timestep_scale

    def refuse(self, model: nn.Module, arguments: Arguments) -> str | None:  # noqa: ARG002 - for those that need it
        """Why this call cannot be cached, in a sentence for the user; None when it can."""
        return None

    def _absent(self, attribute: str, what: str, arguments: Arguments) -> UnsupportedBackboneError:
        given = ", ".join(f"{name} ({named(value)})" for name, value in arguments.items() if name != "self")
        return UnsupportedBackboneError(
            f"{type(self).__name__}: {attribute} is '{getattr(self, attribute)}', but the call gave no such argument "
            f"for {what}. It gave: {given}. Set {attribute} to one of the names of {self.model_class}'s forward."
        )


def misdeclared(adapter: BackboneAdapter | type[BackboneAdapter]) -> str | None:
    """What is wrong with an adapter's `blocks` or `taps`, in a sentence; None if nothing is.

    What a class has as a property, only its instances know.
    """
    for name in ("blocks", "taps"):
        value = getattr(adapter, name)
        if isinstance(value, str):  # its letters would be taken for names
            return f'{name} is a string. Give a tuple: `{name} = ("{value}",)`.'
    taps: object = adapter.taps
    if not isinstance(taps, Collection):
        is_class = isinstance(adapter, type)
        return None if is_class else f"taps is {shown(taps)}, not a tuple. Valid in it: {', '.join(Tap)}."
    unknown = [str(tap) for tap in taps if tap not in list(Tap)]
    return f"taps names '{unknown[0]}'. Valid: {', '.join(Tap)}." if unknown else None


class BackboneConfig(PluginConfig):
    """Which adapter fits the model, and where to take the feature."""

    kind: str = "auto"
    """An adapter's name, or `auto` to choose by the model's class."""
    tap: Tap = Tap.PRE_HEAD
    """Where the feature is taken."""


class CustomBackboneConfig(BackboneConfig, ABC):
    """A backbone kind with options of its own; registering this class registers the kind.

    Subclasses set `kind` to a `Literal` with a default and add their options as fields.
    """

    @abstractmethod
    def build(self, model: nn.Module) -> BackboneAdapter:
        """Make the adapter for a model; never picked by `auto`.

        Raises:
            UnsupportedBackboneError: The options do not fit the model.
        """
