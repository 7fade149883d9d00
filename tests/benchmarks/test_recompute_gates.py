"""Caches that decide by what they see, by other means: against the peers of the benchmarks, and what they computed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.recompute import gates
from benchmarks.recompute.__main__ import OUT, Bench, left_out
from benchmarks.recompute.gates import gate, gate_digest, is_gate, magcache_ratios
from benchmarks.recompute.methods import CALLS, REFERENCE, method, published
from benchmarks.recompute.page import PAGE, written
from benchmarks.recompute.plain import load, sample
from benchmarks.recompute.work import blocks_of, counted, sizes_of, work
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.measure.counting import counting
from lesa_peers.cache_dit_dbcache import DBCache
from lesa_peers.diffusers_first_block import DiffusersFirstBlock
from lesa_peers.diffusers_magcache import DiffusersMagCache

# Two samples: a gate decides once for a batch.
PROMPTS, SEEDS = ["a red ring on blue", "a blue letter H on white"], [11, 12]
FAMILIES = {
    "diffusers_first_block_cache": DiffusersFirstBlock(),
    "diffusers_magcache": DiffusersMagCache(),
    "cache_dit_dbcache": DBCache(),
}


def loaded(model):
    """A pipeline of its own: other libraries leave traces in one."""
    return load(str(REFERENCE / "models" / model))


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("flux", "diffusers_first_block_cache_10"),
        ("flux", "cache_dit_dbcache_10_whole"),
        ("flux", "diffusers_magcache_10"),  # other ratios would decide otherwise, which on Qwen-Image they would not
        ("qwen_image", "diffusers_magcache_8"),
        ("hunyuan_video", "diffusers_first_block_cache_10_whole"),
        ("hunyuan_video", "cache_dit_dbcache_10_whole"),
    ],
)
def test_a_gate_ends_at_the_latents_of_the_peer_and_does_its_work(model, row):
    pipe, call, settings = loaded(model), CALLS[model], published(model)[row]["settings"]

    def theirs(steps=50):
        how = GenerationSettings(num_steps=steps, call={**call, "negative_prompt": ""})
        return generate_batch(pipe, PROMPTS, SEEDS, how)

    def ours(steps=50):
        return sample(pipe, call, PROMPTS, SEEDS, steps)

    (family,) = [each for name, each in FAMILIES.items() if row.startswith(name)]
    workload = SimpleNamespace(num_steps=50, branches=2, blocks=99, run=theirs)
    (peer,) = [each for ladder in family.ladders(pipe, workload) for each in ladder if dict(each.settings) == settings]
    with peer.attach(pipe), counting(pipe.transformer) as calls:
        peers = theirs()
    with counting(pipe.transformer) as calls_of_a_step:
        theirs(1)
    done, step = (sum(call.stack_flops for call in each) for each in (calls, calls_of_a_step))

    blocks, sizes = blocks_of(pipe.transformer), sizes_of(pipe.transformer, lambda: ours(1))
    plain = gate(row, model, pipe, ours)
    with plain.attach(pipe), counted(blocks) as runs:
        pictures, latents = ours(plain.steps)
    torch.testing.assert_close(latents, peers.latents, rtol=0, atol=1e-5)
    torch.testing.assert_close(pictures, peers.images, rtol=0, atol=1e-5)
    assert work(runs, sizes) == pytest.approx(done / step)
    assert 0 < work(runs, sizes) < 25


@pytest.mark.parametrize(("row", "steps"), [("fewer_steps_3", 3), ("reuse-even10", 10)])
def test_the_work_of_told_steps_is_their_number(row, steps):
    pipe = loaded("flux")
    pipe.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 50, 50), mu=0.5)
    told = method(row, "flux", pipe.scheduler.sigmas.double().numpy())
    sizes = sizes_of(pipe.transformer, lambda: sample(pipe, CALLS["flux"], PROMPTS[:1], SEEDS[:1], 1))
    assert sizes["transformer_blocks.0"] != sizes["single_transformer_blocks.0"]
    blocks = blocks_of(pipe.transformer)
    with told.attach(pipe), counted(blocks) as runs:
        sample(pipe, CALLS["flux"], PROMPTS[:1], SEEDS[:1], told.steps)
    assert work(runs, sizes) == steps
    with told.attach(pipe):
        sample(pipe, CALLS["flux"], PROMPTS[:1], SEEDS[:1], told.steps)
    assert work(runs, sizes) == steps  # nothing is counted afterwards


def test_a_block_that_is_called_and_does_not_run_is_not_counted():
    block = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with counted({"one": block}) as runs:
        block(torch.ones(2))
        block.forward = lambda given: given
        block(torch.ones(2))
    assert runs == {"one": 1}
    assert work({"one": 3, "other": 1}, {"one": 10, "other": 30}) == (30 + 30) / 80


def test_a_calibration_that_prints_something_else_is_refused():
    pipe = loaded("flux")
    with pytest.raises(ValueError, match=r"printed lists of \[\] ratios, not 2 of 50"):
        magcache_ratios(pipe, lambda: sample(pipe, CALLS["flux"], PROMPTS[:1], SEEDS[:1], 2))
    assert not pipe.transformer.is_cache_enabled


def test_the_work_of_each_batch_is_kept_of_gates_alone(monkeypatch):
    bench = Bench("flux", [(PROMPTS[0], SEEDS[0]), (PROMPTS[1], SEEDS[1])], 1)
    monkeypatch.setattr("benchmarks.recompute.__main__.gate", lambda *_: method("fewer_steps_3", "flux", bench.sigmas))
    decides, told = bench.row("diffusers_magcache_10"), bench.row("fewer_steps_3")
    assert decides == {**told, "work": [3.0, 3.0]}
    assert len(told["psnr_db"]) == 2


def test_every_published_row_is_known():
    for model in CALLS:
        assert left_out(model) == []
        assert sum(map(is_gate, published(model))) == 5
    assert not is_gate("cache_dit_mask_dmd-even10")
    assert not is_gate("diffusers_taylorseer_10")


def test_a_gate_is_measured_again_where_its_settings_change(monkeypatch):
    row, rows = "diffusers_magcache_10", published("flux")
    before = gate_digest(row, "flux", 8)
    assert gate_digest(row, "flux", 8) == before != gate_digest(row, "flux", 4)
    rows[row]["settings"]["threshold"] *= 2
    monkeypatch.setattr(gates, "published", lambda _: rows)
    assert gate_digest(row, "flux", 8) != before


def test_the_page_shows_the_work_of_a_gate_beside_the_published_one():
    found = json.loads(OUT.read_text("utf-8"))
    rows = found["models"]["flux"]["rows"]
    rows["diffusers_magcache_10"] = {"psnr_db": [26.0, 27.0], "work": [10.0, 14.0]}
    line = next(line for line in written(PAGE.read_text("utf-8"), found).splitlines() if "diffusers_magcache" in line)
    assert line == "| `diffusers_magcache_10` | 26.17 | 26.50 | 10.0 | 12.0 |"


def test_the_committed_gates_were_measured_at_the_batch_of_the_table():
    for model, measured in json.loads(OUT.read_text("utf-8"))["models"].items():
        batches = len(measured["pairs"]) // measured["batch"]
        decide = {name: row for name, row in measured["rows"].items() if is_gate(name)}
        assert decide.keys() == {name for name in published(model) if is_gate(name)}
        assert all(len(row["work"]) == batches for row in decide.values())
        assert measured["batch"] == published_batch(model)


def published_batch(model):
    file = json.loads((OUT.parent / "reference.json").read_text("utf-8"))
    (found,) = [each["batch"] for each in file["models"] if each["model"] == f"reference:{model}"]
    return found


def test_what_the_page_says_of_gates_follows_from_the_rows():
    leads, fewer, works, text = [], [], {}, PAGE.read_text("utf-8")
    for model, measured in json.loads(OUT.read_text("utf-8"))["models"].items():
        rows = {name: row for name, row in published(model).items() if row["kind"] != "uncached"}
        here = {name: np.mean(measured["rows"][name]["psnr_db"]) for name in rows}
        decide = [name for name in rows if is_gate(name)]
        for one in decide:
            for other in [name for name in rows if name.startswith(("ref-", "taylorseer"))]:
                there = rows[one]["psnr_db"] > rows[other]["psnr_db"]
                assert (here[one] > here[other]) == there, (model, one, other)
        best = max(decide, key=here.__getitem__)
        assert best.startswith("diffusers_magcache_")
        nfe = rows[best]["nfe"]
        leads.append(here[f"ref-{model}-fitted-nfe{nfe}"] - here[best])
        fewer.append(here[f"fewer_steps_{nfe}"] - here[best])
        works[model] = {name: np.mean(measured["rows"][name]["work"]) for name in decide}
        moved = [abs(works[model][name] - rows[name]["work"]) for name in decide if name != best]
        assert max(moved) < 0.4
    assert f"MagCache, is {min(leads):.1f} to {max(leads):.1f} dB behind `fitted`" in text
    assert f"and {min(fewer):.1f} to {max(fewer):.1f} behind fewer steps" in text
    flux, hunyuan = works["flux"]["diffusers_magcache_10"], works["hunyuan_video"]["diffusers_magcache_10"]
    assert works["qwen_image"]["diffusers_magcache_8"] == 8
    assert f"computes {flux:g} steps on FLUX and {hunyuan:g} on HunyuanVideo where the table has 10." in text
