"""`lesa check` on plugins that register nothing, or nothing that it can check."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from lesa_framework import NamedModel, Registrar, RouterConfig, StageRouter, hookimpl
from lesa_framework.cli import check
from lesa_framework.plugin.manager import Plugins
from tests.cli.conftest import Lesa


def lesa_register(registrar: Registrar) -> None:
    """Without its mark."""
    raise AssertionError("nobody calls it")


class Idle:
    @hookimpl
    def lesa_register(self, registrar: Registrar) -> None:
        """Adds nothing."""


class Model:
    @hookimpl
    def lesa_register(self, registrar: Registrar) -> None:
        registrar.add_model("mine:tiny", NamedModel(Path()))


class Unsaid(RouterConfig):
    kind: Literal["unsaid"] = "unsaid"

    def build(self) -> StageRouter:
        raise AssertionError


class Router:
    @hookimpl
    def lesa_register(self, registrar: Registrar) -> None:
        registrar.add_router(Unsaid)


class Observer:
    @hookimpl
    def lesa_run_end(self, report: object) -> None:
        """Hears of it."""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, object], None]:
    """`installed("name", plugin)` adds a plugin to those that `lesa check` knows."""
    found = Plugins()
    monkeypatch.setattr(check, "plugins", lambda: found)
    monkeypatch.setattr(check, "_others", found.names)
    return found.add


@pytest.mark.parametrize("plugin", [SimpleNamespace(lesa_register=lesa_register), SimpleNamespace(), Idle()])
@pytest.mark.parametrize("named", [("mine",), ()])
def test_a_plugin_that_registers_nothing_fails(
    lesa: Lesa, installed: Callable[[str, object], None], plugin: object, named: tuple[str, ...]
) -> None:
    installed("mine", plugin)
    installed("other", Model())
    outcome = lesa("check", *named, "--json")
    assert outcome.code == 1
    assert "plugin 'mine': not as the contract asks." in outcome.err
    (entry,) = json.loads(outcome.out)
    assert (entry["section"], entry["kind"], entry["outcome"]) == ("plugin", "mine", "failed")
    assert entry["detail"].startswith("registers nothing. Is `@hookimpl` above `lesa_register`")


@pytest.mark.parametrize("plugin", [Model(), Observer()])
def test_a_plugin_need_not_bring_what_has_a_kit(
    lesa: Lesa, installed: Callable[[str, object], None], plugin: object
) -> None:
    installed("mine", plugin)
    outcome = lesa("check", "mine", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == []


def test_an_assertion_without_a_message_is_named(lesa: Lesa, installed: Callable[[str, object], None]) -> None:
    installed("mine", Router())
    outcome = lesa("check", "mine", "--json")
    assert outcome.code == 1
    (entry,) = json.loads(outcome.out)
    assert (entry["kind"], entry["outcome"], entry["detail"]) == ("unsaid", "failed", "AssertionError")
