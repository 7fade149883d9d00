"""What a run will keep in memory, found by a run on models without data."""

from lesa_framework.sizing.run import foresee
from lesa_framework.sizing.twins import outline

__all__ = ["foresee", "outline"]
