"""The model card of a configuration with its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from lesa_framework.artifacts import Artifact
from lesa_framework.building import build_strategy
from lesa_framework.config.schema import LesaConfig
from lesa_framework.generation import OURS
from lesa_framework.grids import even_grid
from lesa_framework.hub.measured import Asked, measured
from lesa_framework.hub.paths import without_paths
from lesa_framework.plugin.manager import plugins

#: What a hub takes for a model's name.
_MODEL: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
#: The hub's names of licences; it refuses others, which are `other` with a name of their own.
_LICENCES: Final = re.compile(
    r"apache-2\.0|mit|isc|zlib|unlicense|bsd(-[23]-clause)?|cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-4\.0|[al]?gpl-3\.0|mpl-2\.0"
    r"|(creativeml-)?openrail(-m|\+\+)?"
)
#: Arguments of a pipeline that stand first, as far as the fit had them.
_FIRST: Final = ("height", "width", "num_frames", "guidance_scale", "true_cfg_scale", "negative_prompt")
#: The key of the training's log -> the row of the table.
_MEASURED: Final = {"drift_db": "closeness to the uncached run in the fit, final latents, dB"}
_LIBRARY: Final = "lesa-framework"
#: Images, frames or audio: each pipeline has a name of its own for what it returns first.
_EXAMPLE: Final = """\
```python
import lesa_framework as lesa

with lesa.accelerate(pipe, "{name}") as session:  # the repository, or a folder with its files
    sample = pipe("a prompt", num_inference_steps={steps}{call})[0][0]
print(session.report)
```"""


@dataclass(frozen=True)
class CardFacts:
    """What a card says that the configuration does not know.

    Attributes:
        base_model: The model's name on the hub; by default the one that the configuration was fitted to.
        licence: Licence of the numbers, such as `apache-2.0`; by default that of the import.
        metrics: Name -> value, for the table of measurements; besides what the weights know of their fit.
        results: A results file of `lesa eval` or `lesa bench`: what was measured of this cache goes onto the card.
        row: The cache's name in that file; by default the configuration's.
    """

    base_model: str | None = None
    licence: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    results: str | Path | None = None
    row: str | None = None


def is_card(text: str) -> bool:
    """Whether a README is a model card of this library."""
    head, _, _ = text.removeprefix("---").partition("\n---")
    return text.startswith("---") and f"library_name: {_LIBRARY}" in head.splitlines()


def card_of(config: LesaConfig, artifact: Artifact | None, facts: CardFacts, name: str = "OWNER/NAME") -> str:
    """The card: YAML that the hub reads, and Markdown for people.

    Args:
        config: The configuration.
        artifact: Its weights, without paths of this machine.
        facts: What they do not know.
        name: Of the repository.

    Raises:
        ConfigError: The results file has nothing about this configuration, or cannot be read.
    """
    from huggingface_hub import ModelCardData

    base = facts.base_model or hub_name(config.training.model)
    record = _record(config, artifact)
    licence = facts.licence or record.get("licence")
    license_id, license_name = _as_the_hub_writes(licence)
    data = ModelCardData(
        base_model=base,
        library_name=_LIBRARY,
        license=license_id,
        license_name=license_name,
        tags=["lesa-framework", "feature-cache", "diffusion", config.predictor.kind],
        base_model_relation="adapter" if base else None,
    )
    rows = _facts(config, artifact, base)
    about = (
        f"A feature cache for {base or 'a diffusion transformer'}, made with LESA Framework. It is not a model: it "
        "says which steps of the sampler are computed, and predicts the others."
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {config.name}",
        about,
        _table(("what", "value"), rows),
        "## Measurements",
        *_measurements(config, artifact, facts),
        "## Use",
        _EXAMPLE.format(name=name, steps=_steps(config, artifact), call=_call(config, artifact)),
        "It is for the grid above. Another model is refused before the first step; other noise levels and another "
        "number of steps are warned of or refused, depending on what the predictor can serve."
        if artifact is not None
        else "It has no weights, and takes any number of steps that its schedule allows.",
        "## Licence and origin",
        *([f"Licence: {licence}."] if licence else ["No licence was given."]),
        *([f"The numbers come from {record['source']}."] if record.get("source") else []),
    ]
    return "\n\n".join(parts) + "\n"


def _as_the_hub_writes(licence: str | None) -> tuple[str | None, str | None]:
    """The hub's name of a licence, and the licence's own name where the hub has none."""
    if not licence:
        return None, None
    name = re.sub(r"[^a-z0-9.+]+", "-", licence.lower()).strip("-")
    return (name, None) if _LICENCES.fullmatch(name) else ("other", name)


def _record(config: LesaConfig, artifact: Artifact | None) -> dict[str, str]:
    """Source and licence, as `lesa import` wrote them: with the weights, or in the schedule."""
    known: dict[str, Any] = {**config.schedule.model_dump(), **(artifact.metadata.training if artifact else {})}
    return {key: value for key in ("source", "licence") if isinstance(value := known.get(key), str) and value}


def hub_name(model: str | None) -> str | None:
    """A model's name, if it is one of the hub's."""
    is_named = model is not None and _MODEL.fullmatch(model) and not Path(model).exists()
    return model if is_named else None


def registered_name(model: str | None) -> str | None:
    """A model's name, if it is one that a plugin names; a folder is nobody else's business."""
    return model if model in plugins().registry.models else None


def _steps(config: LesaConfig, artifact: Artifact | None) -> int:
    return len(artifact.metadata.sigmas) - 1 if artifact else config.training.num_steps


def _call(config: LesaConfig, artifact: Artifact | None) -> str:
    """How the fit called the pipeline, as further arguments: without one of them the call may fail, or not be like it.

    The configuration says it, else the weights do: a registered model's presets leave it to the model. The negative
    prompt belongs to them, even an empty one: some pipelines guide only if there is one.
    """
    of_fit = artifact.metadata.training.get("call") if artifact else None
    known: Mapping[str, Any] = config.training.call or (of_fit if isinstance(of_fit, dict) else {})
    keys = dict.fromkeys((*_FIRST, *known))
    return "".join(f", {key}={known[key]!r}" for key in keys if key in known and _is_for_others(key, known[key]))


def _is_for_others(key: str, value: object) -> bool:
    """Whether an argument is also one of those who use the cache: with prompts, seeds and files of their own."""
    is_theirs = key in OURS or key.startswith(("prompt", "callback")) or "seed" in key
    return (
        key.isidentifier() and not is_theirs and isinstance(value, int | float | str) and without_paths(value) == value
    )


def _nfe(config: LesaConfig, artifact: Artifact | None, steps: int) -> int | None:
    """Computed steps of a number of steps; None where they depend on the data."""
    return build_strategy(config).nfe(_grid(artifact, steps))


def _grid(artifact: Artifact | None, steps: int) -> tuple[float, ...]:
    return artifact.metadata.sigmas if artifact else even_grid(steps)


def _facts(config: LesaConfig, artifact: Artifact | None, base: str | None) -> list[tuple[str, str]]:
    steps = _steps(config, artifact)
    nfe, grid = _nfe(config, artifact, steps), _grid(artifact, steps)
    models = " and ".join(each.classes[0] for each in artifact.metadata.models) if artifact else ""
    rows = [
        ("base model", base or registered_name(config.training.model) or "not known"),
        ("transformer", models or "not known"),
        ("backbone, tap", f"{artifact.metadata.backbone if artifact else config.backbone.kind}, {config.backbone.tap}"),
        ("schedule", _brief(config.schedule.model_dump(mode="json"))),
        ("predictor", config.predictor.kind),
        ("computed steps (NFE)", "depends on the data" if nfe is None else f"{nfe} of {steps}, {steps / nfe:.2f}x"),
    ]
    if artifact is not None:
        rows.append(("grid", f"{steps} steps, noise level {grid[0]:.4g} to {grid[-2]:.4g}, then 0"))
        if artifact.metadata.latent_shape:
            shape = artifact.metadata.latent_shape
            unit = ", tokens x channels" if len(shape) == 2 else ""
            rows.append((f"model input{unit}", "x".join(map(str, shape))))
    return rows


def _brief(section: Mapping[str, Any]) -> str:
    left_out = ("kind", "source", "licence")
    settings = [f"{key}={value}" for key, value in section.items() if key not in left_out and value is not None]
    return " ".join([str(section["kind"]), *settings])


def _measurements(config: LesaConfig, artifact: Artifact | None, facts: CardFacts) -> list[str]:
    known = artifact.metadata.training if artifact else {}
    rows = [(name, f"{known[key]:.2f}") for key, name in _MEASURED.items() if isinstance(known.get(key), int | float)]
    rows += [(name, f"{value:.4g}") for name, value in facts.metrics.items()]
    parts = [_table(("metric", "value"), rows)] if rows else []
    if facts.results is not None:
        asked = Asked(
            file=Path(facts.results),
            row=facts.row or config.name,
            num_steps=_steps(config, artifact) if artifact else None,
            nfe=partial(_nfe, config, artifact),
            model=config.training.model,
        )
        found = measured(asked)
        on = hub_name(found.model) or registered_name(found.model)
        parts += [_table(found.heading, found.rows), f"{f'{on}: ' if on else ''}{found.about}"]
    return parts or ["None were given. Compare with `lesa eval`."]


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = [heading, ("---",) * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in cells)


def _cell(text: str) -> str:
    """Text that stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|")
