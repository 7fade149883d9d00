"""`lesa train`: fit a predictor to a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import TextColumn, TimeRemainingColumn

from lesa_framework.cli import console, files, options, stopping
from lesa_framework.cli.before_loading import say_before_loading
from lesa_framework.cli.forecast import Forecast, Job
from lesa_framework.cli.foreseen import GRADIENTS, model_of, trajectories
from lesa_framework.cli.inspection import OF_THE_FIT
from lesa_framework.cli.prompts import different_prompts
from lesa_framework.cli.try_it import try_it
from lesa_framework.cli.written import fitted, room_of
from lesa_framework.config.loading import load_config
from lesa_framework.config.nested import weights_beneath
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.extras import check_installed
from lesa_framework.generation import GenerationSettings, check_call
from lesa_framework.interfaces.fit import Fit
from lesa_framework.interfaces.fit import Progress as Step
from lesa_framework.pipelines import CallablePipeline, find_model, load_pipeline
from lesa_framework.processes import device_of_process
from lesa_framework.runtime.uncached import uncached
from lesa_framework.training.fit_files import FitFiles
from lesa_framework.training.run import RESUMING, Trained, check_has_fit, train
from lesa_framework.words import amount


def command(
    config: options.Config,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for weights, configuration and log.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model to train on; by default the config's training.model.")
    ] = None,
    prompts: options.Prompts = None,
    overrides: options.Overrides = [],  # noqa: B006 - typer copies it
    as_json: options.AsJson = False,
    device: options.Device = None,
    height: options.Height = None,
    width: options.Width = None,
    guidance: options.Guidance = None,
    true_cfg: options.TrueCfg = None,
    negative_prompt: options.Negative = None,
    call: options.Call = [],  # noqa: B006 - typer copies it
) -> None:
    """Train the predictor of a configuration.

    Writes DIR/NAME.safetensors, DIR/NAME.yaml (a configuration that uses it) and DIR/NAME.json (the log).
    You can stop it at any time: the same command resumes from the last checkpoint. Training by gradient saves one after
    each pass or every ten iterations; other fits save none, so they start afresh.
    Several processes share the prompts: torchrun --nproc-per-node 2 -m lesa_framework train ...

    Example: lesa train --config ref-flux-lesa-n7 --out trained --set training.closed_loop_epochs=5
    """
    job = Job()
    check_installed("lesa train")
    loaded = load_config(config, overrides)
    name = model or loaded.training.model
    if name is None:
        raise ConfigError("--model: the configuration names no training.model. Give one, for example reference:flux.")
    check_has_fit(loaded)
    source = find_model(name)
    settings = options.generation_settings(
        source, loaded.training.num_steps, configs=[loaded], height=height, width=width, guidance=guidance,
        true_cfg=true_cfg, negative_prompt=negative_prompt, call=call,
    )  # fmt: skip
    named_by = "--prompts" if prompts else "training.prompts_file"
    prompts = prompts or loaded.training.prompts_file
    loaded = options.remembering(loaded, source, settings, prompts, out)
    chosen = (
        different_prompts(prompts, named_by)
        if prompts
        else options.draw_prompts(source, loaded.training.prompts, loaded.training.seed, training=True)
    )
    of_fit = FitFiles(out, loaded.name)
    inputs = [Path(config), *([prompts] if prompts else []), *weights_beneath(loaded.predictor)]
    files.check_out_folder(out, [path.name for path in of_fit.all], inputs=inputs)
    with console.together() as world:
        console.announce(
            f"fitting '{loaded.predictor.kind}' to {name}: {amount(len(chosen), 'prompt')} in batches of "
            f"{loaded.training.batch}, {settings.num_steps} steps, to {out}. "
            "Stop when you like: the same command resumes from the last checkpoint, or starts afresh if there is none."
        )
        if loaded.training.batch < min(world.size, len(chosen)):
            console.note(_idle(loaded.training.batch, world.size))
        say_before_loading([source])
        pipe = load_pipeline(source, device=device_of_process(device))
        check_call(pipe, settings.call)
        with stopping.advice_when_stopped(lambda: _how_to_resume(of_fit.checkpoint)), _Bar() as bar:

            def begin(fit: Fit) -> None:
                batch = -(-min(loaded.training.batch, len(chosen)) // world.size)
                _foresee(job, pipe, fit, loaded, settings, batch, out, bar.screen)

            trained = train(loaded, pipe, settings.call, chosen, out, bar.show, world=world, begin=begin)
        _show(trained, of_fit.checkpoint, as_json=as_json)
        if not trained.earlier:
            job.done(of_fit.all)


def _idle(batch: int, processes: int) -> str:
    """What it means that a batch has fewer prompts than there are processes: they sample only to keep in step."""
    them = "one of them does" if processes - batch == 1 else f"{processes - batch} of them do"
    return (
        f"{processes} processes share each batch, and training.batch is {batch}: {them} nothing that counts. "
        f"Use --set training.batch={processes}, or more."
    )


def _foresee(
    job: Job,
    pipe: CallablePipeline,
    fit: Fit,
    config: LesaConfig,
    settings: GenerationSettings,
    batch: int,
    out: Path,
    screen: Console,
) -> None:
    """Say what a fit will do and need."""
    steps = settings.num_steps
    model = model_of(pipe, settings, batch, [(uncached("", steps), config.backbone)])
    job.device = model.device
    size = fit.size(model.branches)
    memory = model.memory(depth=fit.predictor.depth, more=GRADIENTS)
    disk, work = None, f"runs of {steps} steps on up to {amount(batch, 'prompt')} each"
    if size is not None:
        memory = model.memory(
            trajectories(model, size.kept, steps), depth=fit.predictor.depth, more=GRADIENTS
        )  # fmt: skip
        disk, work = room_of(out, fitted(size)), f"{amount(size.parts, 'part')}, each one or more {work}"
    Forecast((work,), memory, disk, "said after the first parts, and corrected as the work goes on").say(screen)


def _show(trained: Trained, checkpoint: Path, *, as_json: bool) -> None:
    if trained.earlier:
        them = f"it and {checkpoint}" if checkpoint.exists() else "it"  # its state may be the last one
        console.note(f"nothing is left to do: {trained.weights} is from this training. Delete {them} to train again.")
    if as_json:
        result = {"weights": str(trained.weights), "config": str(trained.config), "drift_db": trained.drift_db}
        typer.echo(json.dumps(result, indent=2))
        return
    closeness = ""
    if trained.drift_db is not None:
        decibels = f"{trained.drift_db:.2f} dB, in the fit: {OF_THE_FIT}"
        closeness = f" (closeness of the latents to the uncached run's: {decibels})"
    print_ = console.results().print
    wrote = "" if trained.earlier else "wrote "
    print_(f"{wrote}{trained.weights}{closeness}", soft_wrap=True)
    for line in try_it(trained.config):
        print_(line, soft_wrap=True)


def _how_to_resume(checkpoint: Path) -> str:
    if checkpoint.exists():
        return f"stopped. The same command resumes from {checkpoint}."
    return "stopped before anything was saved. The same command starts afresh."


class _Bar(console.Bar):
    """Progress over batches, with the newest loss: a bar on a terminal, a line for every tenth elsewhere."""

    def __init__(self) -> None:
        note = TextColumn("{task.fields[note]}", markup=False)
        super().__init__("recording", 12, TimeRemainingColumn(), note, transient=False)
        self._tenths, self._remaining = console.Tenths(), console.Remaining()
        self._said, self._stage = False, ""

    def show(self, step: Step) -> None:
        """Show one finished batch, or what is left of a training that resumes."""
        if step.stage == RESUMING:
            left = f": {step.done} of {step.total} parts are done, {step.total - step.done} are left" * bool(step.total)
            self.screen.print(f"resuming the stopped training{left}.")
            return
        parts = [f"pass {step.epoch + 1}"]
        if step.loss is not None:
            parts.append(f"loss {step.loss:.4f} of one batch")
        if step.drift_db is not None:
            parts.append(f"{step.drift_db:.2f} dB on {'held-out prompts' if step.held_out else 'this batch'}")
        note = ", ".join(parts)
        self._bar.update(self._task, description=step.stage, total=step.total, completed=step.done, note=note)
        if step.stage != self._stage:  # its first part does what the others need not do again
            self._stage = step.stage
            self._remaining.start(step.done)
        percent = self._tenths.reached(step.done, step.total)
        left = self._remaining.words(step.done, step.total)
        if not self._terminal and percent is not None:
            self.screen.print(f"{percent:3d}% {step.stage}, {note}{left}", soft_wrap=True)
        elif left and not self._said:
            self.screen.print(f"the first parts are done{left}")
        self._said |= bool(left)
