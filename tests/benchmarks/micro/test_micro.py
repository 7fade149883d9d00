"""The micro benchmark on tiny models and tensors: what is timed, and that its file is a results file."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.full_size.device import Cpu
from benchmarks.markup import filled
from benchmarks.micro import page, startup
from benchmarks.micro.command import PARTS, app
from benchmarks.micro.filters import FEATURES, filters
from benchmarks.micro.methods import Mean, told
from benchmarks.micro.overhead import attaching, overhead
from benchmarks.micro.results import HIGH, LOW, RATIO, results_of, table_of
from benchmarks.micro.stages import tiny
from benchmarks.micro.steps import Peers, steps, warm_up
from benchmarks.micro.turns import Line, Part, in_turns, interval_name, spread
from lesa_framework.measure.page.render import write_page
from lesa_framework.measure.results import Kind, Results
from lesa_framework.measure.results_file import read_results
from lesa_framework.plugin.manager import plugins


@pytest.mark.parametrize(
    ("count", "left_out"),
    [(1, 0), (5, 0), (6, 0), (9, 1), (20, 5)],  # as in tables of the sign test
)
def test_an_interval_leaves_out_what_the_confidence_allows(count, left_out):
    found = spread([float(value) for value in range(count)])
    assert (found.low, found.high) == (left_out, count - 1 - left_out)
    assert found.median == (count - 1) / 2


@pytest.mark.parametrize("turns", [2, 3, 5, 6, 7])
def test_too_few_turns_for_an_interval_are_not_headed_as_one(turns):
    line = Line("floor", [float(value) for value in range(1, turns + 1)])
    part = Part("a", "", (line, Line("ours", [2.0 * value for value in line.seconds])))
    expected = "least to most" if turns < 6 else "95 % interval"
    assert table_of(part).columns[-1].header == interval_name(turns) == expected
    assert f"time ratio | {expected} |" in page.section(results_of([part], Cpu(), ""))["micro"]


def test_ratios_are_taken_turn_by_turn():
    part = Part("a", "", (Line("floor", [1.0, 10.0, 100.0]), Line("ours", [2.0, 20.0, 200.0])))
    assert part.ratio(part.lines[1]).low == part.ratio(part.lines[1]).high == 2.0


def test_turns_rotate_and_the_first_warms_up():
    order = []
    acts = {name: lambda name=name: float(len(order.append(name) or order)) for name in "abc"}
    found = in_turns(acts, 2)
    assert "".join(order) == "abcbcacab"
    assert found == {"a": [6.0, 8.0], "b": [4.0, 9.0], "c": [5.0, 7.0]}
    order.clear()
    assert in_turns(acts, 2, warm_up=False) == {"a": [3.0, 5.0], "b": [1.0, 6.0], "c": [2.0, 4.0]}


def test_the_floor_runs_no_block_and_is_undone():
    stage = tiny(Cpu())
    before, bare = dict(stage.pipe.transformer.named_modules()), stage.run(3)
    sampled = stage.timed(3, stage.floor)
    assert sampled.computed is None
    assert 0 < sampled.predicted <= sampled.run
    assert dict(stage.pipe.transformer.named_modules()) == before
    assert torch.equal(stage.run(3), bare)


def test_the_floor_between_computed_steps_runs_blocks_at_those_alone_and_is_undone():
    stage = tiny(Cpu())
    before, ran = dict(stage.pipe.transformer.named_modules()), list[int]()
    block = stage.pipe.transformer.get_submodule(stage.adapter.blocks[0])[0]
    handle = block.register_forward_pre_hook(lambda *_: ran.append(stage.pipe.scheduler.step_index or 0))
    sampled = stage.timed(4, partial(stage.floor, (0, 2)))
    handle.remove()
    assert ran == [0, 2]
    assert None not in (sampled.computed, sampled.predicted)
    assert dict(stage.pipe.transformer.named_modules()) == before


def test_what_the_floor_does_is_not_timed():
    class Watching(Cpu):
        def mark(self):
            seen.append(len(blocks))
            return super().mark()

    stage, seen = tiny(Watching(), layers=3), list[int]()
    blocks = stage.pipe.transformer.get_submodule(stage.adapter.blocks[0])
    stage.timed(2, stage.floor)
    assert (len(seen), seen[0], seen[-1]) == (2 + 2 * 5, 3, 3)
    assert set(seen[1:-1]) == {0}, "emptied before a call's first mark, and filled after its last"


def test_the_tiny_model_is_registered_nowhere():
    stage = tiny(Cpu())
    with told("mean", Mean(2), range(2)).on(stage)():
        stage.run(3)
    assert "tiny" not in plugins().registry.backbones


def test_a_run_has_computed_and_predicted_calls():
    stage = tiny(Cpu())
    sampled = stage.timed(6, told("mean", Mean(2), range(2)).on(stage))
    assert sampled.computed > 0
    assert sampled.predicted > 0
    assert stage.timed(3).predicted is None


def test_steps_have_one_value_a_turn_after_all_have_run_once(monkeypatch):
    monkeypatch.setattr("benchmarks.micro.steps.predictors", lambda computed: [told("mean", Mean(2), computed)])
    stage, peers, runs = tiny(Cpu()), Peers({}, ("none",)), list[int]()
    counted = replace(stage, run=lambda num_steps: runs.append(num_steps) or stage.run(num_steps))
    warm_up(counted, peers)
    assert runs == [50, 50, 50, 10]
    calls, whole = steps(counted, "tiny", 2, lambda _: None, peers)
    assert runs[4:] == [10, 50, 50, 10, 50, 50, 10, 50, 50]
    assert [line.name for line in calls.lines][:2] == ["floor", "floor between computed steps"]
    assert [line.name for line in whole.lines] == ["10 plain steps", "mean"]
    assert {len(line.seconds) for part in (calls, whole) for line in part.lines} == {2}
    assert whole.notes == ("none",)


def test_a_filter_and_its_copy_move_as_many_bytes():
    parts = filters(Cpu(), rounds=1, mib=0.25)
    assert [part.name for part in parts] == ["filter, float32", "filter, bfloat16", "filter, float16"]
    for part in parts:
        assert [line.name for line in part.lines[: len(FEATURES) + 1]] == [
            "copy", "1 feature", "2 features", "3 features", "4 features", "8 features",
        ]  # fmt: skip
        assert all(len(line.seconds) == 1 for line in part.lines)


def test_the_file_is_one_that_lesa_report_shows():
    parts = [*overhead(Cpu(), rounds=1), *attaching(tiny(Cpu()), "tiny", rounds=1)]
    results = results_of(parts, Cpu(), "python -m benchmarks.micro", ["a note"])
    again = Results.model_validate_json(results.model_dump_json())
    assert again == results
    first, *others = results.of_model("overhead of a call")
    assert (first.kind, first.scores[RATIO]) == (Kind.UNCACHED, None)
    for row in others:
        assert row.scores[LOW] <= row.scores[RATIO] <= row.scores[HIGH]
    shown = write_page(results)
    assert all(row.name in shown for row in results.rows)


def test_a_process_that_fails_is_no_measurement():
    with pytest.raises(RuntimeError, match="nothing_here"):
        startup.processor_seconds("import nothing_here")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["steps"], f"steps: no such part. Valid: {', '.join(PARTS)}."),
        (["--device", "tpu"], "'tpu' is not valid. Valid: auto, cuda, cpu."),
    ],
)
def test_bad_input_gets_a_message_and_exits_with_2(arguments, told):
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 2
    assert told in outcome.stderr


def test_what_the_page_says_in_short_follows_from_the_committed_file():
    rows = {(row.model, row.name): row for row in read_results(page.FILE).rows}

    def ratios(part, *names):
        return [f"{rows[part, name].scores[RATIO]:.2f}" for name in names]

    def shares(dtype, *counts):
        names = [f"{count} feature{'s'[: count > 1]}" for count in counts]
        found = [100 / rows[f"filter, {dtype}", name].scores[RATIO] for name in names]
        return " to ".join(dict.fromkeys(f"{end:.0f}" for end in (min(found), max(found))))

    step, run, many = "predicted step, bundled FLUX", "whole run, bundled FLUX", ", batch 8"
    reuse, line, lesa = ratios(step, "reuse", "taylorseer", "lesa")
    least, most = ratios(step + many, "reuse", "lesa")
    peers = ("taylorseer", "diffusers_taylorseer_lite", "cache_dit_mask_taylorseer")
    (ours, theirs, mask), (ours_many, theirs_many, mask_many) = ratios(run, *peers), ratios(run + many, *peers)
    floor, *calls = (row for (part, _), row in rows.items() if part == "overhead of a call")
    slower = [row.scores[RATIO] for row in calls]
    more = [1e3 * (row.seconds - floor.seconds) for row in calls]
    wide, brain, half = (shares(dtype, 2, 3, 4) for dtype in ("float32", "bfloat16", "float16"))
    wide_8, brain_8, half_8 = (shares(dtype, 8) for dtype in ("float32", "bfloat16", "float16"))
    torch_alone, plan = (rows["start", name].seconds for name in ("import torch", "lesa plan --help"))
    text = page.PAGE.read_text("utf-8")
    assert f"{reuse} times as long with reuse, {line} with TaylorSeer, {lesa} with LESA" in text
    assert f"with eight samples in a call {least} to {most}." in text
    assert (
        f"takes {min(slower):.1f} to {max(slower):.1f} times its floor**, {min(more):.2f} to {max(more):.2f} ms" in text
    )
    assert f"{ours} and {theirs} plain runs, and {ours_many} and {theirs_many} with eight samples in a call." in text
    assert f"cache-dit takes {mask} and {mask_many}." in text
    assert f"{wide} % of a copy's speed in float32, {brain} % in bfloat16 and {half} % in float16**" in text
    assert f"of eight features {wide_8}, {brain_8} and {half_8} %." in text
    assert f"{torch_alone:.1f} of the {plan:.1f} seconds of `lesa plan --help`" in text


def test_the_page_says_what_the_committed_file_says():
    text = page.PAGE.read_text("utf-8")
    assert filled(text, page.section(read_results(page.FILE))) == text, "run python -m benchmarks.micro.page"
