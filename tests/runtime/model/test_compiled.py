"""Sessions in models that are compiled as a whole: the engine is never traced, and each variant is compiled once."""

from __future__ import annotations

import copy
import gc
import os
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

import lesa_framework as lesa
from lesa_framework import Decision, Filter, Observer, Reuse, Tap
from lesa_framework.testing import TinyContextDiT, TinyDiT, TinyDiTAdapter, TinyPipeline, attach
from lesa_framework.testing.conformance.traces import differences, traces
from lesa_taylorseer.predictor import TaylorSeer
from tests.fixtures_compile import Compiler
from tests.runtime.model.compiling import Way, both_ways, by_a_wrapper, by_its_forward, by_the_model, close
from tests.runtime.sessions import cached, fresh, pipeline, strategy

INPUTS = (torch.ones(1, 6, 4), torch.ones(1), torch.ones(1, 3, 4))


class Keeper(Observer):
    """Keeps the features of computed steps."""

    def __init__(self) -> None:
        self.features: list[Tensor] = []

    def lesa_step_end(self, record, latent, feature):
        if record.decision is Decision.COMPUTE:
            self.features.append(feature)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [by_the_model, by_a_wrapper, by_its_forward])
def test_a_model_that_was_compiled_before(compiler: Compiler, compiled: Way):
    pipe = pipeline()
    model = pipe.transformer
    compiled(pipe, compiler)
    before, outer = traces(model), dict(vars(pipe.transformer))
    with cached(pipe) as session:
        first = pipe()
        assert close(first, fresh())
        assert session.report.plan() == "FPPFPPPPFPPP"
        assert compiler.graphs == 2
        assert torch.equal(pipe(), first)
    assert differences(before, traces(model)) == []
    assert dict(vars(pipe.transformer)) == outer
    with cached(pipe):
        assert torch.equal(pipe(), first)
    assert compiler.graphs == 2
    assert close(pipe(), pipeline()())
    assert compiler.graphs == 3  # the bare model's own, which was never traced with a session


@pytest.mark.slow
@both_ways
def test_a_model_that_is_compiled_while_a_session_is_attached(compiler: Compiler, compiled: Way):
    pipe = pipeline()
    model = pipe.transformer
    with cached(pipe) as session:
        pipe()
        compiled(pipe, compiler)
        assert close(pipe(), fresh())
        assert session.report.plan() == "FPPFPPPPFPPP"
        assert compiler.graphs == 2
    assert close(pipe(), pipeline()())
    assert compiler.graphs == 3
    assert {"compile", "_initialize_hook", "_infer_parameters"}.isdisjoint(vars(model))


@pytest.mark.slow
@pytest.mark.parametrize(("tap", "graphs"), [(Tap.POST_NORM, 2), (Tap.OUTPUT, 1)])
def test_the_other_taps(compiler: Compiler, tap: Tap, graphs: int):
    pipe = pipeline()
    by_the_model(pipe, compiler)
    with cached(pipe, tap=tap):
        assert close(pipe(), fresh(tap=tap))
    assert compiler.graphs == graphs


class GraphReplays(Compiler):
    """Returns the same memory from each call, as CUDA graphs do."""

    def __call__(self, graph, example_inputs):
        run, kept = super().__call__(graph, example_inputs), []

        def replay(*inputs):
            outputs = run(*inputs)
            if not kept:
                kept.extend(output.clone() for output in outputs)
            for place, output in zip(kept, outputs, strict=True):
                place.copy_(output)
            return tuple(kept)

        return replay


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("tap", [Tap.PRE_HEAD, Tap.OUTPUT])
def test_memory_that_is_written_again_is_not_kept(tap: Tap):
    pipe, other, kept, expected = pipeline(), pipeline(), Keeper(), Keeper()
    by_the_model(pipe, GraphReplays())
    with cached(pipe, tap=tap, observers=[kept]), cached(other, tap=tap, observers=[expected]):
        assert close(pipe(), other())
    assert len(kept.features) == len(expected.features) == 3
    assert all(map(close, kept.features, expected.features))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_inductor(compiler: Compiler, tmp_path, monkeypatch):
    from torch._dynamo.utils import counters
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    counters.clear()
    pipe = pipeline()
    pipe.transformer.compile(fullgraph=True)
    with config.patch(compile_threads=1), cached(pipe):
        found = pipe()
        assert close(found, fresh())
        assert torch.equal(pipe(), found)
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.slow
def test_branches_share_what_is_compiled(compiler: Compiler):
    pipe = pipeline(TinyContextDiT)
    by_the_model(pipe, compiler)
    with cached(pipe):
        assert close(pipe(guidance=3.0), fresh(TinyContextDiT, guidance=3.0))
    assert compiler.graphs == 2


class Halved(Reuse):
    """Reuse of computed features that are halved."""

    def correction(self, entries, ctx):
        return Filter((0.5,))


