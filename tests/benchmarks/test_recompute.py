"""The published numbers by other means: plain code against a session, and what is claimed against what is there."""

import ast
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file

import lesa_framework as lesa
from benchmarks.recompute.__main__ import OUT, judge
from benchmarks.recompute.claims import Claim, interval, outcome, read_claims
from benchmarks.recompute.formulas import FoCa, TaylorSeer
from benchmarks.recompute.methods import (
    CALLS,
    REFERENCE,
    ROOT,
    TAPS,
    is_known,
    lesa_gains,
    method,
    published,
    steps_of,
)
from benchmarks.recompute.page import PAGE, written
from benchmarks.recompute.plain import STEPS, load, sample
from lesa_framework.generation import GenerationSettings, generate_batch
from lesa_framework.measure import intervals
from lesa_framework.measure.results import Pair
from lesa_framework.measure.solvers import sampling_with
from lesa_framework.plugin.manager import plugins
from lesa_peers.diffusers_taylorseer import DiffusersTaylorSeer
from lesa_peers.hicache_plus_plus import HiCache, HiCacheTold

PROMPT, SEED = "a red ring on blue", 11
PREDICTORS = {
    "reuse": {"kind": "reuse"},
    "taylorseer1": {"kind": "taylorseer", "order": 1},
    "taylorseer3": {"kind": "taylorseer", "order": 3},
    "foca": {"kind": "foca"},
    "hicache2": {"kind": "hicache", "order": 2},
    "spectrum": {"kind": "spectrum", "mix": 0.5},
    "lagrange1": {"kind": "lagrange", "order": 1},
    "adams_bashforth2": {"kind": "adams_bashforth", "order": 2},
}
#: Every formula and every tap; presets are of 50 steps, so nothing shorter would do.
ROWS = {
    "flux": (
        "reuse-even10",
        "taylorseer1-n7",
        "taylorseer3-even10",
        "foca-even8",
        "hicache2-even10",
        "spectrum-own10",
        "lagrange1-even10",
        "ref-flux-lesa-even10",
        "ref-flux-lesa-paper-n7",
        "ref-flux-fitted-nfe10",
    ),
    "qwen_image": ("taylorseer1-even8", "ref-qwen_image-lesa-n10", "ref-qwen_image-fitted-nfe8"),
    "hunyuan_video": (
        "taylorseer1-even10",
        "adams_bashforth2-even8",
        "ref-hunyuan_video-lesa-n7",
        "ref-hunyuan_video-fitted-nfe10",
    ),
}


def config_of(model, row):
    if row.startswith("ref-"):
        return row
    family, _, schedule = row.rpartition("-")
    return {
        "schedule": {"kind": "steps", "compute": steps_of(schedule)},
        "predictor": PREDICTORS[family],
        "backbone": {"kind": model, "tap": TAPS[model]},
    }


@pytest.fixture(scope="module")
def sigmas(reference):
    scheduler = reference("flux").scheduler
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 50, 50))
    return scheduler.sigmas.double().numpy()


@pytest.mark.parametrize(("model", "row"), [(model, row) for model, rows in ROWS.items() for row in rows])
def test_plain_code_ends_at_the_latents_of_a_session(reference, sigmas, model, row):
    pipe = reference(model)
    call = dict(plugins().registry.models.get(f"reference:{model}").call)
    with lesa.accelerate(pipe, config_of(model, row)):
        ours = generate_batch(pipe, [PROMPT], [SEED], GenerationSettings(num_steps=50, call=call))
    plain = method(row, model, sigmas)
    with plain.attach(pipe):
        pictures, latents = sample(pipe, CALLS[model], [PROMPT], [SEED], plain.steps)
    assert call == {**CALLS[model], "negative_prompt": ""}
    assert "forward" not in vars(pipe.transformer)
    torch.testing.assert_close(latents, ours.latents, rtol=0, atol=1e-4)
    torch.testing.assert_close(pictures, ours.images, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("hunyuan_video", "hicache_pp_hermite_told-ref-hunyuan_video-fitted-nfe10"),
        ("hunyuan_video", "hicache_pp_hermite_told-n7"),
        ("flux", "hicache_pp_dmd_told-even10"),
        ("flux", "hicache_pp_dmd_10"),
        ("flux", "diffusers_taylorseer_lite_10"),
    ],
)
def test_another_librarys_cache_ends_at_the_latents_of_the_peer(sigmas, model, row):
    # Two samples: HiCache++ has a state for each. A pipeline of its own: diffusers leaves traces in one.
    pipe, call = load(str(REFERENCE / "models" / model)), CALLS[model]
    prompts, seeds = [PROMPT, "a blue letter H on white"], [SEED, 12]
    with peer_of(model, row).attach(pipe):
        theirs = generate_batch(
            pipe, prompts, seeds, GenerationSettings(num_steps=50, call={**call, "negative_prompt": ""})
        )
    with method(row, model, sigmas).attach(pipe):
        pictures, latents = sample(pipe, call, prompts, seeds)
    torch.testing.assert_close(latents, theirs.latents, rtol=0, atol=1e-5)
    torch.testing.assert_close(pictures, theirs.images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ROWS)
