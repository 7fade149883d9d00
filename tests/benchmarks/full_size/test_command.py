"""The command, on tiny models."""

import json

import pytest
from typer.testing import CliRunner

from benchmarks.full_size import bench
from benchmarks.full_size.cases import CASES
from benchmarks.full_size.command import app
from benchmarks.full_size.sampler import Denoiser
from lesa_framework.measure.page.render import write_page
from lesa_framework.measure.results_file import read_results


def _run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("model", CASES)
def test_a_tiny_model_writes_results_that_report_opens(model, tmp_path):
    interval = CASES[model].intervals[0]
    outcome = _run(model, "--tiny", "--rounds", "1", "--methods", f"lesa-n{interval}", "--out", tmp_path)
    assert outcome.exit_code == 0, outcome.stderr
    path = tmp_path / f"full-size-{model}-cpu-tiny.json"
    results = read_results(path)
    (found,) = results.models
    assert (found.model, found.properties["tiny"]) == (model, True)
    assert "<html" in write_page(read_results(path))
    assert [row.name for row in results.rows] == ["uncached", f"lesa-n{interval}"]
    assert results.environment["device"] == "cpu"
    assert {"torch", "diffusers", "python"} <= set(results.environment)
    assert results.command.startswith("python -m benchmarks.full_size")
    assert f"lesa-n{interval}" in outcome.stdout
    assert "round 1 of 1" in outcome.stderr
    assert f"{model}: written to {path}" in outcome.stderr
    assert list(tmp_path.iterdir()) == [path]
    assert "round 1 of 1" not in outcome.stdout


def test_a_file_is_plain_json(tmp_path):
    _run("flux", "--tiny", "--rounds", "1", "--methods", "reuse-n7", "--out", tmp_path)
    written = json.loads((tmp_path / "full-size-flux-cpu-tiny.json").read_text("utf-8"))
    assert written["models"][0]["properties"]["config"]["num_layers"] == 2
    assert written["rows"][1]["nfe"] == 6


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sd3", "--tiny"], "sd3: no such model. Valid: flux, qwen_image, hunyuan_video."),
        (["--tiny", "--device", "tpu"], "'tpu' is not valid. Valid: auto, cuda, cpu."),
        (["flux", "--device", "cpu"], "needs a GPU with 40 GB or more"),
    ],
)
def test_bad_input_gets_a_message_and_exits_with_2(arguments, told):
    outcome = _run(*arguments)
    assert outcome.exit_code == 2
    assert told in outcome.stderr


def test_a_model_that_does_not_fit_says_so(tmp_path, monkeypatch):
    def full(*_):
        raise bench.torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(bench, "build_denoiser", full)
    outcome = _run("flux", "--tiny", "--out", tmp_path)
    assert outcome.exit_code == 1
    assert "out of memory while the model was made" in outcome.stdout
    assert read_results(tmp_path / "full-size-flux-cpu-tiny-unfinished.json").rows == []


def test_a_budget_that_is_spent_is_noted(tmp_path):
    outcome = _run("flux", "--tiny", "--budget", "0", "--methods", "reuse-n7", "--out", tmp_path)
    assert outcome.exit_code == 1
    assert "time budget" in read_results(tmp_path / "full-size-flux-cpu-tiny-unfinished.json").notes[-1]


def test_a_folder_that_cannot_be_written_gets_a_message_and_exits_with_2(tmp_path):
    (tmp_path / "file").write_text("no folder")
    outcome = _run("flux", "--tiny", "--methods", "none", "--out", tmp_path / "file")
    assert outcome.exit_code == 2
    assert outcome.stderr.splitlines()[-1].startswith("error: ")
    assert "cannot be written" in outcome.stderr


def test_a_run_that_breaks_off_fails(tmp_path, monkeypatch):
    times = []

    def run(denoiser, *arguments, on_step=None, **named):
        times.append(on_step is not None)
        if times.count(True) == 4:  # in the second round
            raise ValueError("no more")
        return sample(denoiser, *arguments, on_step=on_step, **named)

    sample = Denoiser.run
    monkeypatch.setattr(Denoiser, "run", run)
    outcome = _run("flux", "--tiny", "--rounds", "2", "--methods", "reuse-n7", "--out", tmp_path)
    assert outcome.exit_code == 1
    assert "did not come to its end" in outcome.stderr
