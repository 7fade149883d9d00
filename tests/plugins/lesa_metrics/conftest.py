from __future__ import annotations

import json
import socket

import huggingface_hub
import pytest
import torch
from transformers import CLIPConfig, CLIPModel
from transformers.convert_slow_tokenizer import bytes_to_unicode


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A tiny CLIP with random weights, as a folder from the hub: tokens are single bytes, pictures 32x32."""
    folder = tmp_path_factory.mktemp("clip")
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    # The form of the first CLIPs' files: bare numbers.
    settings = {"size": 36, "crop_size": 32, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.3, 0.2, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    config = CLIPConfig(
        text_config={**shape, **ends, "vocab_size": 514, "max_position_embeddings": 24},
        vision_config={**shape, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    torch.manual_seed(1)
    model = CLIPModel(config)
    # Fresh weights are small and the embeddings then nearly the same for every picture and prompt.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and parameter.ndim > 1:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def calls_home(monkeypatch):
    """Where somebody tried to connect to; nobody gets through, and the hub is not told to stay offline."""
    tried = []

    def refuse(*address, **options):
        tried.append(address)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return tried
