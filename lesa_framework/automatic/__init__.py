"""A cache without a configuration: weights that fit a run and a budget, else the best cache that needs none."""

from lesa_framework.automatic.budget import DEFAULT_SPEEDUP, Budget
from lesa_framework.automatic.chooser import Chooser
from lesa_framework.automatic.setup import prepare
from lesa_framework.automatic.watcher import Watcher

__all__ = ["DEFAULT_SPEEDUP", "Budget", "Chooser", "Watcher", "prepare"]
