"""The cache in a clone of a model: a session for each run of a sampler, and the reports of the last ones."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from typing import Any

from torch import nn

import lesa_framework as lesa
from lesa_framework import Arguments, CallReport, HostCall

from .host import SamplerHost
from .source import Source

#: Under which the wrapper is in a model. A second cache in one model takes the place of the first.
KEY = "lesa_cache"
#: Reports that are kept.
_KEPT = 16


class Runs:
    """The reports of the last runs of one node's model; what the report node reads."""

    def __init__(self) -> None:
        self._reports: deque[CallReport] = deque(maxlen=_KEPT)

    def add(self, report: CallReport) -> None:
        """Remember a run."""
        self._reports.append(report)

    @property
    def last(self) -> CallReport:
        """That of the last run.

        Raises:
            IndexError: There was none.
        """
        return self._reports[-1]

    def text(self, last: int = 1) -> str:
        """The last runs, in the order in which they were made."""
        return "\n\n".join(map(str, [*self._reports][-last:])) or "no run yet"


class Cache:
    """Wraps a sampler's run: the model is entered when it begins and left when it ends, fails or is interrupted.

    Between runs, and in the runs of clones without it, the model that all clones share is untouched.

    Args:
        source: Makes the session.
        runs: Where the reports go.
    """

    def __init__(self, source: Source, runs: Runs) -> None:
        self._source, self._runs = source, runs

    def __call__(
        self, run: Callable[..., Any], guider: Any, sigmas: Any, extra_args: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """The wrapper of ComfyUI's sampler.

        Args:
            run: The sampler, or the next wrapper.
            guider: Whose model is called.
            sigmas: The sampler's noise levels, a tensor.
            extra_args: With the model's options.
            *args: For the sampler.
            **kwargs: For the sampler.
        """
        options = extra_args.get("model_options", {})
        _check_caches(options.get("transformer_options", {}))
        host = SamplerHost(sigmas.tolist(), options)
        with self._source.session(_called(guider, options), host) as session:
            try:
                return run(guider, sigmas, extra_args, *args, **kwargs)
            finally:
                self._runs.add(session.report)


def put(patcher: Any, source: Source, where: str) -> tuple[Any, Runs]:
    """A clone of a model with a cache in it.

    Args:
        patcher: ComfyUI's model.
        source: Makes the sessions.
        where: The name of ComfyUI's wrapper of samplers.

    Returns:
        The clone, and the reports of its runs.

    Raises:
        LesaError: The cache does not fit the model.
    """
    _check(patcher.model.diffusion_model, source)
    runs, clone = Runs(), patcher.clone()
    clone.remove_wrappers_with_key(where, KEY)
    clone.add_wrapper_with_key(where, KEY, Cache(source, runs))
    return clone, runs


def _check(model: nn.Module, source: Source) -> None:
    """Enter and leave the model once, so that what does not fit is told where it was chosen."""
    source.session(model, _nobody).detach()


def _called(guider: Any, options: dict[str, Any]) -> nn.Module:
    """What will be called: the model, or what ComfyUI puts in its place while it is called, a compiled one."""
    model: nn.Module = guider.inner_model.diffusion_model
    wrappers = options.get("transformer_options", {}).get("wrappers", {}).get("apply_model", {})
    for wrapper in wrappers.get("torch.compile", []):
        modules = inspect.getclosurevars(wrapper).nonlocals.get("compiled_module_dict", {})
        model = modules.get("diffusion_model", model)
    return model


def _nobody(_: Arguments) -> HostCall:
    raise AssertionError("the model was called outside of a run")


def _check_caches(options: dict[str, Any]) -> None:
    if "easycache" in options:
        raise lesa.LesaError(
            "LESA cache: another cache, ComfyUI's EasyCache or LazyCache, is in the same model. Two caches predict "
            "from each other's predictions. Remove one of the nodes."
        )
