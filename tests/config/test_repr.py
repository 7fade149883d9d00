"""A configuration in one line."""

from __future__ import annotations

from lesa_framework import load_config


def test_what_is_not_as_usual_is_shown() -> None:
    config = load_config(
        {
            "schedule": {"kind": "fixed_interval", "interval": 5},
            "predictor": {"kind": "taylorseer", "order": 2},
            "backbone": {"tap": "output"},
        }
    )
    assert repr(config) == str(config)
    assert (
        repr(config) == "<LesaConfig config: fixed_interval interval=5; single; taylorseer order=2; auto tap='output'>"
    )
