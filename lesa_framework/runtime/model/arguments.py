"""The arguments of a forward's calls, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

_BY_PLACE = inspect.Parameter.POSITIONAL_OR_KEYWORD
_BY_NAME = inspect.Parameter.KEYWORD_ONLY
_ANY_NAME = inspect.Parameter.VAR_KEYWORD


class ArgumentNames:
    """Names arguments as `inspect.Signature.bind` does, which takes longer than a small model's own embeddings.

    Args:
        forward: The function, with the model as its first parameter.

    Attributes:
        signature: The function's signature.
    """

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.signature = inspect.signature(forward)
        parameters = self.signature.parameters.values()
        self._by_place = tuple(each.name for each in parameters if each.kind is _BY_PLACE)
        named = {each.name: each.default for each in parameters if each.kind in (_BY_PLACE, _BY_NAME)}
        self._known = named.keys()
        self._required = {name for name, default in named.items() if default is inspect.Parameter.empty}
        self._any_name = next((each.name for each in parameters if each.kind is _ANY_NAME), None)
        self._right: tuple[Any, ...] = ()  # how it was called last: how many without names, and the others' names
        self._is_plain = all(each.kind in (_BY_PLACE, _BY_NAME, _ANY_NAME) for each in parameters)

    def of(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call, by name, including those that the forward takes as `**kwargs`.

        Raises:
            TypeError: The forward does not take them.
        """
        given = (model, *args)
        found = dict(zip(self._by_place, given, strict=False))
        found.update(kwargs)
        call = len(given), *kwargs
        if call != self._right:
            if not self._is_right(found, given, kwargs):
                return self._bound(given, kwargs)
            self._right = call
        return found

    def _is_right(self, found: dict[str, Any], given: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return (
            self._is_plain
            and len(found) == len(given) + len(kwargs)  # none twice, none without a name
            and self._required <= found.keys()
            and (self._any_name is not None or found.keys() <= self._known)
        )

    def replaced(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], values: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The same call with other values for some of its arguments.

        Args:
            args: The call's arguments without names.
            kwargs: Those with names.
            values: By the argument's name; arguments that the call does not give are added by name.
        """
        names = self._by_place[1 : len(args) + 1]
        placed = (values.get(name, value) for name, value in zip(names, args, strict=False))
        rest = args[len(names) :]
        named = {name: value for name, value in values.items() if name not in names}
        return (*placed, *rest), {**kwargs, **named}

    def _bound(self, given: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        named = self.signature.bind(*given, **kwargs).arguments
        if self._any_name is not None:
            named.update(named.pop(self._any_name, {}))
        return named
