"""Every case."""

from __future__ import annotations

from tests.matrix import cases_audio, cases_cross, cases_joint, cases_paper, cases_sequence, cases_video, cases_wan

CASES = (
    *cases_paper.CASES,
    *cases_joint.CASES,
    *cases_cross.CASES,
    *cases_sequence.CASES,
    *cases_video.CASES,
    *cases_wan.CASES,
    *cases_audio.CASES,
)