def test_another_sampler_ends_at_the_latents_of_the_benchmarks(reference, sigmas, model):
    pipe, call, plain = reference(model), CALLS[model], method("unipc2_6", model, sigmas)
    settings = GenerationSettings(num_steps=6, call={**call, "negative_prompt": ""})
    with sampling_with(pipe, "unipc2"):
        ours = generate_batch(pipe, [PROMPT], [SEED], settings)
    with plain.attach(pipe):
        _, latents = sample(pipe, call, [PROMPT], [SEED], plain.steps)
    torch.testing.assert_close(latents, ours.latents, rtol=0, atol=1e-4)


def peer_of(model, row):
    settings, workload = published(model)[row]["settings"], SimpleNamespace(num_steps=STEPS, branches=2)
    if row.startswith("diffusers"):
        family = DiffusersTaylorSeer(lite="lite" in row)
    elif "_told" in row:
        return HiCacheTold(settings["backend"]).at(steps_of(row.partition("-")[2]), None, workload)
    else:
        family = HiCache(settings["backend"])
    pipe = SimpleNamespace(transformer=torch.nn.Linear(1, 1))  # for its dtype
    (chosen,) = [peer for ladder in family.ladders(pipe, workload) for peer in ladder if peer.settings == settings]
    return chosen


def test_the_committed_file_has_every_row_of_the_table():
    found = json.loads(OUT.read_text("utf-8"))["models"]
    for model in TAPS:
        cached = {name for name, row in published(model).items() if row["kind"] != "uncached"}
        assert len(cached) == 38
        assert cached <= set(found[model]["rows"])


@pytest.mark.parametrize("preset", ["ref-flux-lesa-even10", "ref-qwen_image-lesa-n10"])
def test_kans_of_the_files_give_the_table_of_the_files(sigmas, preset):
    tensors = load_file(REFERENCE / "presets" / f"{preset}.safetensors")
    table = tensors["gains"]
    np.testing.assert_allclose(lesa_gains(tensors, *table.shape[:2], sigmas), table, atol=1e-5)


def test_a_series_that_taylorseer_knows_is_continued():
    # D_1 of a straight line is exact at any gap, and so is D_2 = 2 of a square at gaps of 1.
    for order, series, steps in ((1, lambda i: 3.0 * i - 2, (0, 5, 7)), (2, lambda i: 2 * i + 1.0, (0, 1, 2, 3))):
        formula = TaylorSeer(order)
        for step in steps:
            formula.see(step, np.array(series(step)))
        assert formula.guess(11) == pytest.approx(series(11))


def test_foca_continues_what_does_not_change():
    formula = FoCa()
    formula.see(0, np.ones(2))
    assert formula.guess(1).tolist() == [1, 1]


def test_a_preset_may_stand_for_its_steps():
    assert steps_of("ref-flux-lesa-n7") == steps_of("n7")
    assert steps_of("ref-flux-lesa-even10") == steps_of("even10")


def test_nothing_of_ours_is_imported():
    for path in (ROOT / "benchmarks" / "recompute").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith("lesa")], path.name


def test_the_pages_claims_are_found():
    claims = read_claims()
    assert {claim.model for claim in claims} == set(TAPS)
    assert all(math.isfinite(number) for claim in claims for number in claim.published)
    assert sum(claim.page == "README.md" for claim in claims) >= 3 * (4 + 5)
    assert {claim.page for claim in claims} == {"README.md", "docs/reference/fitted.md"}


