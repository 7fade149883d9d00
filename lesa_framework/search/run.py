"""From a configuration and a number of steps to files: what `lesa search` does for any predictor."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lesa_framework.config.loading import dump_config, load_config
from lesa_framework.config.schema import LesaConfig
from lesa_framework.errors import ConfigError
from lesa_framework.files import is_file, write_bytes, write_text
from lesa_framework.interfaces.fit import Progress
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.processes import ALONE, World
from lesa_framework.search.candidates import Steps, starts
from lesa_framework.search.identity import about
from lesa_framework.search.page import write_page
from lesa_framework.search.prompts import Prompts
from lesa_framework.search.record import Record, Tried, afresh, load_record
from lesa_framework.search.search import Limit, Search, reserve
from lesa_framework.search.trial import PipelineTrials, steps_config
from lesa_framework.training.fit_files import FitFiles
from lesa_framework.training.run import train


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is.

    Attributes:
        stage: What is being done.
        share: How much of this stage is done, from 0 to 1.
        record: What was tried so far.
        newest: The candidate that was judged last; None in other stages.
        fit: The progress of the fit at the end; None in other stages.
    """

    stage: Literal["first fit", "recording", "searching", "fitting"]
    share: float
    record: Record
    newest: Tried | None = None
    fit: Progress | None = None


@dataclass(frozen=True)
class Found:
    """What a search ended with.

    Attributes:
        config: The configuration.
        weights: The numbers that were fitted, or a copy of those that the predictor brought along; None where it has
            none.
        log: The record.
        page: What was tried, to look at.
        record: Its content.
        earlier: Whether nothing was left to do.
        exhausted: Whether every candidate was tried.
    """

    config: Path
    weights: Path | None
    log: Path
    page: Path
    record: Record
    earlier: bool
    exhausted: bool


def found_in(out: Path, config: LesaConfig, record: Record, *, earlier: bool, exhausted: bool) -> Found:
    """What a search for a configuration ends with in a folder."""
    files = FitFiles(out, config.name)
    has_weights = config.predictor.has_fit() or config.predictor.weights_file is not None
    return Found(
        config=files.config, weights=files.weights if has_weights else None, log=record_in(out, config.name),
        page=_page(out, config.name), record=record, earlier=earlier, exhausted=exhausted,
    )  # fmt: skip


def record_in(out: Path, name: str) -> Path:
    """Where a search of that name writes what it has tried."""
    return out / f"{name}.search.json"


def _page(out: Path, name: str) -> Path:
    return out / f"{name}.html"


def written_over(out: Path, config: LesaConfig) -> list[Path]:
    """The files in a folder that a search for the configuration would replace by others, or delete."""
    files, brought = FitFiles(out, config.name), config.predictor.weights_file
    if config.predictor.has_fit():
        own = [files.config, files.weights, files.log, files.checkpoint]
    elif brought is None or (is_file(files.weights) and files.weights.read_bytes() == brought.read_bytes()):
        own = [files.config]
    else:
        own = [files.config, files.weights]
    return [each for each in own if is_file(each)]


def files_of(name: str) -> list[str]:
    """The files that a search writes in its folder."""
    here = Path()
    return [path.name for path in (*FitFiles(here, name).all, record_in(here, name), _page(here, name))]


def search(
    config: LesaConfig,
    guide: LesaConfig,
    pipe: CallablePipeline,
    call: Mapping[str, Any],
    prompts: Prompts,
    nfe: int,
    out: Path,
    limit: Limit,
    progress: Callable[[SearchProgress], None] = lambda _: None,
    world: World = ALONE,
    *,
    seconds: float | None = None,
) -> Found:
    """Search for the steps to compute, and fit the predictor to them.

    An interrupted search resumes when it is started again with the same `out`. With a higher limit it goes on.

    Args:
        config: Router, predictor, tap and training; its schedule is replaced.
        guide: What candidates are tried with; see `guide_of`.
        pipe: The pipeline; its weights are frozen.
        call: Keyword arguments of its call.
        prompts: What to fit and to judge on.
        nfe: Steps to compute.
        out: Folder for the files of `files_of(config.name)`.
        limit: When to end.
        progress: Called after every part.
        world: The processes that share the prompts, each with a pipeline of its own. The first one writes, and its
            clock counts.
        seconds: The budget that `nfe` was found from, for the record.

    Raises:
        ConfigError: The predictor needs more steps than that, the pipeline refuses the call, or `out` holds another
            search.
        ArtifactError: `out` holds a checkpoint of the fit that cannot be read.
        LesaError: The fit at the end diverged. Or another process ended.
        OSError: A file of weights cannot be read.
    """
    trials = PipelineTrials(guide, pipe, call, prompts, world)
    fixed = trials.fixed(config)
    if len(fixed) > nfe:
        raise ConfigError(
            f"predictor.kind: '{config.predictor.kind}' needs {len(fixed)} computed steps before it predicts, and the "
            f"budget is {nfe}. Raise the budget, or choose another predictor."
        )
    path = record_in(out, config.name)
    record = _opened(path, config, {**about(config, guide, pipe, call, prompts, nfe), "seconds": seconds}, prompts)
    if not world.agrees(hashlib.sha256(record.model_dump_json().encode()).digest()):
        raise ConfigError(
            f"--out {out}: the processes do not make the same search: they were given other settings, prompts or "
            "weights, or find other files there. Start all with the same command, and a folder that they share."
        )
    begin = starts(nfe, trials.sigmas, fixed)

    def save() -> None:
        if world.is_first:
            record.save(path)

    def clock() -> float:
        return world.of_first(time.monotonic())

    searching = Search(trials, record, begin, len(trials.sigmas) - 1, fixed, config.training.seed, save, clock)
    tried = len(record.tried) + len(record.compared)
    if not searching.is_finished(limit):
        _record(trials, begin[0], config, record, len(prompts.fitted) + prompts.judged, progress, clock)
        for newest in searching.run(limit):
            share = min(1.0, limit.share(len(record.tried), record.seconds + reserve(record)))
            progress(SearchProgress("searching", share, record, newest))
    best = record.outcome
    assert best is not None
    config = config.model_copy(update={"schedule": steps_config(best.steps)})
    earlier = tried == len(record.tried) + len(record.compared)
    if config.predictor.has_fit():
        earlier &= _fitted(config, pipe, call, prompts, out, record, trials, progress, world, save)
    found = found_in(out, config, record, earlier=earlier, exhausted=searching.is_exhausted())
    if world.is_first:
        _write(config, found)
    return found


