"""Wrong between branches, between runs, or when moved."""

from __future__ import annotations

import copy
import sys

import torch

from lesa_framework.runtime import engine
from lesa_framework.runtime.model import attach, blocks
from lesa_framework.testing import TinyDiT
from lesa_framework.testing.tiny_pipeline import noise
from tests.testing.conformance.backbone.mutant import Good, Mutant


# ----------------------------------------------------------------------------------------- branches
class NoBranches(Good):
    condition_argument = None


class TwoBranches(Good):
    """Knows prompt 1 from the others, and those not from each other."""

    def condition(self, arguments):
        given = arguments["encoder_hidden_states"]
        first = noise((1, 3, 4), 1).to(given)
        return given if given.shape == first.shape and torch.equal(given, first) else torch.zeros(1)


BRANCHES = [
    Mutant(
        "no branches",
        ("keeps_two_branches_apart", "keeps_three_branches_apart"),
        "see condition_argument",
        NoBranches,
    ),
    Mutant("two branches", ("keeps_three_branches_apart",), "branch 2 must give the same alone", TwoBranches),
]


# --------------------------------------------------------------------------------------------- runs
def keep_histories_of_whole_runs(patch):
    original = engine.Engine.close

    def close(self):
        kept = self._branches if len(self._records) == 4 else {}
        original(self)
        self._branches = kept

    patch.setattr(engine.Engine, "close", close)


def leave_the_lists_empty(patch):
    def bypass(self):
        held = [(container, container._modules) for container in self._lists.values()]
        for container, _ in held:
            container._modules = {}
        return held

    original = blocks.BlockLists.restore

    def restore(self, held):
        if not isinstance(held, list):
            original(self, held)
        elif sys.exc_info()[0] is None:  # not after an error
            for container, modules in held:
                container._modules = modules

    patch.setattr(blocks.BlockLists, "bypass", bypass)
    patch.setattr(blocks.BlockLists, "restore", restore)


class Shapeless(engine.BranchState):
    """A branch that takes every latent for the first one."""

    latent_shape = property(lambda self: None, lambda self, shape: None)


class Stubborn(Good):
    """Wants the tokens of its first run for ever."""

    axis = 1

    def __init__(self):
        self.first = None

    def refuse(self, model, arguments):
        if arguments["timestep"] != 1:
            return None
        given = arguments["hidden_states"].shape[self.axis]
        self.first = self.first or given
        return None if given == self.first else "it wants what it had."


class StubbornBatch(Stubborn):
    axis = 0


class Marks(Good):
    def refuse(self, model, arguments):
        model.seen = True


RUNS = [
    Mutant(
        "kept histories",
        # A step that a branch has had is off the grid, so nothing of a later run is predicted.
        ("second_run_is_fresh", "next_run_may_have_another_shape", "next_run_may_have_another_batch_size"),
        "run 2 of a session must be as a fresh one",
        engine=keep_histories_of_whole_runs,
    ),
    Mutant(
        "lists stay empty",
        ("survives_an_exception",),
        "the run after an exception",
        engine=leave_the_lists_empty,
    ),
    Mutant(
        "shapes unseen",
        ("survives_another_shape",),
        "a step on which the shape changes must be computed",
        engine=lambda patch: patch.setattr(engine, "BranchState", Shapeless),
    ),
    Mutant("same tokens", ("next_run_may_have_another_shape",), "it wants what it had", Stubborn),
    Mutant("same batch", ("next_run_may_have_another_batch_size",), "it wants what it had", StubbornBatch),
    Mutant("a mark", ("detaching_leaves_no_trace",), "'model': seen was absent", Marks),
]


# ---------------------------------------------------------------------------- moves, files, refusals
class Float32Only(Good):
    def refuse(self, model, arguments):
        return "bfloat16." if arguments["hidden_states"].dtype == torch.bfloat16 else None


class LosesHooks(TinyDiT):
    """Makes itself a new head on another device."""

    def to(self, *args, **kwargs):
        if not isinstance(args[0], torch.dtype):
            self.norm_out = copy.deepcopy(self.norm_out)
            self.norm_out._forward_pre_hooks.clear()
            self.norm_out._forward_hooks.clear()
        return super().to(*args, **kwargs)


def attach_a_buffer(patch):
    start, end = attach.Attachment.__init__, attach.Attachment.detach

    def init(self, model, *args, **kwargs):
        start(self, model, *args, **kwargs)
        model.register_buffer("lesa", torch.zeros(1))

    def detach(self):
        self._model._buffers.pop("lesa", None)
        end(self)

    patch.setattr(attach.Attachment, "__init__", init)
    patch.setattr(attach.Attachment, "detach", detach)


class Confused(Good):
    def refuse(self, model, arguments):
        return "three words only." if arguments["encoder_hidden_states"].shape[1] == 5 else None


def call_with_five_words(model, latent, sigma, prompt):
    return model(latent, sigma, noise((latent.shape[0], 5, 4), prompt), return_dict=False)[0]


class Sulks(Confused):
    """Having refused once, refuses for ever."""

    def __init__(self):
        self.sulks = False

    def refuse(self, model, arguments):
        reason = super().refuse(model, arguments)
        self.sulks |= reason is not None
        return "no more." if self.sulks else None


OTHERS = [
    Mutant("float32 only", ("may_change_its_dtype",), r"TinyDiT: bfloat16\.", Float32Only),
    Mutant("new head", ("may_change_its_device",), "norm_out", make_model=LosesHooks),
    Mutant("a buffer", ("saves_as_a_bare_model",), r"\['lesa'\] appeared", engine=attach_a_buffer),
    Mutant(
        "copied session",
        ("copies_as_a_bare_model",),
        "a copy of an attached model must be a bare one",
        engine=lambda patch: patch.setattr(attach.Attachment, "__deepcopy__", lambda self, memo: self),
    ),
    Mutant(
        "no refusal",
        ("refuses_what_it_cannot_do",),
        r"refused\[0\]: the call was not refused",
        refused=(call_with_five_words,),
    ),
    Mutant("sulks", ("refuses_what_it_cannot_do",), r"no more\.", Sulks, refused=(call_with_five_words,)),
]
