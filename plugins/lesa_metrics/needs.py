"""Helpers for loading metrics: optional libraries, the local hub cache, and pictures that have no score."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from lesa_framework import MetricUnavailableError, in_one_line


def library(metric: str, module: str, remedy: str) -> ModuleType:
    """Import a library.

    Args:
        metric: Who needs it.
        module: Its module.
        remedy: How to get it.

    Raises:
        MetricUnavailableError: It is not installed, or does not work here.
    """
    try:
        with warnings.catch_warnings():  # some change the filters of everybody, or warn of their own future
            warnings.simplefilter("ignore")
            return import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module.partition(".")[0]:
            raise MetricUnavailableError(f"{metric}: {error.name} is not installed; {remedy}") from error
        raise _broken(metric, module, error, remedy) from error
    except Exception as error:  # anybody's code runs here
        raise _broken(metric, module, error, remedy) from error


def cached(model: str, file: str) -> Path | None:
    """The folder in the local hub cache that has a model's file; None when there is none.

    Models are then loaded from that folder: even with `local_files_only`, the hub's library makes requests.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, file)
    return Path(found).parent if isinstance(found, str) else None


def finite(pictures: Tensor) -> Tensor:
    """Which pictures have no NaN and no infinity, shape (pictures,): others score NaN, as PSNR does."""
    return torch.isfinite(pictures).flatten(1).all(1)


def _broken(metric: str, module: str, error: Exception, remedy: str) -> MetricUnavailableError:
    return MetricUnavailableError(f"{metric}: {module} cannot be imported ({in_one_line(error)}); {remedy}")