def _write(config: LesaConfig, found: Found) -> None:
    """The page, and the configuration with its weights if it has no fit that writes them."""
    if not config.predictor.has_fit():
        file = config.predictor.weights_file
        if file is not None and found.weights is not None:  # beside the configuration, so that the folder may be moved
            write_bytes(found.weights, file.read_bytes())
            predictor = config.predictor.model_copy(update={"weights": Path(found.weights.name)})
            config = config.model_copy(update={"predictor": predictor})
        write_text(found.config, dump_config(config))
    write_text(found.page, write_page(found.record, found.config, exhausted=found.exhausted))


def _record(
    trials: PipelineTrials,
    first: Steps,
    config: LesaConfig,
    record: Record,
    count: int,
    progress: Callable[[SearchProgress], None],
    clock: Callable[[], float],
) -> None:
    started = clock()
    if not record.compared:
        trials.try_out(first, config, lambda done: progress(SearchProgress("first fit", done, record)))
    trials.record(lambda done: progress(SearchProgress("recording", done / count, record)))
    if not record.compared:  # a search that resumes loses none of its time
        record.seconds += clock() - started


def _fitted(
    config: LesaConfig,
    pipe: CallablePipeline,
    call: Mapping[str, Any],
    prompts: Prompts,
    out: Path,
    record: Record,
    trials: PipelineTrials,
    progress: Callable[[SearchProgress], None],
    world: World,
    save: Callable[[], None],
) -> bool:
    """Fit the predictor to the best steps, and judge it; whether that was done earlier."""
    best = record.outcome
    assert best is not None
    if record.fitting != best.steps:
        # What an earlier, shorter search was fitting is of no use.
        if world.is_first:
            FitFiles(out, config.name).checkpoint.unlink(missing_ok=True)
        record.fitting, record.final = best.steps, None
        save()
        world.wait()

    def show(step: Progress) -> None:
        progress(SearchProgress("fitting", step.done / max(1, step.total), record, fit=step))

    trained = train(config, pipe, call, prompts.fitted, out, show, {"search": _provenance(record, best)}, world)
    if trained.earlier and record.final is not None:
        return True
    predictor = load_config(trained.config).predictor.build()
    record.final = Tried(steps=best.steps, db=trials.judge(best.steps, predictor, prompts.judge), at=record.seconds)
    save()
    return False


def _provenance(record: Record, best: Tried) -> dict[str, Any]:
    return {
        **{key: record.about[key] for key in ("nfe", "seed", "guide", "fit_prompts", "tried_prompts", "judge_prompts")},
        "tries": len(record.tried),
        "seconds": round(record.seconds, 1),
        "judged_db": round(best.mean, 3),
        "even_db": round(record.compared[0].mean, 3),
    }


def _opened(path: Path, config: LesaConfig, about: Mapping[str, Any], prompts: Prompts) -> Record:
    """The record of this search, as far as it is there."""
    beside = written_over(path.parent, config)
    record = load_record(path, beside)
    said = dict(about)
    fingerprint = said.pop("fingerprint")
    if record is None:
        if beside:
            raise ConfigError(
                f"--out {beside[0]}: is there already, without the record of a search beside it. {afresh(path, beside)}"
            )
        return Record(fingerprint=fingerprint, about=said, whole=prompts.tried)
    if record.fingerprint != fingerprint:
        raise ConfigError(
            f"--out {path}: is the record of another search: of another model, other prompts or other settings. "
            f"{afresh(path, beside)}"
        )
    record.about = said
    return record
