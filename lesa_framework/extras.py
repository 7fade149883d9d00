"""What may be missing, and the one command that installs it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final

from lesa_framework.errors import ConfigError

#: The plugin that brings the bundled models; a package of its own, because these are large.
BUNDLED: Final = "lesa_reference"
#: How names of its models and presets begin.
_BUNDLED_NAMES: Final = ("reference:", "ref-")
#: Extra -> the modules that it installs. tests/test_extras.py compares it with pyproject.toml.
EXTRAS: Final = MappingProxyType(
    {
        "diffusers": (
            "diffusers", "transformers", "accelerate", "tokenizers", "huggingface_hub", "PIL", "jinja2", "markupsafe",
            "plotly", "matplotlib", "scipy", "skimage",
        ),
        "kan": ("kan", "sklearn", "pandas", "sympy", "tqdm", "matplotlib", "yaml"),
        "bench": ("cache_dit", "hicache_pp"),
        "metrics": ("torchmetrics",),
        "ui": ("gradio",),
        "reference": (BUNDLED,),
    }
)  # fmt: skip
#: What a pipeline needs, to be loaded and to run.
PIPELINE: Final = ("diffusers", "transformers", "PIL")
#: What a model card, an upload and a download need.
HUB: Final = ("huggingface_hub",)
#: Modules that are not called like the package that brings them.
_PACKAGES: Final = {
    "PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "kan": "pykan", "yaml": "pyyaml",
    "cache_dit": "cache-dit", "hicache_pp": "hicache-pp", "huggingface_hub": "huggingface-hub",
    BUNDLED: "lesa-framework-reference",
}  # fmt: skip


def package_of(module: str) -> str:
    """The name under which `pip` knows a module."""
    top = module.partition(".")[0]
    return _PACKAGES.get(top, top)


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f'pip install "lesa-framework[{extra}]"'


def is_installed(module: str) -> bool:
    """Whether a top-level module is there; it is not imported."""
    try:
        return find_spec(module) is not None
    except ImportError:  # another finder of this process refuses it
        return False


def check_installed(who: str, modules: Sequence[str] = PIPELINE, extra: str | None = "diffusers") -> None:
    """Refuse work that needs modules that are not there, before any of it is done.

    Args:
        who: The command or option that needs them; the message begins with it.
        modules: Top-level modules.
        extra: The extra that brings them; None for a plugin's modules: one of ours may bring those that are missing.

    Raises:
        ConfigError: Some are not installed; the message has the command that installs them, if an extra does.
    """
    absent = [module for module in modules if not is_installed(module)]
    if absent:
        extra = extra or next((each for each, brought in EXTRAS.items() if {*absent} <= {*brought}), None)
        how = f"Install with: {install(extra)}" if extra else "The documentation of its plugin says how to install it."
        *others, last = map(package_of, absent)
        listed = f"{', '.join(others)} and {last}" if others else last
        verb = "are" if others else "is"
        raise ConfigError(f"{who}: needs {listed}, which {verb} not installed. {how}")


def about_bundled(name: str) -> str:
    """What to say besides of a model or preset that was not found; empty unless it is one of the bundled ones."""
    if not name.startswith(_BUNDLED_NAMES) or is_installed(BUNDLED):
        return ""
    return f" The bundled models and their presets are not installed. Install them with: {install('reference')}"


def remedy_for(module: str | None) -> str | None:
    """The command that installs a module that could not be imported; None where no extra of ours brings it."""
    top = (module or "").partition(".")[0]
    return next((install(extra) for extra, modules in EXTRAS.items() if top in modules), None)
