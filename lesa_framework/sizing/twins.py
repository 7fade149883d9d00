"""A pipeline like another one, whose models have shapes and no data."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from lesa_framework.layout import CONTAINERS, is_list

_META = torch.device("meta")
_CPU = torch.device("cpu")


def twin_of(model: nn.Module) -> nn.Module:
    """A model like this one on the meta device: made from its configuration if it has one, or else a copy."""
    made = _made(type(model), getattr(model, "config", None))
    if made is None:
        return _bare_copy(model)
    # What methods have switched on is in no configuration: a VAE that decodes in tiles needs less memory. What is
    # private is of the model's past: that its hooks are there, say, which the twin has to get in its own first call.
    switches = {name: value for name, value in vars(model).items() if isinstance(value, bool | int | float)}
    vars(made).update(
        {name: value for name, value in switches.items() if name != "training" and not name.startswith("_")}
    )
    _cast(made, {name: each.dtype for name, each in model.named_parameters() if each.is_floating_point()})
    return made


def outline(kind: Any, location: str, part: str, dtype: torch.dtype) -> nn.Module | None:
    """A model of a folder or of the hub on the meta device; None for classes that are no models.

    Args:
        kind: A class of diffusers or transformers.
        location: The folder of the pipeline, or its id on the hub.
        part: The model's folder in it.
        dtype: Precision, but for what the class keeps in float32.
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        return None
    source: Any = kind
    config = (
        source.load_config(location, subfolder=part)
        if _FROM_DIFFUSERS in dir(kind)
        else source.config_class.from_pretrained(location, subfolder=part)
    )
    made = _made(kind, config)
    if made is None:
        return None
    exact = getattr(kind, "_keep_in_fp32_modules", None) or ()
    _cast(made, {name: dtype for name, _ in made.named_parameters() if not set(name.split(".")) & set(exact)})
    return made


#: How models of diffusers and of transformers are made from their configurations.
_FROM_DIFFUSERS, _FROM_TRANSFORMERS = "from_config", "_from_config"


def _made(kind: type[nn.Module], config: Any) -> nn.Module | None:
    make = getattr(kind, _FROM_DIFFUSERS, None) or getattr(kind, _FROM_TRANSFORMERS, None)
    if config is None or make is None:
        return None
    with _META:
        made: nn.Module = make(config)
    return made.requires_grad_(False).eval()


def _cast(model: nn.Module, dtypes: Mapping[str, torch.dtype]) -> None:
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and name in dtypes:
            parameter.data = parameter.data.to(dtypes[name])


def _bare_copy(model: nn.Module) -> nn.Module:
    # Deep copies take from the memo what is in it, so that no weight is copied.
    memo: dict[int, Any] = {id(each): nn.Parameter(_hollow(each), requires_grad=False) for each in model.parameters()}
    memo |= {id(each): _hollow(each) for each in model.buffers()}
    return copy.deepcopy(model, memo).eval()


def _hollow(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device=_META)


def shorten(model: nn.Module, paths: tuple[str, ...]) -> None:
    """Leave the first and the last block of each list: all blocks of a list give what they take, and take time."""
    for path in paths:
        container = model.get_submodule(path)
        names = list(container._modules)
        if isinstance(container, CONTAINERS) and not any(is_list(each) for each in container.children()):
            for name in names[1:-1]:
                del container._modules[name]


def pipeline_twin(pipe: Any, twins: Mapping[str, nn.Module]) -> Any:
    """A copy of a pipeline with other models, which runs on the CPU and shares no state with it.

    Args:
        pipe: The pipeline.
        twins: By attribute name.
    """
    own = type(pipe)
    twin = copy.copy(pipe)
    place = property(lambda self: _CPU)  # noqa: ARG005 - a property's signature
    twin.__class__ = type(own.__name__, (own,), {"_execution_device": place, "device": place})
    for name, model in twins.items():
        setattr(twin, name, model)
    twin.scheduler = copy.deepcopy(pipe.scheduler)
    silence: Callable[..., None] | None = getattr(twin, "set_progress_bar_config", None)
    if silence is not None:
        silence(disable=True)
    return twin


def stand_in(model: nn.Module) -> None:
    """Let a model on the meta device take tensors with data, and return zeros."""
    own = model.forward
    signature = inspect.signature(type(model).forward)

    def forward(*args: Any, **kwargs: Any) -> Any:
        # What a mask hides changes no shape, and encoders of texts look into it.
        if "attention_mask" in signature.parameters and "timestep" not in signature.parameters:
            bound = signature.bind(model, *args, **kwargs)
            bound.arguments.pop("attention_mask", None)
            args, kwargs = bound.args[1:], bound.kwargs
        return _zeros(own(*_without_data(args), **_without_data(kwargs)))

    model.__dict__["forward"] = forward


def stand_in_once(model: nn.Module, head: str) -> None:
    """As `stand_in`, and calls with arguments of the same shapes run the head alone, with what it was given before."""
    own, module = model.forward, model.get_submodule(head)
    known: dict[tuple[Any, ...], tuple[Any, Any, Any]] = {}

    def forward(*args: Any, **kwargs: Any) -> Any:
        key = tuple(_shape(leaf) for leaf in tree_leaves((args, kwargs)))
        if key in known:
            given, named, output = known[key]
            module(*given, **named)
            return tree_map(_fresh, output)
        seen: list[tuple[Any, Any]] = []
        handle = module.register_forward_pre_hook(
            lambda _, given, named: seen.append((given, named)), with_kwargs=True, prepend=True
        )
        try:
            output = _zeros(own(*_without_data(args), **_without_data(kwargs)))
        finally:
            handle.remove()
        known[key] = (*seen[0], output)
        return tree_map(_fresh, output)

    model.__dict__["forward"] = forward


class Decoded(Exception):  # noqa: N818 - no error: it ends a run whose images nobody needs
    """A decoder was asked for images, and their shape is known."""


def stand_in_decoder(model: nn.Module, seen: Callable[[tuple[int, ...]], None]) -> None:
    """Let a decoder on the meta device tell the shape of what it would return, and end the run there.

    Args:
        model: Anything; models without a method `decode` stay as they are.
        seen: Told the shape.
    """
    own: Callable[..., Any] | None = getattr(model, "decode", None)
    if own is None:
        return

    def decode(*args: Any, **kwargs: Any) -> Any:
        found = own(*_without_data(args), **_without_data(kwargs))
        for leaf in tree_leaves(tuple(found.values()) if isinstance(found, Mapping) else found):
            if isinstance(leaf, Tensor):
                seen(tuple(leaf.shape))
                break
        raise Decoded

    model.__dict__["decode"] = decode


class AttentionWithoutNumbers(TorchFunctionMode):
    """Attention on the meta device returns at once what it would: there it would make the whole table of weights."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention:
            bound = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
            query, value = bound["query"], bound["value"]
            if query.is_meta:
                return query.new_empty((*query.shape[:-1], value.shape[-1]))
        return func(*args, **kwargs)


def _shape(leaf: Any) -> Any:
    return (leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else type(leaf)


def _without_data(tree: Any) -> Any:
    return tree_map(lambda leaf: leaf.to(_META) if isinstance(leaf, Tensor) else leaf, tree)


def _zeros(tree: Any) -> Any:
    return tree_map(lambda leaf: _fresh(leaf) if isinstance(leaf, Tensor) and leaf.is_meta else leaf, tree)


def _fresh(leaf: Any) -> Any:
    return torch.zeros(leaf.shape, dtype=leaf.dtype) if isinstance(leaf, Tensor) else leaf
