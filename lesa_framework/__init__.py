"""LESA Framework: learned feature-cache predictors for diffusion transformers.

The public names are listed in `public.py`. They are imported when the first one is asked for, so that the command line
is there at once: it answers `--help` without torch, and Ctrl-C from its first moment on.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lesa_framework.public import *  # noqa: F403 - for type checkers, which read the list there
    from lesa_framework.public import __all__ as __all__
else:

    def __getattr__(name):
        from importlib import import_module
        from importlib.util import find_spec

        # Python asks for a module of ours here first, before it imports it.
        if name == "__all__" or not (name.startswith("_") or find_spec(f"lesa_framework.{name}")):
            public = import_module("lesa_framework.public")
            if name == "__all__" or name in public.__all__:
                return globals().setdefault(name, getattr(public, name))
        raise AttributeError(f"module 'lesa_framework' has no attribute '{name}'")

    def __dir__():
        from lesa_framework.public import __all__

        return sorted({*globals(), *__all__})


__version__ = "0.1.0"
