"""Rows of caches that decide at each step by what they see: other libraries' own code, at the settings of the table.

A cache decides once for a whole batch, so a row is only comparable at the batch of the table. Its threshold was
searched until its work on the table's pairs was that of the others; on other pairs `work.py` counts it again.

These are apart from `methods.py`, so that a change here does not measure all the other rows again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.recompute.methods import Method, digest, published
from benchmarks.recompute.plain import BRANCHES, STEPS

_FIRST_BLOCK, _MAGCACHE, _DBCACHE = "diffusers_first_block_cache", "diffusers_magcache", "cache_dit_dbcache"
#: Ends with the steps that its work was matched to; `_whole` where steps count that are computed whole.
_GATE = re.compile(rf"({_FIRST_BLOCK}|{_MAGCACHE}|{_DBCACHE})_\d+(_whole)?")


def is_gate(name: str) -> bool:
    """Whether a row is of such a cache."""
    return _GATE.fullmatch(name) is not None


def gate(name: str, model: str, pipe: Any, run: Callable[[], object]) -> Method:
    """The method of a row.

    Args:
        name: As in reference.json, where its settings are.
        model: `flux`, `qwen_image` or `hunyuan_video`.
        pipe: The pipeline that it will be attached to, bare.
        run: Samples a batch with this pipeline. MagCache is calibrated on it.

    Raises:
        ValueError: The calibration printed something else than its ratios.
    """
    settings = published(model)[name]["settings"]
    family = _GATE.fullmatch(name)[1]
    if family == _FIRST_BLOCK:
        return Method(STEPS, partial(first_block, **settings))
    if family == _MAGCACHE:
        return Method(STEPS, partial(magcache, ratios=magcache_ratios(pipe, run), **settings))
    return Method(STEPS, partial(dbcache, settings=settings))


def gate_digest(name: str, model: str, batch: int) -> str:
    """As `methods.digest`, and of the settings in reference.json and the code here."""
    settings = json.dumps(published(model)[name]["settings"], sort_keys=True)
    found = hashlib.sha256(f"{digest(name, model, batch)} {settings}".encode())
    for file in ("gates", "work"):
        found.update(Path(__file__).with_name(f"{file}.py").read_bytes())
    return found.hexdigest()[:16]


@contextmanager
def _enabled(pipe: Any, config: object) -> Iterator[None]:
    """A cache of diffusers, for one sampling: what it compares with would outlast that.

    The prompt's branch and the other have states of their own. The pipeline says which one it calls.
    """
    pipe.transformer.enable_cache(config)
    try:
        yield
    finally:
        pipe.transformer.disable_cache()


def first_block(pipe: Any, threshold: float) -> contextlib.AbstractContextManager[None]:
    """diffusers' FirstBlockCache.

    Args:
        pipe: The pipeline.
        threshold: Its only setting. Where the first block's residual has changed by no larger share since the newest
            computed step, the other blocks are skipped, and what they added then is added again.
    """
    from diffusers import FirstBlockCacheConfig

    return _enabled(pipe, FirstBlockCacheConfig(threshold=threshold))


def magcache(
    pipe: Any, ratios: Sequence[float], threshold: float, retention_ratio: float, max_skip_steps: int
) -> contextlib.AbstractContextManager[None]:
    """diffusers' MagCache. All its settings matter.

    Args:
        pipe: The pipeline.
        ratios: By how much the norm of what all blocks add grows from each step to the next, of this very model.
        threshold: A step is skipped while the error that the ratios predict, added up since the newest computed step,
            is no larger.
        retention_ratio: The share of the steps, at the start, that are all computed.
        max_skip_steps: The most steps that are skipped in a row.
    """
    from diffusers import MagCacheConfig

    config = MagCacheConfig(
        threshold=threshold,
        max_skip_steps=max_skip_steps,
        retention_ratio=retention_ratio,
        num_inference_steps=STEPS,
        mag_ratios=list(ratios),
    )
    return _enabled(pipe, config)


def magcache_ratios(pipe: Any, run: Callable[[], object]) -> list[float]:
    """What MagCache's own calibration measures in a run, in which it skips nothing.

    It prints a list for each branch and takes one for both. This is the first one, that of the prompt.

    Raises:
        ValueError: It printed something else.
    """
    from diffusers import MagCacheConfig

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), _enabled(pipe, MagCacheConfig(num_inference_steps=STEPS, calibrate=True)):
        run()
    found = [json.loads(line) for line in printed.getvalue().splitlines() if re.fullmatch(r"\[.*\]", line)]
    lengths = [len(each) for each in found]
    if lengths != [STEPS] * BRANCHES:
        raise ValueError(f"MagCache's calibration printed lists of {lengths} ratios, not {BRANCHES} of {STEPS}.")
    return found[0]


@contextmanager
def dbcache(pipe: Any, settings: Mapping[str, Any]) -> Iterator[None]:
    """cache-dit's DBCache without a calibrator: a skipped block list adds again what it added at its newest run.

    Args:
        pipe: It leaves traces in the pipeline and in its classes.
        settings: `residual_diff_threshold`, how much the residual of the first blocks may have changed;
            `Fn_compute_blocks`, how many those are, which always run; `max_warmup_steps`, how many first steps are all
            computed. Besides these, `enable_separate_cfg` matters: without it, the call without the prompt would be
            taken for the next step.
    """
    logging.disable(logging.WARNING)  # cache-dit logs to standard output
    import cache_dit  # it changes transformers' and diffusers' classes, so only where it is asked for

    config = cache_dit.DBCacheConfig(enable_separate_cfg=True, num_inference_steps=STEPS, **settings)
    try:
        cache_dit.enable_cache(pipe, config)
        yield
    finally:
        cache_dit.disable_cache(pipe)
        logging.disable(logging.NOTSET)
