"""A configuration, its weights and its card: into a folder or a repository, and back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx
import huggingface_hub
import pytest
import torch
import yaml
from diffusers import ImagePipelineOutput
from diffusers.pipelines.wan.pipeline_output import WanPipelineOutput
from huggingface_hub import ModelCard, constants

import lesa_framework as lesa
from lesa_framework import ArtifactError, CardFacts, ConfigError, LesaError
from lesa_framework.artifacts import Artifact, load_artifact, save_artifact
from lesa_framework.automatic.shelf import find_weights
from lesa_framework.config.repository import WEIGHTS
from tests.fixtures_flux import Generate, MakePipeline

FACTS = CardFacts("owner/model", "apache-2.0", {"LPIPS": 0.32})


def test_a_folder_holds_everything_and_no_path(made: Path, tmp_path: Path) -> None:
    folder = lesa.save_pretrained(lesa.load_config(made), tmp_path / "out", FACTS)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.yaml", "weights.safetensors"]
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    for private in (b"/home/me", b"prompts.txt", b"my machine", str(tmp_path).encode()):
        assert private not in everything
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert written["predictor"] == {"kind": "l2p", "weights": "weights.safetensors"}
    before = load_artifact(made.with_name("l2p.safetensors"))
    after = load_artifact(folder / "weights.safetensors")
    assert torch.equal(before.tensors["weights"], after.tensors["weights"])
    assert after.metadata.sigmas == before.metadata.sigmas
    assert after.metadata.models == before.metadata.models


def test_the_card_tells_what_a_stranger_asks(made: Path, tmp_path: Path) -> None:
    card = ModelCard.load(lesa.save_pretrained(lesa.load_config(made), tmp_path / "out", FACTS) / "README.md")
    assert card.data.library_name == "lesa-framework"
    assert (card.data.base_model, card.data.license) == ("owner/model", "apache-2.0")
    assert card.data.to_dict()["base_model_relation"] == "adapter"
    assert {"lesa-framework", "l2p"} <= set(card.data.tags)
    for fact in (
        "| computed steps (NFE) | 4 of 12, 3.00x |",
        "| backbone, tap | flux, output |",
        "| transformer | FluxTransformer2DModel |",
        "| schedule | even compute=4 |",
        "| closeness to the uncached run in the fit, final latents, dB | 21.50 |",
        "| LPIPS | 0.32 |",
        "num_inference_steps=12",
        "The numbers come from their page.",
    ):
        assert fact in card.text


@pytest.mark.parametrize(
    ("call", "printed"),
    [
        (
            "{height: 64, true_cfg_scale: 3.5, prompt_2: other, negative_prompt: ''}",
            "height=64, true_cfg_scale=3.5, negative_prompt=''",
        ),
        (
            "{use_resolution_binning: false, clean_caption: false, max_sequence_length: 16, width: 32, scheme: fast}",
            "width=32, use_resolution_binning=False, clean_caption=False, max_sequence_length=16, scheme='fast'",
        ),
        (
            "{height: 8, prompt_3: a, negative_prompt_2: b, sizes: [1], flow_shift: 3.0, style: /home/me/a, to: ./b}",
            "height=8, negative_prompt_2='b', flow_shift=3.0",
        ),
        (
            "{callback_steps: 2, seed: 5, num_images_per_prompt: 2, output_type: latent, width: 8}",
            "width=8",
        ),
    ],
)
def test_the_card_s_example_has_the_arguments_of_the_fit(made: Path, tmp_path: Path, call: str, printed: str) -> None:
    config = lesa.load_config(made, [f"training.call={call}"])
    card = ModelCard.load(lesa.save_pretrained(config, tmp_path / "out", FACTS) / "README.md")
    assert f'pipe("a prompt", num_inference_steps=12, {printed})[0]' in card.text


@pytest.mark.parametrize(
    ("call", "printed"),
    [
        (
            {"width": 32, "height": 64, "negative_prompt": ""},
            "num_inference_steps=12, height=64, width=32, negative_prompt='')",
        ),
        ({"width": 32, "a b": 1, "x)\nprint(": 1}, "num_inference_steps=12, width=32)"),
        (["width", 32], "num_inference_steps=12)"),
    ],
)
def test_the_card_s_example_has_the_arguments_that_the_weights_know(
    made: Path, tmp_path: Path, call: object, printed: str
) -> None:
    """Presets of a registered model leave its arguments out; what comes from a file is not always an argument."""
    file = made.with_name("l2p.safetensors")
    artifact = load_artifact(file)
    training = {**artifact.metadata.training, "call": call}
    save_artifact(file, Artifact(artifact.metadata.model_copy(update={"training": training}), artifact.tensors))
    card = ModelCard.load(lesa.save_pretrained(lesa.load_config(made), tmp_path / "out") / "README.md")
    assert f'pipe("a prompt", {printed}[0][0]' in card.text
    said = lesa.load_config(made, ["training.call={height: 8}"])
    card = ModelCard.load(lesa.save_pretrained(said, tmp_path / "said") / "README.md")
    assert 'pipe("a prompt", num_inference_steps=12, height=8)[0][0]' in card.text


@pytest.mark.parametrize("call", [{}, {"num_frames": 9}, {"frames": 17}, {"video_length": 16}])
def test_the_card_s_example_takes_what_any_pipeline_makes(made: Path, tmp_path: Path, call: dict[str, int]) -> None:
    """Wan is called without `num_frames` too, and others have another name for it: no argument tells videos."""
    config = lesa.load_config(made, [f"training.call={call}"])
    card = ModelCard.load(lesa.save_pretrained(config, tmp_path / "out", FACTS) / "README.md")
    named = "".join(f", {name}={value}" for name, value in call.items())
    line = f'sample = pipe("a prompt", num_inference_steps=12{named})[0][0]'
    assert line in card.text
    for made_by in (ImagePipelineOutput(["first", "second"]), WanPipelineOutput(["first", "second"])):
        found: dict[str, object] = {"pipe": lambda *_, output=made_by, **__: output}
        exec(line, found)
        assert found["sample"] == "first"


def test_a_licence_of_an_import_is_on_the_card(made: Path, tmp_path: Path) -> None:
    card = ModelCard.load(lesa.save_pretrained(lesa.load_config(made), tmp_path / "out") / "README.md")
    assert (card.data.license, card.data.license_name) == ("other", "mit-like-see-there")
    assert "Licence: MIT-like, see there." in card.text
    assert card.data.base_model is None


def test_the_weights_alone_say_what_they_are_used_with(made: Path, tmp_path: Path) -> None:
    assert "schedule" not in load_artifact(made.with_name("l2p.safetensors")).metadata.config
    folder = lesa.save_pretrained(lesa.load_config(made), tmp_path / "out")
    whole, alone = lesa.load_config(folder), lesa.load_config(folder / "weights.safetensors")
    assert (alone.schedule, alone.predictor, alone.backbone) == (whole.schedule, whole.predictor, whole.backbone)
    assert alone.engine == whole.engine


def test_weights_of_a_fit_on_another_device_are_of_no_device(made: Path, tmp_path: Path) -> None:
    file = made.with_name("l2p.safetensors")
    artifact = load_artifact(file)
    config = {
        "schedule": {"kind": "even", "compute": 4},
        "predictor": {"kind": "l2p"},
        "engine": {"history": {"device": "cuda:7", "dtype": "bfloat16"}},
    }
    metadata = artifact.metadata.model_copy(update={"config": config})
    save_artifact(file, Artifact(metadata, artifact.tensors))
    folder = lesa.save_pretrained(lesa.load_config(made), tmp_path / "out")
    history = lesa.load_config(folder / "weights.safetensors").engine.history
    assert (history.device, history.dtype) == (None, "bfloat16")


def test_pushed_and_pulled_it_makes_the_same_picture(
    made: Path, hub: Path, make_flux: MakePipeline, generate: Generate
) -> None:
    assert lesa.push_to_hub(lesa.load_config(made), "owner/cache", FACTS, private=True) == "commit of owner/cache"
    assert (hub / "owner/cache/private").read_text() == "True"
    assert '"owner/cache"' in (hub / "owner/cache/README.md").read_text()
    pictures = []
    for config in (made, "owner/cache", lesa.from_pretrained("owner/cache", revision="v1"), hub / "owner/cache"):
        pipe = make_flux()
        with lesa.accelerate(pipe, config) as session:
            pictures.append(generate(pipe))
            assert session.report.nfe == 4
    assert all(torch.equal(picture, pictures[0]) for picture in pictures)
    assert lesa.load_config("owner/cache@v1").name == "cache"


def test_a_revision_of_what_is_on_this_machine_is_refused(
    made: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesa.push_to_hub(lesa.load_config(made), "owner/cache")
    monkeypatch.chdir(tmp_path)
    lesa.save_pretrained(lesa.load_config(made), "owner/cache")
    for name in ("owner/cache", "owner/cache/config.yaml"):
        with pytest.raises(ConfigError, match=f"^revision: '{name}' is on this machine and has no revisions"):
            lesa.from_pretrained(name, revision="v1")


@pytest.mark.parametrize(
    ("changes", "call", "message"),
    [
        ({"num_single_layers": 3}, {}, "trained on"),
        ({}, {"num_inference_steps": 7}, "trained for 12 steps, but the run has 7"),
    ],
)
def test_a_pulled_one_refuses_what_it_is_not_for_before_a_step(
    made: Path, hub: Path, make_flux: MakePipeline, generate: Generate, changes: dict, call: dict, message: str
) -> None:
    lesa.push_to_hub(lesa.load_config(made), "owner/cache")
    pipe, steps = make_flux(**changes), []
    pipe.transformer.proj_out.register_forward_hook(lambda *_: steps.append(1))
    with lesa.accelerate(pipe, "owner/cache"), pytest.raises(ArtifactError, match=message):
        generate(pipe, **call)
    assert not steps


def test_a_speedup_finds_folders_and_files_in_the_folder_of_weights(
    made: Path, tmp_path: Path, make_flux: MakePipeline, generate: Generate
) -> None:
    config, place = lesa.load_config(made), tmp_path / "weights"
    for name in ("mine", "owner/theirs"):
        lesa.save_pretrained(config, place / name)
    shutil.copy(place / "mine" / "weights.safetensors", place / "alone.safetensors")
    shutil.copy(place / "mine" / "weights.safetensors", place / "run.checkpoint.safetensors")
    shutil.copy(made.with_name("l2p.safetensors"), place)
    shutil.copy(made, place)
    found = [weights.name for weights in find_weights(place) if weights.source == str(place)]
    assert sorted(found) == ["alone", "mine", "mine", "theirs"]
    (shared,) = (weights.name for weights in find_weights(place / "mine") if weights.source == str(place / "mine"))
    assert shared == "mine"
    pipe = make_flux()
    with lesa.accelerate(pipe, speedup=3, weights=place) as session:
        generate(pipe)
    assert session.report.nfe == 4
    assert session.choice.source == str(place)


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("predictor.weights", {"predictor": {"kind": "l2p", "weights": "../../../made/l2p.safetensors"}}),
        (
            "predictor.base.weights",
            {"predictor": {"kind": "lesa", "weights": WEIGHTS, "base": {"kind": "fitted", "weights": "/their/file"}}},
        ),
        ("training.prompts_file", {"training": {"prompts_file": "/any/text"}}),
    ],
)
def test_files_elsewhere_are_not_read(made: Path, hub: Path, key: str, section: dict) -> None:
    lesa.push_to_hub(lesa.load_config(made), "owner/cache")
    config = hub / "owner/cache/config.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | section))
    with pytest.raises(ConfigError, match=f"its {key} is .*; only weights.safetensors beside it is read"):
        lesa.load_config("owner/cache")


def test_a_file_that_its_user_names_is_read(made: Path, hub: Path) -> None:
    lesa.push_to_hub(lesa.load_config(made), "owner/cache")
    assert lesa.load_config("owner/cache", ["training.prompts_file=/my/prompts.txt"]).training.prompts_file
    (hub / "owner/cache/config.yaml").unlink()
    with pytest.raises(ConfigError, match=r"'owner/cache': the repository has no config.yaml"):
        lesa.load_config("owner/cache")


Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Answer], None]:
    """What the hub answers, at the edge of its own client."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    def answer(how: Answer) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(how)))

    yield answer
    huggingface_hub.set_client_factory(huggingface_hub.utils._http.default_client_factory)


def _refusal(status: int, code: str) -> Answer:
    return lambda request: httpx.Response(status, headers={"X-Error-Code": code}, json={}, request=request)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            _refusal(404, "RepoNotFound"),
            "'owner/none' is neither a file, a folder, a preset nor a repository of the hub",
        ),
        (_refusal(404, "RevisionNotFound"), "'owner/none': the repository has no revision 'v9'"),
        (_refusal(403, "GatedRepo"), "'owner/none': its owner lets in only who asked for access"),
    ],
)
def test_what_the_hub_refuses(network: Callable[[Answer], None], answer: Answer, message: str) -> None:
    network(answer)
    with pytest.raises(ConfigError, match=message):
        lesa.load_config("owner/none@v9")


def test_without_a_network(network: object, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="is not on this machine, and the hub cannot be reached"):
        lesa.from_pretrained("owner/none")
    with pytest.raises(LesaError, match="'owner/mine': cannot be uploaded"):
        lesa.push_to_hub(lesa.load_config(made), "owner/mine")
    with pytest.raises(ConfigError, match="'mine' is no repository"):
        lesa.push_to_hub(lesa.load_config(made), "mine")
