"""Where the feature sits in `ClassDiT`."""

from __future__ import annotations

from lesa_framework import BackboneAdapter


class ClassDiTAdapter(BackboneAdapter):
    """Everything that differs from FLUX, by name; nothing of the model is imported."""

    model_class = "ClassDiT"
    blocks = ("layers",)
    head = "final_norm"
    latent_argument = "x"
    condition_argument = "y"  # what tells the guided call from the plain one
    timestep_argument = "t"
    timestep_scale = 1 / 1000
