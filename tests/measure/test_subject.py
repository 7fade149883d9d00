"""What a detached method may leave on a model is noticed."""

from __future__ import annotations

from types import MethodType, SimpleNamespace
from typing import Any

import pytest
from torch import nn

from lesa_framework.generation import GenerationSettings
from lesa_framework.measure.subject import PipelineSubject, fingerprint


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Identity()))


def leave_hook(changed: nn.Module) -> None:
    changed[1][0].register_forward_pre_hook(lambda *_: None)


def leave_forward(changed: nn.Module) -> None:
    changed[0].forward = lambda x: x


def leave_module(changed: nn.Module) -> None:
    changed[1].append(nn.Identity())


def leave_class(changed: nn.Module) -> None:
    changed[1][0].__class__ = nn.Flatten


@pytest.mark.parametrize("change", [leave_hook, leave_forward, leave_module, leave_class])
def test_a_change_is_seen(change):
    changed = model()
    before = fingerprint(changed)
    change(changed)
    assert fingerprint(changed) != before


@pytest.mark.parametrize("name", ["transformer", "transformer_2"])
def test_a_change_of_either_transformer_is_seen(name):
    pipe: Any = SimpleNamespace(transformer=model(), transformer_2=model())
    subject = PipelineSubject(pipe, GenerationSettings())
    before = subject.fingerprints()
    assert subject.fingerprints() == before
    leave_hook(getattr(pipe, name))
    assert subject.fingerprints() != before


def test_a_bound_forward_of_the_class_itself_is_no_change():
    changed = model()
    before = fingerprint(changed)
    changed[0].forward = MethodType(nn.Linear.forward, changed[0])
    assert fingerprint(changed) == before
