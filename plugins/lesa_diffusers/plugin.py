"""Registers the adapters of diffusers' transformer classes."""

from types import MappingProxyType

from lesa_diffusers import audio, cross, joint, sequence, video, wan
from lesa_framework import Registrar, hookimpl

#: Kind -> adapter.
ADAPTERS = MappingProxyType(
    {
        "ace_step": audio.AceStepAdapter,
        "allegro": video.AllegroAdapter,
        "aura_flow": joint.AuraFlowAdapter,
        "bria": joint.BriaAdapter,
        "bria_fibo": joint.BriaFiboAdapter,
        "bria_fibo2": sequence.BriaFibo2Adapter,
        "chroma": joint.ChromaAdapter,
        "chrono_edit": wan.ChronoEditAdapter,
        "cogvideox": video.CogVideoXAdapter,
        "cogview3plus": joint.CogView3PlusAdapter,
        "cogview4": joint.CogView4Adapter,
        "consisid": video.ConsisIDAdapter,
        "cosmos": video.CosmosAdapter,
        "dit": cross.DiTAdapter,
        "easyanimate": video.EasyAnimateAdapter,
        "ernie_image": sequence.ErnieImageAdapter,
        "flux": joint.FluxAdapter,
        "flux2": joint.Flux2Adapter,
        "glm_image": joint.GlmImageAdapter,
        "helios": video.HeliosAdapter,
        "hidream_image": joint.HiDreamAdapter,
        "hunyuan_dit": cross.HunyuanDiTAdapter,
        "hunyuan_image": joint.HunyuanImageAdapter,
        "hunyuan_video": video.HunyuanVideoAdapter,
        "hunyuan_video15": video.HunyuanVideo15Adapter,
        "hunyuan_video_framepack": video.HunyuanVideoFramepackAdapter,
        "joyimage_edit": joint.JoyImageEditAdapter,
        "kandinsky5": video.Kandinsky5Adapter,
        "krea2": sequence.Krea2Adapter,
        "latte": video.LatteAdapter,
        "longcat_image": joint.LongCatImageAdapter,
        "ltx": video.LTXAdapter,
        "lumina2": sequence.Lumina2Adapter,
        "lumina_next": cross.LuminaNextAdapter,
        "mochi": video.MochiAdapter,
        "motif_video": video.MotifVideoAdapter,
        "nucleus_moe_image": joint.NucleusMoEImageAdapter,
        "omnigen": sequence.OmniGenAdapter,
        "ovis_image": joint.OvisImageAdapter,
        "pixart": cross.PixArtAdapter,
        "prx": cross.PrxAdapter,
        "qwen_image": joint.QwenImageAdapter,
        "qwen_image21": joint.QwenImage21Adapter,
        "sana": cross.SanaAdapter,
        "sana_video": video.SanaVideoAdapter,
        "sd3": joint.SD3Adapter,
        "skyreels_v2": wan.SkyReelsV2Adapter,
        "stable_audio": audio.StableAudioAdapter,
        "wan": wan.WanAdapter,
        "wan_animate": wan.WanAnimateAdapter,
        "wan_vace": wan.WanVACEAdapter,
        "z_image": sequence.ZImageAdapter,
    }
)


@hookimpl
def lesa_register(registrar: Registrar) -> None:
    """Register the adapters."""
    for kind, adapter in ADAPTERS.items():
        registrar.add_backbone(kind, adapter)
