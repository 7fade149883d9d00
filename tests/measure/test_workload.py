from __future__ import annotations

from functools import partial

import pytest
import torch

from lesa_framework import PeerError, UnsupportedBackboneError
from lesa_framework.measure.workload import workload_of
from lesa_framework.testing import TinyDiT, TinyPipeline
from tests.measure.workloads import STEPS, Sampling


def test_a_family_gets_steps_branches_and_blocks(flux, generate):
    load = Sampling(flux, generate).workload()
    assert (load.num_steps, load.branches, load.blocks) == (STEPS, 2, 3)
    assert len(load.uncached.calls) == 2 * STEPS


def test_without_guidance_there_is_one_branch(flux, generate):
    assert Sampling(flux, partial(generate, true_cfg_scale=1.0)).workload().branches == 1


def test_it_runs_once_when_it_is_made_and_once_for_each_count(flux, generate):
    run = Sampling(flux, generate)
    load = run.workload()
    assert len(run.latents) == 1
    load.counted(flux)
    assert len(run.latents) == 2
    assert torch.equal(*run.latents)


def test_steps_that_do_not_call_equally_often_are_refused(registered):
    pipe = TinyPipeline(TinyDiT())
    with pytest.raises(PeerError, match="12 calls of the transformer in 5 steps"):
        workload_of(pipe, 5, pipe)


def test_a_model_with_unknown_blocks_is_refused():
    pipe = TinyPipeline(TinyDiT())
    with pytest.raises(UnsupportedBackboneError, match="TinyDiT"):
        workload_of(pipe, 12, pipe)
