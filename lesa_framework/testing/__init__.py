"""For authors of plugins: a tiny model to try them on, and suites that check whether they keep their contract.

Needs no test framework: the suites raise `AssertionError`.
"""

from lesa_framework.grids import even_grid
from lesa_framework.testing.conformance.backbone.suite import (
    BackboneCheck,
    CheckResult,
    backbone_checks,
    check_backbone,
    run_backbone,
)
from lesa_framework.testing.conformance.metric import check_metric
from lesa_framework.testing.conformance.peer import check_peer
from lesa_framework.testing.conformance.predictor import check_predictor
from lesa_framework.testing.conformance.router import check_router
from lesa_framework.testing.conformance.schedule import check_schedule
from lesa_framework.testing.pretended import PretendedDevice, Wait, pretended_device
from lesa_framework.testing.sampling import ModelCall, attach, sample
from lesa_framework.testing.tiny_dit import TinyContextDiT, TinyDiT, TinyDiTAdapter, TinyOutput
from lesa_framework.testing.tiny_pipeline import TinyPipeline, TinyScheduler

__all__ = [
    "BackboneCheck",
    "CheckResult",
    "ModelCall",
    "PretendedDevice",
    "TinyContextDiT",
    "TinyDiT",
    "TinyDiTAdapter",
    "TinyOutput",
    "TinyPipeline",
    "TinyScheduler",
    "Wait",
    "attach",
    "backbone_checks",
    "check_backbone",
    "check_metric",
    "check_peer",
    "check_predictor",
    "check_router",
    "check_schedule",
    "even_grid",
    "pretended_device",
    "run_backbone",
    "sample",
]