def test_the_committed_file_says_what_follows_from_its_rows():
    found = json.loads(OUT.read_text("utf-8"))
    fields = Claim.__dataclass_fields__
    claims = [Claim(**{key: each[key] for key in fields}) for each in found["claims"]]
    assert judge(found, claims) == found["claims"]
    assert claims


def test_what_the_page_says_in_short_follows_from_its_claims():
    claims = json.loads(OUT.read_text("utf-8"))["claims"]
    fitted = [claim for claim in claims if claim["text"].startswith("fitted minus")]
    assert {claim["outcome"] for claim in fitted} == {"holds"}

    def leads(rival):
        means = [claim["recomputed"][0] for claim in fitted if claim["text"].startswith(f"fitted minus {rival}, ")]
        return f"{min(means):.1f} to {max(means):.1f}"

    text, flux = PAGE.read_text("utf-8"), {claim["text"]: claim for claim in claims if claim["model"] == "flux"}
    forecast, lesa_ahead, fewer = map(leads, ("the best forecast without a fit", "the best LESA", "fewer steps"))
    assert (
        f"over the best forecast without a fit by {forecast} dB, over the best LESA by {lesa_ahead}, over fewer steps "
        f"by {fewer}."
    ) in text
    line, library, training = (
        flux[claim]
        for claim in (
            "our LESA minus TaylorSeer, both on even steps",
            "our LESA minus the best cache of another library",
            "our LESA minus the paper's recipe, both on the paper's steps",
        )
    )
    assert {claim["outcome"] for claim in (line, library, training)} == {"not level: ahead"}
    ahead = [f"{claim['recomputed'][0]:.1f}" for claim in (line, library, training)]
    order = line["theirs"].removeprefix("taylorseer")[0]
    assert (
        f"it is {ahead[0]} dB ahead of TaylorSeer (order {order}) and {ahead[1]} ahead of the best cache of another "
        f"library, and on the paper's steps our recipe is {ahead[2]} ahead of the paper's."
    ) in text


def test_the_page_has_the_claims_and_the_rows_of_the_committed_file():
    text = PAGE.read_text("utf-8")
    assert written(text, json.loads(OUT.read_text("utf-8"))) == text


def test_intervals_are_those_of_the_benchmarks():
    gains = {"a": [1.0, 2.0], "b": [0.5, 0.0], "c": [3.0, 1.0]}
    low, high = intervals.interval([(Pair(prompt=prompt, seed=0), gain) for prompt in gains for gain in gains[prompt]])
    assert interval(gains) == pytest.approx((1.25, low, high))


@pytest.mark.parametrize(
    ("claimed", "measured", "expected"),
    [
        ("ahead", (1.0, 0.5, 1.5), "holds"),
        ("ahead", (1.0, -0.5, 2.5), "sign holds"),
        ("ahead", (-0.1, -0.5, 0.3), "SIGN DIFFERS"),
        ("behind", (-1.0, -1.5, -0.5), "holds"),
        ("level", (0.1, -0.5, 0.7), "holds"),
        ("level", (1.0, 0.5, 1.5), "not level: ahead"),
    ],
)
def test_an_outcome(claimed, measured, expected):
    assert outcome(claimed, *measured) == expected


def test_a_claim_is_judged_pair_by_pair():
    claim = Claim("README.md", "one minus other", "flux", "one", "other", (1.0,), "ahead")
    pairs = [["a", 1], ["b", 1], ["a", 2], ["b", 2]]
    rows = {"one": {"psnr_db": [11, 22, 11, 22]}, "other": {"psnr_db": [10, 20, 10, 20]}}
    (judgement,) = judge({"models": {"flux": {"pairs": pairs, "rows": rows}}}, [claim])
    assert judgement["recomputed"][0] == pytest.approx(1.5)
    assert judge({"models": {}}, [claim]) == []


def test_a_claim_about_a_cache_that_decides_by_itself_can_be_measured_too():
    claim = Claim("README.md", "one minus other", "flux", "reuse-even10", "diffusers_magcache_10", (1.0,), "ahead")
    assert claim.is_recomputed


def test_there_is_a_formula_for_every_forecast_of_the_tables():
    for name in ("reference", "fitted"):
        file = yaml.safe_load((ROOT / "benchmarks" / "configs" / f"{name}.yaml").read_text("utf-8"))
        assert all(is_known(f"{family}-even10") for family in file["methods"])
