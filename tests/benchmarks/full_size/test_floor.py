"""The floor: as the bare model on computed steps, without blocks on the others, and nothing is left of it."""

import pytest
import torch

from benchmarks.full_size.cases import FLUX, QWEN_IMAGE
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.floor import FloorFamily
from benchmarks.full_size.sampler import build_denoiser
from benchmarks.full_size.table import floor_table
from lesa_framework.measure.counting import counting, workload_of
from lesa_framework.measure.subject import fingerprint
from tests.benchmarks.full_size.benches import STEPS, measure, short


@pytest.mark.parametrize("case", [FLUX, QWEN_IMAGE], ids=["one call a step", "two"])
def test_blocks_run_on_the_computed_steps_alone(case):
    denoiser = build_denoiser(short(case), Cpu())
    workload = workload_of(denoiser, STEPS, lambda: denoiser.run(STEPS))
    bare, before = denoiser.run(STEPS), fingerprint(denoiser.transformer)
    with FloorFamily().at((0, 1, 5), denoiser, workload).attach(denoiser), counting(denoiser.transformer) as calls:
        denoiser.run(STEPS)
    each = workload.branches
    assert [step for step in range(STEPS) if calls[step * each].blocks] == [0, 1, 5]
    assert {call.blocks for call in calls} == {0, workload.blocks}
    assert fingerprint(denoiser.transformer) == before
    assert torch.equal(denoiser.run(STEPS), bare)


def test_a_call_that_fails_leaves_the_blocks_in_their_lists():
    denoiser = build_denoiser(short(FLUX), Cpu())
    workload = workload_of(denoiser, STEPS, lambda: denoiser.run(STEPS))
    blocks = len(denoiser.transformer.transformer_blocks)
    with FloorFamily().at((0,), denoiser, workload).attach(denoiser):
        denoiser.run(STEPS, stop=1)
        with pytest.raises(TypeError):
            denoiser.transformer(nothing=1)
    assert len(denoiser.transformer.transformer_blocks) == blocks


def test_predicted_calls_are_compared_with_its_calls():
    results, _ = measure(FLUX, "lesa-n7", "floor-n7")
    assert [row.error for row in results.rows] == [None] * 3
    table = floor_table(results)
    assert list(table.columns[0].cells) == ["lesa-n7", "floor-n7"]
    assert list(table.columns[3].cells)[1] == "1.000x"
    without, _ = measure(FLUX, "lesa-n7")
    assert floor_table(without) is None
