"""The model card of a configuration with its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lesa_framework.artifacts import Artifact
from lesa_framework.building import build_strategy
from lesa_framework.config.schema import LesaConfig
from lesa_framework.plugin.manager import plugins
from lesa_framework.runtime.strategy import count_computed, plan

#: What a hub takes for a model's name.
_MODEL: Final = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
#: The key of the training's log -> the row of the table.
_MEASURED: Final = {"drift_db": "PSNR of the last latent in the fit, dB"}
_EXAMPLE: Final = """\
```python
import lesa_framework as lesa

with lesa.accelerate(pipe, "{name}") as session:  # the repository, or a folder with its files
    image = pipe("a prompt", num_inference_steps={steps}).images[0]
print(session.report)
```"""


@dataclass(frozen=True)
class CardFacts:
    """What a card says that the configuration does not know.

    Attributes:
        base_model: The model's name on the hub; by default the one that the configuration was fitted to.
        licence: Licence of the numbers, as the hub writes it, such as `apache-2.0`; by default that of the import.
        metrics: Name -> value, for the table of measurements; besides what the weights know of their fit.
    """

    base_model: str | None = None
    licence: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def card_of(config: LesaConfig, artifact: Artifact | None, facts: CardFacts, name: str = "OWNER/NAME") -> str:
    """The card: YAML that the hub reads, and Markdown for people.

    Args:
        config: The configuration.
        artifact: Its weights, without paths of this machine.
        facts: What they do not know.
        name: Of the repository.
    """
    from huggingface_hub import ModelCardData

    base = facts.base_model or _base_model(config)
    record = _record(config, artifact)
    licence = facts.licence or record.get("licence")
    is_listed = licence is not None and re.fullmatch(r"[a-z0-9.-]+", licence) is not None
    data = ModelCardData(
        base_model=base,
        library_name="lesa-framework",
        license=licence if is_listed else "other" if licence else None,
        license_name=re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-") if licence and not is_listed else None,
        tags=["lesa-framework", "feature-cache", "diffusion", config.predictor.kind],
        base_model_relation="adapter" if base else None,
    )
    rows = _facts(config, artifact, base)
    about = (
        f"A feature cache for {base or 'a diffusion transformer'}, made with LESA Framework. It is no model: it says "
        "which steps of the sampler are computed, and predicts the others."
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {config.name}",
        about,
        _table(("what", "value"), rows),
        "## Measurements",
        _measurements(artifact, facts),
        "## Use",
        _EXAMPLE.format(name=name, steps=_steps(config, artifact)),
        "A run with another model, another number of steps or other noise levels is refused before its first step."
        if artifact is not None
        else "It has no weights, and takes any number of steps that its schedule allows.",
        "## Licence and origin",
        *([f"Licence: {licence}."] if licence else ["No licence was given."]),
        *([f"The numbers come from {record['source']}."] if record.get("source") else []),
    ]
    return "\n\n".join(parts) + "\n"


def _record(config: LesaConfig, artifact: Artifact | None) -> dict[str, str]:
    """Source and licence, as `lesa import` wrote them: with the weights, or in the schedule."""
    known: dict[str, Any] = {**config.schedule.model_dump(), **(artifact.metadata.training if artifact else {})}
    return {key: value for key in ("source", "licence") if isinstance(value := known.get(key), str) and value}


def _base_model(config: LesaConfig) -> str | None:
    """The model of the fit, if it is one of the hub's."""
    model = config.training.model
    is_named = model is not None and _MODEL.fullmatch(model) and not Path(model).exists()
    return model if is_named else None


def _registered(config: LesaConfig) -> str | None:
    """The model of the fit, if it is one that a plugin names; a folder is nobody else's business."""
    model = config.training.model
    return model if model in plugins().registry.models else None


def _steps(config: LesaConfig, artifact: Artifact | None) -> int:
    return len(artifact.metadata.sigmas) - 1 if artifact else config.training.num_steps


def _facts(config: LesaConfig, artifact: Artifact | None, base: str | None) -> list[tuple[str, str]]:
    steps = _steps(config, artifact)
    grid = artifact.metadata.sigmas if artifact else tuple(1 - step / steps for step in range(steps + 1))
    decided = plan(build_strategy(config), grid)
    nfe = count_computed([reason for _, reason in decided])
    models = " and ".join(each.classes[0] for each in artifact.metadata.models) if artifact else ""
    rows = [
        ("base model", base or _registered(config) or "not known"),
        ("transformer", models or "not known"),
        ("backbone, tap", f"{config.backbone.kind}, {config.backbone.tap}"),
        ("schedule", _brief(config.schedule.model_dump(mode="json"))),
        ("predictor", config.predictor.kind),
        ("computed steps (NFE)", "depends on the data" if nfe is None else f"{nfe} of {steps}, {steps / nfe:.2f}x"),
    ]
    if artifact is not None:
        rows.append(("grid", f"{steps} steps, noise level {grid[0]:.4g} to {grid[-2]:.4g}, then 0"))
        if artifact.metadata.latent_shape:
            rows.append(("input of the model", "x".join(map(str, artifact.metadata.latent_shape))))
    return rows


def _brief(section: Mapping[str, Any]) -> str:
    left_out = ("kind", "source", "licence")
    settings = [f"{key}={value}" for key, value in section.items() if key not in left_out and value is not None]
    return " ".join([str(section["kind"]), *settings])


def _measurements(artifact: Artifact | None, facts: CardFacts) -> str:
    known = artifact.metadata.training if artifact else {}
    rows = [(name, f"{known[key]:.2f}") for key, name in _MEASURED.items() if isinstance(known.get(key), int | float)]
    rows += [(name, f"{value:.4g}") for name, value in facts.metrics.items()]
    return _table(("metric", "value"), rows) if rows else "None were given. Compare with `lesa eval`."


def _table(heading: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    cells = [heading, ("---", "---"), *((name, value.replace("|", "\\|")) for name, value in rows)]
    return "\n".join(f"| {name} | {value} |" for name, value in cells)
