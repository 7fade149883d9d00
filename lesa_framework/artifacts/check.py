"""Whether a run is one that an artifact was made for."""

from __future__ import annotations

from collections.abc import Iterator

from lesa_framework.artifacts.metadata import ArtifactMetadata
from lesa_framework.errors import ArtifactError
from lesa_framework.types import RunInfo
from lesa_framework.warning import warn

#: How far two grids' noise levels may differ and still be the same grid.
_GRID_TOLERANCE = 1e-4
#: Guidance reaches models in their own dtype.
_GUIDANCE_TOLERANCE = 0.01


def same_grid(ours: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    """Whether two grids have the same length and noise levels."""
    return len(ours) == len(theirs) and all(abs(a - b) <= _GRID_TOLERANCE for a, b in zip(ours, theirs, strict=True))


def other_model(made_for: RunInfo, run: RunInfo) -> str | None:
    """Why a run's model cannot be the one that weights were made for; None if it may be.

    Args:
        made_for: What the weights were made for.
        run: The run, of which backbone and models are compared.
    """
    if run.backbone != made_for.backbone:
        return f"trained for backbone '{made_for.backbone}', but this model is '{run.backbone}'"
    for ours, theirs in zip(made_for.models, run.models, strict=False):
        if not ours.is_of_kind(theirs):
            return f"trained on {ours}, but this model is {theirs}"
    return None


def check_run(
    metadata: ArtifactMetadata,
    run: RunInfo,
    *,
    strict: bool = True,
    any_grid: bool = False,
    carried_over: bool = False,
    remedy: str = "",
    can_train: bool = True,
) -> None:
    """Refuse a run that the artifact cannot be right for, and warn of what may not be right.

    Refused are another backbone, model class, width or depth, another tap, number of steps or sigma grid. A
    [`LesaWarning`][lesa_framework.LesaWarning], once for each artifact that was loaded, tells of other weights, another
    size of the input and another guidance. What is unknown of either is not compared.

    Args:
        metadata: The artifact's.
        run: The run's.
        strict: The predictor's setting of this name. When False, another model is warned of once and used, and
            nothing else is warned of.
        any_grid: Accept other noise levels, as long as there are as many.
        carried_over: Accept another grid, of another length too, and warn: the predictor carries its numbers over.
        remedy: What else the predictor offers for other noise levels, for the message: "set predictor.x=true".
        can_train: Its kind has a fit. When False, no message advises to train.

    Raises:
        ArtifactError: The run is refused.
    """
    misfit = other_model(metadata.run, run)
    if misfit and strict:
        # Weights of another architecture cannot be right, so nobody is told to try them.
        loosely = ", or try these with predictor.strict=false" * (metadata.run.backbone == run.backbone)
        other = "Train weights for it with `lesa train`" if can_train else "Import weights for it"
        raise ArtifactError(f"predictor.weights: {misfit}. {other}{loosely}.")
    _check_tap(metadata, run, can_train=can_train)
    if not carried_over:
        _check_grid(metadata, run, any_grid=any_grid, remedy=remedy, can_train=can_train)
    doubts = list(_doubts(metadata, run)) if strict else [misfit] if misfit else []
    if carried_over and strict and not same_grid(run.sigmas, metadata.sigmas):
        doubts.append(
            f"fitted on a grid of {len(metadata.sigmas) - 1} steps; this run's has {len(run.sigmas) - 1} and other "
            "noise levels. The filters are carried over by noise level, and were not measured on this one"
        )
    for doubt in doubts:
        _warn_once(metadata, doubt, strict=strict, can_train=can_train)


def _check_tap(metadata: ArtifactMetadata, run: RunInfo, *, can_train: bool) -> None:
    if run.tap != metadata.tap:
        raise ArtifactError(
            f"predictor.weights: trained at tap '{metadata.tap}', but the run taps '{run.tap}'. "
            f"Set backbone.tap to '{metadata.tap}'{', or train again' * can_train}."
        )


def _check_grid(metadata: ArtifactMetadata, run: RunInfo, *, any_grid: bool, remedy: str, can_train: bool) -> None:
    steps, trained = len(run.sigmas) - 1, len(metadata.sigmas) - 1
    if steps != trained:
        again = f", or train again with `--set training.num_steps={steps}`" * can_train
        raise ArtifactError(
            f"predictor.weights: trained for {trained} steps, but the run has {steps}. Run {trained} steps{again}."
        )
    if not any_grid and not same_grid(run.sigmas, metadata.sigmas):
        more = [each for each in (remedy, "train again" * can_train) if each]
        more[-1:] = [f"or {last}" for last in more[-1:]]
        worst = max(abs(a - b) for a, b in zip(run.sigmas, metadata.sigmas, strict=True))
        raise ArtifactError(
            f"predictor.weights: trained for another sigma grid of {trained} steps (noise levels differ by up to "
            f"{worst:.3f}). {', '.join(['Use the scheduler settings of the training', *more])}."
        )


def _doubts(metadata: ArtifactMetadata, run: RunInfo) -> Iterator[str]:
    """What may not be right."""
    ours, theirs = metadata.models, run.models
    if ours and theirs and len(ours) != len(theirs):
        yield f"trained on a pipeline with {len(ours)} transformer(s); this one has {len(theirs)}"
    for one, other in zip(ours, theirs, strict=False):
        if one.is_comparable(other) and not one.may_have_weights_of(other):
            yield (
                f"trained on a {other.classes[0]} with other weights than this one's (another checkpoint, or a "
                "fine-tune or LoRA)"
            )
    if metadata.latent_shape and run.latent_shape and metadata.latent_shape != run.latent_shape:
        yield (
            f"trained on model inputs of {metadata.latent_shape}; this run's are {run.latent_shape}, which is another "
            f"resolution or length{_size(metadata)}"
        )
    if not same_guidance(metadata.guidance, run.guidance):
        yield f"trained with guidance {metadata.guidance}, as the model is given it; this run has {run.guidance}"


def _size(metadata: ArtifactMetadata) -> str:
    """What the fit's pipeline was called with, in pixels, as far as that is known."""
    call = metadata.training.get("call")
    sizes = ("height", "width", "num_frames")
    known = [f"{key} {call[key]}" for key in sizes if key in call] if isinstance(call, dict) else []
    return f" (the fit had {', '.join(known)})" if known else ""


def same_guidance(ours: float | None, theirs: float | None) -> bool:
    """Whether two guidances are the same, or one of them is unknown."""
    return ours is None or theirs is None or abs(ours - theirs) <= _GUIDANCE_TOLERANCE * abs(ours)


def _warn_once(metadata: ArtifactMetadata, doubt: str, *, strict: bool, can_train: bool) -> None:
    if metadata.is_first(doubt):
        again, silence = ", or train again" * can_train, "; predictor.strict=false silences this" * strict
        warn(f"predictor.weights: {doubt}. Compare results with uncached ones{again}{silence}.")
