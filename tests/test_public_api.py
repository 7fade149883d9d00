"""The public API as a tested object: every listed name exists and is documented."""

from __future__ import annotations

import importlib.metadata
import inspect
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

import lesa_framework
import lesa_framework.testing
from lesa_framework import public

ROOT = Path(__file__).parents[1]
NAMES = sorted(lesa_framework.__all__)
TESTING = sorted(lesa_framework.testing.__all__)


def test_the_list_is_in_order_and_each_name_once():
    assert lesa_framework.__all__ == sorted(set(lesa_framework.__all__), key=lambda name: (not name.isupper(), name))
    assert lesa_framework.testing.__all__ == sorted(set(lesa_framework.testing.__all__))


def test_every_public_name_is_in_the_list():
    found = {name for name, value in vars(public).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert found == set(NAMES)


def has_docstring(value: object) -> bool:
    # A plain inherited or generated docstring says nothing.
    own = vars(value).get("__doc__") if inspect.isclass(value) else getattr(value, "__doc__", None)
    return bool(own) and not own.startswith(f"{getattr(value, '__name__', '')}(")


def documentable(module: object, names: list[str]) -> list[str]:
    """Classes and functions; aliases and markers are documented by a comment where they are made."""
    values = {name: getattr(module, name) for name in names}
    return [
        name
        for name, value in values.items()
        if (inspect.isclass(value) and typing.get_origin(value) is None) or inspect.isfunction(value)
    ]


@pytest.mark.parametrize("name", documentable(lesa_framework, NAMES))
def test_every_public_object_has_a_docstring(name):
    assert has_docstring(getattr(lesa_framework, name))


@pytest.mark.parametrize("name", documentable(lesa_framework.testing, TESTING))
def test_every_object_for_plugin_authors_has_a_docstring(name):
    assert has_docstring(getattr(lesa_framework.testing, name))


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isclass(getattr(lesa_framework, name))])
def test_every_public_method_has_a_docstring(name):
    value = getattr(lesa_framework, name)
    for method, function in vars(value).items():
        if method.startswith("_") or not inspect.isfunction(
            inspect.unwrap(getattr(function, "fget", function) or function)
        ):
            continue
        assert inspect.getdoc(getattr(value, method)), f"{name}.{method}"


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isfunction(getattr(lesa_framework, name))])
def test_every_argument_of_a_public_function_is_documented(name):
    function = getattr(lesa_framework, name)
    doc, parameters = inspect.getdoc(function) or "", list(inspect.signature(function).parameters)
    if len(parameters) > 1:
        assert "Args:" in doc
        for parameter in parameters:
            assert f"    {parameter}: " in doc, f"{name}({parameter})"


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in NAMES
        if inspect.isclass(getattr(lesa_framework, name)) and issubclass(getattr(lesa_framework, name), BaseModel)
    ],
)
def test_every_setting_is_documented(name):
    for field, info in getattr(lesa_framework, name).model_fields.items():
        assert field == "kind" or info.description, f"{name}.{field}"


def test_the_version_is_that_of_the_distribution():
    assert lesa_framework.__version__ == importlib.metadata.version("lesa-framework")


def test_types_are_shipped():
    assert (ROOT / "lesa_framework" / "py.typed").is_file()
