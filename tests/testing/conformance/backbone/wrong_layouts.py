"""Wrong in what they declare or put back."""

from __future__ import annotations

import torch
from torch import nn

from lesa_framework.runtime.model import attach, blocks
from lesa_framework.testing import TinyDiT
from tests.testing.conformance.backbone.mutant import Good, Mutant, call, make_latent


# ------------------------------------------------------------------------------------------- layout
class OtherClass(Good):
    model_class = "BigDiT"


class Tapless(Good):
    taps = ()


class NoSuchList(Good):
    blocks = ("blocks",)


class NoSuchHead(Good):
    head = "final"


class NotTheStack(Good):
    blocks = ("transformer_blocks", "single_transformer_blocks", "spare")


class HalfTheBlocks(Good):
    blocks = ("transformer_blocks",)


class NotTheEnd(Good):
    head = "spare.0"


class ReadsAlone(Good):
    """Counts from noise to data by itself, and leaves `shifted` to the attributes, which say something else."""

    timestep_scale, timestep_offset = 1.0, 0.0

    def noise_level(self, arguments):
        return 1.0 - self.timestep(arguments)


class Flattens(Good):
    def latent(self, arguments):
        return super().latent(arguments).flatten(1)


class Backwards(TinyDiT):
    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        return super().forward(hidden_states, 1.0 - timestep, encoder_hidden_states, return_dict)


def call_backwards(model, latent, sigma, prompt):
    return call(model, latent, 1.0 - sigma, prompt)


class WithSpare(TinyDiT):
    def __init__(self):
        super().__init__()
        self.spare = nn.ModuleList([nn.Identity()])


class Timeless(TinyDiT):
    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        return super().forward(hidden_states, 0.5, encoder_hidden_states, return_dict)


class Restless(TinyDiT):
    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        moved = hidden_states + 1e-3 * torch.rand(())
        return super().forward(moved, timestep, encoder_hidden_states, return_dict)


LAYOUT = [
    Mutant("other class", ("names_the_model_class",), "'BigDiT' is not among the model's classes", OtherClass),
    Mutant("no tap", ("names_blocks_and_taps",), "taps: names none", Tapless),
    Mutant("absent list", ("finds_its_modules",), "expects 'blocks' in TinyDiT", NoSuchList, spreads=True),
    Mutant("absent head", ("finds_its_modules",), "expects 'final' in TinyDiT", NoSuchHead, spreads=True),
    Mutant("ignored level", ("has_a_sound_example",), "another noise level gave the same output", make_model=Timeless),
    Mutant("noise in it", ("has_a_sound_example",), "must give the same output", make_model=Restless, spreads=True),
    Mutant(
        "one way alone",
        ("tells_another_noise_level",),
        r"shifted: asked for a noise level of 0.875 where it was 0.75, it gave what noise_level takes for 0.625",
        ReadsAlone,
        Backwards,
        call_backwards,
    ),
    Mutant(
        "flat latent",
        ("gives_the_latent_back",),
        r"as_given returned samples of \(24,\), but those in 'hidden_states' are of \(6, 4\)",
        Flattens,
    ),
    Mutant(
        "one size",
        ("has_a_sound_example",),
        "sizes 1 and 2 must differ in shape",
        make_latent=lambda _: make_latent(1),
        spreads=True,
    ),
    Mutant("idle list", ("runs_every_list",), r"no block of \['spare'\]", NotTheStack, WithSpare, spreads=True),
    Mutant("idle head", ("runs_the_head",), "'spare.0' was called 0 times", NotTheEnd, WithSpare, spreads=True),
    Mutant("half the stack", ("forgets_no_list",), r"\['single_transformer_blocks'\] run between", HalfTheBlocks),
]


# ------------------------------------------------------------------------------------------- replay
class WrongScale(Good):
    timestep_scale = 1 / 1000


class Forgetful(TinyDiT):
    """What the final norm returns does not reach the output."""

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)
        return (hidden_states * timestep + encoder_hidden_states.mean(),)


class Telltale(TinyDiT):
    """Its tail looks at the blocks; once moved, it no longer does."""

    moved = False

    def _apply(self, *args, **kwargs):
        self.moved = True
        return super()._apply(*args, **kwargs)

    def forward(self, hidden_states, timestep, encoder_hidden_states=None, return_dict=True):
        (output,) = super().forward(hidden_states, timestep, encoder_hidden_states, return_dict)
        return (output if self.moved else output + len(self.transformer_blocks),)


def add_to_every_output(patch):
    original = attach.Attachment.call

    def forward(self, *args, **kwargs):
        (output,) = original(self, *args, **kwargs)
        return (output + 1e-3 if self.is_live else output,)

    patch.setattr(attach.Attachment, "call", forward)


REPLAY = [
    Mutant("wrong scale", ("finds_every_step",), "see timestep_argument and timestep_scale", WrongScale, spreads=True),
    Mutant(
        "touched output",
        ("always_changes_nothing",),
        "computing every step must change nothing",
        engine=add_to_every_output,
    ),
    Mutant("tail reads blocks", ("replay_is_exact",), "must give the same output, bit for bit", make_model=Telltale),
    Mutant("unused feature", ("uses_the_feature",), "what is put back is not used", make_model=Forgetful),
    Mutant(
        "blocks run",
        ("skips_the_blocks",),
        "blocks were called on predicted steps too",
        engine=lambda patch: patch.setattr(blocks.BlockLists, "bypass", lambda self: blocks._SHOWN.blocks),
    ),
]
