"""What SGLang calls: registers hooks with its plugin code, and accelerates what it loads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lesa_framework import ConfigError, Session, add_plugin, find_adapter, load_config
from lesa_framework.serving import (
    Served,
    ServingOptions,
    models_of,
    options_from_environment,
    serve,
    variables_are_set,
)
from lesa_sglang import adapters

_RUNTIME = "sglang.multimodal_gen.runtime"
PIPELINE = f"{_RUNTIME}.pipelines.diffusers_pipeline.DiffusersPipeline._load_diffusers_pipeline"
STAGE = f"{_RUNTIME}.pipelines_core.stages.denoising.DenoisingStage"
QWEN_HEAD = f"{_RUNTIME}.models.dits.qwen_image._qwen_norm_out"


def activate() -> None:
    """Register the hooks, if `LESA_CONFIG` or `LESA_SPEEDUP` is set; this is the entry point.

    SGLang goes on without a plugin that fails here, so what is wrong with the variables is said when it loads a model.
    """
    if not variables_are_set():
        return
    from sglang.multimodal_gen.runtime.platforms.plugins import HookRegistry, HookType

    door = Door()
    HookRegistry.register(PIPELINE, door.pipeline_loaded, HookType.AFTER)
    HookRegistry.register(f"{STAGE}.__init__", door.stage_made, HookType.AFTER)
    HookRegistry.register(f"{STAGE}._prepare_denoising_loop", door.prepare, HookType.AROUND)
    HookRegistry.register(f"{STAGE}._run_denoising_loop", door.run, HookType.AROUND)
    HookRegistry.register(QWEN_HEAD, call_head, HookType.REPLACE)


def call_head(norm_out: nn.Module, hidden_states: Tensor, conditioning_embedding: Tensor) -> Tensor:
    """Qwen-Image's last norm as a call of the module, which the feature can be taken from and put into.

    SGLang does the same where it compiles, and says that its own fusion, which this replaces, has the same bits.
    """
    output: Tensor = norm_out(hidden_states, conditioning_embedding)
    return output


class Door:
    """The hooks, and the sessions of this process."""

    def __init__(self) -> None:
        self._served: list[Served] = []  # stages
        self._sessions: list[Session] = []  # of whole pipelines

    def pipeline_loaded(self, pipe: Any, *_: Any) -> Any:
        """A pipeline of diffusers, with everything that SGLang does to it."""
        self._sessions.append(serve(pipe, _options()))
        return pipe

    def stage_made(self, _nothing: None, stage: Any, *_: Any, **__: Any) -> None:
        """A native stage: nobody should have to wait for a request to learn what is wrong."""
        options = _options()
        if stage.server_args.enable_breakable_cuda_graph:
            raise ConfigError(
                "lesa: SGLang records the transformer as breakable CUDA graphs, which replay every step as it was "
                "recorded. Start it with --enable-breakable-cuda-graph false, or unset LESA_CONFIG and LESA_SPEEDUP."
            )
        backbone = "auto" if options.config is None else load_config(options.config).backbone
        for model in models_of(stage):
            find_adapter(model, backbone)

    def prepare(self, prepare: Callable[..., Any], stage: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """What a native stage does before its loop. Its transformers may be loaded, or exchanged, as late as this."""
        _refuse_other_caches(stage, batch)
        ctx = prepare(stage, batch, *args, **kwargs)
        self._serve_stage(stage)  # here, because some stages go on with a loop of their own
        return ctx

    def run(self, loop: Callable[..., Any], stage: Any, ctx: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """A native stage's loop. Some stages prepare for it in a way of their own."""
        _refuse_other_caches(stage, batch)
        self._serve_stage(stage)
        return loop(stage, ctx, batch, *args, **kwargs)

    def _serve_stage(self, stage: Any) -> None:
        for old in [each for each in self._served if each.target is stage and not each.is_still_in(stage)]:
            old.end()
            self._served.remove(old)
        # Stages of one pipeline may share a transformer: its session finds out which of them calls.
        models = {*map(id, models_of(stage))}
        if not any(models <= {*map(id, each.models)} for each in self._served):
            self._served.append(Served.begin(stage, _options()))


def _refuse_other_caches(stage: Any, batch: Any) -> None:
    # SGLang's own answer, because where the request does not say, the server's default counts.
    if batch.enable_teacache or batch.enable_spectrum or stage._cache_dit_requested_for_batch(batch):
        raise ConfigError(
            "lesa: the request asks for TeaCache, Spectrum or cache-dit, and two caches would each take the other's "
            "steps for computed ones. Send it without enable_teacache, enable_spectrum and enable_cache_dit, and start "
            "SGLang without SGLANG_CACHE_DIT_ENABLED."
        )


def _options() -> ServingOptions:
    add_plugin("lesa_sglang", adapters)
    options = options_from_environment()
    assert options is not None  # the hooks are there because they are set
    return options
