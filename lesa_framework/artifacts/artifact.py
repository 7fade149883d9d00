"""Weights, and what they were made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from lesa_framework.artifacts.metadata import ArtifactMetadata
from lesa_framework.errors import ArtifactError

_Settings = TypeVar("_Settings")


@dataclass(frozen=True)
class Artifact:
    """Weights, and what they were made for."""

    metadata: ArtifactMetadata
    tensors: dict[str, Tensor]

    def settings(self, schema: type[_Settings]) -> _Settings:
        """The predictor's own settings, checked.

        Args:
            schema: A pydantic model or a dataclass; its fields may have pydantic's constraints.

        Raises:
            ArtifactError: They are not what the schema wants.
        """
        try:
            return TypeAdapter(schema).validate_python(self.metadata.settings)
        except ValidationError as error:
            raise ArtifactError(
                f"predictor.weights: not '{self.metadata.kind}' weights of this version ({first_problem(error)}). "
                "Train again."
            ) from error

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """One of the tensors, checked.

        Args:
            name: Its name.
            shape: The shape that it must have.

        Raises:
            ArtifactError: It is missing, of another shape, not of floating-point numbers, or has some that are not
                finite.
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            problem = f"'{name}' is missing"
        elif tensor.shape != shape:
            problem = f"'{name}' is {tuple(tensor.shape)} and not {shape}"
        elif not tensor.is_floating_point():
            problem = f"'{name}' holds {str(tensor.dtype).removeprefix('torch.')} and no floating-point numbers"
        elif not bool(tensor.isfinite().all()):
            problem = f"'{name}' has numbers that are not finite"
        else:
            return tensor
        raise ArtifactError(
            f"predictor.weights: not '{self.metadata.kind}' weights of this version ({problem}). Train again."
        )


def first_problem(error: ValidationError) -> str:
    """The first of a schema's complaints, without the value, which may be long."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"])
    return f"{place}: {first['msg'][:200]}" if place else first["msg"][:200]
