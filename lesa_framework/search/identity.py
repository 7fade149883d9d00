"""What tells one search from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lesa_framework.config.schema import LesaConfig
from lesa_framework.fingerprints import canonical
from lesa_framework.pipelines import CallablePipeline
from lesa_framework.place import place_of
from lesa_framework.search.prompts import Prompts
from lesa_framework.training.run import by_content


def settings_of(config: LesaConfig, **left_out: Any) -> dict[str, Any]:
    """A configuration's settings as JSON values; files of weights go by what is in them.

    The predictor's own weights are left out where it has a fit, which makes them anew.

    Args:
        config: The configuration.
        left_out: Sections that do not count: True, or the names of the settings in it that do not.

    Raises:
        OSError: A file of weights cannot be read.
    """
    if config.predictor.has_fit():
        unfitted = config.predictor.model_copy(update={"weights": None})
        config, left_out = config.model_copy(update={"predictor": unfitted}), {**left_out, "predictor": {"weights"}}
    settings = config.model_dump(mode="json", exclude=left_out)
    return {**settings, "predictor": by_content(settings["predictor"])}


def about(
    config: LesaConfig,
    guide: LesaConfig,
    pipe: CallablePipeline,
    call: Mapping[str, Any],
    prompts: Prompts,
    nfe: int,
) -> dict[str, Any]:
    """What a search is for, as its record says it, with a `fingerprint` of all that has to be the same to resume it.

    Args:
        config: What is searched for.
        guide: What candidates are tried with.
        pipe: The pipeline.
        call: Keyword arguments of its call.
        prompts: What to fit and to judge on.
        nfe: Steps to compute.

    Raises:
        OSError: A file of weights cannot be read.
    """
    unread = {"model", "call", "prompts_file"}  # the numbers of the model, the call and the prompts themselves count
    settings = [settings_of(each, name=True, training=unread, schedule=True) for each in (config, guide)]
    first, *others = map(asdict, place_of(pipe, None, config.backbone).look())
    batches = [[batch.prompts, batch.seeds] for batch in (*prompts.fit, *prompts.judge)]
    told = canonical([settings, dict(call), batches, first, nfe, *others])
    return {
        "model": config.training.model,
        "num_steps": config.training.num_steps,
        "nfe": nfe,
        "predictor": config.predictor.kind,
        "guide": guide.predictor.kind,
        "seed": config.training.seed,
        "fit_prompts": len(prompts.fitted),
        "tried_prompts": prompts.tried,
        "judge_prompts": prompts.judged,
        "fingerprint": hashlib.sha256(told.encode()).hexdigest(),
    }
