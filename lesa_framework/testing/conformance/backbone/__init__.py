"""What a backbone adapter must keep to: each check is a function whose docstring says what it holds the adapter to."""

from lesa_framework.testing.conformance.backbone.suite import (
    BackboneCheck,
    CheckResult,
    backbone_checks,
    check_backbone,
    run_backbone,
)

__all__ = ["BackboneCheck", "CheckResult", "backbone_checks", "check_backbone", "run_backbone"]
