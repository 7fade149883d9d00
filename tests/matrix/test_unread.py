"""Modules of diffusers' own models that nothing but the blocks reads: they rest, and no bit of an output changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lesa_framework import Reuse, Strategy
from lesa_framework.runtime.model.unread import Unread
from lesa_framework.testing import attach, even_grid, sample
from lesa_framework.testing.conformance.probes import ComputeSteps, EqualStages
from tests.matrix.case import Case
from tests.matrix.cases import CASES

#: Of torch and diffusers about themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.FluxPosEmbed. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),
    pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning"),
]

GRID = even_grid(5)
#: By kind, the paper's three first. Mostly the embeddings of the latent and of the prompt, and the positions.
RESTING: dict[str, set[str]] = {
    "flux": {"x_embedder", "context_embedder", "pos_embed"},
    "qwen_image": {"img_in", "txt_norm", "txt_in", "pos_embed"},
    "hunyuan_video": {"x_embedder", "context_embedder", "rope"},
    "flux2": {
        "context_embedder",
        "double_stream_modulation_img",
        "double_stream_modulation_txt",
        "single_stream_modulation",
        "x_embedder",
    },
    "chroma": {"context_embedder", "pos_embed", "x_embedder"},
    "sd3": {"context_embedder", "pos_embed"},
    "hunyuan_image": {"context_embedder", "rope", "x_embedder"},
    "aura_flow": {"context_embedder", "pos_embed"},
    "cogview3plus": {"patch_embed"},
    "cogview4": {"patch_embed", "rope"},
    "hidream_image": {"pe_embedder", "x_embedder"},
    "bria": {"context_embedder", "pos_embed", "x_embedder"},
    "bria_fibo": {"context_embedder", "pos_embed", "x_embedder"},
    "longcat_image": {"context_embedder", "pos_embed", "x_embedder"},
    "ovis_image": {"context_embedder", "context_embedder_norm", "pos_embed", "x_embedder"},
    # Not its token embedding, whose output the model writes to.
    "glm_image": {"glyph_projector", "image_projector", "prior_projector", "rope"},
    "nucleus_moe_image": {"img_in", "pos_embed", "txt_norm"},
    "qwen_image21": {"img_in", "modulation", "pos_embed", "txt_in"},
    "joyimage_edit": {"condition_embedder", "img_in"},
    "dit": {"pos_embed"},
    "pixart": {"caption_projection", "pos_embed"},
    "hunyuan_dit": {"pos_embed", "text_embedder"},
    "sana": {"caption_norm", "caption_projection", "patch_embed"},
    "prx": {"img_in", "pe_embedder", "txt_in"},
    "lumina_next": set(),
    "lumina2": {"x_embedder"},
    "z_image": {"cap_embedder"},
    "omnigen": set(),
    "ernie_image": {"adaLN_modulation", "pos_embed", "x_embedder"},
    "krea2": {"img_in", "rotary_emb", "text_fusion", "time_mod_proj", "txt_in"},
    "bria_fibo2": {"perceiver", "x_embedder"},
    "ltx": {"caption_projection", "proj_in", "rope"},
    "cogvideox": {"embedding_dropout", "patch_embed"},
    "consisid": {"embedding_dropout", "norm_final", "patch_embed"},
    "hunyuan_video15": {"context_embedder", "context_embedder_2", "image_embedder", "rope", "x_embedder"},
    "hunyuan_video_framepack": {"clean_x_embedder", "context_embedder", "image_projection", "x_embedder"},
    "mochi": {"patch_embed", "rope"},
    "allegro": {"caption_projection", "pos_embed"},
    "latte": {"caption_projection", "pos_embed"},
    "easyanimate": {"proj", "rope_embedding", "text_proj"},
    "kandinsky5": {"text_embeddings", "text_rope_embeddings", "visual_embeddings", "visual_rope_embeddings"},
    "cosmos": {"learnable_pos_embed", "patch_embed", "rope"},
    "sana_video": {"caption_norm", "caption_projection", "patch_embedding", "rope"},
    "helios": {"patch_embedding", "rope"},
    "motif_video": {"context_embedder", "rope", "x_embedder"},
    "wan": {"patch_embedding", "rope"},
    "wan_vace": {"patch_embedding", "rope", "vace_patch_embedding"},
    "wan_animate": {"face_encoder", "motion_encoder", "pose_patch_embedding", "rope"},
    "chrono_edit": {"patch_embedding", "rope"},
    "skyreels_v2": {"patch_embedding", "rope"},
    "stable_audio": {"cross_attention_proj", "global_proj", "preprocess_conv", "proj_in", "time_proj", "timestep_proj"},
    "ace_step": {"condition_embedder", "proj_in_conv"},
}


def outputs(case: Case) -> list[Tensor]:
    model = case.make_model()
    with attach(model, case.adapter(), Strategy(ComputeSteps((0, 3)), EqualStages(), Reuse()), GRID):
        return sample(model, case.call, case.make_latent(1), GRID)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_no_output_changes_by_a_bit(case: Case, monkeypatch):
    resting: set[str] = set()
    learn = Unread.learn

    def noted(self: Unread, *call) -> None:
        learn(self, *call)
        unread = {number for found in self._found.values() for number in found}
        resting.update(name for name, child in self._model.named_children() if id(child) in unread)

    monkeypatch.setattr(Unread, "learn", noted)
    found = outputs(case)
    monkeypatch.setattr(Unread, "learn", lambda *_: None)
    assert all(map(torch.equal, found, outputs(case)))
    assert resting == RESTING[case.kind]
