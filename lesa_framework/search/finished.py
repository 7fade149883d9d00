"""Whether a search is finished, told by its files alone, before a model is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lesa_framework.config.schema import LesaConfig
from lesa_framework.files import is_file, is_folder
from lesa_framework.fingerprints import canonical
from lesa_framework.pipelines import pipeline_files
from lesa_framework.search.budget import Budget
from lesa_framework.search.identity import settings_of
from lesa_framework.search.prompts import Prompts
from lesa_framework.search.record import Finished, Record, load_record
from lesa_framework.search.run import Found, found_in, record_in, written_over
from lesa_framework.search.search import Limit


def asked_for(
    config: LesaConfig, guide: LesaConfig, budget: Budget, call: Mapping[str, Any], prompts: Prompts, model: str
) -> str | None:
    """A fingerprint of all that a search is asked for; None where the model's files are not known.

    The model goes by the names, sizes and times of its files. Where these differ it is loaded, and goes by its numbers.

    Args:
        config: What is searched for.
        guide: What candidates are tried with.
        budget: Steps to compute.
        call: Keyword arguments of the pipeline's call.
        prompts: What to fit and to judge on.
        model: The folder of the pipeline, or a hub id.
    """
    folder = Path(model)
    if not is_folder(folder):
        return None
    try:
        told = pipeline_files(folder)
        settings = [settings_of(each) for each in (config, guide)]
    except OSError:  # the search will say what is wrong
        return None
    batches = [[batch.prompts, batch.seeds] for batch in (*prompts.fit, *prompts.judge)]
    asked = [version("lesa-framework"), settings, asdict(budget), dict(call), batches, told]
    return _hash(canonical(asked).encode())


def remember(found: Found, asked: str | None) -> None:
    """Note in its record that a search has ended, for `finished`."""
    record, files = found.record, _files(found)
    if asked is not None:
        record.finished = Finished(
            asked=asked, grown=_grown(record), exhausted=found.exhausted,
            files={path.name: _hash(path.read_bytes()) for path in files},
        )  # fmt: skip
        record.save(found.log)


def finished(config: LesaConfig, out: Path, asked: str | None, limit: Limit) -> Found | None:
    """What an earlier search has found; None when something is left to do, or when only the model can tell.

    Args:
        config: What is searched for.
        out: The folder of its files.
        asked: What `asked_for` gave.
        limit: When to end.

    Raises:
        ConfigError: What is in the place of the record is none.
    """
    record = load_record(record_in(out, config.name), written_over(out, config))
    end = record.finished if record is not None else None
    if record is None or end is None or (end.asked, end.grown) != (asked, _grown(record)):
        return None
    found = found_in(out, config, record, earlier=True, exhausted=end.exhausted)
    there = {path.name: _hash(path.read_bytes()) for path in _files(found) if is_file(path)}
    return found if there == end.files and (end.exhausted or limit.is_used_up(record)) else None


def _grown(record: Record) -> tuple[int, int]:
    return len(record.tried), len(record.compared)


def _files(found: Found) -> list[Path]:
    return [each for each in (found.config, found.weights, found.page) if each is not None]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
