"""What any fit needs: runs of the sampler, histories, distances, checkpoints. No method's own settings."""

from lesa_framework.processes import joined
from lesa_framework.training.checkpoint import load_checkpoint, save_checkpoint
from lesa_framework.training.distance import closeness_db, drift, drift_db
from lesa_framework.training.graph_history import GraphHistory
from lesa_framework.training.run import Trained, train
from lesa_framework.training.sampler import NoGradientsError, Sampler
from lesa_framework.training.task import Task
from lesa_framework.training.true_history import TrueHistory

__all__ = [
    "GraphHistory",
    "NoGradientsError",
    "Sampler",
    "Task",
    "Trained",
    "TrueHistory",
    "closeness_db",
    "drift",
    "drift_db",
    "joined",
    "load_checkpoint",
    "save_checkpoint",
    "train",
]
