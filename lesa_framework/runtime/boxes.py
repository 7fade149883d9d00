"""What models return their output in: a tensor, a tuple, or an object with a `sample`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

#: Puts an output into what a model returns it in.
Box: TypeAlias = Callable[[Tensor], Any]


def unbox(returned: Any) -> Tensor:
    """The output itself."""
    output: Tensor = returned if isinstance(returned, Tensor) else returned[0]
    return output


def box_like(returned: Any) -> Box:
    """What makes another output look like `returned`."""
    if isinstance(returned, Tensor):
        return lambda output: output
    if isinstance(returned, tuple):
        return lambda output: (output,)
    return lambda output: type(returned)(sample=output)
