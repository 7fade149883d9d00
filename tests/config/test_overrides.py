from __future__ import annotations

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lesa_framework import ConfigError, HistoryPlace, Tap, load_config
from lesa_framework.config.overrides import override

RAW = {"schedule": {"kind": "fixed_interval", "interval": 5}, "predictor": {"kind": "taylorseer", "order": 2}}


def refused(overrides: list[str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(RAW, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("schedule.interval=7", lambda config: config.schedule.interval == 7),
        (
            "engine.history.dtype=bfloat16",
            lambda config: config.engine.history.build() == HistoryPlace(None, torch.bfloat16),
        ),
        ("engine.check_finite=false", lambda config: config.engine.check_finite is False),
        ("engine.check_finite=true", lambda config: config.engine.check_finite is True),
        ("engine.check_finite=strict", lambda config: config.engine.check_finite == "strict"),
        ("backbone.tap=output", lambda config: config.backbone.tap is Tap.OUTPUT),
        (" training.model = reference:flux", lambda config: config.training.model == "reference:flux"),
        ("training.seed=3", lambda config: config.training.seed == 3),
        ("router={kind: thresholds, boundaries: [0.7]}", lambda config: config.router.boundaries == (0.7,)),
    ],
)
def test_an_override(change, read):
    assert read(load_config(RAW, [change]))


@pytest.mark.parametrize(("value", "read"), [("", ""), ("null", None), ("4", 4)])
def test_an_argument_of_the_fit_s_call_without_a_value_is_an_empty_text(value, read):
    """None would turn guidance off, where an empty negative prompt guides."""
    assert load_config(RAW, [f"training.call.negative_prompt={value}"]).training.call == {"negative_prompt": read}


def test_a_setting_without_a_value_is_null():
    assert load_config(RAW, ["training.model=mine", "training.model="]).training.model is None
    assert refused(["schedule.interval="]).endswith("(given None).")


def test_a_finite_check_that_there_is_not():
    found = refused(["engine.check_finite=strickt"])
    assert found == "engine.check_finite: is none of true, false and strict (given 'strickt')."


def test_another_kind_drops_the_old_ones_settings():
    config = load_config(RAW, ["predictor.kind=reuse"])
    assert config.predictor.kind == "reuse"


def test_another_predictor_drops_the_settings_of_the_old_ones_fit():
    lesa_raw = {**RAW, "predictor": {"kind": "lesa"}, "training": {"seed": 3, "guided_lr": 0.5}}
    assert load_config(lesa_raw).training.guided_lr == 0.5
    for change in ("predictor.kind=taylorseer", "predictor={kind: taylorseer}"):
        swapped = load_config(lesa_raw, [change]).training
        assert swapped.seed == 3
        assert "guided_lr" not in type(swapped).model_fields
    for change in ("predictor.kind=lesa", "predictor={kind: lesa}"):
        assert load_config(lesa_raw, [change]).training.guided_lr == 0.5


@pytest.mark.parametrize("order", [1, -1])
def test_a_kind_keeps_what_is_set_with_it_in_any_order(order):
    overrides = ["schedule.kind=steps", "schedule.compute=[0, 4]"][::order]
    assert load_config(RAW, overrides).schedule.compute == (0, 4)
    overrides = ["predictor={kind: lesa}", "training.guided_lr=0.5"][::order]
    assert load_config(RAW, overrides).training.guided_lr == 0.5


def test_the_same_kind_keeps_everything():
    assert load_config(RAW, ["predictor.kind=taylorseer"]).predictor.order == 2


def test_another_adapter_keeps_the_tap():
    config = load_config({**RAW, "backbone": {"kind": "auto", "tap": "output"}}, ["backbone.kind=flux"])
    assert (config.backbone.kind, config.backbone.tap) == ("flux", Tap.OUTPUT)


values = st.one_of(
    st.integers(-1000, 1000),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
    st.text("abcdefghij _-./:,#'\"", max_size=12),
    st.lists(st.integers(0, 50), max_size=4),
)


@given(
    section=st.sampled_from(["engine", "training"]), key=st.from_regex(r"[a-z_]{1,10}", fullmatch=True), value=values
)
def test_an_override_says_what_yaml_says(section, key, value):
    raw: dict[str, dict[str, object]] = {}
    written = yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("...")
    override(raw, [f"{section}.{key}={written}"])
    assert raw == {section: {key: value}}


@pytest.mark.parametrize("override", ["interval", "=5", "schedule.=5", ".interval=5", "schedule..interval=5", ""])
def test_overrides_without_key_or_value(override):
    assert "expected SECTION.KEY=VALUE, for example schedule.interval=5" in refused(overrides=[override])


def test_overrides_that_are_no_yaml_or_go_into_a_value():
    assert "the value is not valid YAML" in refused(overrides=["schedule.compute=[0, 1"])
    assert "'interval' is a value, not a section" in refused(overrides=["schedule.interval.more=1"])


@pytest.mark.parametrize(
    "change", ["a." * 5000 + "b=1", "predictor.order=" + "[" * 3000, "predictor.order=0x" + "f" * 5000, "a=2023-13-45"]
)
def test_values_that_no_yaml_should_have_are_refused_in_few_words(change):
    with pytest.raises(ConfigError, match="--set") as caught:
        override({}, [change])
    assert len(str(caught.value)) < 1000