@pytest.mark.slow
def test_a_predictor_that_corrects(compiler: Compiler):
    pipe, other = pipeline(), pipeline()
    by_the_model(pipe, compiler)
    tap = Tap.POST_NORM  # a norm would take no notice
    with cached(pipe, strategy(predictor=Halved()), tap), cached(other, strategy(predictor=Halved()), tap):
        found, expected = pipe(), other()
    assert close(found, expected)
    assert not close(found, fresh(tap=tap))
    assert compiler.graphs == 2


@pytest.mark.slow
def test_a_module_that_is_exchanged_is_followed(compiler: Compiler):
    import torch._dynamo as dynamo

    def exchange(pipe: TinyPipeline) -> None:
        pipe.transformer.proj_out = TinyDiT(seed=1).proj_out

    pipe, other = pipeline(), pipeline()
    by_the_model(pipe, compiler)
    with cached(pipe), cached(other):
        pipe()
        exchange(pipe)
        exchange(other)
        with dynamo.config.patch(error_on_recompile=False):
            assert close(pipe(), other())


@pytest.mark.slow
def test_a_thread_without_a_pipeline(compiler: Compiler):
    pipe = pipeline()
    by_the_model(pipe, compiler)
    warns = pytest.warns(lesa.LesaWarning, match="in which no pipeline runs")
    with cached(pipe), ThreadPoolExecutor(1) as pool, warns:
        found = pool.submit(pipe.transformer, *INPUTS).result().sample
    with torch.no_grad():
        assert close(found, TinyDiT()(*INPUTS).sample)
    assert compiler.graphs == 1


@pytest.mark.slow
def test_a_session_with_the_wrapper_alone(compiler: Compiler, registered):
    config = {"schedule": {"kind": "steps", "compute": [0]}, "predictor": {"kind": "reuse"}}
    model = torch.compile(TinyDiT(), **compiler.options)
    with torch.no_grad(), lesa.accelerate(model, config, sigmas=[1.0, 0.5, 0.0]) as session:
        model(*INPUTS)
        model(INPUTS[0], torch.full((1,), 0.5), INPUTS[2])
        assert session.report.plan() == "FP"
    assert compiler.graphs == 2


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"dynamic": True}, {}])
def test_another_size_compiles_what_it_compiles_of_the_bare_model(compiler: Compiler, options: dict[str, bool]):
    """A feature that is reused and one that is extrapolated are one case, though the first is a view of a history."""
    import torch._dynamo as dynamo

    bare, pipe = pipeline(), pipeline()
    with dynamo.config.patch(error_on_recompile=False):
        bare.transformer.compile(**compiler.options, **options)
        for tokens in (6, 10, 9):
            bare(tokens=tokens)
        of_the_bare = compiler.graphs
        pipe.transformer.compile(**compiler.options, **options)
        with cached(pipe, strategy(predictor=TaylorSeer(1))):
            for tokens in (6, 10, 9):
                pipe(tokens=tokens)
    assert of_the_bare == (1 if options else 2)
    assert compiler.graphs - of_the_bare == 2 * of_the_bare


@pytest.mark.slow
def test_compiled_blocks(compiler: Compiler):
    pipe = pipeline()
    for block in (*pipe.transformer.transformer_blocks, *pipe.transformer.single_transformer_blocks):
        block.compile(**compiler.options)
    with cached(pipe):
        assert close(pipe(), fresh())
        assert close(pipe(), fresh())
    assert compiler.graphs == 1  # blocks of one class share it


def test_a_copy_is_bare_and_compiles(compiler: Compiler):
    pipe = pipeline()
    with cached(pipe):
        twin = copy.deepcopy(pipe.transformer)
        twin.compile(**compiler.options)
        assert "_compiled_call_impl" not in vars(pipe.transformer)
    with torch.no_grad():
        assert close(twin(*INPUTS).sample, TinyDiT()(*INPUTS).sample)
    assert compiler.graphs == 1


def test_a_model_is_freed_with_what_was_compiled(compiler: Compiler):
    import torch._dynamo as dynamo

    pipe = pipeline()
    by_the_model(pipe, compiler)
    with cached(pipe, tap=Tap.OUTPUT):
        pipe()
    kept = weakref.ref(pipe.transformer)
    del pipe
    dynamo.reset()  # it keeps what it has compiled last
    gc.collect()
    assert kept() is None


class Filled:
    """Something that a call changes."""

    def __init__(self) -> None:
        self.times = 0


class Filling(TinyDiT):
    """Counts its blocks in an object that it is given, as these fill a key-value cache."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True, filled=None):
        for _ in self.transformer_blocks:
            filled.times += 1
        return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)


@pytest.mark.slow
def test_a_call_with_an_object_that_cannot_be_copied_is_made_once(compiler: Compiler):
    model, filled = Filling(), Filled()
    model.compile(**compiler.options)
    with attach(model, TinyDiTAdapter(), strategy([0, 1]), (1.0, 0.5, 0.0)), torch.no_grad():
        for call, sigma in enumerate((1.0, 0.5), start=1):
            model(INPUTS[0], torch.tensor(sigma), INPUTS[2], filled=filled)
            assert filled.times == call * len(model.transformer_blocks)
