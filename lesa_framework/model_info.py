"""What tells one transformer from another: its class, its sizes, and a sample of its weights."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: So many parameters are looked at, and so many numbers of each: few enough for any model, and enough to meet a LoRA.
_PARAMETERS, _NUMBERS = 128, 2
#: What rounding to bfloat16 or float16 may change, relative to a number and absolute.
_RELATIVE, _ABSOLUTE = 2**-8, 2**-24
#: The share of a sample that must be known of both to say that weights are the same; a quantiser packs about half.
_KNOWN = 0.25
#: Coarser dtypes than bfloat16 hold other numbers.
_COARSEST = 2**-7
#: What diffusers' `fuse_qkv_projections` puts beside the projections that it copies, and those projections.
_COPIES, _COPIED = ("to_qkv", "to_kv", "to_added_qkv", "to_added_kv"), ("to_q", "to_k", "to_v")
#: Where peft keeps the layer that it has put an adapter around.
_INNER = ".base_layer."


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A transformer, as far as it is known without running it.

    Attributes:
        classes: Names of its class and of the modules that this derives from, its own first.
        blocks: How many blocks each of the adapter's lists holds.
        width: Channels of a block's input: what most matrices of the blocks take. None when unknown, as with weights
            that a quantiser has packed.
        names: A digest of the names of all parameters; an attached LoRA changes it, unless it is off.
        sample: Some of the weights, at places that depend on the names alone. None stands for a number that cannot be
            read: an offloaded, packed or sharded weight.
        same_as: Name of another library's class that computes the same, with other names for its parameters; see
            [`BackboneAdapter`][lesa_framework.BackboneAdapter].
    """

    classes: tuple[str, ...]
    blocks: tuple[int, ...]
    width: int | None
    names: str
    sample: tuple[float | None, ...]
    same_as: str = ""

    def __str__(self) -> str:
        """Class and sizes."""
        width = "" if self.width is None else f", {self.width} wide"
        return f"{next(iter(self.classes), 'an unknown model')}{width}, with {'+'.join(map(str, self.blocks))} blocks"

    def is_of_kind(self, other: ModelInfo) -> bool:
        """Whether both may be the same model: one's class is, or derives from, the other's, and the sizes agree."""
        mine, theirs = ({*each.classes, each.same_as} - {""} for each in (self, other))
        related = {*self.classes[:1], self.same_as} & theirs or {*other.classes[:1], other.same_as} & mine
        # Where layers were exchanged, the matrices need not be those of the model.
        widths = {self.width, other.width} - {None} if self.names == other.names else set()
        return bool(related) and self.blocks == other.blocks and len(widths) <= 1

    def is_comparable(self, other: ModelInfo) -> bool:
        """Whether the weights of both have the same names, if they are the same."""
        return self.same_as == other.same_as

    def may_have_weights_of(self, other: ModelInfo) -> bool:
        """Whether nothing that is known of the weights differs, rounding to another dtype aside."""
        return self.names == other.names and all(
            one is None or two is None or abs(one - two) <= _RELATIVE * max(abs(one), abs(two)) + _ABSOLUTE
            for one, two in zip(self.sample, other.sample, strict=False)
        )

    def has_weights_of(self, other: ModelInfo) -> bool:
        """Whether enough of the weights is known of both to tell, and nothing differs."""
        known = sum(one is not None and two is not None for one, two in zip(self.sample, other.sample, strict=False))
        return self.may_have_weights_of(other) and known >= _KNOWN * len(self.sample)


def describe_model(model: nn.Module, blocks: Sequence[str], same_as: str = "") -> ModelInfo:
    """Look at a transformer, without running it.

    It is the same on every device and in bfloat16, float16 and float32, up to rounding, and takes a few milliseconds
    for any size.

    Args:
        model: The transformer.
        blocks: Paths of its lists of blocks.
        same_as: Of its adapter.
    """
    parameters = _own_parameters(model)
    # In an order that has nothing to do with layers: a LoRA may be on every third one only.
    chosen = sorted(parameters, key=lambda name: (zlib.crc32(name.encode()), name))[:_PARAMETERS]
    lists = [model.get_submodule(path) for path in blocks]
    classes = (base.__name__ for base in type(model).__mro__ if issubclass(base, nn.Module) and base is not nn.Module)
    return ModelInfo(
        classes=tuple(classes),
        blocks=tuple(sum(1 for _ in each.children()) for each in lists),
        width=_width(lists, parameters.values()),
        names=hashlib.sha256("\n".join(sorted(parameters)).encode()).hexdigest()[:16],
        sample=_sample([parameters[name] for name in chosen]),
        same_as=same_as,
    )


