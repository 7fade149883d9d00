from __future__ import annotations

from pathlib import Path

import pytest

from lesa_framework import ConfigError, NamedModel, load_config
from lesa_framework.cli.options import demo_prompts, first_prompt, generation_settings, model_for
from lesa_framework.pipelines import ModelSource


def drawn(seed: int, count: int, *, training: bool = False) -> list[str]:
    return [f"training {training}, seed {seed}"] * count


def easy(seed: int, count: int) -> list[str]:
    return [f"easy {seed}"] * count


def test_demo_prompts_are_a_model_s_own_and_otherwise_held_out_ones(tmp_path: Path) -> None:
    own = ModelSource("mine", str(tmp_path), NamedModel(tmp_path, prompts=drawn, demo_prompts=easy))
    plain = ModelSource("mine", str(tmp_path), NamedModel(tmp_path, prompts=drawn))
    assert demo_prompts(own, 2, 3) == ["easy 3", "easy 3"]
    assert demo_prompts(plain, 1, 3) == ["training False, seed 3"]
    with pytest.raises(ConfigError, match="has no source of prompts"):
        demo_prompts(ModelSource("theirs", str(tmp_path), None), 1, 0)


def test_a_first_prompt_is_drawn_or_the_first_of_the_fit(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a red ring\na blue star\n")
    fitted = load_config(
        {
            "training": {"prompts_file": tmp_path / "mine.txt"},
            "predictor": {"kind": "reuse"},
            "schedule": {"kind": "always"},
        }
    )
    drawing = ModelSource("mine", str(tmp_path), NamedModel(tmp_path, prompts=drawn))
    assert first_prompt(drawing, [fitted], 3) == ["training False, seed 3"]
    for named in (NamedModel(tmp_path), None):
        assert first_prompt(ModelSource("mine", str(tmp_path), named), [fitted], 3) == ["a red ring"]


def test_a_model_of_another_machine_is_asked_for() -> None:
    config = load_config(
        {"training": {"model": "no-such-model"}, "predictor": {"kind": "reuse"}, "schedule": {"kind": "always"}}
    )
    with pytest.raises(ConfigError, match=r"names it as training.model.*--model"):
        model_for(None, [config])
    assert model_for("mine", [config]) == "mine"


@pytest.mark.parametrize(
    ("given", "read"),
    [("", ""), (" ", ""), ('""', ""), ("null", None), ("~", None), ("a blur", "a blur"), ("4", 4)],
)
def test_an_argument_of_the_pipeline_without_a_value_is_an_empty_text(tmp_path: Path, given: str, read: object) -> None:
    """None would turn guidance off, where an empty negative prompt guides."""
    settings = generation_settings(ModelSource("mine", str(tmp_path), None), 8, call=[f"negative_prompt={given}"])
    assert settings.call == {"negative_prompt": read}


def test_a_comment_is_no_argument_of_the_pipeline(tmp_path: Path) -> None:
    source = ModelSource("mine", str(tmp_path), None)
    with pytest.raises(ConfigError, match=r"^--call negative_prompt=#blur: the value is a comment\. Give "):
        generation_settings(source, 8, call=["negative_prompt=#blur"])
    assert generation_settings(source, 8, call=["negative_prompt='#blur'"]).call == {"negative_prompt": "#blur"}


def test_a_list_with_a_number_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^sigmas: nan is not a finite number"):
        generation_settings(ModelSource("mine", str(tmp_path), None), 8, call=["sigmas=[1.0, .nan]"])
