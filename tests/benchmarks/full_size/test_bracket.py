"""Settings are searched on a few blocks first; what is counted there holds for the whole depth, or the note says so."""

import gc
import math
import weakref
from dataclasses import replace

import pytest
import torch

from benchmarks.full_size import bench, bracket
from benchmarks.full_size.bracket import Bracket, as_deep, shallow
from benchmarks.full_size.cases import CASES, FLUX, LAYERS, QWEN_IMAGE, narrow
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.floor import FloorFamily
from benchmarks.full_size.lineup import line_up
from benchmarks.full_size.sampler import build_denoiser
from lesa_framework.measure import matching
from lesa_framework.measure.counting import Call, Workload, counting
from lesa_framework.measure.matching import Measure
from lesa_framework.measure.subject import fingerprint
from lesa_framework.measure.told import Told
from lesa_peers.cache_dit_dbcache import DBCache
from lesa_peers.diffusers_first_block import DiffusersFirstBlock
from lesa_peers.diffusers_magcache import DiffusersMagCache
from lesa_peers.diffusers_taylorseer import DiffusersTaylorSeer
from tests.benchmarks.full_size.benches import STEPS, short

BLOCKS = 2


def deep(case):
    """Tiny, but with six blocks."""
    case = short(case)
    layers = {"num_layers": 2, "num_single_layers": 4} if "num_single_layers" in case.config else {"num_layers": 6}
    return replace(case, config={**case.config, **layers})


def workload_of(denoiser):
    with counting(denoiser.transformer) as calls:
        denoiser.run(STEPS, stop=1)
    return Workload(STEPS, lambda: denoiser.run(STEPS), calls * STEPS)


def searched(case, family, nfe, *, seconds=600.0, deadline=math.inf, blocks=BLOCKS):
    case, said = deep(case), []
    denoiser = build_denoiser(case, Cpu())
    workload, before = workload_of(denoiser), fingerprint(denoiser.transformer)
    search = Bracket(case, Cpu(), 0, seconds, deadline, said.append, blocks)
    found = search(family, denoiser, workload, nfe, Measure.FLOPS)
    assert fingerprint(denoiser.transformer) == before
    return found, said


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_shallow_case_differs_in_depth_only(case):
    few = shallow(case)
    layers = [name for name in ("num_layers", "num_single_layers") if name in case.config]
    assert sum(few.config[name] for name in layers) == bracket.BLOCKS
    assert {**few.config, **{name: case.config[name] for name in layers}} == case.config
    assert replace(few, config=case.config) == case


def test_a_model_with_few_blocks_is_searched_as_it_is():
    assert shallow(short(FLUX)) is None
    found, said = searched(FLUX, DiffusersTaylorSeer(lite=True), 6, blocks=6)
    assert (found.reached, found.note, said) == (True, "", [])


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (Call(3, 300, 330), Call(57, 5700, 6000)),
        (Call(0, 0, 30), Call(0, 0, 30)),
        (Call(1, 100, 130), Call(1, 100, 130)),
        (Call(3, 150, 180), Call(57, 2850, 6000)),
    ],
    ids=["all", "none", "the first block, however deep", "half of every block"],
)
def test_a_call_is_translated_to_the_real_depth(done, expected):
    assert as_deep(done, Call(3, 300, 330), Call(57, 5700, 6000)) == expected


@pytest.mark.parametrize("case", [FLUX, QWEN_IMAGE], ids=["flux", "qwen_image"])
@pytest.mark.parametrize(
    ("family", "nfe"),
    [(DiffusersTaylorSeer(lite=True), 6), (DiffusersTaylorSeer(), 9), (DiffusersFirstBlock(), 6), (DBCache(), 10)],
    ids=lambda value: getattr(value, "name", value),
)
def test_few_blocks_foretell_the_work_of_all(case, family, nfe):
    case = deep(case)
    denoiser = build_denoiser(case, Cpu())
    workload = workload_of(denoiser)
    few = build_denoiser(shallow(case, BLOCKS), Cpu())
    few.transformer.load_state_dict(denoiser.transformer.state_dict(), strict=False)
    counted = []
    for pipe, work in ((denoiser, workload), (few, bracket._workload(few, workload))):
        peer = family.ladders(pipe, workload)[-1][-1]
        with peer.attach(pipe):
            counted.append(work.counted(pipe))
    real, expected = counted
    assert expected.flops_nfe == pytest.approx(real.flops_nfe, rel=0.05)
    assert expected.full_steps == real.full_steps


@pytest.mark.parametrize("family", [DiffusersTaylorSeer(lite=True), DiffusersMagCache()])
def test_a_search_needs_fewer_whole_runs_and_says_what_it_did(family):
    plain, _ = searched(FLUX, family, 6, deadline=-math.inf)
    found, said = searched(FLUX, family, 6)
    assert found.reached
    assert found.chosen.work.flops_nfe <= 6
    assert found.chosen.work.flops_nfe == pytest.approx(plain.chosen.work.flops_nfe, abs=0.5)
    assert len(found.tried) < len(plain.tried)
    assert said == [f"{family.name}: searching on {BLOCKS} of 6 blocks"]
    assert found.note.startswith(f"Searched on {BLOCKS} of 6 blocks first (")
    assert f"then on all ({len(found.tried)})" in found.note


def test_what_no_setting_reaches_is_known_after_one_whole_run():
    found, _ = searched(FLUX, DiffusersTaylorSeer(), 3)
    assert not found.reached
    assert len(found.tried) == 1
    assert "Cannot do as little as 3: the least is" in found.note


