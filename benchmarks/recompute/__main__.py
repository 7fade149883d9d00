"""Measures the rows of the pages' claims and of reference.json on pairs of its own, and says which claims hold.

    python -m benchmarks.recompute                                # a run that was interrupted goes on
    python -m benchmarks.recompute --prompts 4 --out /tmp/few.json  # fewer pairs, elsewhere

Rows whose weights, steps or pairs have changed are measured again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers

from benchmarks.recompute.claims import SYSTEMS, Claim, is_measured, judged, published_scores, read_claims
from benchmarks.recompute.gates import gate, gate_digest, is_gate
from benchmarks.recompute.methods import CALLS, REFERENCE, ROOT, digest, method, published
from benchmarks.recompute.page import PAGE, written
from benchmarks.recompute.plain import load, psnr, sample
from benchmarks.recompute.work import blocks_of, counted, sizes_of, work

OUT = ROOT / "benchmarks" / "results" / "recomputed.json"
#: Every results file whose prompts are not to be used again.
_LOOKED_AT = ("reference.json", "reference-selection.json", "fitted.json")
#: Draws that presets were chosen on (docs/reference/fitted.md): seed and how many prompts.
CHOSEN_ON = ((777, 40), (778, 100))


def drawn(model: str, seed: int, count: int) -> list[str]:
    """Held-out prompts of a bundled model, drawn by its command in a process of its own."""
    command = [sys.executable, "-m", "lesa_reference.prompts", model, "--seed", str(seed), "--count", str(count)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def fresh(model: str, seed: int, count: int) -> list[str]:
    """Prompts that no table was made of and no preset chosen on."""
    lines = drawn(model, seed, 2 * count)
    used = {prompt for chosen in CHOSEN_ON for prompt in drawn(model, *chosen)}
    for name in _LOOKED_AT:
        for each in json.loads((OUT.parent / name).read_text("utf-8"))["models"]:
            used |= {pair["prompt"] for pair in each["pairs"]}
    return [line for line in lines if line not in used][:count]


class Bench:
    """One model, its pairs, and its uncached pictures as soon as they are asked for.

    Args:
        model: `flux`, `qwen_image` or `hunyuan_video`.
        pairs: (prompt, seed) of each sample.
        batch: Samples at once.
    """

    def __init__(self, model: str, pairs: Sequence[tuple[str, int]], batch: int) -> None:
        self.model, self.batches = model, [pairs[n : n + batch] for n in range(0, len(pairs), batch)]
        pipe = self._load()
        self.uncached = [self._pictures(pipe, batch) for batch in self.batches]
        self.sigmas = pipe.scheduler.sigmas.double().numpy()

    def row(self, name: str) -> dict[str, list[float]]:
        """PSNR of each pair against the uncached picture; of a cache that decides by itself, each batch's work too."""
        pipe, decides = self._load(), is_gate(name)
        if decides:
            row = gate(name, self.model, pipe, lambda: self._pictures(pipe, self.batches[0]))
        else:
            row = method(name, self.model, self.sigmas)
        blocks, scores, works = blocks_of(pipe.transformer) if decides else {}, [], []
        for pairs, wanted in zip(self.batches, self.uncached, strict=True):
            with row.attach(pipe), counted(blocks) as runs:
                scores += psnr(self._pictures(pipe, pairs, row.steps), wanted)
            works.append(runs)
        found = {"psnr_db": [round(each, 4) for each in scores]}
        return found | {"work": [round(work(runs, self.sizes), 4) for runs in works]} if decides else found

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Of the blocks."""
        pipe = self._load()
        return sizes_of(pipe.transformer, lambda: self._pictures(pipe, self.batches[0][:1], 1))

    def _load(self) -> Any:
        """A pipeline for each row: other libraries leave traces in one."""
        return load(str(REFERENCE / "models" / self.model))

    def _pictures(self, pipe: Any, pairs: Sequence[tuple[str, int]], steps: int = 50) -> torch.Tensor:
        prompts, seeds = zip(*pairs, strict=True)
        return sample(pipe, CALLS[self.model], prompts, seeds, steps)[0]


def measure(found: dict[str, Any], claims: Sequence[Claim], model: str, settings: argparse.Namespace) -> Iterator[str]:
    """Measure what is missing of a model, and yield after each row."""
    prompts = fresh(model, settings.seed, settings.prompts)
    pairs = [(prompt, seed) for seed in settings.seeds for prompt in prompts]
    kept = found["models"].get(model, {})
    rows = kept["rows"] if kept.get("pairs") == [list(pair) for pair in pairs] else {}
    how = {"seed": settings.seed, "batch": settings.batch, "torch": torch.__version__}
    found["models"][model] = {**how, "pairs": [list(pair) for pair in pairs], "rows": rows}
    named = [name for claim in claims if claim.model == model and claim.is_recomputed for name in claim.rows]
    named += [name for name in published(model) if is_measured(name)]
    # cache-dit changes classes, so its rows are the last; the others as the pages need them, README.md first.
    digests = {
        name: (gate_digest if is_gate(name) else digest)(name, model, settings.batch)
        for name in sorted(dict.fromkeys(named), key=lambda name: "cache_dit" in name)
    }
    missing = [name for name, wanted in digests.items() if rows.get(name, {}).get("digest") != wanted]
    if missing:
        bench = Bench(model, pairs, settings.batch)
        for name in missing:
            rows[name] = {"digest": digests[name], **bench.row(name)}
            yield name
    found["models"][model]["rows"] = {name: rows[name] for name in sorted(digests)}


def left_out(model: str) -> list[str]:
    """Rows of reference.json that there is no code for here."""
    return [name for name, row in published(model).items() if not is_measured(name) and row["kind"] != "uncached"]


def judge(found: dict[str, Any], claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """All claims that can be judged with the rows that there are."""
    judgements = []
    for claim in claims:
        measured = found["models"].get(claim.model, {"pairs": [], "rows": {}})
        rows = {name: row["psnr_db"] for name, row in measured["rows"].items()}
        if set(claim.rows) <= set(rows):
            judgements.append(judged(claim, rows, [prompt for prompt, _ in measured["pairs"]]))
    return judgements


def show(found: dict[str, Any], claims: Sequence[Claim]) -> None:
    """Print the table."""
    for model, measured in found["models"].items():
        published = published_scores(model, "reference", "fitted")
        print(f"\n{SYSTEMS[model][0]}, {len(measured['pairs'])} pairs; PSNR in dB, and that of the published pairs")
        for name, row in measured["rows"].items():
            print(f"  {name:42} {np.mean(row['psnr_db']):6.2f} {published[name]:6.2f}")
    print(f"\n{'claim':88} {'published':>9}  {'recomputed':24} outcome")
    for each in found["claims"]:
        mean, low, high = each["recomputed"]
        text = f"{SYSTEMS[each['model']][0]}: {each['text']}"
        value = f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
        print(f"{text:88} {each['published'][0]:+9.2f}  {value:24} {each['verdict']}: {each['outcome']}")
    for claim in claims:
        if not claim.is_recomputed:
            print(f"not recomputed: {SYSTEMS[claim.model][0]}: {claim.text} ({claim.ours}, {claim.theirs})")
    for model in found["models"]:
        for name in left_out(model):
            print(f"not recomputed: {SYSTEMS[model][0]}: {name}")


def write(path: Path, found: dict[str, Any]) -> None:
    """Write the file, all or nothing."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    partial.replace(path)


def main() -> None:
    """Measure, judge, write the file and the page's rows, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--seed", type=int, default=90213, help="draws the prompts")
    parser.add_argument("--prompts", type=int, default=32, help="how many for each model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1001], help="of the noise, for each prompt")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args()
    if settings.prompts < 2:
        parser.error("--prompts: an interval over prompts needs at least 2")
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()  # a pipeline is loaded for each row
    claims = read_claims()
    found = json.loads(settings.out.read_text("utf-8")) if settings.out.exists() else {"models": {}}
    for model in settings.models:
        for name in measure(found, claims, model, settings):
            print(f"{model}: {name}", file=sys.stderr)
            write(settings.out, found)
    loaded = sorted(name for name in sys.modules if name.partition(".")[0].startswith("lesa_"))
    if loaded:
        sys.exit(f"This was to be independent, but these were loaded: {', '.join(loaded)}")
    found["models"] = {model: found["models"][model] for model in SYSTEMS if model in found["models"]}
    found["claims"] = judge(found, claims)
    write(settings.out, found)
    if settings.out == OUT:
        PAGE.write_text(written(PAGE.read_text("utf-8"), found), "utf-8")
    show(found, claims)


if __name__ == "__main__":
    main()
