from __future__ import annotations

import pytest

from lesa_framework.measure.details import Details
from lesa_framework.measure.page.render import write_page
from lesa_framework.measure.page.view import ModelView, families, halves, model_views, short_names
from lesa_framework.measure.results import Kind, ModelResults, Pair, Results
from tests.measure.page.samples import METRICS, PICTURES, sample_results
from tests.measure.page.test_verdicts import PLAIN, against, row


def _view(results: Results) -> ModelView:
    return model_views(results)[0]


def test_rows_stand_by_nfe_and_by_psnr_with_failures_last() -> None:
    names = [view.row.name for view in _view(sample_results()).rows]
    assert names[:2] == ["uncached", "ref-flux-taylorseer-every5"]
    # Rows that did too much work are below those that compete, and above those that failed.
    assert names[7:10] == ["diffusers-taylorseer", "diffusers-magcache", "ref-flux-lesa-n10"]
    assert [view.row.name for view in _view(sample_results()).rows if view.over] == ["diffusers-taylorseer"]
    assert names[-1] == "ref-flux-reuse-n10"


def test_branches_that_did_the_same_share_a_strip() -> None:
    details = {
        "a": Details(plans={"cond": "FP", "uncond": "FP"}),
        "b": Details(plans={"cond": "FP", "uncond": "PF", "third": "FP"}),
    }
    found = ModelResults(model="m", num_steps=2, batch=1, details=details)
    view = _view(Results(rows=[row("a", "a", 2.0), row("b", "b", 1.0)], metrics=METRICS, models=[found]))
    strips = {row.row.name: row.strips for row in view.rows}
    assert strips == {"a": [("", "FP")], "b": [("cond, third", "FP"), ("uncond", "PF")]}


def test_curves_have_a_letter_for_each_step_where_transformers_take_turns() -> None:
    lines = {"cond": "F" * 25, "uncond": "F" * 25, "cond (transformer_2)": "P" * 25, "uncond (transformer_2)": "P" * 25}
    details = {"a": Details(plans=lines), "b": Details(plans={"cond": "FP" * 25})}
    found = ModelResults(model="m", num_steps=50, batch=1, details=details)
    rows = [row(name, name, 1.0) for name in "abc"]
    view = _view(Results(rows=rows, metrics=METRICS, models=[found]))
    plans = {each.row.name: each.payload(0)["plan"] for each in view.rows}
    assert plans == {"a": "F" * 25 + "P" * 25, "b": "FP" * 25, "c": ""}


def test_bars_lie_on_one_scale() -> None:
    found = ModelResults(model="m", num_steps=50, batch=1)
    rows = [row(name, name, 1.0) for name in "abcd"]
    view = _view(
        Results(
            rows=rows,
            metrics=METRICS,
            models=[found],
            differences=[
                against("a", "b", 0.0, -1.0, 1.0), against("a", "c", 2.0, 1.0, 3.0), against("a", "d", 1.0, None, None),
                against("a", "gone", 1.0, 0.0, 1.0),
            ],
        )
    )  # fmt: skip
    first, second, third = map(view.bar, view.differences)
    assert first is not None
    assert (first.left, first.width, first.mean, first.zero) == (0, 50, 25, 25)
    assert second is not None
    assert (second.left, second.width, second.mean, second.zero) == (50, 50, 75, 25)
    assert third is None


def test_pictures_say_how_near_they_are() -> None:
    view = _view(sample_results())
    below = {row.row.name: row.below(0) for views in view.pictured.values() for row in views}
    assert view.examples == len(view.found.images["uncached"])
    assert next(iter(view.pictured)) is None
    assert below["uncached"] == ""
    value = sample_results().models[0].details["ref-flux-lesa-n7"].scores["psnr_db"][0]
    assert below["ref-flux-lesa-n7"] == f"{value:.1f} dB"
    assert "diffusers-magcache" not in below


def test_the_best_of_each_nfe_is_marked() -> None:
    best = [view.row.name for view in _view(sample_results()).rows if view.best]
    assert best == ["ref-flux-taylorseer-every5", "ref-flux-lesa-n10"]
    assert _view(sample_results()).found.model == PICTURES


@pytest.mark.parametrize("images", [{}, {"uncached": []}])
def test_no_images_make_no_examples(images: dict[str, list[str]]) -> None:
    found = ModelResults(model="m", num_steps=50, batch=1, images=images)
    assert _view(Results(rows=[row("a", "a", 1.0)], metrics=METRICS, models=[found])).examples == 0


