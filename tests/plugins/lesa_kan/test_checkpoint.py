"""Files that are unpickled without running anything, and files that are refused."""

from __future__ import annotations

import os
import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from lesa_framework import ConfigError, Published
from lesa_kan.checkpoint import read_model
from tests.plugins.lesa_kan.release import release_tensors, save_release


def read(content: bytes) -> dict[str, torch.Tensor]:
    return read_model(Published("", "theirs.pt", content=content))


def saved(found: Any, **how: Any) -> bytes:
    file = BytesIO()
    torch.save(found, file, **how)
    return file.getvalue()


class Hostile:
    """Runs something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_tensors_come_out_in_float32(tmp_path: Path) -> None:
    tensors = release_tensors(5, dtype=torch.bfloat16)
    save_release(tmp_path / "theirs.pt", tensors)
    found = read((tmp_path / "theirs.pt").read_bytes())
    assert found.keys() == tensors.keys()
    assert all(each.dtype is torch.float32 and torch.equal(each, tensors[name].float()) for name, each in found.items())


def test_a_hostile_file_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    content = saved({"config": Hostile(os.system, f"touch {mark}"), "model": release_tensors(4)})
    with pytest.raises(ConfigError, match=r"theirs\.pt: refused, because it would run '(posix|nt)\.system'"):
        read(content)
    assert not mark.exists()
    torch.load(BytesIO(content), weights_only=False)
    assert mark.exists()  # it is hostile indeed


def test_a_module_of_settings_is_not_imported_and_nothing_of_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    module = ModuleType("their.config")

    def run(*arguments: object) -> dict[str, Any]:
        called.append(arguments)
        return {}

    run.__module__, run.__qualname__ = module.__name__, "run"
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "their", ModuleType("their"))
    monkeypatch.setitem(sys.modules, "their.config", module)
    content = saved({"config": Hostile(run, "something"), "model": release_tensors(4)})
    assert read(content).keys() == release_tensors(4).keys()
    assert not called
    with pytest.raises(ConfigError, match="expected a dict with the tensors under 'model'"):
        read(saved({"model": Hostile(run, "something")}))
    assert not called


WEIGHT = torch.ones(2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a file of torch.save"),
        (b"PK\x03\x04 and more" * 50, "not a file of torch.save"),
        (saved({"model": {"a": WEIGHT}})[:700], "not a file of torch.save"),
        (saved({"model": {"a": WEIGHT}}, _use_new_zipfile_serialization=False), "not a file of torch.save"),
        (saved({"model": {"a": Path("a")}}), "refused, because it would run 'pathlib"),
        (saved(WEIGHT), "expected a dict with the tensors under 'model'"),
        (saved({"weights": {"a": WEIGHT}}), "expected a dict with the tensors under 'model'"),
        (saved({"model": {}}), "expected a dict with the tensors under 'model'"),
        (saved({"model": {"a": 1.0}}), r"model\['a'\] is not a dense tensor"),
        (saved({"model": {"a": WEIGHT.to_sparse()}}), r"model\['a'\] is not a dense tensor"),
        (saved({"model": {"a": WEIGHT.to("meta")}}), r"model\['a'\] is not a dense tensor"),
        (saved({"model": {"a": WEIGHT.long()}}), r"model\['a'\] holds int64"),
        (saved({"model": {"a": WEIGHT / 0}}), r"model\['a'\] has numbers that are not finite"),
        (saved({"model": {"a": WEIGHT[:1].expand(2**20, 2**20)}}), "has 1,099,511,627,776 numbers; at most"),
    ],
    ids=range(14),
)
def test_what_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=f"theirs.pt: {message}"):
        read(content)
