from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lesa_framework import ConfigError
from lesa_framework.measure.spec import load_spec

GOOD = """
models:
  reference:flux: {configs: [ref-flux-lesa-n7], schedules: [often]}
schedules:
  often: {kind: fixed_interval, interval: 3}
  seldom: {kind: fixed_interval, interval: 9}
methods:
  reuse: {predictor: {kind: reuse}}
prompts: {file: prompts.txt}
seeds: [3, 4]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "bench.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_with_its_defaults(tmp_path):
    file = load_spec(written(tmp_path, GOOD))
    assert file.spec.models["reference:flux"].schedules == ["often"]
    assert (file.spec.steps, file.spec.batch, file.spec.seeds) == (50, 8, [3, 4])
    assert file.spec.prompts.file == tmp_path / "prompts.txt", "relative paths count from the file's folder"
    assert file.raw["prompts"] == {"file": "prompts.txt"}, "what is recorded is what was written"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "found list"),
        ("models: {}", "models"),
        ("a: [", "cannot be read as YAML"),
        ("models: {m: {}}\nstep: 3", "step: unknown key. Known: batch, images"),
        ("models: {m: {shedules: [a]}}", "models.m.shedules: unknown key. Known: backbone, call, configs, schedules"),
        ("models: {m: {}}\nprompts: {drawn: 2}", "prompts.drawn: unknown key. Known: draw, file, seed, texts"),
        ("models: {m: {}}\nprompts: {draw: 2, file: x}", "exactly one of 'draw', 'file' and 'texts'"),
        ("models: {m: {}}\nprompts: {}", "exactly one of 'draw', 'file' and 'texts'"),
        ("models: {m: {schedules: [b]}}\nschedules: {a: {kind: always}}", "models.m.schedules: b: unknown. Known: a"),
        (
            "models: {m: {}}\nschedules: {a: {kind: always}}\nmethods: {b: {schedules: [c, 1]}}",
            "methods.b.schedules: c, 1: unknown. Known: a",
        ),
        ("models: {m: {}}\nmethods: {b: {schedules: often}}", "methods.b.schedules: expected a list of names, found"),
        ("models: {m: {}}\nmethods: {a: {predictor: {kind: reuse}}}", "methods run with each of `schedules`"),
        ("models: {m: {}}\nseeds: []", "seeds"),
        ("models: {m: {}}\nsteps: 1", "steps"),
        ("models: {m: {}}\nseeds: [1, 2, 1]", "seeds: a seed is given twice"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_spec(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_mistakes_are_reported_at_once(tmp_path):
    path = written(tmp_path, "models: {m: {a: 1}, n: {b: 2}}\nprompts: {c: 3}")
    with pytest.raises(ConfigError) as caught:
        load_spec(path)
    assert [name in str(caught.value) for name in ("models.m.a", "models.n.b", "prompts.c")] == [True] * 3


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read"):
        load_spec(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    "changes",
    [
        {"prompts": {"draw": 2**63 - 1}},
        {"steps": 2**40},
        {"batch": 2**40},
        {"images": 2**40},
        {"prompts": {"draw": 10_001}},
    ],
)
def test_counts_that_would_never_end_are_refused_with_the_valid_range(tmp_path, changes):
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({"models": {"reference:flux": {}}, **changes}))
    with pytest.raises(ConfigError, match="less than or equal to"):
        load_spec(path)


def test_fewer_steps_need_not_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("models: {m: {}}\nfewer_steps: true\n", "utf-8")
    with pytest.raises(ConfigError, match=r"fewer_steps: plain runs .* are always measured.* Remove the key"):
        load_spec(path)
