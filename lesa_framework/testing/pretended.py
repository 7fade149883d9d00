"""A device that is not there: runs on the CPU, and tells every moment at which a GPU would have been waited for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

#: The name that torch gives it. Its tensors are not on it: they only say so.
PRETENDED: Final = torch.device("lazy", 0)
#: Operations of which the CPU needs the result, or its size, to go on.
_WAITING: Final = frozenset(
    {
        "_local_scalar_dense",
        "equal",
        "is_nonzero",
        "item",
        "masked_select",
        "nonzero",
        "nonzero_numpy",
        "unique_consecutive",
        "_unique2",
        "unique_dim",
        "repeat_interleave",
    }
)

#: Make a tensor of Python's numbers, or of others' memory, before the dispatcher hears of it.
_MAKERS: Final = frozenset({torch.tensor, torch.as_tensor, torch.asarray})

_TORCH: Final = str(Path(torch.__file__).parent)


@dataclass(frozen=True)
class Wait:
    """A moment at which the CPU would have waited for the device.

    Attributes:
        what: The operation, such as `_local_scalar_dense`, which is `item()`, `bool(tensor)` and `float(tensor)`.
        stack: The functions on the way to it outside of torch, as `file:line function`, the innermost first.
    """

    what: str
    stack: tuple[str, ...]

    def __str__(self) -> str:
        """The operation, and where."""
        return f"{self.what} at {self.stack[0]}"


@dataclass
class PretendedDevice:
    """A device that is not there.

    Attributes:
        device: Where to put models and tensors.
        waits: What would have waited for it so far.
    """

    device: torch.device = PRETENDED
    waits: list[Wait] = field(default_factory=list)


@contextmanager
def pretended_device() -> Iterator[PretendedDevice]:
    """Pretend that there is another device, such as a GPU, and find whatever waits for it.

    Within it, models and tensors can be moved to the device and made there, and stay in the CPU's memory. Waiting are
    `item()`, `tolist()`, `bool(tensor)`, `float(tensor)`, `nonzero()` and the like, and copies between the CPU and the
    device unless they are `non_blocking`, `torch.tensor(numbers, device=device)` among them.

    Example:
        Find what a predictor waits for::

            with pretended_device() as pretended:
                pipe = TinyPipeline(TinyDiT().to(pretended.device))
                ...
            for wait in pretended.waits:
                print(wait)
    """
    found = PretendedDevice()
    with _Pretending(found), _Functions():
        yield found


class _There(Tensor):
    """A tensor that says that it is on the device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> _There:
        made: _There = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=PRETENDED,
            requires_grad=held.requires_grad,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise RuntimeError(f"{func}: a tensor of a pretended device outlived `pretended_device()`.")

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        return self.cpu().numpy(force=force)

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{self.held!r}, pretended"


class _Pretending(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, found: PretendedDevice) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        is_there = any(issubclass(each, _There) for each in types)
        goal = kwargs.get("device")
        goes_there = is_there if goal is None else torch.device(goal).type == PRETENDED.type
        if self._waits(name, args, kwargs, is_there, goes_there):
            self._found.waits.append(Wait(name, _stack()))
        if goal is not None:
            kwargs["device"] = torch.device("cpu") if goes_there or is_there else goal
        plain_args, plain_kwargs = tree_map_only(_There, lambda tensor: tensor.held, (args, kwargs))
        if name == "_to_copy" and is_there != goes_there:
            plain_kwargs.pop("non_blocking", None)
        made = func(*plain_args, **plain_kwargs)
        if not goes_there:
            return made
        if func._schema.name.endswith("_") and args and isinstance(args[0], _There):
            return args[0]
        return tree_map_only(Tensor, _There, made)

    def _waits(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], is_there: bool, goes_there: bool) -> bool:
        if name == "_to_copy":
            return is_there != goes_there and not kwargs.get("non_blocking")
        if name == "copy_":
            crosses = isinstance(args[0], _There) != isinstance(args[1], _There)
            return crosses and args[1].dim() > 0 and not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
        by_mask = name in ("index", "index_put_", "index_put") and any(
            isinstance(each, Tensor) and each.dtype in (torch.bool, torch.uint8) for each in args[1]
        )
        return is_there and (name in _WAITING or by_mask)


class _Functions(TorchFunctionMode):
    """What torch works out without telling its dispatcher."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        goal = None if func not in _MAKERS or isinstance(next(iter(args), None), _There) else kwargs.get("device")
        if goal is not None and torch.device(goal) == PRETENDED:
            return func(*args, **{**kwargs, "device": "cpu"}).to(PRETENDED)
        if func is Tensor.new_tensor and isinstance(args[0], _There):
            return torch.tensor(args[1]).to(dtype=args[0].dtype, device=PRETENDED)
        # Attention asks the device which kernel to take; this one has none.
        if func is torch.nn.functional.scaled_dot_product_attention:
            with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
                return func(*args, **kwargs)
        return func(*args, **kwargs)


def _stack() -> tuple[str, ...]:
    frame: FrameType | None = sys._getframe(2)
    found = []
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and not file.startswith(_TORCH):
            found.append(f"{file}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return tuple(found)
