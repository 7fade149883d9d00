"""Writes the tables and the plot of docs/reference/speed.md from the committed full-size results.

`python -m benchmarks.speed_page` rewrites everything that is between markers on that page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.full_size.cases import CASES
from benchmarks.full_size.floor import NAME as FLOOR
from benchmarks.full_size.stopwatch import PARTS
from benchmarks.markup import ROOT, filled, folded, number, table
from benchmarks.speed_plot import write_plot
from lesa_framework.files import write_text
from lesa_framework.measure.results import Kind, ModelResults, Results, Row
from lesa_framework.measure.results_file import read_results
from lesa_framework.words import amount

FOLDER = ROOT / "benchmarks" / "results"
FILES = {name: FOLDER / f"full-size-{name}-nvidia-h200.json" for name in CASES}
PROBE = FOLDER / "probes" / "flux-18-blocks-nvidia-h200.json"
PAGE, PLOTS = ROOT / "docs" / "reference" / "speed.md", ROOT / "docs" / "images"
#: A peer whose work is further below its NFE than this, in uncached steps, is fast because it does less.
_LESS = 0.5
#: What was timed on 18 blocks: a description, and the key in the file with its two medians, or with one.
_PROBED = (
    ("the bare model", "bare_ms"),
    ("the same model with empty block lists", "floor_ms"),
    ("reuse, `pre_head`", "reuse"),
    ("TaylorSeer 1, `pre_head`", "taylor1"),
    ("TaylorSeer 2, `pre_head`", "taylor2"),
    ("TaylorSeer 2, `pre_head`, without the finite check", "taylor2_unchecked"),
    ("TaylorSeer 2, `output`", "taylor2_output"),
    ("compiled blocks, the bare model", "compiled_blocks_bare_ms"),
    ("compiled blocks, with a session", "compiled_blocks"),
)


def sections(every: Sequence[Results], probe: Mapping[str, object]) -> dict[str, str]:
    """What is between the markers of each name."""
    return {
        "summary": summary(every),
        "files": files(every),
        "ratios": ratios(every),
        "parts": parts(every),
        "check": check(every),
        "bandwidth": bandwidth(every),
        "memory": memory(every),
        "peers": peers(every),
        "blocks": blocks(probe),
    }


def summary(every: Sequence[Results]) -> str:
    """A line for each model: what LESA makes of its run."""
    rows = []
    for results in every:
        lesa, _, _ = _checked(results)
        bare, most = model_rows(results, Kind.UNCACHED)[0], limit(results) / lesa.nfe
        rows.append(
            [
                results.title, f"{lesa.nfe} of {lesa.num_steps}", number(bare.seconds, 2), number(lesa.seconds, 2),
                number(lesa.speedup, 2, "x"), number(most, 2, "x"), f"{lesa.cache_bytes / 2**20:.0f}",
            ]
        )  # fmt: skip
    headings = ["model", "computed steps", "uncached, s", "LESA, s", "faster", "at most", "history, MiB"]
    return table(headings, rows, words=1)


def files(every: Sequence[Results]) -> str:
    """Each file: what it is of, where it was measured, and how often."""
    rows = []
    for path, results in zip(FILES.values(), every, strict=True):
        (model,), machine = results.models, results.environment
        bare = model.details[model_rows(results, Kind.UNCACHED)[0].name]
        size, where = (
            model.properties["parameters"] / 1e9,
            f"{machine['device']}, torch {machine['torch']}, {machine['precision']}",
        )
        timed = amount(len(bare.seconds), "time")
        rows.append([results.title, f"{size:.1f} B", where, timed, f"`{path.name}`"])
    headings = ["model", "weights", "measured on", "each method timed", "file"]
    apart = sorted(spread for results in every for spread in _spreads(results))
    repeated = (
        f"Of the {len(apart)} methods of ours and plain runs that were timed twice, the slower repetition takes "
        f"{median(apart):.1%} longer than the faster one in the median, and {apart[-1]:.1%} at most."
    )
    return f"{table(headings, rows, words=5)}\n\n{repeated}"


def _spreads(results: Results) -> list[float]:
    """How much longer the slowest repetition takes than the fastest, for every method that is not a peer's."""
    (model,) = results.models
    timed = [model.details[row.name].seconds for row in results.rows if row.kind is not Kind.PEER]
    return [max(seconds) / min(seconds) - 1 for seconds in timed if len(seconds) > 1]