def test_a_search_without_time_for_a_single_whole_run_takes_the_setting_of_few_blocks_and_says_so(monkeypatch):
    def match(*arguments, start=None):
        *first, seconds = arguments
        return matching.match(*first, seconds if start is None else -1.0, start=start)

    monkeypatch.setattr(bracket, "match", match)
    found, _ = searched(FLUX, DiffusersTaylorSeer(lite=True), 6)
    assert (found.tried, found.error) == ((), None)
    assert found.chosen.peer.settings["cache_interval"] == 3
    assert found.note.endswith(
        "then on all (0). The search was cut short before a run had ended: what it does was not confirmed, "
        "and 6 was asked for."
    )


def test_no_time_at_all_is_an_error():
    found, said = searched(FLUX, DiffusersTaylorSeer(lite=True), 6, seconds=-1.0, deadline=-math.inf)
    assert found.error.startswith("no settings were found")
    assert said == []


def test_without_memory_for_a_second_model_the_search_is_at_full_depth(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    case = deep(FLUX)
    denoiser = build_denoiser(case, Cpu())
    monkeypatch.setattr(bracket, "build_denoiser", full)
    search = Bracket(case, Cpu(), 0, 600.0, math.inf, lambda _: None, BLOCKS)
    found = search(DiffusersTaylorSeer(lite=True), denoiser, workload_of(denoiser), 6, Measure.FLOPS)
    assert (found.reached, found.note) == (True, "")


def test_a_row_has_the_work_of_the_whole_model_and_the_note_of_the_search():
    case = deep(FLUX)
    family = DiffusersFirstBlock()
    contenders = [each for each in line_up(case) if each.name in ("uncached", family.name)]
    settings = bench.Settings(rounds=1, budget=600.0, blocks=BLOCKS)
    results = bench.run_case(case, contenders, Cpu(), settings, lambda _: None, None)
    row = results.rows[-1]
    assert row.error is None
    assert row.work <= row.nfe
    assert row.note.startswith(f"Searched on {BLOCKS} of 6 blocks first")


def test_a_wide_model_is_searched_narrow_first():
    case = deep(FLUX)
    wide = replace(case, config={**case.config, "attention_head_dim": 32, "axes_dims_rope": (8, 12, 12)})
    assert narrow(wide) == case
    found, said = {}, []
    for name, each in (("wide", wide), ("narrow", case)):
        denoiser = build_denoiser(each, Cpu())
        search = Bracket(each, Cpu(), 0, 600.0, math.inf, said.append, BLOCKS)
        found[name] = search(DiffusersTaylorSeer(lite=True), denoiser, workload_of(denoiser), 6, Measure.FLOPS)
    assert found["wide"].chosen.peer.settings == found["narrow"].chosen.peer.settings
    assert len(found["wide"].tried) <= len(found["narrow"].tried)
    start, on_few = "diffusers_taylorseer_lite: searching on", f"{BLOCKS} of 6 blocks"
    assert said == [f"{start} {BLOCKS} narrow blocks", f"{start} {on_few}", f"{start} {on_few}"]


@pytest.mark.parametrize("case", [FLUX, QWEN_IMAGE], ids=["flux", "qwen_image"])
def test_a_peer_that_is_told_its_steps_is_not_searched_for(case, monkeypatch):
    case, said, steps = deep(case), [], (0, 1, 5)
    denoiser = build_denoiser(case, Cpu())
    workload = replace(workload_of(denoiser), run=lambda: said.append("a run"))
    search = Bracket(case, Cpu(), 0, -1.0, math.inf, said.append, BLOCKS)
    found = search(Told(FloorFamily(), steps), denoiser, workload, 3, Measure.STEPS)
    assert (found.reached, found.note, said) == (True, "", [])
    assert found.chosen.peer == FloorFamily().at(steps, denoiser, workload)
    assert (found.chosen.work.full_steps, found.chosen.work.flops_nfe) == (3, 3)
    monkeypatch.setattr(FloorFamily, "refusal", lambda *_: "Not this one.")
    assert search(Told(FloorFamily(), steps), denoiser, workload, 3, Measure.STEPS).error == "Not this one."


@pytest.mark.parametrize("family", [DiffusersTaylorSeer(), DBCache()], ids=lambda each: each.name)
def test_nothing_is_left_of_models_that_were_searched_on(family, monkeypatch):
    case, made, alive = deep(FLUX), [], []
    wide = replace(case, config={**case.config, "attention_head_dim": 32, "axes_dims_rope": (8, 12, 12)})
    denoiser = build_denoiser(wide, Cpu())

    def build(*arguments):
        few = build_denoiser(*arguments)
        made.append(weakref.ref(few.transformer))
        return few

    def match(*arguments, **start):
        alive.append([each() is not None for each in made])
        return matching.match(*arguments, **start)

    monkeypatch.setattr(bracket, "build_denoiser", build)
    monkeypatch.setattr(bracket, "match", match)
    search = Bracket(wide, Cpu(), 0, 600.0, math.inf, lambda _: None, BLOCKS)
    gc.disable()  # so that nothing is collected but by the search itself
    try:
        found = search(family, denoiser, workload_of(denoiser), 9, Measure.FLOPS)
    finally:
        gc.enable()
    assert found.chosen is not None
    assert alive == [[True], [False, True], [False, False]]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_narrow_case_is_the_same_but_for_its_width(case):
    thin = narrow(case)
    assert {name: thin.config[name] for name in LAYERS if name in thin.config} == {
        name: case.config[name] for name in LAYERS if name in case.config
    }
    assert replace(thin, config=case.config) == case
    assert thin.config["num_attention_heads"] < case.config["num_attention_heads"]
