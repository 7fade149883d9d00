"""A benchmark's file is checked before anything is loaded."""

from __future__ import annotations

import pytest

from lesa_framework import ConfigError, LesaError
from lesa_framework.measure import subject
from tests.measure.benches import CALL


def test_a_model_folder_may_be_next_to_the_file(bench, tmp_path):
    (tmp_path / "mine").symlink_to(bench.model)
    bench.raw["models"] = {"./mine": {"call": CALL}}
    results = bench.run(only=("reuse-a",))
    assert {each.model for each in results.rows} == {"./mine"}


def test_a_configuration_may_be_a_folder_next_to_the_file(bench, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("schedule: {kind: always}\npredictor: {kind: reuse}\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    bench.raw["models"][bench.model]["configs"] = ["mine"]
    (task,) = bench.benchmark().tasks
    assert task.caches[-1].name == "mine"


def test_a_mistake_of_the_last_model_shows_before_the_first_is_run(bench, monkeypatch):
    bench.raw["models"][f"{bench.model}/."] = {"call": {**CALL, "hight": 3}}
    monkeypatch.setattr(subject, "generate_batch", lambda *_: pytest.fail("something was run"))
    with pytest.raises(ConfigError, match="--call hight: FluxPipeline does not take it"):
        bench.run()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"peers": ["diffusers_taylor"]}, "'diffusers_taylor' is not a registered peer"),
        ({"told_peers": ["cache_dit_mas"]}, "'cache_dit_mas' is not a registered told peer"),
        ({"metrics": ["lips"]}, "'lips' is not a registered metric"),
        ({"methods": {"a": {"predictor": {"kind": "reus"}}}}, "methods.a with schedules.a: predictor.kind: 'reus'"),
        ({"methods": {"a": {"predictor": {"kind": "reuse"}, "schedule": {}}}}, "methods.a: has a schedule of its own"),
        ({"prompts": {"draw": 2}}, "has no prompts of its own to draw from"),
        ({"prompts": {"file": "nothing.txt"}}, "nothing.txt: cannot be read"),
        ({"selection": {"prompts": {"texts": ["a red ring"]}}}, "selection.prompts: 1 of them are among `prompts` too"),
        ({"methods": {}}, "nothing to compare"),
        ({"methods": {"a": {"predictor": {"kind": "reuse"}, "backbone": "flux"}}}, "a.backbone: expected a map"),
        ({"methods": {"fewer_steps_": {"predictor": {"kind": "reuse"}}}}, "the name of a row of its own"),
        ({"nfe": [9]}, "nfe: 9 is more than the 8 steps of a run. Give at most 8."),
    ],
)
def test_bad_files_are_refused_before_anything_is_run(bench, monkeypatch, change, told):
    bench.raw |= change
    monkeypatch.setattr(subject, "generate_batch", lambda *_: pytest.fail("something was run"))
    with pytest.raises(LesaError) as caught:
        bench.run()
    assert told in str(caught.value)
    assert not bench.cells.exists()


def test_an_argument_that_is_no_number_is_refused_by_its_model(bench):
    bench.raw["models"][bench.model] = {"call": {**CALL, "true_cfg_scale": float("nan")}}
    with pytest.raises(ConfigError, match=r"models\..*: true_cfg_scale: nan is not a finite number"):
        bench.run()


@pytest.mark.parametrize(("steps", "nfe", "fits"), [(20, 30, False), (100, 60, True)])
def test_where_weights_say_how_many_steps_to_run_these_are_the_most_to_compete_at(bench, tmp_path, steps, nfe, fits):
    fitted = f"schedule: {{kind: always}}\npredictor: {{kind: reuse}}\ntraining: {{num_steps: {steps}}}\n"
    (tmp_path / "mine.yaml").write_text(fitted)
    del bench.raw["steps"]
    bench.raw |= {"nfe": [nfe], "models": {bench.model: {"call": CALL, "configs": ["mine.yaml"]}}}
    if fits:
        (task,) = bench.benchmark().tasks
        assert task.settings.num_steps == steps
    else:
        with pytest.raises(ConfigError, match=f"nfe: {nfe} is more than the {steps} steps of a run"):
            bench.benchmark()


def test_a_method_may_have_schedules_of_its_own(bench):
    bench.raw["schedules"]["own"] = {"kind": "always"}
    bench.raw["methods"]["line"]["schedules"] = ["own"]
    (task,) = bench.benchmark().tasks
    assert [each.name for each in task.caches] == ["reuse-a", "line-a", "line-own"]
    bench.raw["models"][bench.model]["schedules"] = ["own"]
    (task,) = bench.benchmark().tasks
    assert [each.name for each in task.caches] == ["reuse-own", "line-own"]


def test_methods_are_chosen_on_other_pairs(bench):
    bench.raw |= {
        "selection": {"prompts": {"texts": ["a white star"]}, "seeds": [7, 8]},
        "peers": ["diffusers_magcache"],
    }
    chosen, published = bench.benchmark(selection=True), bench.benchmark()
    assert [(pair.prompt, pair.seed) for pair in chosen.tasks[0].pairs] == [("a white star", 7), ("a white star", 8)]
    assert "a white star" not in {pair.prompt for pair in published.tasks[0].pairs}
    assert not chosen.tasks[0].spec.peers
    assert published.tasks[0].spec.peers
    assert "Publish" in chosen.note
    assert "no number here comes from them" in published.note


def test_a_file_without_pairs_to_choose_on(bench):
    with pytest.raises(ConfigError, match=r"--selection needs the pairs to choose on\. Add them, for example"):
        bench.benchmark(selection=True)