def ratios(every: Sequence[Results]) -> str:
    """Our methods and plain runs: how much of the ratio in computed steps becomes time."""
    rows = [
        [
            short(results), f"`{row.name}`", f"{row.nfe} of {row.num_steps}", f"{limit(results) / row.nfe:.2f}x",
            number(row.seconds, 3), number(row.speedup, 2, "x"), f"{row.speedup * row.nfe / limit(results):.0%}",
        ]
        for results in every
        for row in [*model_rows(results, Kind.UNCACHED), *model_rows(results, Kind.FEWER_STEPS, Kind.CACHE)]
        if row.speedup is not None
    ]  # fmt: skip
    return table(
        ["model", "method", "computed steps", "NFE ratio", "seconds", "time ratio", "time / NFE"], rows, words=2
    )


def parts(every: Sequence[Results]) -> str:
    """Milliseconds of a run by part, at the headline's computed steps."""
    shown = (*PARTS, "sampler")
    rows = []
    for results in every:
        (model,) = results.models
        for row in [*model_rows(results, Kind.UNCACHED), *headline(results)]:
            found = model.details[row.name].split_seconds
            cells = [f"{found[part] * 1e3:.0f}" for part in shown]
            rows.append([short(results), f"`{row.name}`", *cells, f"{1 - found['stack'] / sum(found.values()):.1%}"])
    return table(["model", "method", *(f"{part}, ms" for part in shown), "outside of the stack"], rows, words=2)


def check(every: Sequence[Results]) -> str:
    """What looking for NaNs costs."""
    rows = []
    for results in every:
        checked, unchecked, plain = _checked(results)
        cost, beyond = checked.seconds - unchecked.seconds, checked.seconds - plain.seconds
        calls = predicted_calls(results.models[0], checked.name)
        rows.append(
            [
                short(results), number(plain.speedup, 2, "x"), number(checked.speedup, 2, "x"),
                number(unchecked.speedup, 2, "x"), f"{cost * 1e3:.0f}", f"{cost * 1e3 / calls:.2f}",
                f"{cost / checked.seconds:.1%}", f"{cost / beyond:.0%} of {beyond * 1e3:.0f} ms",
            ]
        )  # fmt: skip
    headings = [
        "model", "as few plain steps", "LESA", "LESA, unchecked", "check, ms a run", "ms a predicted call",
        "of the run", "of what LESA takes beyond plain steps",
    ]  # fmt: skip
    return table(headings, rows, words=1)


def bandwidth(every: Sequence[Results]) -> str:
    """The filter against a copy of as many bytes."""
    rows, shares = [], []
    for results in every:
        (model,) = results.models
        for name, details in model.details.items():
            found = details.bandwidth
            if found is not None:
                calls = predicted_calls(model, name)
                moved = (found.bytes_read + found.bytes_written) / 2**20
                shares.append(found.share_of_copy)
                rows.append(
                    [
                        short(results), f"`{name}`", str(found.taps), f"{moved:.0f}", f"{found.seconds * 1e3:.3f}",
                        f"{found.bytes_per_second / 1e9:.0f}", f"{found.copy_bytes_per_second / 1e9:.0f}",
                        f"{found.share_of_copy:.0%}", f"{calls * found.seconds * 1e3:.1f}",
                        f"{calls * found.copy_seconds * 1e3:.1f}",
                    ]
                )  # fmt: skip
    headings = [
        "model", "predictor", "features", "MiB moved", "ms", "GB/s", "copy, GB/s", "share", "ms a run",
        "ms a run at a copy's speed",
    ]  # fmt: skip
    reached = f"**This falls short**: the filter reaches {min(shares):.0%} to {max(shares):.0%} of a copy's bandwidth."
    return f"{table(headings, rows, words=2)}\n\n{reached}"