def test_short_names_drop_the_common_prefix() -> None:
    names = short_names(sample_results().of_model(PICTURES))
    assert names["ref-flux-lesa-n7"] == "lesa-n7"
    assert names["fewer_steps_8"] == "8 plain steps"
    assert names["diffusers-taylorseer"] == "diffusers-taylorseer"


def test_a_name_is_never_shortened_to_nothing() -> None:
    assert short_names([row("lesa", "lesa", 1.0), row("lesa-n7", "lesa", 1.0)])["lesa"] == "lesa"
    assert short_names([row("ref-lesa", "lesa", 1.0)]) == {"ref-lesa": "ref-lesa"}
    assert set(short_names([row("a-b", "a", 1.0), row("a-c", "a", 1.0)]).values()) == {"b", "c"}


def test_families_keep_their_colours_next_to_any_others() -> None:
    peers = [row(f"p{number}", f"p{number}", 1.0, Kind.PEER) for number in range(9)]
    few = families([row("lesa-n7", "lesa", 1.0)])
    many = families([*peers, PLAIN, row("lesa-n7", "lesa", 1.0), row("reuse", "reuse", 1.0)])
    assert few["lesa"] == many["lesa"]
    assert list(many)[:3] == ["lesa", "reuse", "fewer_steps"]
    assert {many[f"p{number}"].shape for number in range(9)} == {"diamond"}
    assert [many[f"p{number}"].hollow for number in range(9)] == [False] * 7 + [True] * 2
    looks = {(family.colour, family.shape, family.hollow) for family in many.values()}
    assert len(looks) == len(many) == 12
    assert many["fewer_steps"].label == "fewer steps"


def test_a_peer_does_not_take_the_colour_of_the_predictor_that_it_is_called_like() -> None:
    assert families([row("x", "lesa", 1.0, Kind.PEER)])["lesa"].colour != "0"


def test_a_best_that_is_level_with_another_says_so() -> None:
    rows = [row(name, name, value) for name, value in (("a", 3.0), ("b", 2.0), ("c", 1.0))]
    differences = [against("a", "b", 1.0, -1.0, 3.0), against("a", "c", 2.0, 1.0, 3.0)]
    found = ModelResults(model="m", num_steps=50, batch=1)
    results = Results(rows=rows, metrics=METRICS, models=[found], differences=differences)
    assert {view.row.name: view.level for view in _view(results).rows} == {"a": ("b",), "b": (), "c": ()}
    certain = results.model_copy(update={"differences": differences[1:]})
    assert _view(certain).rows[0].level == ()
    badge = '<span class="badge level" title="The highest PSNR, but not certain to be ahead of b">level</span>'
    assert badge in write_page(results)
    assert badge not in write_page(certain)
    assert '<span class="badge">best</span>' in write_page(certain)


def test_the_heading_says_from_how_many_prompts_it_is() -> None:
    pairs = [Pair(prompt=prompt, seed=seed) for prompt in "ab" for seed in (0, 1)]
    one, two = (
        ModelResults(model=name, num_steps=50, batch=1, pairs=pairs[:count]) for name, count in (("m", 4), ("n", 1))
    )
    rows = [row("a", "a", 3.0)]
    assert "run · 2 prompts, 4 samples per method</p>" in write_page(Results(rows=rows, metrics=METRICS, models=[one]))
    both = write_page(Results(rows=rows, metrics=METRICS, models=[one, two]))
    assert "run · m: 2 prompts, 4 samples per method; n: 1 prompt, 1 sample per method</p>" in both


def test_one_prompt_makes_no_method_the_best() -> None:
    rows, found = [row("a", "a", 3.0), row("b", "b", 2.0)], ModelResults(model="m", num_steps=50, batch=1)
    lead = [against("a", "b", 1.0, None, None)]
    page = write_page(Results(rows=rows, metrics=METRICS, models=[found], differences=lead))
    assert 'title="The highest PSNR, but not certain to be ahead of b">level</span>' in page
    assert '<span class="badge">best</span>' not in page
    assert "<td>– (one prompt)</td>" in page


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("uncached", ("", "uncached")),
        ("ref-flux-lesa-even10", ("ref-flux-l", "esa-even10")),
        ("cache_dit_mask_taylorseer2-n7", ("cache_dit_mask_", "taylorseer2-n7")),
    ],
)
def test_long_names_have_two_halves_so_that_the_middle_can_be_left_out(name: str, parts: tuple[str, str]) -> None:
    assert halves(name) == parts
