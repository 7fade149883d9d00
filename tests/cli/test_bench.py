from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from lesa_framework import LesaError
from lesa_framework.files import append_line
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.results_file import read_results
from lesa_framework.processes import World
from tests.measure import benches
from tests.test_files import full_disk

TEXT = """
title: Two lines and a peer
steps: 6
batch: 1
images: 1
prompts: {{texts: [a red ring, a blue star]}}
seeds: [1, 2]
schedules: {{a: {{kind: steps, compute: [0, 3]}}}}
methods:
  reuse: {{predictor: {{kind: reuse}}}}
  line: {{predictor: {{kind: taylorseer, order: 1}}}}
peers: [diffusers_taylorseer_lite]
models:
  {model}:
    call: {{height: 16, width: 16, max_sequence_length: 8, negative_prompt: "", true_cfg_scale: 3.0}}
"""


@pytest.fixture
def file(workplace: Path, model: Path) -> Path:
    path = workplace / "two.yaml"
    path.write_text(TEXT.format(model=model))
    return path


def test_one_file_in_one_results_file_and_one_page_out(lesa, file, workplace):
    ended = lesa("bench", file)
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in workplace.iterdir()) == ["two.html", "two.json", "two.yaml"]
    results = read_results(workplace / "two.json")
    assert [row.name for row in results.rows] == [
        "uncached", "reuse-a", "line-a", "fewer_steps_2", "diffusers_taylorseer_lite_2",
    ]  # fmt: skip
    assert all(row.error is None for row in results.rows)
    assert results.schema_version == 2
    assert results.environment["torch"]
    assert "line-a" in ended.out
    assert "wrote two.json and two.html" in ended.err
    page = (workplace / "two.html").read_text("utf-8")
    assert "Two lines and a peer" in page
    again = lesa("report", "two.json", "--out", "again.html")
    assert again.code == 0, again.err
    assert (workplace / "again.html").read_text("utf-8") == page


def measured_again(*_args: Any, **_options: Any) -> None:
    raise LesaError("measured again")


def test_what_is_finished_is_not_measured_again(lesa, file, workplace, monkeypatch):
    only = ("bench", file, "--only", "reuse-*", "--out", "two.json")
    first = lesa(*only)
    results = (workplace / "two.json").read_bytes()
    (workplace / "two.html").unlink()
    again = lesa(*only)
    assert (again.code, again.out) == (0, first.out)
    assert "nothing is left to do: two.json holds these results. Measure again with --fresh." in again.err
    assert (workplace / "two.html").exists()
    assert (workplace / "two.json").read_bytes() == results

    monkeypatch.setattr("lesa_framework.cli.bench.run_bench", measured_again)
    assert "measured again" not in lesa(*only).err
    assert "measured again" in lesa(*only, "--fresh").err
    assert "measured again" in lesa("bench", file, "--only", "line-*", "--out", "two.json").err
    with monkeypatch.context() as other:
        threads = torch.get_num_threads() + 1
        other.setattr(torch, "get_num_threads", lambda: threads)
        assert "measured again" in lesa(*only).err
    with monkeypatch.context() as other:
        other.setattr("lesa_framework.cli.bench.console.together", lambda _: nullcontext(World(size=2)))
        assert "measured again" in lesa(*only).err
    assert "measured again" not in lesa(*only).err
    skipped = json.loads(results)
    skipped["notes"] = ["not measured: lpips: its weights are missing"]
    (workplace / "two.json").write_text(json.dumps(skipped))
    assert "measured again" in lesa(*only).err
    failed = json.loads(results)
    failed["rows"][1]["error"] = "out of memory"
    (workplace / "two.json").write_text(json.dumps(failed))
    assert "measured again" in lesa(*only).err
    (workplace / "two.json").write_bytes(results)
    file.write_text(file.read_text().replace("seeds: [1, 2]", "seeds: [1, 3]"))
    assert "measured again" in lesa(*only).err


def test_what_the_hub_sends_during_the_run_is_known_when_it_is_finished(lesa, file, monkeypatch):
    commits: list[str | None] = [None]
    monkeypatch.setattr("lesa_framework.measure.store.hub_commit", lambda _: commits[-1])
    # The first thing after a model is loaded.
    monkeypatch.setattr("lesa_framework.measure.runner.check_call", lambda *_: commits.append("aaa"))
    call = ("bench", file, "--only", "reuse-*")
    assert lesa(*call).code == 0
    monkeypatch.setattr("lesa_framework.cli.bench.run_bench", measured_again)
    assert "nothing is left to do" in lesa(*call).err
    commits.append("bbb")
    assert "measured again" in lesa(*call).err


