"""Arguments are named as `inspect.Signature.bind` names them, refused calls included."""

import inspect

import pytest

from lesa_framework.runtime.model.arguments import ArgumentNames


def plain(self, latent, timestep, text=None, *, guidance=None):
    """As most forwards are."""


def open_ended(self, latent, timestep=1, **others):
    """Takes what it does not know."""


def by_place(self, latent, /, *more, text=None):
    """Needs Python's own rules."""


FORWARDS = (plain, open_ended, by_place)
CALLS = (
    ((1, 2), {}),
    ((1,), {"timestep": 2, "text": 3}),
    ((), {"latent": 1, "timestep": 2, "guidance": 4}),
    ((1, 2, 3), {}),
    ((1, 2, 3, 4), {}),
    ((1, 2), {"timestep": 3}),
    ((1, 2), {"unknown": 3}),
    ((), {"text": 3}),
    ((1, 2), {"self": 3}),
)


def bound(forward, args, kwargs):
    signature = inspect.signature(forward)
    named = signature.bind("model", *args, **kwargs).arguments
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            named.update(named.pop(name, {}))
    return named


def outcome(act, *given):
    """What a function returns, or the words with which it refuses."""
    try:
        return act(*given)
    except TypeError as error:
        return str(error)


@pytest.mark.parametrize("forward", FORWARDS)
@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_arguments_are_named_as_python_names_them(forward, args, kwargs):
    assert outcome(ArgumentNames(forward).of, "model", args, kwargs) == outcome(bound, forward, args, kwargs)


def test_what_the_caller_gave_is_not_changed():
    kwargs = {"timestep": 2}
    ArgumentNames(plain).of("model", (1,), kwargs)["text"] = 3
    assert kwargs == {"timestep": 2}
