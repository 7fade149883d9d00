"""Ways to compile a pipeline's model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lesa_framework.testing import TinyPipeline
from tests.fixtures_compile import Compiler


def by_the_model(pipe: TinyPipeline, compiler: Compiler) -> None:
    pipe.transformer.compile(**compiler.options)


def by_a_wrapper(pipe: TinyPipeline, compiler: Compiler) -> None:
    pipe.transformer = torch.compile(pipe.transformer, **compiler.options)


def by_its_forward(pipe: TinyPipeline, compiler: Compiler) -> None:
    pipe.transformer.forward = torch.compile(pipe.transformer.forward, **compiler.options)


Way = Callable[[TinyPipeline, Compiler], None]
both_ways = pytest.mark.parametrize("compiled", [by_the_model, by_a_wrapper])


def close(found, expected) -> bool:
    """Compiled or not, up to the attention that torch takes for each."""
    return torch.allclose(found, expected, atol=1e-5)