def test_a_model_of_linked_folders_that_results_are_written_into(lesa, file, workplace, model, monkeypatch):
    mine, elsewhere = workplace / "mine", workplace / "another disk"
    shutil.copytree(model, mine)
    (mine / "transformer").rename(elsewhere)
    (mine / "transformer").symlink_to(elsewhere, target_is_directory=True)
    file.write_text(file.read_text().replace(str(model), str(mine)))
    call = ("bench", file, "--only", "reuse-*", "--out", mine / "two.json")
    assert lesa(*call).code == 0
    assert "nothing is left to do" in lesa(*call).err
    os.utime(elsewhere / "config.json", (1, 1))
    monkeypatch.setattr("lesa_framework.cli.bench.run_bench", measured_again)
    assert "measured again" in lesa(*call).err


def test_a_page_that_is_asked_for_is_written_again(lesa, file, workplace):
    call = ("bench", file, "--only", "reuse-*", "--out", "two.json", "--report", "page.html")
    assert lesa(*call).code == 0
    (workplace / "page.html").write_text("of something else")
    assert lesa(*call).code == 0
    assert "reuse-a" in (workplace / "page.html").read_text()


def test_a_method_that_fails_is_tried_again_and_what_is_finished_stays(lesa, file, workplace, monkeypatch):
    attached = Contender.attached

    def failing(contender: Contender, *arguments: Any) -> Any:
        if contender.name == "reuse-a":
            raise LesaError("no memory left")
        return attached(contender, *arguments)

    call = ("bench", file, "--only", "*-a", "--out", "two.json")
    with monkeypatch.context() as patched:
        patched.setattr(Contender, "attached", failing)
        ended = lesa(*call)
    assert ended.code == 1
    assert "error: reuse-a: LesaError: no memory left" in ended.err
    assert "The finished parts are kept, and the same command tries these again." in ended.err
    assert (workplace / "two.cells").exists()
    again = lesa(*call)
    assert again.code == 0, again.err
    assert "resuming an earlier run, with" in again.err
    assert not (workplace / "two.cells").exists()
    assert all(row.error is None for row in read_results(workplace / "two.json").rows)


def test_a_disk_that_is_full_for_a_moment_costs_no_finished_part(lesa, file, workplace, monkeypatch):
    keys: list[str] = []

    def full_once(path: Path, line: bytes) -> None:
        if line:
            keys.append(json.loads(line)["key"])
        with full_disk(path.stat().st_size + 20) if line and len(keys) == 4 else nullcontext():
            append_line(path, line)

    monkeypatch.setattr("lesa_framework.measure.store.append_line", full_once)
    call = ("bench", file, "--only", "reuse-*", "--out", "two.json")
    ended = lesa(*call)
    assert ended.code == 1
    *_, last = ended.err.splitlines()
    assert last.startswith("error: ")
    assert "cells.jsonl: cannot be written (File too large). Free some space" in last
    assert ended.err.count("cannot be written") == 1
    assert not (workplace / "two.json").exists()
    again = lesa(*call)
    assert again.code == 0, again.err
    assert "resuming an earlier run, with 3 finished parts" in again.err
    assert keys[3] in keys[4:], "what was lost is measured again"
    assert not set(keys[:3]) & set(keys[3:]), "and nothing else"
    assert not (workplace / "two.cells").exists()
    assert all(row.error is None for row in read_results(workplace / "two.json").rows)


def test_json_goes_to_standard_output(lesa, file, workplace):
    ended = lesa("bench", file, "--json", "--only", "reuse-*", "--out", "deep/mine.json", "--report", "mine.html")
    assert ended.code == 0, ended.err
    assert ended.out == (workplace / "deep" / "mine.json").read_text("utf-8")
    assert [row["name"] for row in json.loads(ended.out)["rows"]] == ["uncached", "reuse-a"]
    assert (workplace / "mine.html").exists()


def command(file: Path) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "lesa_framework", "bench", str(file), "--out", "killed.json"]


