"""What long commands say before they begin: parts that add up, and files as large as they turn out to be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from lesa_framework.cli import machine
from lesa_framework.cli.forecast import Forecast, Job, Part, Room
from lesa_framework.cli.foreseen import model_of
from lesa_framework.generation import GenerationSettings
from lesa_framework.measure.store import Store
from lesa_framework.testing import TinyDiT, TinyPipeline
from lesa_framework.words import size
from tests.cli.conftest import SMALL, Lesa

GIB = 2**30
LESS = "Smaller batches, or fewer or smaller samples, need less."
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def told(err: str, word: str) -> str:
    """The line of a block that is about this."""
    (line,) = [line for line in err.splitlines() if line.startswith(f"  {word:<8}")]
    return line


def nbytes(text: str) -> list[float]:
    """All sizes in a text."""
    return [float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+) (KiB|MiB|GiB)", text)]


def written(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_memory_is_the_sum_of_its_parts_and_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    room = Room("on the CPU", (Part("weights", 3 * GIB, held=True), Part("none", 0), Part("work", GIB)), 4 * GIB)
    Forecast(("2 runs",), (room,)).say()
    assert capsys.readouterr().err.splitlines() == [
        "  work    2 runs",
        "  memory  about 4 GiB on the CPU: weights 3 GiB, work 1 GiB; 4 GiB free",
        "  time    said when the first steps were timed, and corrected as the work goes on",
    ]


def test_a_need_near_what_is_free_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    memory = Room("on cuda:0", (Part("weights", 3 * GIB, held=True), Part("work", GIB)), GIB)
    disk = Room("in out", (Part("images", 3 * GIB),), 2 * GIB)
    Forecast(("2 runs",), (memory,), disk).say()
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [
        f"note: memory: about 1 GiB more are needed on cuda:0, and 1 GiB are free. {LESS}",
        "note: disk: about 3 GiB more are needed in out, and 2 GiB are free. Make room, or write to another disk.",
    ]


def test_what_cannot_be_rehearsed_is_said_to_be_unknown() -> None:
    model = model_of(TinyPipeline(TinyDiT()), GenerationSettings(num_steps=2, call={"no_such": 1}), 1)
    assert model.plans == ()
    (room,) = model.memory()
    assert room.more == "calls need more, which cannot be told before the first"
    assert {part.name: part.held for part in room.parts if part.nbytes} == {
        "weights": True,
        "Python and libraries": True,
    }


def test_a_container_may_have_less_than_the_machine(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable: 8 kB\n")
    cpu = torch.device("cpu")
    assert machine.free_memory(cpu, tmp_path, meminfo) == 8 * 1024
    (tmp_path / "memory.max").write_text("4000\n")
    (tmp_path / "memory.current").write_text("3500\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100\n")
    assert machine.free_memory(cpu, tmp_path, meminfo) == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_memory(cpu, tmp_path, meminfo) == 8 * 1024
    assert machine.free_memory(cpu, tmp_path, tmp_path / "none") is None


def test_room_is_looked_for_where_a_folder_will_be(tmp_path: Path) -> None:
    assert machine.free_disk(tmp_path / "not" / "there") > 0


def test_the_end_counts_every_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.json", "images/a.png", "images/b.png"):
        (tmp_path / name).write_bytes(bytes(1024))
    Job().done([tmp_path / "a.json", tmp_path / "images"])
    assert re.fullmatch(
        r"done in .* s, loading the model included; at most .* (MiB|GiB) of memory by this process; "
        r"3 files of 3 KiB written\n",
        capsys.readouterr().err,
    )


def test_the_end_counts_no_file_that_was_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_bytes(bytes(1024))
    Job().done([tmp_path / "a.json", tmp_path / "a.checkpoint.safetensors"])
    assert capsys.readouterr().err.endswith("; 1 file of 1 KiB written\n")


def test_generated_images_are_as_large_as_foretold(lesa: Lesa) -> None:
    outcome = lesa("generate", "--model", "reference:flux", "--steps", 8, "--count", 2, "--json")
    assert outcome.code == 0, outcome.err
    work = "1 call of up to 2 samples, 8 steps each, all of them computed: the whole model runs 16 times"
    assert told(outcome.err, "work") == f"  work    {work}"
    foretold, made = nbytes(told(outcome.err, "disk"))[0], written(Path("images"))
    assert made == pytest.approx(foretold, rel=0.25)
    assert len(json.loads(outcome.out)["images"]) == 2
    assert f"2 files of {size(made)} written" in outcome.err.splitlines()[-1]
    total, *parts = nbytes(told(outcome.err, "memory"))[:-1]
    assert sum(parts) == pytest.approx(total, rel=0.02)  # each is rounded to three digits
    assert "stored features" not in outcome.err  # no session is attached


def test_a_comparison_is_as_large_as_foretold(lesa: Lesa, cache: Path, model: Path) -> None:
    arguments = ("--model", model, "--steps", 8, "--prompts", cache, "--out", "to/r.json", "--report", "to/r.html")
    outcome = lesa("eval", cache, *arguments, *SMALL)
    assert outcome.code == 0, outcome.err
    assert ": 3 methods on 2 samples, 3 timed runs, equivalent to about " in told(outcome.err, "work")
    assert written(Path("to")) == pytest.approx(nbytes(told(outcome.err, "disk"))[0], rel=0.25)
    assert outcome.err.splitlines()[-1].startswith("done in ")


def test_a_search_is_as_large_as_foretold(lesa: Lesa, model: Path, workplace: Path) -> None:
    (workplace / "prompts.txt").write_text("a red ring\na blue square\na star\na ring\n")
    command = ("search", "--model", model, "--prompts", "prompts.txt", "--steps", 8, "--nfe", 4, "--tries", 4, *SMALL)
    outcome = lesa(*command, "--out", "found")
    assert outcome.code == 0, outcome.err
    assert "  work    4 uncached runs of 8 steps, then candidates in runs on up to " in outcome.err
    assert written(workplace / "found") == pytest.approx(nbytes(told(outcome.err, "disk"))[0], rel=0.25)
    assert outcome.err.splitlines()[-1].startswith("done in ")


def test_a_training_is_as_large_as_foretold_and_repeats_nothing(lesa: Lesa, model: Path, workplace: Path) -> None:
    (workplace / "mine.yaml").write_text(
        "schedule: {kind: fixed_interval, interval: 3, warmup: 2}\n"
        "router: {kind: thresholds, boundaries: [0.9, 0.5]}\n"
        "predictor: {kind: lesa, history: 3, hidden: [16]}\n"
        "training: {num_steps: 8, batch: 2, guided_epochs: 1, closed_loop_epochs: 1}\n"
    )
    (workplace / "prompts.txt").write_text("a red ring\na blue square\n")
    command = ("train", "--config", "mine.yaml", "--prompts", "prompts.txt", "--model", model, "--out", "out", *SMALL)
    outcome = lesa(*command)
    assert outcome.code == 0, outcome.err
    assert told(outcome.err, "work") == "  work    2 parts, each one or more runs of 8 steps on up to 2 prompts each"
    assert written(workplace / "out") == pytest.approx(nbytes(told(outcome.err, "disk"))[0], rel=0.25)
    again = lesa(*command)
    assert "nothing is left to do" in again.err
    assert not re.search(r"^(  work|done in)", again.err, re.MULTILINE)


def test_a_benchmark_is_as_large_as_foretold_with_what_it_keeps_meanwhile(
    lesa: Lesa, workplace: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "b.yaml").write_text(
        "steps: 6\nbatch: 1\nimages: 0\nprompts: {texts: [a ring, a star]}\n"
        "schedules: {a: {kind: steps, compute: [0, 3]}}\nmethods: {reuse: {predictor: {kind: reuse}}}\n"
        f"models: {{'{model}': {{call: {{height: 64, width: 64, max_sequence_length: 8}}}}}}\n"
    )
    clear, kept = Store.clear, []

    def look(store: Store) -> None:
        kept.append(written(workplace / "b.cells"))
        clear(store)

    monkeypatch.setattr(Store, "clear", look)
    outcome = lesa("bench", "b.yaml")
    assert outcome.code == 0, outcome.err
    total, page, numbers, meanwhile, _free = nbytes(told(outcome.err, "disk"))
    assert " in b.json and b.html: " in told(outcome.err, "disk")
    assert kept == [pytest.approx(meanwhile, rel=0.25)]
    assert Path("b.json").stat().st_size == pytest.approx(numbers, rel=0.25)
    assert Path("b.html").stat().st_size == pytest.approx(page, rel=0.25)
    assert page + meanwhile + numbers == pytest.approx(total, rel=0.02)
    assert outcome.err.splitlines()[-1].startswith("done in ")
