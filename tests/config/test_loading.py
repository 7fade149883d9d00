from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import lesa_framework as lesa
from lesa_framework import ConfigError, Tap, dump_config, load_config

RAW = {"schedule": {"kind": "fixed_interval", "interval": 5}, "predictor": {"kind": "taylorseer", "order": 2}}


def refused(raw=RAW, overrides=()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(raw, overrides)
    return str(caught.value)


# ---------------------------------------------------------------------------------------- what is read
def test_a_file(tmp_path):
    file = tmp_path / "fast.yaml"
    file.write_text(
        "schedule:  {kind: fixed_interval, interval: 7, warmup: 3}\n"
        "router:    {kind: thresholds, boundaries: [0.9, 0.5]}\n"
        "predictor: {kind: taylorseer}\n"
        "backbone:  {kind: auto, tap: post_norm}\n"
    )
    config = load_config(file)
    assert config.name == "fast"
    assert config.model_dump()["schedule"] == {"kind": "fixed_interval", "interval": 7, "warmup": 3}
    assert config.router.build().num_stages == 3
    assert config.backbone.tap is Tap.POST_NORM
    assert load_config(str(file)) == config


def test_defaults():
    config = load_config(RAW)
    assert (config.router.kind, config.backbone.kind, config.backbone.tap) == ("single", "auto", Tap.PRE_HEAD)
    assert config.engine.check_finite
    assert config.name == "config"


def test_the_training_section_is_the_predictors_own():
    without = load_config({**RAW, "predictor": {"kind": "lesa"}})
    assert without.training.closed_loop_epochs == 20
    text = refused({**RAW, "training": {"closed_loop": 3}})
    assert text.startswith("training.closed_loop: unknown key. Known: ")
    assert "num_steps" in text
    assert load_config({**RAW, "predictor": {"kind": "lesa"}, "training": {"closed_loop_epochs": 3}}).training == (
        without.training.model_copy(update={"closed_loop_epochs": 3})
    )


def test_settings_of_another_predictors_fit_are_reported_with_its_name():
    swapped = {**RAW, "predictor": {"kind": "taylorseer"}}
    assert refused({**swapped, "training": {"guided_lr": 0.5, "batch": 2}}) == (
        "training.guided_lr: belongs to predictor 'lesa', but predictor.kind is 'taylorseer'. Leave it out, or swap "
        "predictors with --set predictor.kind=taylorseer, which drops it."
    )
    lines = refused({**swapped, "training": {"guided_lr": 0.5, "target": "feature", "batches": 2}}).splitlines()
    assert lines[0].startswith("training.guided_lr, training.target: belong to predictor 'lesa', but")
    assert lines[1].startswith("training.batches: unknown key.")
    assert load_config({**RAW, "predictor": {"kind": "lesa"}, "training": {"guided_lr": 0.5}}, ["predictor.kind=reuse"])


def test_a_training_section_of_an_unknown_predictor():
    lines = refused({**RAW, "predictor": {"kind": "lessa"}, "training": {"guided_lr": 0.5, "batch": 0}}).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["predictor.kind", "training.batch"]


def test_a_preset_by_name():
    name = "ref-flux-reuse-n7"
    config = load_config(name)
    assert (config.name, config.predictor.kind) == (name, "reuse")


def test_a_file_is_preferred_to_a_preset_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ref-flux-reuse-n7").write_text(yaml.safe_dump(RAW))
    assert load_config("ref-flux-reuse-n7").predictor.kind == "taylorseer"


def test_the_mapping_that_is_given_stays_as_it_is():
    raw = {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}
    load_config(raw, ["schedule.kind=fixed_interval", "schedule.interval=3", "engine.check_finite=false"])
    assert raw == {"schedule": {"kind": "always"}, "predictor": {"kind": "reuse"}}


def test_paths_count_from_the_files_folder(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    file = tmp_path / "configs" / "run.yaml"
    file.write_text("schedule: {kind: always}\npredictor: {kind: lesa, weights: w/x.safetensors}\n")
    monkeypatch.chdir(tmp_path)
    assert load_config("configs/run.yaml").predictor.weights == tmp_path / "configs/w/x.safetensors"
    absolute = load_config(file, [f"predictor.weights={tmp_path / 'y.safetensors'}"])
    assert absolute.predictor.weights == tmp_path / "y.safetensors"


# ------------------------------------------------------------------------------------------- round trips
shapes = st.fixed_dictionaries(
    {
        "schedule": st.one_of(
            st.just({"kind": "always"}),
            st.builds(
                lambda n, e: {"kind": "fixed_interval", "interval": n, "warmup": e},
                st.integers(1, 20),
                st.integers(1, 9),
            ),
            st.builds(lambda s: {"kind": "steps", "compute": sorted({0, *s})}, st.sets(st.integers(0, 60))),
        ),
        "predictor": st.one_of(
            st.just({"kind": "reuse"}),
            st.builds(lambda order: {"kind": "taylorseer", "order": order}, st.integers(0, 4)),
            st.builds(
                lambda k, w: {"kind": "lesa", "history": k, "weights": w},
                st.integers(1, 20),
                st.sampled_from(["/w.safetensors", None]),
            ),
        ),
    },
    optional={
        "router": st.one_of(
            st.just({"kind": "single"}),
            st.builds(
                lambda b: {"kind": "thresholds", "boundaries": sorted((x / 100 for x in b), reverse=True)},
                st.sets(st.integers(1, 99), min_size=1, max_size=4),
            ),
        ),
        "backbone": st.builds(
            lambda kind, tap: {"kind": kind, "tap": tap.value}, st.sampled_from(["auto", "flux"]), st.sampled_from(Tap)
        ),
        "engine": st.builds(
            lambda check, device, dtype: {"check_finite": check, "history": {"device": device, "dtype": dtype}},
            st.sampled_from([True, False, "strict"]),
            st.sampled_from([None, "cpu", "cuda:1"]),
            st.sampled_from([None, "bfloat16", "float32"]),
        ),
        "training": st.builds(lambda seed: {"seed": seed, "model": "reference:flux"}, st.integers(0, 99)),
    },
)


@given(raw=shapes)
def test_what_is_written_is_read_back(raw):
    config = load_config(raw)
    assert load_config(yaml.safe_load(dump_config(config))) == config


# ---------------------------------------------------------------------------------------------- mistakes
def test_a_typo_in_a_kind_says_what_there_is():
    assert refused({**RAW, "predictor": {"kind": "lessa"}}) == (
        "predictor.kind: 'lessa' is not a registered predictor. "
        "Known: 'adams_bashforth' (lesa_rivals), 'fitted' (lesa_fitted), 'foca' (lesa_rivals), "
        "'hicache' (lesa_rivals), 'l2p' (lesa_rivals), 'lagrange' (lesa_rivals), 'lesa' (lesa_kan), "
        "'reuse' (lesa_reuse), "
        "'spectrum' (lesa_rivals), 'taylorseer' (lesa_taylorseer). Did you mean 'lesa'?"
    )


def test_a_kind_that_is_like_nothing_has_no_suggestion():
    message = refused({**RAW, "schedule": {"kind": "xyz"}})
    assert message.startswith("schedule.kind: 'xyz' is not a registered schedule. Known: 'always' (lesa_schedules)")
    assert "Did you mean" not in message


def test_an_unknown_adapter():
    message = refused({**RAW, "backbone": {"kind": "fluks"}})
    assert message.startswith("backbone.kind: 'fluks' is not a registered backbone. Known: ")
    assert "Did you mean 'flux" in message
    assert message.endswith("Did you mean 'flux'? Or 'auto'.")


def test_an_unknown_key_says_what_there_is():
    message = refused({**RAW, "predictor": {"kind": "taylorseer", "ordr": 2}})
    assert message == "predictor.ordr: unknown key. Known: kind, order. Did you mean 'order'?"


def test_a_wrong_type_names_the_place_and_the_value():
    message = refused({**RAW, "schedule": {"kind": "fixed_interval", "interval": "often"}})
    assert message.startswith("schedule.interval: Input should be a valid integer")
    assert message.endswith("(given 'often').")


def test_everything_that_is_wrong_is_reported_at_once():
    message = refused(
        {
            "schedul": {},
            "router": {"kind": "thresholds", "boundaries": [2]},
            "predictor": {"kind": "taylorseer", "order": 9, "ordr": 1},
            "backbone": {"kind": "fluks", "tap": "nowhere"},
            "engine": {"check": True, "history": {"device": "gpu", "dtype": "int8"}},
            "training": {"batch": 0, "target": "both"},
        }
    )
    places = [line.partition(":")[0] for line in message.splitlines()]
    assert sorted(places) == sorted(
        [
            "schedul",
            "schedule",
            "router.boundaries.0",
            "predictor.order",
            "predictor.ordr",
            "backbone.tap",
            "backbone.kind",
            "engine.check",
            "engine.history.device",
            "engine.history.dtype",
            "training.batch",
            "training.target",
        ]
    )
    assert message.splitlines()[0] == (
        "schedul: unknown section. Known: schedule, router, predictor, backbone, engine, training. "
        "Did you mean 'schedule'?"
    )


@pytest.mark.parametrize("section", ["schedule", "predictor"])
@pytest.mark.parametrize("content", [None, 5, "reuse", [], {}, {"interval": 5}, {"kind": 3}, {"kind": None}])
def test_a_section_without_a_kind(section, content):
    assert f"{section}: expected a mapping with a 'kind', one of " in refused({**RAW, section: content})


def test_sections_that_are_missing():
    lines = refused({}).splitlines()
    assert [line.split(":")[0] for line in lines] == ["schedule", "predictor"]
    assert all("missing. Add for example" in line for line in lines)


def test_keys_that_are_no_strings():
    assert "1: unknown section" in refused({**RAW, 1: {}})
    assert refused({**RAW, "engine": {True: 1}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected sections such as `predictor: {kind: reuse}`, found NoneType"),
        ("- 1\n- 2\n", "found list"),
        ("just words", "found str"),
        ("a: [1", "cannot be read as YAML"),
        ("a: !!python/object:os.system {}", "cannot be read as YAML"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, content, message):
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    answer = refused(file)
    assert message in answer
    assert str(file) in answer


def test_a_file_that_is_no_text(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_bytes(b"# a\n\xff\xfe\x00schedule")
    assert "is not UTF-8 text: invalid start byte at line 2, column 1" in refused(file)


def test_a_key_given_twice(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("schedule: {kind: always}\npredictor: {kind: reuse}\nschedule: {kind: always}\n")
    assert "'schedule' is given twice; keep one of them" in refused(file)
    file.write_text("schedule: {kind: always, kind: steps}\npredictor: {kind: reuse}\n")
    assert "'kind' is given twice" in refused(file)


def test_anchors_and_merges_are_read(tmp_path):
    file = tmp_path / "good.yaml"
    file.write_text("schedule: &s {kind: always}\npredictor: {<<: *s, kind: reuse}\n")
    assert load_config(file).predictor.kind == "reuse"


@pytest.mark.parametrize("source", [None, 5, ["ref-flux-reuse-n7"]])
def test_no_configuration_at_all(source):
    assert f"config: a {type(source).__name__} is not a configuration. Give a YAML file" in refused(source)


def test_neither_file_nor_preset(tmp_path):
    assert "'ref-flux-reus-n7' is neither a file nor a preset. Presets: " in refused("ref-flux-reus-n7")
    assert "Did you mean 'ref-flux-reuse-n7'?" in refused("ref-flux-reus-n7")
    assert "is a folder without a config.yaml. Name a file in it, or a preset." in refused(tmp_path)
    assert "is neither a file nor a preset" in refused("x" * 5000)


def test_stages_that_do_not_fit_are_refused_when_built():
    class Staged(lesa.AffinePredictor):
        num_stages = 3

        def filter(self, entries, ctx):
            return lesa.Filter((1.0,))

    config = load_config(RAW)
    with pytest.raises(ConfigError, match=r"Give `router.boundaries` 2 noise level"):
        lesa.Strategy(config.schedule.build(), config.router.build(), Staged())
