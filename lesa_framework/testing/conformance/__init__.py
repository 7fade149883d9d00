"""What a plugin must keep to, as functions that raise `AssertionError` and say what is wrong."""

from lesa_framework.testing.conformance.backbone import (
    BackboneCheck,
    CheckResult,
    backbone_checks,
    check_backbone,
    run_backbone,
)
from lesa_framework.testing.conformance.metric import check_metric
from lesa_framework.testing.conformance.predictor import check_predictor
from lesa_framework.testing.conformance.router import check_router
from lesa_framework.testing.conformance.schedule import check_schedule

__all__ = [
    "BackboneCheck",
    "CheckResult",
    "backbone_checks",
    "check_backbone",
    "check_metric",
    "check_predictor",
    "check_router",
    "check_schedule",
    "run_backbone",
]