def memory(every: Sequence[Results]) -> str:
    """Histories, and the peak with the weights."""
    rows = []
    for results in every:
        (model,), weights = results.models, results.models[0].properties["weights_bytes"]
        tap, calls = model.properties["tap"], len(model.properties["text_tokens"])
        for row in [*model_rows(results, Kind.UNCACHED), *headline(results)]:
            if row.kind is not Kind.FEWER_STEPS:
                peak = f"{(row.peak_bytes + weights) / 2**30:.2f}"
                rows.append(
                    [short(results), f"`{tap}`", str(calls), f"`{row.name}`", f"{row.cache_bytes / 2**20:.1f}", peak]
                )
    return table(["model", "tap", "branches", "method", "history, MiB", "peak with weights, GiB"], rows, words=4)


def peers(every: Sequence[Results]) -> str:
    """Other libraries' caches, and whether their rows compare with ours."""
    rows, remarks = [], []
    for results in every:
        for row in (each for each in model_rows(results, Kind.PEER) if each.family != FLOOR):
            if row.error is not None:
                remarks.append(f"- {short(results)}, `{row.name}` failed: {row.error}")
                continue
            ratio = limit(results) / row.work
            rows.append(
                [
                    short(results), f"`{row.name}`", f"{row.work:.1f} ({row.nfe})",
                    number(row.speedup, 2, "x"), f"{row.speedup / ratio:.0%}", f"{row.cache_bytes / 2**20:.0f}",
                    comparable(row),
                ]
            )  # fmt: skip
            if row.note:
                remarks.append(f"- {short(results)}, `{row.name}`: {row.note}")
    headings = ["model", "peer", "work (wanted)", "time ratio", "time / work", "cache, MiB", "comparable"]
    return "\n\n".join([table(headings, rows, words=2), folded("What the searches said", "\n".join(remarks))])


def comparable(row: Row) -> str:
    """Whether a peer did the work that it was asked for."""
    if row.over:
        return "no: did more"
    return "no: did less" if row.nfe - row.work > _LESS else "yes"


def blocks(probe: Mapping[str, object]) -> str:
    """A single step of FLUX-wide blocks, where launches show."""
    rows = []
    for what, key in _PROBED:
        found = probe[key]
        alone = not isinstance(found, Mapping)
        computed, predicted = (found, None) if alone else (found["computed_ms"], found["predicted_ms"])
        rows.append([what, number(computed, 2), number(predicted, 2)])
    return table(["18 FLUX-wide blocks", "computed step, ms", "predicted step, ms"], rows, words=1)


def short(results: Results) -> str:
    """The model's name, without its shape."""
    return results.title.partition(",")[0]


def limit(results: Results) -> int:
    """Steps of the uncached run."""
    return results.models[0].num_steps


def model_rows(results: Results, *kinds: Kind) -> list[Row]:
    """The rows of some kinds, most computed steps first."""
    return sorted((row for row in results.rows if row.kind in kinds), key=lambda row: -row.nfe)


def headline(results: Results) -> list[Row]:
    """Our methods and the plain run at the NFE that came first, which is the paper's headline."""
    first = next(row for row in results.rows if row.kind is Kind.CACHE)
    return [row for row in model_rows(results, Kind.FEWER_STEPS, Kind.CACHE) if row.nfe == first.nfe]


def _checked(results: Results) -> tuple[Row, Row, Row]:
    """LESA with and without the finite check, and the plain run of as many steps."""
    rows = {row.name: row for row in headline(results)}
    unchecked = next(name for name in rows if name.endswith("-unchecked"))
    plain = next(row for row in rows.values() if row.kind is Kind.FEWER_STEPS)
    return rows[unchecked.removesuffix("-unchecked")], rows[unchecked], plain


def predicted_calls(model: ModelResults, name: str) -> int:
    """Calls of the model in a run that were predicted, over all branches."""
    return sum(plan.count("P") for plan in model.details[name].plans.values())


def read() -> tuple[list[Results], dict[str, object]]:
    """The committed files."""
    return [read_results(path) for path in FILES.values()], json.loads(PROBE.read_text("utf-8"))


def main() -> None:
    """Rewrite the page and the plot."""
    every, probe = read()
    write_text(PAGE, filled(PAGE.read_text("utf-8"), sections(every, probe)))
    write_plot(every, PLOTS)


if __name__ == "__main__":
    main()
