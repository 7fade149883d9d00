"""`lesa eval`: compare configurations on the same prompts and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lesa_framework.cli import console, files, options, voice
from lesa_framework.cli.forecast import Job
from lesa_framework.cli.outlook import Outlook
from lesa_framework.cli.results import PATIENCE, deliver, few_batches, measured, require_all
from lesa_framework.config.loading import load_config
from lesa_framework.extras import check_installed
from lesa_framework.limits import MAX_PAIRS, MAX_PROMPTS, check_pairs
from lesa_framework.measure.page.render import check_report
from lesa_framework.measure.results import Pair
from lesa_framework.measure.tasks import comparison
from lesa_framework.pipelines import find_model
from lesa_framework.processes import device_of_process

#: How many pairs a report shows.
_SHOWN = 12


def command(
    configs: Annotated[list[str], typer.Argument(metavar="CONFIG", help="YAML files or presets to compare.")],
    model: options.ModelOrFitted = None,
    prompts: options.Prompts = None,
    count: Annotated[
        int, typer.Option(min=1, max=MAX_PROMPTS, help="How many prompts to draw when there is no --prompts.")
    ] = 8,
    prompt_seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="Seed of the drawn prompts.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=MAX_PAIRS, help="Number of seeds for each prompt.")] = 1,
    first_seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="The first seed.")] = 0,
    steps: options.StepsOrFitted = None,
    batch: Annotated[int, typer.Option(min=1, max=MAX_PAIRS, help="Images in each call of the pipeline.")] = 8,
    overrides: options.Overrides = [],  # noqa: B006 - typer copies it
    out: Annotated[Path | None, typer.Option(metavar="RESULTS.json", help="Where to write the results.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="REPORT.html", help="Where to write a page with images.")
    ] = None,
    as_json: options.AsJson = False,
    device: options.Device = None,
    height: options.Height = None,
    width: options.Width = None,
    guidance: options.Guidance = None,
    true_cfg: options.TrueCfg = None,
    negative_prompt: options.Negative = None,
    call: options.Call = [],  # noqa: B006 - typer copies it
) -> None:
    """Compare configurations on the same prompts and seeds.

    Adds the uncached run and, for every NFE, a plain run with that many steps. All methods take turns on each batch,
    so that their times can be compared. Steps, size, guidance and prompts that are not given are those that the
    configurations were fitted with.
    Several processes share the batches: torchrun --nproc-per-node 2 -m lesa_framework eval ...

    Example: lesa eval my-cache.yaml ref-flux-lesa-n7 --model reference:flux --seeds 2 --out results.json
    """
    job = Job()
    check_installed("lesa eval")
    loaded = [load_config(config, overrides) for config in configs]
    source = find_model(options.model_for(model, loaded))
    settings = options.generation_settings(
        source, steps, configs=loaded, height=height, width=width, guidance=guidance, true_cfg=true_cfg,
        negative_prompt=negative_prompt, call=call,
    )  # fmt: skip
    chosen = options.prompts_for(source, prompts, loaded, count, prompt_seed)
    files.check_results_files(out, report, [*map(Path, configs), *([prompts] if prompts else [])])
    if report is not None:
        check_report()
    check_pairs(len(chosen), seeds, "--seeds")
    pairs = [
        Pair(prompt=prompt, seed=first_seed + offset) for prompt in dict.fromkeys(chosen) for offset in range(seeds)
    ]
    bench = comparison(
        source, loaded, pairs, settings, batch=batch, images=_SHOWN if report is not None else 0, command=voice.line()
    )
    with console.together(PATIENCE) as world:
        few_batches(bench, world)
        look = Outlook(job, bench, out or report, numbers=out is not None, page=report is not None, beside=report)
        results = measured(bench, device_of_process(device), look, world)
    if world.is_first:
        deliver(results, out, report, as_json=as_json)
        job.done([path for path in (out, report) if path is not None])
        require_all(results)
