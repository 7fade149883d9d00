"""A formula in one name, such as `timestep/1000`: read safely, and evaluated on numbers and tensors alike."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor

_VALID: Final = "Valid examples: timestep, timestep/1000, 1 - t, (t + 1)/1000"
_LONGEST: Final = 200
_OPERATORS: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_SIGNS: Final[dict[type[ast.unaryop], Callable[[Any], Any]]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


@dataclass(frozen=True)
class Formula:
    """Sums, differences, products and quotients of numbers and one name.

    Args:
        text: The formula.

    Attributes:
        name: The name in it.

    Raises:
        ValueError: The text is not such a formula; the message says why and shows examples.
    """

    text: str
    name: str = field(init=False)
    _tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Parse the text; it is never executed as Python."""
        tree = _parse(self.text)
        names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
        if len(names) != 1:
            found = ", ".join(names) or "none"
            raise ValueError(f"it must name exactly one argument of the model's forward, but names {found}. {_VALID}")
        object.__setattr__(self, "name", names[0])
        object.__setattr__(self, "_tree", tree)
        try:
            probe = self(0.5)
        except ArithmeticError:
            probe = math.nan
        if not isinstance(probe, float) or not math.isfinite(probe):
            raise ValueError(f"it divides by zero or overflows. {_VALID}")

    def __call__(self, value: Tensor | float) -> Tensor | float:
        """The formula's value, in float32 for tensors, without synchronising devices."""
        # Timesteps may be integers or bfloat16: neither is precise enough for a difference.
        result: Tensor | float = _evaluate(self._tree, value.float() if isinstance(value, Tensor) else float(value))
        return result


def _parse(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST} characters. {_VALID}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"it cannot be parsed. {_VALID}") from None
    _check(tree)
    return tree


def _check(node: ast.expr) -> None:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left)
            _check(right)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
            _check(operand)
        case ast.Name():
            pass
        case ast.Constant(value=value) if type(value) in (int, float):
            pass
        case _:
            raise ValueError(
                f"'{ast.unparse(node)}' is not allowed: only + - * / on numbers and one name are. {_VALID}"
            )


def _evaluate(node: ast.expr, value: Any) -> Any:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_evaluate(left, value), _evaluate(right, value))
        case ast.UnaryOp(op=op, operand=operand):
            return _SIGNS[type(op)](_evaluate(operand, value))
        case ast.Constant(value=number):
            return number
        case _:
            return value
