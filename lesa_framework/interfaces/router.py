"""Stage routers: which expert a noise level belongs to."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lesa_framework.interfaces.config import PluginConfig


class StageRouter(ABC):
    """A pure map from noise level to stage.

    Attributes:
        num_stages: Stages are numbered from 0 (by convention the noisiest) to `num_stages - 1`.

    Example:
        Two stages, split in the middle::

            class Halves(StageRouter):
                num_stages = 2

                def stage(self, sigma: float) -> int:
                    return 0 if sigma > 0.5 else 1
    """

    num_stages: int

    @abstractmethod
    def stage(self, sigma: float) -> int:
        """The stage of noise level `sigma`, which is in [0, 1]."""


class OneStage(StageRouter):
    """One stage for every noise level."""

    num_stages = 1

    def stage(self, sigma: float) -> int:  # noqa: ARG002 - it depends on nothing
        """Always 0."""
        return 0


class RouterConfig(PluginConfig, ABC):
    """Configuration of a router; registering this class registers the router."""

    @abstractmethod
    def build(self) -> StageRouter:
        """Make the router."""
