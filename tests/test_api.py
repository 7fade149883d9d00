from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn

import lesa_framework as lesa
from lesa_framework import ConfigError, LesaError, LesaWarning, Reuse, Tap, UnsupportedBackboneError
from lesa_framework.plugin.manager import plugins
from lesa_framework.runtime.recorder import Recorder
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, TinyPipeline, even_grid
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages

RAW = {"schedule": {"kind": "fixed_interval", "interval": 4}, "predictor": {"kind": "reuse"}}


@pytest.mark.usefixtures("registered")
class TestAccelerate:
    def test_a_pipeline(self):
        pipe = TinyPipeline(TinyDiT())
        with lesa.accelerate(pipe, RAW) as session:
            pipe()
        assert session.report.plan() == "FFFPPPFPPPFP"
        assert session.report.info.backbone == "tiny"

    def test_a_session_says_what_it_is(self):
        pipe = TinyPipeline(TinyDiT())
        about = "<Session on TinyDiT at pre_head, FixedInterval and Reuse: "
        with lesa.accelerate(pipe, RAW) as session:
            assert repr(session) == f"{about}no run yet>"
            pipe()
            assert repr(session) == f"{about}5 of 12 steps computed in the last run>"
        assert repr(session) == f"{about}detached>"
        with lesa.accelerate(pipe, speedup=3) as session:
            assert "chosen for each run" in repr(session)

    def test_a_transformer_with_sigmas(self):
        model = TinyDiT()
        with lesa.accelerate(model, RAW, sigmas=even_grid(5)) as session, torch.no_grad():
            for sigma in even_grid(5)[:-1]:
                model(torch.ones(1, 2, 4), sigma)
        assert session.report.plan() == "FFFPP"

    def test_a_pipeline_with_sigmas_of_ones_own(self):
        pipe = TinyPipeline(TinyDiT())
        with lesa.accelerate(pipe, RAW, sigmas=even_grid(12)) as session:
            pipe()
        assert session.report.plan() == "FFFPPPFPPPFP"

    def test_a_configuration_a_mapping_and_a_file_are_the_same(self, tmp_path):
        file = tmp_path / "run.yaml"
        file.write_text("schedule: {kind: fixed_interval, interval: 4}\npredictor: {kind: reuse}\n")
        results = []
        for config in (RAW, lesa.load_config(RAW), file, str(file)):
            pipe = TinyPipeline(TinyDiT())
            with lesa.accelerate(pipe, config):
                results.append(pipe())
        assert all(torch.equal(result, results[0]) for result in results)

    def test_detaching_detaches_although_its_warning_is_an_error(self):
        pipe = TinyPipeline(TinyDiT())
        model, session = pipe.transformer, lesa.accelerate(pipe, RAW)
        pipe.transformer = TinyDiT()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(LesaWarning, match="was exchanged"):
                session.detach()
        assert "forward" not in vars(model)
        assert session.report.exchanged == "transformer"

    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
    @pytest.mark.parametrize("is_detached", [False, True])
    def test_a_session_is_not_copied(self, copied, is_detached):
        with lesa.accelerate(TinyPipeline(TinyDiT()), RAW) as session:
            if is_detached:
                session.detach()
            with pytest.raises(LesaError, match=r"Session: it cannot be copied or pickled.*deepcopy"):
                copied(session)

    def test_what_the_message_of_a_copied_session_says_to_do(self):
        pipe = TinyPipeline(TinyDiT())
        with lesa.accelerate(pipe, RAW):
            twin, cached = copy.deepcopy(pipe), pipe()
            with lesa.accelerate(twin, RAW):
                assert torch.equal(twin(), cached)

    def test_where_the_history_is_kept(self):
        raw = {**RAW, "predictor": {"kind": "taylorseer", "order": 2}}
        results = {}
        for dtype in ("float32", "bfloat16"):
            pipe = TinyPipeline(TinyDiT())
            with lesa.accelerate(pipe, {**raw, "engine": {"history": {"device": "cpu", "dtype": dtype}}}) as session:
                result = pipe()
            results[dtype] = (result, session.report.cache_bytes)
        pipe = TinyPipeline(TinyDiT())
        with lesa.accelerate(pipe, raw):
            assert torch.equal(pipe(), results["float32"][0])
        assert not torch.equal(results["bfloat16"][0], results["float32"][0])
        torch.testing.assert_close(results["bfloat16"][0], results["float32"][0], atol=0.1, rtol=0.1)
        assert 2 * results["bfloat16"][1] == results["float32"][1]

    def test_decisions_that_depend_on_data_are_agreed_on(self):
        pipe, asked = TinyPipeline(TinyDiT()), []

        def agree(compute):
            asked.append(compute)
            return len(asked) == 2

        with lesa.accelerate(pipe, {**RAW, "engine": {"check_finite": "strict"}}, agree=agree) as session:
            pipe()
        assert session.report.plan() == "FFFPFPFPPPFP"
        assert asked == [False] * 7

    def test_observers(self):
        pipe, recorder = TinyPipeline(TinyDiT()), Recorder()
        with lesa.accelerate(pipe, RAW, observers=[recorder]):
            pipe()
        assert len(recorder.records) == 12

    def test_plugins_observe_too(self, registered):
        heard = []

        class Watching:
            @lesa.hookimpl
            def lesa_run_end(self, report):
                heard.append(report.nfe)

        registered.add("watching", Watching())
        pipe = TinyPipeline(TinyDiT())
        with lesa.accelerate(pipe, RAW):
            pipe()
            assert heard == []
        assert heard == [5]

    def test_a_session_is_watched_by_the_plugins_that_there_were_when_it_was_attached(self, registered):
        heard = []

        class Watching:
            def __init__(self, name):
                self.name = name

            @lesa.hookimpl
            def lesa_run_start(self):
                heard.append(f"{self.name}: start")

            @lesa.hookimpl
            def lesa_run_end(self, report):
                heard.append(f"{self.name}: end")

        registered.replace("watching", Watching("old"))
        earlier, later = TinyPipeline(TinyDiT()), TinyPipeline(TinyDiT())
        with lesa.accelerate(earlier, RAW):
            earlier()
            registered.replace("watching", Watching("new"))
            registered.add("another", Watching("another"))
            with lesa.accelerate(later, RAW):
                later()
        new = ["another: start", "new: start", "another: end", "new: end"]  # the newest plugin is told first
        assert heard == ["old: start", *new, "old: end"]

    def test_without_watching_plugins_nothing_is_called(self):
        assert plugins().observers == ()

    def test_the_session_detaches_when_its_block_is_left_by_an_exception(self):
        pipe = TinyPipeline(TinyDiT())
        with pytest.raises(ZeroDivisionError), lesa.accelerate(pipe, RAW):
            raise ZeroDivisionError
        assert "forward" not in pipe.transformer.__dict__

    def test_the_report_outlives_the_session(self):
        pipe = TinyPipeline(TinyDiT())
        session = lesa.accelerate(pipe, RAW)
        assert str(session.report) == "no run yet"
        pipe()
        before = session.report
        session.detach()
        assert session.report == before
        assert str(before).startswith("12 steps, 5 computed (2.40x), ")
        assert "  branch0: FFFPPPFPPPFP" in str(before)

    def test_a_configuration_that_is_wrong_touches_nothing(self):
        pipe = TinyPipeline(TinyDiT())
        with pytest.raises(ConfigError):
            lesa.accelerate(pipe, {**RAW, "predictor": {"kind": "reus"}})
        assert "forward" not in pipe.transformer.__dict__

    @pytest.mark.parametrize("sigmas", [None, [], [1.0]])
    def test_a_transformer_without_sigmas(self, sigmas):
        with pytest.raises(UnsupportedBackboneError, match=r"does not know its noise levels. Pass sigmas=\[...\]"):
            lesa.accelerate(TinyDiT(), RAW, sigmas=sigmas)

    @pytest.mark.parametrize("sigmas", [5, "abc"])
    def test_a_transformer_with_sigmas_that_are_no_list(self, sigmas):
        with pytest.raises(ConfigError, match=r"is no list of noise levels"):
            lesa.accelerate(TinyDiT(), RAW, sigmas=sigmas)

    @pytest.mark.parametrize("target", [object(), 5, None, "reference:flux"])
    def test_something_else(self, target):
        with pytest.raises(
            UnsupportedBackboneError, match="is neither a torch module nor a pipeline with a `transformer`"
        ):
            lesa.accelerate(target, RAW)

    def test_a_tap_that_the_adapter_has_not(self, registered):
        class PreHeadOnly(TinyDiTAdapter):
            taps = (Tap.PRE_HEAD,)

        registered.registry.backbones.add("pre_head_only", PreHeadOnly, "here")
        config = {**RAW, "backbone": {"kind": "pre_head_only", "tap": "output"}}
        with pytest.raises(
            UnsupportedBackboneError, match=r"backbone.tap: 'output' does not work on TinyDiT. Valid: pre_head\."
        ):
            lesa.accelerate(TinyPipeline(TinyDiT()), config)

    def test_an_adapter_by_name_that_does_not_fit(self):
        with pytest.raises(UnsupportedBackboneError, match=r"'tiny' is for TinyDiT and does not fit Linear"):
            lesa.accelerate(nn.Linear(1, 1), {**RAW, "backbone": {"kind": "tiny"}}, sigmas=[1, 0])

    def test_attaching_objects(self):
        pipe = TinyPipeline(TinyDiT())
        strategy = lesa.Strategy(ComputeSteps([0, 6]), EqualStages(), Reuse())
        with lesa.attach_strategy(pipe, strategy, tap=Tap.OUTPUT) as session:
            pipe()
        assert session.report.plan() == "FPPPPPFPPPPP"
        with lesa.attach_strategy(pipe, strategy, "tiny", "post_norm") as session:
            pipe()
        assert session.report.info.tap is Tap.POST_NORM


def test_building_a_strategy():
    config = lesa.load_config({**RAW, "engine": {"check_finite": False}})
    strategy = lesa.build_strategy(config)
    assert not strategy.check_finite
    assert strategy.router.num_stages == 1
