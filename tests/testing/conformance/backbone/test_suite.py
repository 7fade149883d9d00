"""The ways to run the suite, and what does not apply."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lesa_framework import Tap
from lesa_framework.testing import TinyDiT, TinyDiTAdapter, backbone_checks, check_backbone, run_backbone
from tests.testing.conformance.backbone.mutant import Good, call, make_latent
from tests.testing.conformance.backbone.wrong_layouts import OtherClass, Restless, Tapless
from tests.testing.conformance.backbone.wrong_runs import Marks, NoBranches

HOW = {"make_model": TinyDiT, "call": call, "make_latent": make_latent}


def find(results, name):
    return next(result for result in results if result.check == name)


def test_nothing_runs_before_a_check_is_called():
    def fail(*_):
        raise AssertionError("called")

    checks = backbone_checks(Good, make_model=fail, call=fail, make_latent=fail)
    assert all(check.about.endswith(".") for check in checks)
    with pytest.raises(AssertionError, match="names_the_model_class: called"):
        checks[0]()


def test_checks_have_distinct_strings():
    names = [str(check) for check in backbone_checks(TinyDiTAdapter, **HOW)]
    assert len(set(names)) == len(names)
    assert names[0] == "names_the_model_class"
    assert {name.split("-")[0] for name in names if "-" in name} == set(Tap)


def test_an_adapter_may_be_given_in_place_of_its_class():
    check_backbone(Good(), **HOW)


def test_it_runs_in_any_thread():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(check_backbone, Good, **HOW).result()


def test_the_first_failure_is_raised_and_all_are_listed():
    class Wrong(OtherClass, Marks):
        pass

    with pytest.raises(AssertionError, match=r"^names_the_model_class: model_class: 'BigDiT'"):
        check_backbone(Wrong, **HOW)
    failed = [(result.check, result.tap) for result in run_backbone(Wrong, **HOW) if not result.passed]
    assert failed == [("names_the_model_class", None), ("detaching_leaves_no_trace", Tap.PRE_HEAD)]


def test_the_message_names_the_tap():
    with pytest.raises(AssertionError, match=r"^pre_head-detaching_leaves_no_trace: detaching left traces: 'model'"):
        check_backbone(Marks, **HOW)


def test_without_a_tap_the_layout_is_checked_all_the_same():
    results = run_backbone(Tapless, **HOW)
    assert {result.group for result in results} == {"layout"}


def test_an_error_of_the_model_is_a_result_of_its_own():
    def fail(model, latent, sigma, prompt):
        raise ValueError("no such thing")

    results = run_backbone(Good, make_model=TinyDiT, call=fail, make_latent=make_latent)
    assert find(results, "replay_is_exact").detail == "ValueError: no such thing"
    assert find(results, "names_the_model_class").passed
    with pytest.raises(ValueError, match="no such thing"):
        check_backbone(Good, make_model=TinyDiT, call=fail, make_latent=make_latent)


def test_a_model_without_conditioning_has_one_branch():
    def same(model, latent, sigma, prompt):
        return call(model, latent, sigma, 1)

    results = run_backbone(NoBranches, make_model=TinyDiT, call=same, make_latent=make_latent)
    assert {result.outcome for result in results if result.group == "branches"} == {"not applicable"}
    assert all(result.passed for result in results)


def test_a_conditioning_that_is_named_must_matter():
    def same(model, latent, sigma, prompt):
        return call(model, latent, sigma, 1)

    with pytest.raises(AssertionError, match="another prompt gave the same output"):
        check_backbone(Good, make_model=TinyDiT, call=same, make_latent=make_latent)


class Float32Model(TinyDiT):
    """As research code: a part of it is cast to float32, whatever it is given."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        return super().forward(hidden_states.float(), timestep, encoder_hidden_states, return_dict)


