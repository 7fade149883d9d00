"""Loads the node package as ComfyUI does: from its folder, under a name that is no identifier."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[3] / "integrations" / "comfyui"


def load(name: str, replaced: Mapping[str, ModuleType]) -> ModuleType:
    """The package, with some of the modules that it imports replaced."""
    found = f"/custom_nodes/{name}"
    held = {each: sys.modules.get(each) for each in replaced}
    spec = importlib.util.spec_from_file_location(found, FOLDER / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[found] = module
    sys.modules.update(replaced)
    try:
        spec.loader.exec_module(module)
    finally:
        for each, before in held.items():
            if before is None:
                sys.modules.pop(each)
            else:
                sys.modules[each] = before
    return module


def part(package: ModuleType, name: str) -> ModuleType:
    """One of its modules."""
    return sys.modules[f"{package.__name__}.{name}"]
