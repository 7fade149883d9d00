"""`lesa search`: from a budget to a schedule with its predictor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lesa_framework.building import build_strategy
from lesa_framework.cli import console, files, options, stopping
from lesa_framework.cli.before_loading import say_before_loading
from lesa_framework.cli.forecast import Forecast, Job
from lesa_framework.cli.foreseen import GRADIENTS, model_of, trajectories
from lesa_framework.cli.prompts import different_prompts
from lesa_framework.cli.search_progress import Watch, how_to_resume
from lesa_framework.cli.search_result import tell
from lesa_framework.cli.written import fitted, room_of, searched
from lesa_framework.config.loading import load_config
from lesa_framework.config.nested import weights_beneath
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError, shortened
from lesa_framework.extras import PIPELINE, check_installed
from lesa_framework.generation import GenerationSettings, check_call
from lesa_framework.launcher import launched
from lesa_framework.pipelines import CallablePipeline, ModelSource, find_model, load_pipeline
from lesa_framework.plugin.manager import plugins
from lesa_framework.processes import device_of_process
from lesa_framework.runtime.uncached import uncached
from lesa_framework.search.budget import Budget, StepCost
from lesa_framework.search.cost import measure_cost
from lesa_framework.search.finished import asked_for, finished, remember
from lesa_framework.search.prompts import Prompts, divided
from lesa_framework.search.record import load_record
from lesa_framework.search.run import files_of, record_in, search, written_over
from lesa_framework.search.search import Limit
from lesa_framework.search.trial import guide_of, tapped
from lesa_framework.training.contract import check_fit_needs, check_reads_weights
from lesa_framework.training.task import make_task
from lesa_framework.words import amount

_BUDGET, _SEARCH = "Budget, one of these", "Search"
#: What is searched for by default; the first that is registered.
_PREDICTORS = ("fitted", "taylorseer")
_MINUTES, _MOST_MINUTES = 10.0, 100_000
#: How many prompts are drawn: closeness differs so much between prompts that fewer would choose by chance.
_DRAWN = 96
_NAME = re.compile(r"[\w][\w.+-]*")


def command(
    model: options.Model,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the configuration, its weights and the record.")],
    nfe: Annotated[int | None, typer.Option(help="Steps to compute.", rich_help_panel=_BUDGET)] = None,
    speedup: Annotated[
        float | None, typer.Option(help="Steps of the run over computed steps.", rich_help_panel=_BUDGET)
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Time of one sample on this machine; its steps are timed first.", rich_help_panel=_BUDGET),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of the sampler; by default the configuration's, usually 50.")
    ] = None,
    predictor: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="The predictor; by default 'fitted' if it is installed, else 'taylorseer'."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", "-c", metavar="FILE_OR_PRESET", help="Take everything but the schedule from a configuration."
        ),
    ] = None,
    overrides: options.Overrides = [],  # noqa: B006 - typer copies it
    prompts: options.Prompts = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="How long to search; the last fit comes after that. 10 by default.", rich_help_panel=_SEARCH),
    ] = None,
    tries: Annotated[
        int | None,
        typer.Option(
            help="Try this many candidates; then the same seed gives the same result.", rich_help_panel=_SEARCH
        ),
    ] = None,
    guide: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Try candidates with another predictor.", rich_help_panel=_SEARCH),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**31, help="Order of the candidates, prompts and noise.", rich_help_panel=_SEARCH),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the files; by default made from the others.")] = None,
    as_json: options.AsJson = False,
    device: options.Device = None,
    height: options.Height = None,
    width: options.Width = None,
    guidance: options.Guidance = None,
    true_cfg: options.TrueCfg = None,
    negative_prompt: options.Negative = None,
    call: options.Call = [],  # noqa: B006 - typer copies it
) -> None:
    """Search for the steps to compute within a budget, and fit the predictor to them.

    Writes DIR/NAME.yaml, DIR/NAME.safetensors where the predictor has weights, and what was tried: DIR/NAME.search.json
    and a page, DIR/NAME.html. You can stop it at any time: the same command resumes.
    Several processes share the prompts: torchrun --nproc-per-node 2 -m lesa_framework search ...

    Example: lesa search --model reference:flux --speedup 5 --out found
    """
    job = Job()
    check_installed("lesa search", (*PIPELINE, "jinja2"))
    budget = Budget(nfe, speedup, seconds)
    limit = _limit(minutes, tries)
    source = find_model(model)
    wanted = _config(config, predictor, overrides, model, steps, seed)
    guiding = guide_of(wanted, guide)
    settings = options.generation_settings(
        source, wanted.training.num_steps, configs=[wanted], height=height, width=width, guidance=guidance,
        true_cfg=true_cfg, negative_prompt=negative_prompt, call=call,
    )  # fmt: skip
    named_by = "--prompts" if prompts else "training.prompts_file"
    prompts = prompts or wanted.training.prompts_file
    chosen = different_prompts(prompts, named_by) if prompts else _drawn(source, wanted)
    wanted = options.remembering(wanted, source, settings, prompts, out)
    parts = divided(chosen, wanted.training.batch, wanted.training.seed, fits=guiding.predictor.has_fit())
    wanted = wanted.model_copy(update={"name": name_of(name, source, wanted, budget)})
    wanted = wanted.model_copy(update={"training": wanted.training.model_copy(update={"prompts": len(parts.fitted)})})
    inputs = [each for each in (Path(config) if config else None, prompts) if each]
    inputs += weights_beneath(wanted.predictor)
    files.check_out_folder(out, files_of(wanted.name), inputs=inputs)
    path = record_in(out, wanted.name)
    advice = stopping.advice_when_stopped(lambda: how_to_resume(path))
    asked = asked_for(wanted, guiding, budget, settings.call, parts, source.location)
    earlier = finished(wanted, out, asked, limit) if launched() is None else None
    if earlier is not None:
        tell(earlier, as_json=as_json)
        return
    check_fit_needs(wanted.predictor)
    for each in (wanted, guiding):
        if not each.predictor.has_fit():  # one with a fit is made when the model is there
            build_strategy(each)
    with console.together() as world, advice, Watch(limit) as watch:
        watch.announce(wanted, guiding, parts, None if seconds else budget.steps(settings.num_steps, _unmeasured))
        say_before_loading([source])
        pipe = load_pipeline(source, device=device_of_process(device))
        check_call(pipe, settings.call)
        wanted = tapped(wanted, pipe)
        _foresee(job, pipe, wanted, settings, parts, limit, out, watch.screen)
        guiding = guiding.model_copy(update={"backbone": wanted.backbone})
        # The processes agree on how long a step takes: the first one's clock counts.
        count = int(world.of_first(_count(budget, pipe, settings, wanted, path, chosen[0])))
        found = search(
            wanted, guiding, pipe, settings.call, parts, count, out, limit, watch.show, world, seconds=seconds
        )
    if world.is_first:
        remember(found, asked)
        tell(found, as_json=as_json)
        if not found.earlier:
            job.done([path for path in (found.config, found.weights, found.log, found.page) if path is not None])


def _foresee(
    job: Job,
    pipe: CallablePipeline,
    config: LesaConfig,
    settings: GenerationSettings,
    prompts: Prompts,
    limit: Limit,
    out: Path,
    screen: Console,
) -> None:
    """Say what a search will need, as far as that is known before it has measured anything."""
    steps, fits = settings.num_steps, config.predictor.has_fit()
    batch = max(len(each.prompts) for each in (*prompts.fit, *prompts.judge, prompts.quick))
    model = model_of(pipe, settings, batch, [(uncached("", steps), config.backbone)])
    job.device = model.device
    memory = model.memory(trajectories(model, len(prompts.fitted), steps), more=GRADIENTS * fits)
    size = None
    if fits:
        fit = config.predictor.fit(make_task(config, pipe, settings.call, prompts.fitted))
        size = fit.size(model.branches)
    tries = limit.tries or 0
    more = "" if limit.tries else "and some hundred bytes for each candidate that is tried"
    disk = room_of(out, [*searched(tries, prompts.tried), *fitted(size)], more)
    count = len(prompts.fitted) + prompts.judged
    then = f"then candidates in runs on up to {amount(batch, 'prompt')}"
    work = f"{amount(count, 'uncached run')} of {steps} steps, {then}"
    Forecast((work,), memory, disk, "said while it runs, once it is known").say(screen)


def name_of(name: str | None, source: ModelSource, config: LesaConfig, budget: Budget) -> str:
    """The name of the files.

    Raises:
        ConfigError: The given one cannot be a file's.
    """
    if name is not None:
        if not _NAME.fullmatch(name) or len(name) > 100:
            raise ConfigError(f"--name {shortened(name)}: give up to 100 letters, digits, dots and dashes.")
        return name
    model = re.sub(r"[^\w.]+", "-", source.name if source.named else Path(source.location).absolute().name).strip("-.")
    if budget.seconds is not None:
        return f"{model}-{config.predictor.kind}-{budget.seconds:g}s"
    return f"{model}-{config.predictor.kind}-nfe{budget.steps(config.training.num_steps, _unmeasured)}"


def _limit(minutes: float | None, tries: int | None) -> Limit:
    if tries is not None and tries < 1:
        raise ConfigError(f"--tries {tries}: must be at least 1; 100 are usual.")
    if minutes is not None and not 0 < minutes < _MOST_MINUTES:
        raise ConfigError(f"--minutes {minutes}: must be above 0 and below {_MOST_MINUTES:,}; 10 are usual.")
    if minutes is None:
        minutes = _MINUTES if tries is None else None
    return Limit(tries, None if minutes is None else 60 * minutes)


def _config(
    config: str | None, predictor: str | None, overrides: list[str], model: str, steps: int | None, seed: int | None
) -> LesaConfig:
    for text in overrides:
        if text.strip().startswith("schedule"):
            raise ConfigError(f"--set {shortened(text)}: the schedule is what is searched for. Leave it out.")
    if steps is not None:
        options.check_steps(steps)
    given = {
        "predictor.kind": predictor or (None if config else _default_predictor()),
        "training.num_steps": steps,
        "training.seed": seed,
    }
    ours = ["schedule.kind=steps", "schedule.compute=[0]"]
    ours += [f"{key}={value}" for key, value in given.items() if value is not None]
    loaded = load_config(config or {}, [*ours, *overrides])
    if loaded.predictor.has_fit():
        check_reads_weights(loaded.predictor)
    return loaded.model_copy(update={"training": loaded.training.model_copy(update={"model": model})})


def _default_predictor() -> str | None:
    known = plugins().registry.predictors
    return next((each for each in _PREDICTORS if each in known), None)


def _drawn(source: ModelSource, config: LesaConfig) -> list[str]:
    given = "prompts" in config.training.model_fields_set
    count = config.training.prompts if given else _DRAWN
    return options.draw_prompts(source, count, config.training.seed, training=True)


def _unmeasured() -> StepCost:
    raise AssertionError("only a budget in seconds is measured")


def _count(
    budget: Budget, pipe: CallablePipeline, settings: GenerationSettings, config: LesaConfig, path: Path, prompt: str
) -> int:
    if budget.seconds is None:
        return budget.steps(settings.num_steps, _unmeasured)
    record = load_record(path, written_over(path.parent, config))
    about = {} if record is None else record.about
    if about.get("seconds") == budget.seconds and isinstance(about.get("nfe"), int):
        return int(about["nfe"])  # a resumed search keeps its budget, however busy the machine is now
    cost = measure_cost(pipe, settings, config, prompt)
    nfe = budget.steps(settings.num_steps, lambda: cost)
    console.note(
        f"a computed step takes {cost.computed:.3g} s, a predicted one {cost.predicted:.3g} s, and everything around "
        f"them {cost.around:.3g} s: {nfe} of {settings.num_steps} steps can be computed in {budget.seconds:g} s."
    )
    return nfe
