"""Names of branches: those of all but a pipeline's first transformer end with its name, as `cond (transformer_2)`."""

from __future__ import annotations


def in_transformer(branch: str, transformer: str) -> str:
    """The name of a transformer's branch; the first transformer is empty."""
    return f"{branch} ({transformer})" if transformer else branch


def split_name(branch: str) -> tuple[str, str]:
    """The name without the transformer, and the transformer; empty for the first one."""
    name, _, transformer = branch.partition(" (")
    return name, transformer.removesuffix(")")
