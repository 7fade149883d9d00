"""`plugins`, `schema`, `inspect` and the command line as a whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lesa_framework
from lesa_framework.artifacts import Artifact, ArtifactMetadata, save_artifact
from lesa_framework.cli.plugins import Entry
from lesa_framework.types import Tap
from tests.cli.conftest import Lesa

_COMMANDS = (
    *("demo", "generate", "ui", "eval", "bench", "report", "train", "search"),
    *("plan", "inspect", "import", "push", "plugins", "new", "check", "schema"),
)


def test_plugins(lesa: Lesa) -> None:
    entries = {(entry["section"], entry["kind"]): entry for entry in json.loads(lesa("plugins", "--json").out)}
    assert entries["predictor", "reuse"]["plugin"] == "lesa_reuse"
    assert entries["model", "reference:flux"]["plugin"] == "lesa_reference"
    assert entries["preset", "ref-flux-reuse-n7"]["plugin"] == "lesa_reference"
    assert all(entry["summary"] for entry in entries.values())
    assert entries["preset", "ref-flux-lesa-n7"]["preset"] == {
        "model": "reference:flux",
        "method": "lesa",
        "schedule": "fixed_interval interval=7",
        "nfe": 10,
        "num_steps": 50,
        "fitted_on": "64 prompts",
    }
    reused = "any flux model: reuse, 10 of 50 steps (steps 0 1 2 3 9 16 23 30 37 44), nothing to fit"
    assert entries["preset", "ref-flux-reuse-n7"]["summary"] == reused
    assert entries["model", "reference:flux"]["summary"].startswith("FluxPipeline with height 64, width 64, ")
    assert not any("/" in entry["summary"] for entry in entries.values() if entry["section"] in {"model", "preset"})
    assert entries["metric", "clip_score"]["plugin"] == "lesa_metrics"
    assert entries["backbone", "flux"]["summary"] == "FluxTransformer2DModel"
    assert entries["backbone", "module"]["plugin"] == "lesa_module"
    assert entries["peer", "diffusers_magcache"]["plugin"] == "lesa_peers"
    assert entries["peer", "diffusers_magcache"]["summary"].startswith("diffusers' MagCache")
    overview = lesa("plugins").out
    assert all(kind in overview for section, kind in entries if section != "preset")
    assert all(entry["plugin"] in overview for entry in entries.values())
    assert "Hold the newest computed feature." not in overview
    assert re.search(r"^ +preset +\d+ +7 for reference:flux, ", overview, re.MULTILINE)


def test_plugins_of_one_section(lesa: Lesa) -> None:
    backbones = json.loads(lesa("plugins", "--section", "backbone", "--json").out)
    assert {entry["section"] for entry in backbones} == {"backbone"}
    assert [entry["kind"] for entry in backbones] == sorted(entry["kind"] for entry in backbones)
    assert "fixed_interval" not in lesa("plugins", "--section", "backbone").out
    assert re.search(r" reuse +lesa_reuse +Hold the newest", lesa("plugins", "--section", "predictor").out)
    outcome = lesa("plugins", "--section", "backbones")
    assert outcome.code == 2
    known = "schedule, router, predictor, backbone, model, preset, peer, told_peer, metric"
    assert f"--section backbones: unknown. Known: {known}." in outcome.err


def test_presets_are_listed_under_their_model(lesa: Lesa) -> None:
    lines = [" ".join(line.split()) for line in lesa("plugins", "--section", "preset").out.splitlines()]
    fitted, any_model = lines.index("for reference:flux:"), lines.index("for any flux model:")
    assert fitted < lines.index("ref-flux-lesa-n7 lesa 10 of 50 64 prompts") < any_model
    assert lines.index("ref-flux-reuse-n7 reuse 10 of 50 nothing") > any_model


def test_a_preset_that_cannot_be_read_is_listed(lesa: Lesa, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry("preset", "lost", "mine", "cannot be read: [no] weights")]
    monkeypatch.setattr("lesa_framework.cli.plugins.registered", lambda: entries)
    assert re.search(r" lost +cannot be read: \[no\] weights", lesa("plugins", "--section", "preset").out)


def test_schema(lesa: Lesa, workplace: Path) -> None:
    whole = json.loads(lesa("schema").out)
    assert set(whole["properties"]) == {"schedule", "router", "predictor", "backbone", "engine", "training"}
    references = {part["$ref"].rpartition("/")[2] for part in whole["properties"]["predictor"]["anyOf"]}
    assert references <= set(whole["$defs"])
    one = json.loads(lesa("schema", "--section", "predictor", "--kind", "taylorseer").out)
    assert one["properties"]["order"]["maximum"] == 4
    assert json.loads(lesa("schema", "--section", "predictor").out)["anyOf"]
    assert lesa("schema", "--out", "schema.json").code == 0
    assert json.loads((workplace / "schema.json").read_text()) == whole


def test_schema_of_benchmarks(lesa: Lesa) -> None:
    schema = json.loads(lesa("schema", "--bench").out)
    assert "diffusers_magcache" in schema["properties"]["peers"]["items"]["enum"]
    assert "cache_dit_mask" in schema["properties"]["told_peers"]["items"]["enum"]
    assert "lpips" in schema["properties"]["metrics"]["items"]["enum"]
    assert schema["required"] == ["models"]
    ended = lesa("schema", "--bench", "--section", "predictor")
    assert ended.code == 2
    assert "--bench: has no sections" in ended.err


def test_schema_of_backbones(lesa: Lesa) -> None:
    shared = json.loads(lesa("schema", "--section", "backbone", "--kind", "flux").out)
    assert {"auto", "flux"} <= set(shared["properties"]["kind"]["enum"])
    assert "module" not in shared["properties"]["kind"]["enum"]
    assert set(shared["properties"]) == {"kind", "tap"}
    own = json.loads(lesa("schema", "--section", "backbone", "--kind", "module").out)
    assert own["required"] == ["blocks", "head", "sigma"]
    assert own["properties"]["kind"]["const"] == "module"
    assert {part["type"] for part in own["properties"]["blocks"]["anyOf"]} == {"string", "array"}
    whole = json.loads(lesa("schema").out)
    assert len(whole["properties"]["backbone"]["anyOf"]) == 2
    assert (
        whole["$defs"]["BackboneConfig"]
        == json.loads(lesa("schema", "--section", "backbone").out)["$defs"]["BackboneConfig"]
    )


def test_inspect(lesa: Lesa, workplace: Path) -> None:
    metadata = ArtifactMetadata(
        kind="lesa", settings={"history": 4}, sigmas=(1.0, 0.5, 0.0), backbone="flux", tap=Tap.PRE_HEAD
    )
    save_artifact(workplace / "weights.safetensors", Artifact(metadata, {"taps": torch.tensor([1.5, -0.5])}))
    (workplace / "trained.yaml").write_text(
        "schedule: {kind: always}\npredictor: {kind: lesa, weights: weights.safetensors}\n"
    )
    shown = json.loads(lesa("inspect", "trained.yaml", "--json").out)
    assert shown["metadata"]["sigmas"] == [1.0, 0.5, 0.0]
    assert shown["tensors"] == {"taps": {"shape": [2], "dtype": "float32"}}
    table = lesa("inspect", "weights.safetensors").out
    assert "for backbone flux at tap pre_head, 2 steps" in table
    assert "1.5 -0.5" in table


def test_inspect_says_what_the_weights_were_trained_on(lesa: Lesa) -> None:
    shown = lesa("inspect", "ref-hunyuan_video-lesa-n7").out
    model = "HunyuanVideoTransformer3DModel, 96 wide, with 3+8 blocks"
    assert f"trained on {model}, inputs of 12x3x12x12, guidance 6000" in shown
    assert json.loads(lesa("inspect", "ref-flux-lesa-n7", "--json").out)["metadata"]["models"][0]["width"] == 96


def test_inspect_shows_names_as_they_are(lesa: Lesa, workplace: Path) -> None:
    metadata = ArtifactMetadata(
        kind="[/odd]", settings={}, sigmas=(1.0, 0.0), backbone="[red]", tap=Tap.PRE_HEAD, training={"a": "[/b]"}
    )
    save_artifact(workplace / "odd.safetensors", Artifact(metadata, {"[/taps]": torch.tensor([1.5])}))
    shown = lesa("inspect", "odd.safetensors").out
    assert "predictor [/odd], for backbone [red]" in shown
    assert "trained on an unknown model, so it is not compared with yours" in shown
    assert "[/taps]" in shown


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_teaches_with_an_example(lesa: Lesa, command: str) -> None:
    outcome = lesa(command, "--help")
    assert outcome.code == 0
    assert f"lesa {command}" in outcome.out.split("Example:")[1]


def test_version(lesa: Lesa) -> None:
    assert lesa("--version").out.strip() == lesa_framework.__version__


def test_help_loads_no_diffusers() -> None:
    code = (
        "import sys; from lesa_framework.cli import run; run(['plugins']); "
        "print(sorted(m for m in sys.modules if m in ('diffusers', 'transformers', 'kan')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_module_entry_point() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lesa_framework", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