def _own_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that decide what a model computes, by the names that they have before anything is added to it.

    Left out are the copies of fused projections, and adapters that are off, such as a LoRA after `disable_lora`.
    """
    parameters = dict(model.named_parameters())
    for path in {name.partition(_INNER)[0] for name in parameters if _INNER in name}:
        layer = model.get_submodule(path)
        if _is_off(layer):
            for name, _ in layer.named_parameters(prefix=path):
                parameter = parameters.pop(name, None)
                if parameter is not None and name.startswith(path + _INNER):
                    parameters[name.replace(_INNER, ".", 1)] = parameter
    for name in list(parameters):
        # Not what lies deeper: a LoRA on the copy is in no other parameter.
        path, _, module = name.rpartition(".")[0].rpartition(".")
        if module in _COPIES and _is_fused(model.get_submodule(path)):
            del parameters[name]
    return {name.replace("_orig_mod.", ""): each for name, each in parameters.items()}  # torch.compile's


def _is_off(layer: nn.Module) -> bool:
    """Whether what peft has put around a layer leaves the layer's result as it is."""
    if getattr(layer, "merged", False):
        return False  # its numbers are in those of the layer
    if getattr(layer, "disable_adapters", None) is True:  # diffusers' models have a method of this name
        return True
    # Scaled by 0 a plain LoRA adds nothing. Its variants, such as DoRA, and other kinds of adapters may.
    is_plain = hasattr(layer, "lora_A") and not getattr(layer, "lora_variant", True)
    scaling: dict[str, float] = getattr(layer, "scaling", {})
    active: Sequence[str] = getattr(layer, "active_adapters", ())
    return is_plain and not any(scaling.get(name) for name in active)


def _is_fused(attention: nn.Module) -> bool:
    has_originals = all(isinstance(getattr(attention, name, None), nn.Module) for name in _COPIED)
    return has_originals and getattr(attention, "fused_projections", False) is True


def _width(lists: Sequence[nn.Module], own: Iterable[nn.Parameter]) -> int | None:
    kept = set(map(id, own))
    inputs = Counter(
        parameter.shape[1]
        for each in lists
        for parameter in each.parameters()
        if id(parameter) in kept and parameter.ndim > 1 and parameter.dtype.is_floating_point
    )
    return max(inputs, key=lambda size: (inputs[size], size), default=None)


def _sample(parameters: Sequence[nn.Parameter]) -> tuple[float | None, ...]:
    sample: list[float | None] = [None] * (_NUMBERS * len(parameters))
    found: dict[torch.device, list[tuple[int, Tensor]]] = {}
    for number, parameter in enumerate(parameters):
        if _is_readable(parameter):
            for place, value in enumerate(_numbers(parameter.detach())):
                found.setdefault(value.device, []).append((_NUMBERS * number + place, value.float()))
    for values in found.values():  # one transfer for each device
        for place, read in zip(
            (place for place, _ in values), torch.stack([value for _, value in values]).tolist(), strict=True
        ):
            sample[place] = float(f"{read:.6g}") if abs(read) < float("inf") else None
    return tuple(sample)


def _is_readable(parameter: nn.Parameter) -> bool:
    dtype = parameter.dtype
    return (
        type(parameter) is nn.Parameter  # no quantiser's or sharder's own class
        and not parameter.is_meta
        and parameter.untyped_storage().nbytes() > 0  # a sharder may have freed it
        and parameter.numel() > 0
        and dtype.is_floating_point
        and torch.finfo(dtype).eps <= _COARSEST
    )


def _numbers(parameter: Tensor) -> Iterator[Tensor]:
    """Views of numbers at even distances; flattening could copy the whole weight."""
    for part in range(_NUMBERS):
        flat, index = parameter.numel() * (2 * part + 1) // (2 * _NUMBERS), []
        for size in reversed(parameter.shape):
            flat, rest = divmod(flat, size)
            index.append(rest)
        yield parameter[tuple(reversed(index))]
