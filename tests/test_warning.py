from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from lesa_framework import LesaWarning
from lesa_framework.warning import warn


def module(name: str, call: Callable[[], None]) -> Callable[[], None]:
    """A function of a module of this name, which only calls."""
    made: dict[str, Any] = {"__name__": name, "call": call}
    exec(compile("def through():\n    call()\n", f"{name}.py", "exec"), made)
    return made["through"]


warning = partial(warn, "look at this")


def caught(call: Callable[[], None]) -> warnings.WarningMessage:
    with pytest.warns(LesaWarning, match="look at this") as found:
        call()
    (one,) = found
    return one


def test_the_line_named_is_the_users_below_plugins_and_libraries() -> None:
    inner = module("lesa_fitted.predictor", module("lesa_framework.artifacts.check", warning))
    call = module("diffusers.pipelines.flux", module("torch.nn.modules.module", inner))
    one = caught(call)
    assert one.filename == inspect.getfile(caught)
    assert "call()" in inspect.getsource(caught).splitlines()[one.lineno - caught.__code__.co_firstlineno]


def test_a_library_that_we_do_not_know_is_the_user() -> None:
    assert caught(module("mine", module("lesa_fitted.predictor", warning))).filename == "mine.py"
