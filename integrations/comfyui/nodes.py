"""The nodes, in ComfyUI's V3 schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfy.patcher_extension import WrappersMP
from comfy_api.latest import ComfyExtension, io, ui

import lesa_framework as lesa

from .cache import Runs, put
from .layouts import register
from .source import BySpeedup, Source, chosen, files_in, read_at

#: The folder below ComfyUI's `models` that is looked into.
FOLDER = "lesa"
SPEEDUP = "by speed-up"
CATEGORY = "model_patches/LESA"

RunsType = io.Custom("LESA_RUNS")


def _files() -> dict[str, Path]:
    return files_in(folder_paths.get_folder_paths(FOLDER))


def _source(cache: str, speedup: float, other: str) -> Source:
    """What the inputs ask for.

    Raises:
        LesaError: They are not valid.
    """
    if other.strip():
        return chosen(other.strip())
    if cache == SPEEDUP:
        return BySpeedup(speedup)
    file = _files().get(cache)
    if file is None:
        raise lesa.ConfigError(f"cache: there is no file '{cache}' in models/{FOLDER}. Choose one that is listed.")
    return chosen(file)


class LesaCache(io.ComfyNode):
    """Puts a cache into a clone of a model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="LESACache",
            display_name="LESA cache",
            category=CATEGORY,
            description=(
                "Computes the blocks of a diffusion transformer on some steps and predicts them on the others. Put it "
                "between the model's loader and the sampler, after LoRAs."
            ),
            inputs=[
                io.Model.Input("model"),
                io.Combo.Input(
                    "cache",
                    options=[SPEEDUP, *_files()],
                    default=SPEEDUP,
                    tooltip=f"A configuration or an artifact from models/{FOLDER}, or the best cache for a speed-up.",
                ),
                io.Float.Input(
                    "speedup",
                    default=5.0,
                    min=0.0,
                    max=50.0,
                    step=0.1,
                    tooltip=f"With '{SPEEDUP}': steps of a run over computed steps, above 1. 5 computes 1 step in 5.",
                ),
                io.String.Input(
                    "other",
                    default="",
                    optional=True,
                    tooltip="Instead of the list: the path of a configuration or an artifact, or a preset's name.",
                ),
            ],
            outputs=[io.Model.Output("model_out", display_name="model"), RunsType.Output("runs", display_name="runs")],
        )

    @classmethod
    def fingerprint_inputs(cls, cache: str, other: str | None = "", **_: Any) -> tuple[int, ...]:
        """Run again where a file, or that of its weights, has changed under its name. A linked input has none yet."""
        name = (other or "").strip() or _files().get(cache)
        return () if name is None else read_at(name)

    @classmethod
    def execute(cls, model: Any, cache: str, speedup: float, other: str = "") -> io.NodeOutput:
        """Clone the model, with the cache in the clone."""
        clone, runs = put(model, _source(cache, speedup, other), WrappersMP.SAMPLER_SAMPLE)
        return io.NodeOutput(clone, runs)


class LesaReport(io.ComfyNode):
    """Tells what the cache did."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="LESAReport",
            display_name="LESA report",
            category=CATEGORY,
            description="Which steps were computed (F) and predicted (P), what was chosen and why, and what it saved.",
            inputs=[
                RunsType.Input("runs"),
                io.AnyType.Input("after", tooltip="The sampler's output, so that the report is made after the run."),
                io.Int.Input("last", default=1, min=1, max=16, tooltip="How many of the last runs."),
            ],
            outputs=[io.String.Output("text", display_name="text")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, runs: Runs, after: Any, last: int = 1) -> io.NodeOutput:  # noqa: ARG003 - for the order alone
        """The report as text."""
        text = runs.text(last)
        return io.NodeOutput(text, ui=ui.PreviewText(text))


class LesaExtension(ComfyExtension):
    """The nodes of this package."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The nodes."""
        return [LesaCache, LesaReport]


def comfy_entrypoint() -> LesaExtension:
    """Called by ComfyUI when it loads the folder."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))
    register()
    return LesaExtension()