def test_a_model_that_does_not_run_in_bfloat16_is_not_held_to_it():
    results = run_backbone(Good, make_model=Float32Model, call=call, make_latent=make_latent)
    found = find(results, "may_change_its_dtype")
    assert found.outcome == "not applicable"
    assert found.detail.startswith("the bare model does not run in bfloat16: ")
    assert all(result.passed for result in results)


def test_a_refusal_without_an_example_is_said_to_be_untried():
    class Careful(Good):
        def refuse(self, model, arguments):
            return None

    found = find(run_backbone(Careful, **HOW), "refuses_what_it_cannot_do")
    assert (found.outcome, "give an example" in found.detail) == ("not applicable", True)


class Seeded(TinyDiT):
    """Other weights each time."""

    made = 0

    def __init__(self):
        type(self).made += 1
        super().__init__(seed=self.made)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"make_model": Restless}, "the same output for the same input"),
        ({"make_model": Seeded}, "the same weights each time; seed it"),
        ({"call": lambda *args: call(*args)[:, :2]}, r"it returned \(1, 2, 4\) for a latent of \(1, 6, 4\)"),
        ({"call": lambda *args: torch.zeros_like(args[1])}, "another latent gave the same output"),
        ({"call": lambda model, latent, _, prompt: call(model, latent, 0.5, prompt)}, "pass it to the model"),
    ],
)
def test_an_example_that_shows_too_little(changes, message):
    with pytest.raises(AssertionError, match=message):
        check_backbone(Good, **{**HOW, **changes})


@pytest.mark.parametrize("folder", [True, False], ids=["save_pretrained", "safetensors"])
def test_a_model_is_saved_the_way_it_has(folder, tmp_path, monkeypatch):
    saved = []

    class Pretrained(TinyDiT):
        def save_pretrained(self, save_directory):
            saved.append(self.state_dict())

        @classmethod
        def from_pretrained(cls, folder):
            model = cls()
            model.load_state_dict(saved[-1])
            return model

    check_backbone(Good, make_model=Pretrained if folder else TinyDiT, call=call, make_latent=make_latent)
    assert len(saved) == folder


class Rounds(TinyDiT):
    """Does not run in bfloat16 unless its timesteps are cast too."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        if timestep.dtype != hidden_states.dtype:
            raise RuntimeError("dtypes differ")
        return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)


def test_timesteps_are_cast_where_the_model_wants_it():
    def with_tensor(model, latent, sigma, prompt):
        return call(model, latent, torch.full((latent.shape[0],), sigma), prompt)

    results = run_backbone(Good, make_model=Rounds, call=with_tensor, make_latent=make_latent)
    assert find(results, "may_change_its_dtype").outcome == "passed"


class Keeps(TinyDiT):
    """Keeps something of each call, whoever makes it."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        self.last = hidden_states.clone()
        return super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)


def test_what_the_model_itself_keeps_is_no_trace():
    check_backbone(Good, make_model=Keeps, call=call, make_latent=make_latent)
    with pytest.raises(AssertionError, match="'model': seen was absent"):
        check_backbone(Marks, make_model=Keeps, call=call, make_latent=make_latent)


def test_an_adapter_may_leave_the_timestep_as_it_is():
    class Stays(Good):
        def shifted(self, arguments, shift):
            return self.timestep(arguments)

    found = find(run_backbone(Stays, **HOW), "tells_another_noise_level")
    assert (found.outcome, found.detail) == (
        "not applicable",
        "shifted leaves the timestep as it is, so predictors cannot tune it",
    )


def test_the_argument_of_the_latent_is_named_even_where_latent_reads_it_by_itself():
    class Elsewhere(Good):
        latent_argument = "x"

        def latent(self, arguments):
            return arguments["hidden_states"]

    found = find(run_backbone(Elsewhere, **HOW), "gives_the_latent_back")
    assert found.outcome == "failed"
    assert found.detail.startswith("latent_argument: the call has no tensor 'x', so predictors cannot tune its latent")
