"""Bad input: exit code 2, one message that helps, no traceback, and nothing written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lesa_framework import cli
from lesa_framework.errors import in_one_line
from tests.cli.conftest import Lesa

_WITHOUT_MODEL = {
    "unknown command": ("frobnicate",),
    "no configuration": ("plan",),
    "unknown preset": ("plan", "--config", "ref-flux-lessa"),
    "unknown kind": ("plan", "--config", "mine.yaml", "--set", "predictor.kind=lessa"),
    "typo in a key": ("plan", "--config", "mine.yaml", "--set", "predictor.ordr=2"),
    "wrong type": ("plan", "--config", "mine.yaml", "--set", "schedule.interval=often"),
    "malformed --set": ("plan", "--config", "mine.yaml", "--set", "schedule"),
    "missing weights": ("plan", "--config", "mine.yaml", "--set", "predictor={kind: lesa, weights: none.safetensors}"),
    "truncated weights": ("plan", "--config", "mine.yaml", "--set", "predictor={kind: lesa, weights: cut.safetensors}"),
    "no step": ("plan", "--config", "mine.yaml", "--steps", "0"),
    "one step": ("plan", "--config", "mine.yaml", "--steps", "1"),
    "fewer steps than the schedule needs": ("plan", "--config", "ref-flux-reuse-n7", "--steps", "20"),
    "not YAML": ("plan", "--config", "broken.yaml"),
    "a folder as configuration": ("plan", "--config", "."),
    "a key given twice": ("plan", "--config", "twice.yaml"),
    "brackets without end": ("plan", "--config", "deep.yaml"),
    "endless shift": ("plan", "--config", "mine.yaml", "--shift", "inf"),
    "guidance of no model": ("plan", "--config", "mine.yaml", "--guidance", "1"),
    "one frame of no model": ("plan", "--config", "mine.yaml", "--frames", "1"),
    "push: a private folder": ("push", "mine.yaml", "./mine", "--private"),
    "generate: one step": ("generate", "a", "--steps", "1"),
    "generate: unknown model": ("generate", "a", "--model", "reference:flx"),
    "generate: no such folder": ("generate", "a", "--model", "./nowhere"),
    "generate: a folder that is no pipeline": ("generate", "a", "--model", "."),
    "generate: --set without --config": ("generate", "a", "--set", "schedule.interval=5"),
    "generate: --speedup and --config": ("generate", "a", "--speedup", "5", "--config", "mine.yaml"),
    "generate: a speed-up below 1": ("generate", "a", "--speedup", "0.5"),
    "generate: no number": ("generate", "a", "--speedup", "fast"),
    "generate: --weights without --speedup": ("generate", "a", "--weights", "."),
    "generate: no such folder of weights": ("generate", "a", "--speedup", "5", "--weights", "./nowhere"),
    "generate: a prompt that is no UTF-8": ("generate", "a \udcff ring", "--model", "MODEL"),
    "generate: such a negative prompt": (
        "generate",
        "a",
        "--negative-prompt",
        "\udcff",
        "--model",
        "MODEL",
    ),
    "generate: malformed --call": ("generate", "a", "--call", "height"),
    "generate: guidance of NaN": ("generate", "a", "--model", "MODEL", "--true-cfg", "nan"),
    "generate: endless guidance": ("generate", "a", "--model", "MODEL", "--call", "guidance_scale=.inf"),
    "generate: negative height": ("generate", "a", "--height", "-8"),
    "generate: a JPEG": ("generate", "a", "--model", "MODEL", "--out", "a.jpg"),
    "generate: many images in one file": ("generate", "a", "b", "--model", "MODEL", "--out", "a.png"),
    "generate: a file in the way": ("generate", "a", "--model", "MODEL", "--out", "mine.yaml/images"),
    "eval: no configuration": ("eval",),
    "eval: unknown configuration": ("eval", "mine.yaml", "yours.yaml"),
    "eval: the same name twice": (
        "eval",
        "mine.yaml",
        "other/mine.yaml",
        "--model",
        "MODEL",
        "--prompts",
        "prompts.txt",
    ),
    "eval: a name of ours": ("eval", "uncached.yaml", "--model", "MODEL", "--prompts", "prompts.txt"),
    "eval: no prompts file": ("eval", "mine.yaml", "--model", "MODEL", "--prompts", "none.txt"),
    "eval: an empty prompts file": ("eval", "mine.yaml", "--model", "MODEL", "--prompts", "empty.txt"),
    "eval: no prompts to draw from": ("eval", "mine.yaml", "--model", "MODEL"),
    "eval: --out is a folder": ("eval", "mine.yaml", "--model", "MODEL", "--prompts", "prompts.txt", "--out", "other"),
    "eval: --out is a device": ("eval", "mine.yaml", "--model", "MODEL", "--prompts", "prompts.txt", "--out", "null"),
    "eval: --report is a pipe": (
        "eval",
        "mine.yaml",
        "--model",
        "MODEL",
        "--prompts",
        "prompts.txt",
        "--report",
        "pipe",
    ),
    "eval: --out is the configuration": (
        "eval",
        "mine.yaml",
        "--model",
        "MODEL",
        "--prompts",
        "prompts.txt",
        "--out",
        "mine.yaml",
    ),
    "eval: --prompts is a pipe": ("eval", "mine.yaml", "--model", "MODEL", "--prompts", "pipe"),
    "plan: a pipe as configuration": ("plan", "--config", "pipe"),
    "plan: a device as configuration": ("plan", "--config", "null"),
    "bench: a pipe as its file": ("bench", "pipe"),
    "report: a pipe as results": ("report", "pipe"),
    "report: a device as results": ("report", "null", "--out", "page.html"),
    "schema: --out is a device": ("schema", "--out", "null"),
    "generate: --out is a device": ("generate", "a", "--model", "MODEL", "--out", "null.png"),
    "generate: an image is a pipe": ("generate", "a", "--model", "MODEL", "--out", "images"),
    "demo: results are a device": ("demo", "--out", "demo"),
    "train: the log is a pipe": ("train", "--config", "ref-flux-lesa-n7", "--out", "fitted"),
    "train: over the configuration": ("train", "--config", "lesa.yaml", "--model", "reference:flux", "--out", "."),
    "eval: no seeds": ("eval", "mine.yaml", "--seeds", "0"),
    "eval: a seed beyond all numbers": ("eval", "mine.yaml", "--first-seed", "99999999999999999999"),
    "generate: a seed beyond all numbers": ("generate", "a", "--seed", "99999999999999999999"),
    "eval: results and report in one file": (
        "eval",
        "mine.yaml",
        "--model",
        "MODEL",
        "--prompts",
        "prompts.txt",
        "--out",
        "o.html",
        "--report",
        "o.html",
    ),
    "generate: too long a name": ("generate", "a", "--model", "MODEL", "--out", "z" * 300 + ".png"),
    "demo: unknown backbone": ("demo", "--backbone", "unet"),
    "ui: one step": ("ui", "--steps", "1"),
    "ui: no such model": ("ui", "--model", "reference:flx"),
    "ui: no such host": ("ui", "--host", "not a host"),
    "ui: not a port": ("ui", "--port", "99999"),
    "ui: arguments of no model": ("ui", "--height", "64"),
    "ui: no such folder of weights": ("ui", "--weights", "nowhere"),
    "train: nothing to train": ("train", "--config", "mine.yaml", "--model", "MODEL", "--out", "trained"),
    "train: no model": ("train", "--config", "mine.yaml", "--out", "trained"),
    "train: no --out": ("train", "--config", "mine.yaml"),
    "inspect: no such file": ("inspect", "none.safetensors"),
    "inspect: truncated": ("inspect", "cut.safetensors"),
    "inspect: nothing to inspect": ("inspect", "mine.yaml"),
    "schema: unknown section": ("schema", "--section", "predictors"),
    "schema: unknown kind": ("schema", "--section", "predictor", "--kind", "lessa"),
    "schema: kind without section": ("schema", "--kind", "lesa"),
}
_WITH_MODEL = {
    "unknown argument of the pipeline": ("generate", "a", "--call", "heigth=16"),
    "an argument that is ours": ("generate", "a", "--call", "generator=0"),
    "no such device": ("generate", "a", "--device", "abacus"),
    "a value that the pipeline refuses": ("generate", "a", "--call", "max_sequence_length=100000"),
    "generate: fewer steps than the schedule needs": ("generate", "a", "--config", "ref-flux-reuse-n7", "--steps", "9"),
    "eval: no such device for the history": (
        "eval",
        "mine.yaml",
        "--prompts",
        "prompts.txt",
        "--set",
        "engine.history.device=meta",
    ),
    "generate: no such device for the history": (
        "generate",
        "a",
        "--config",
        "mine.yaml",
        "--set",
        "engine.history.device=meta",
    ),
    "train: no such device for the history": (
        "train",
        "--config",
        "ref-flux-lesa-n7",
        "--set",
        "engine.history.device=meta",
        "--out",
        "trained",
    ),
    "eval: an unknown tap": ("eval", "mine.yaml", "--prompts", "prompts.txt", "--set", "backbone.tap=middle"),
    "eval: an unknown backbone": ("eval", "mine.yaml", "--prompts", "prompts.txt", "--set", "backbone.kind=unet"),
    "plan: fewer steps than the schedule needs": ("plan", "--config", "ref-flux-reuse-n7", "--steps", "9"),
}


@pytest.fixture
def inputs(workplace: Path, cache: Path) -> dict[str, bytes]:
    """The files that the commands are pointed at; there must be no others afterwards."""
    other = workplace / "other"
    other.mkdir()
    (other / "mine.yaml").write_bytes(cache.read_bytes())
    (workplace / "uncached.yaml").write_bytes(cache.read_bytes())
    (workplace / "broken.yaml").write_text("schedule: {kind: [")
    (workplace / "twice.yaml").write_text(cache.read_text("utf-8") + "predictor: {kind: reuse}\n")
    (workplace / "deep.yaml").write_text("[" * 3000)
    (workplace / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    (workplace / "prompts.txt").write_text("a red ring\n")
    (workplace / "lesa.yaml").write_text("schedule: {kind: fixed_interval, interval: 7}\npredictor: {kind: lesa}\n")
    for name in ("null", "null.png"):
        (workplace / name).symlink_to("/dev/null")
    for folder in ("images", "demo", "fitted"):
        (workplace / folder).mkdir()
    (workplace / "demo" / "results.json").symlink_to("/dev/null")
    for pipe in ("pipe", "images/000-a-s0.png", "fitted/ref-flux-lesa-n7.json"):
        os.mkfifo(workplace / pipe)
    (workplace / "empty.txt").write_text("\n \n")
    return _files(workplace)


@pytest.mark.parametrize("arguments", _WITHOUT_MODEL.values(), ids=_WITHOUT_MODEL)
def test_refused_before_a_model_is_loaded(
    arguments: tuple[str, ...], model: Path, lesa: Lesa, inputs: dict[str, bytes], workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded for input that cannot work")

    for module in ("cli.generate", "cli.plan", "cli.search", "cli.sizes", "cli.train", "measure.runner", "ui.studio"):
        monkeypatch.setattr(f"lesa_framework.{module}.load_pipeline", never)
    outcome = lesa(*(str(model) if argument == "MODEL" else argument for argument in arguments))
    _is_refusal(outcome.code, outcome.out, outcome.err)
    assert _files(workplace) == inputs


@pytest.mark.parametrize("arguments", _WITH_MODEL.values(), ids=_WITH_MODEL)
def test_refused_before_anything_is_generated(
    arguments: tuple[str, ...], model: Path, lesa: Lesa, inputs: dict[str, bytes], workplace: Path
) -> None:
    outcome = lesa(*arguments, "--model", model)
    _is_refusal(outcome.code, outcome.out, outcome.err)
    assert _files(workplace) == inputs


def _is_refusal(code: int, out: str, err: str) -> None:
    assert code == 2
    assert not out
    assert "Traceback" not in err
    assert err.lower().count("error:") + err.count("─ Error ─") == 1


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_messages_name_what_was_given_the_valid_set_and_the_remedy(lesa: Lesa, inputs: dict[str, bytes]) -> None:
    unknown = lesa("plan", "--config", "mine.yaml", "--set", "predictor.kind=lessa").err
    assert "'lessa'" in unknown
    assert "'reuse' (lesa_reuse)" in unknown
    assert "Did you mean 'lesa'?" in unknown
    model = lesa("generate", "a", "--model", "reference:flx").err
    assert "'reference:flx'" in model
    assert "Did you mean 'reference:flux'?" in model
    assert "at least 2" in lesa("plan", "--config", "mine.yaml", "--steps", "1").err


def _full_gpu(_: object = None) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nOf the allocated memory")


def _full_cpu(_: object = None) -> None:
    torch.empty(2**60, dtype=torch.uint8)  # torch has no class of its own for this error


@pytest.mark.parametrize(
    ("fill", "said"),
    [(_full_gpu, "CUDA out of memory. Tried to allocate 2.00 GiB. Close"), (_full_cpu, "tried to allocate 1152921504")],
)
def test_a_full_device_is_a_failure_with_advice(
    lesa: Lesa, monkeypatch: pytest.MonkeyPatch, fill: Callable[[], None], said: str
) -> None:
    monkeypatch.setattr(cli, "_lesa", fill)
    outcome = lesa("generate", "a")
    assert outcome.code == 1
    assert outcome.err.startswith("error: out of memory: ")
    assert said in outcome.err
    assert ". Close what else uses it" in outcome.err
    with pytest.raises(RuntimeError) as raised:
        fill()
    assert in_one_line(raised.value) == "out of memory"