def timeless(path: Path) -> dict[str, Any]:
    return benches.timeless(read_results(path).model_copy(update={"command": ""}))


@pytest.mark.slow
def test_a_killed_process_is_resumed(file, workplace):
    cells = workplace / "killed.cells" / "cells.jsonl"
    started = subprocess.Popen(command(file), cwd=workplace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (cells.is_file() and cells.read_bytes().count(b"\n") >= 6):
        assert started.poll() is None, "it was faster than this test"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    finished = cells.read_bytes()
    assert not (workplace / "killed.json").exists()
    ended = subprocess.run(command(file), cwd=workplace, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "resuming an earlier run" in ended.stderr
    assert not cells.exists()
    whole = subprocess.run(
        [*command(file)[:-1], "whole.json"], cwd=workplace, capture_output=True, text=True, check=False
    )
    assert whole.returncode == 0, whole.stderr
    assert timeless(workplace / "killed.json") == timeless(workplace / "whole.json")
    seconds = [
        json.loads(line)["cell"]["seconds"]
        for line in finished.splitlines()
        if b'"launch"' in line and line[-1:] == b"}"
    ]
    kept = json.loads((workplace / "killed.json").read_text("utf-8"))["models"][0]["details"]
    assert set(seconds) <= {each for details in kept.values() for each in details["seconds"]}, "measured again"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.yaml"], "nothing.yaml: cannot be read"),
        (["two.yaml", "--only", "reus"], "--only reus: fits no row. Rows are named MODEL/NAME"),
        (["two.yaml", "--out", "."], "is a folder"),
        (["two.yaml", "--out", "same.json", "--report", "same.json"], "same.json: --out names the same file"),
        (["two.yaml", "--device", "tpu"], "--device tpu"),
    ],
)
def test_bad_input_is_answered_by_one_message(lesa, file, workplace, arguments, told):
    ended = lesa("bench", *arguments)
    assert ended.code == 2
    assert told in ended.err
    assert "Traceback" not in ended.err
    assert [path.name for path in workplace.iterdir()] == ["two.yaml"]


def test_rows_that_are_not_there_are_answered_with_those_that_are(lesa, file, model):
    ended = lesa("bench", file, "--only", f"{model}/min-*")
    assert ended.code == 2
    assert "measuring" not in ended.err, "before anything is announced"
    names = ("reuse-a", "line-a", "fewer_steps_N", "diffusers_taylorseer_lite_N")
    assert f"This file has {', '.join(f'{model}/{name}' for name in names)}." in " ".join(ended.err.split())


def test_fresh_forgets_what_a_stopped_run_has_finished(lesa, file, workplace):
    cells = workplace / "two-only.cells" / "cells.jsonl"
    cells.parent.mkdir()
    cells.write_text('{"key": "old", "cell": {}}\n')
    assert "resuming an earlier run, with 1 finished part." in lesa("bench", file, "--only", "reuse-a").err
    assert cells.exists(), "the other rows of a stopped run are still wanted"
    assert "resuming" not in lesa("bench", file, "--only", "reuse-a", "--fresh").err
    assert not cells.exists()


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_ctrl_c_says_how_to_resume(lesa, file, monkeypatch, fresh):
    def stop(*_args: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lesa_framework.cli.bench.run_bench", stop)
    ended = lesa("bench", file, *fresh)
    assert ended.code == 130
    assert "stopped before any part was finished. The same command starts afresh." in ended.err
    monkeypatch.setattr("lesa_framework.cli.bench.Store.__len__", lambda _: 2)
    ended = lesa("bench", file, *fresh)
    assert ended.code == 130
    without = " without --fresh" if fresh else ""
    assert f"stopped. The same command{without} resumes from the 2 finished parts in two.cells." in ended.err


def test_the_pairs_to_choose_on_have_results_of_their_own(lesa, file, workplace):
    file.write_text(file.read_text("utf-8") + "selection: {prompts: {texts: [a dot]}}\n")
    ended = lesa("bench", file, "--selection")
    assert ended.code == 0, ended.err
    results = read_results(workplace / "two-selection.json")
    assert [pair.prompt for pair in results.models[0].pairs] == ["a dot"]
    assert [row.name for row in results.rows] == ["uncached", "reuse-a", "line-a", "fewer_steps_2"]
