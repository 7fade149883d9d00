"""Is an attached model saved and copied as if it were bare?"""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from lesa_framework.testing.conformance.backbone.trial import Trial


@runtime_checkable
class _Pretrained(Protocol):
    """A model with diffusers' way of saving."""

    def save_pretrained(self, save_directory: str) -> Any:
        """Write a folder."""

    @classmethod
    def from_pretrained(cls, folder: str) -> nn.Module:
        """Read it."""


def saves_as_a_bare_model(trial: Trial) -> None:
    """An attached model has a bare one's `state_dict`; saved and loaded, it works bare and attached."""
    model = trial.make_model()
    before, bare = dict(model.state_dict()), trial.sample(model)
    with trial.attach(model), TemporaryDirectory() as folder:
        trial.sample(model)
        _require_same(dict(model.state_dict()), before, "attaching")
        loaded = _saved_and_loaded(trial, model, folder).train(model.training)
    _require_same(dict(loaded.state_dict()), before, "saving and loading")
    _require_near(trial.sample(loaded), bare, "a saved and loaded model must be as the bare one")
    with trial.attach(loaded):
        _require_near(trial.sample(loaded), trial.fresh(), "a session in a saved and loaded model must do the same")


def copies_as_a_bare_model(trial: Trial) -> None:
    """`copy.deepcopy` of an attached model is a bare one, and leaves the session as it was."""
    model = trial.make_model()
    bare = trial.sample(model, steps=3)
    with trial.attach(model):
        trial.sample(model, steps=2)
        twin = copy.deepcopy(model)
        trial.require(trial.sample(twin, steps=3), bare, "a copy of an attached model must be a bare one")
        trial.require(trial.sample(model), trial.fresh(), "a session must not notice that its model was copied")
    with trial.attach(twin):
        trial.require(trial.sample(twin), trial.fresh(), "a session in a copy must do the same")


def _require_same(state: dict[str, Tensor], before: dict[str, Tensor], cause: str) -> None:
    names = sorted(state.keys() ^ before.keys())
    assert not names, f"{cause} changes the state_dict: {names} appeared or vanished"
    changed = [name for name, value in state.items() if not torch.equal(value, before[name])]
    assert not changed, f"{cause} changes weights: {changed}"


def _require_near(outputs: list[Tensor], expected: list[Tensor], claim: str) -> None:
    # Not bit for bit: a file's tensors lie elsewhere in memory, which alone can change the last bit of a product.
    for mine, theirs in zip(outputs, expected, strict=True):
        difference, size = (mine - theirs).abs().max(), theirs.abs().max()
        assert bool(difference <= 1e-3 * size), f"{claim}; outputs of up to {size:.3g} differ by up to {difference:.3g}"


def _saved_and_loaded(trial: Trial, model: nn.Module, folder: str) -> nn.Module:
    if isinstance(model, _Pretrained):
        model.save_pretrained(folder)
        return type(model).from_pretrained(folder)
    path = Path(folder) / "model.safetensors"
    save_model(model, str(path))
    loaded = trial.make_model()
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.zero_()  # so that nothing but the file can bring the weights back
    load_model(loaded, path)
    return loaded
