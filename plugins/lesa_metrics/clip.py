"""CLIP score: does a picture show what its prompt says?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor

from lesa_framework import LoadedMetric, Metric, MetricUnavailableError
from lesa_framework.pipelines import quiet
from lesa_metrics.needs import cached, finite, library
from lesa_metrics.pixels import Preparation

_REMEDY: Final = 'pip install "lesa-framework[diffusers]"'
#: CLIP's tokenizers know every byte, inside words and at their end. A smaller one was not loaded but made up.
_FEWEST_TOKENS: Final = 512


class ClipScore(Metric):
    """CLIP score ([arXiv 2104.08718](https://arxiv.org/abs/2104.08718)): `max(0, 100 cos(picture, prompt))`.

    Args:
        model: A CLIP model: its folder, or its id on the hub, of which only the local cache is looked at.
        name: What it is asked for by; another one for another model, which is then its heading, too.

    Example:
        A second CLIP beside the default one, in a plugin of your own::

            registrar.add_metric(ClipScore("openai/clip-vit-large-patch14", name="clip_score_large"))
    """

    higher_is_better = True

    def __init__(self, model: str | Path = "openai/clip-vit-base-patch16", *, name: str = "clip_score") -> None:
        self.model, self.name = str(model), name
        self.heading = "CLIP score" if name == "clip_score" else name
        self.summary = f"Agreement of picture and prompt, 0 to 100, by {Path(model).name}."

    def load(self, device: torch.device | str) -> LoadedClipScore:
        """Load the model, its tokenizer and its preprocessing of pictures.

        Raises:
            MetricUnavailableError: transformers or the model's files are not on the machine.
        """
        transformers = library(self.name, "transformers", _REMEDY)
        local = Path(self.model).is_dir()
        remedy = "give the folder of a CLIP model" if local else f"fetch it with `hf download {self.model}`"
        try:
            folder = Path(self.model) if local else cached(self.model, "config.json")
            loaded = _load(transformers, folder, device) if folder else None
        except Exception as error:  # names, JSON and weights each have errors of their own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise MetricUnavailableError(
                f"{self.name}: {self.model} cannot be used: {reason.rstrip('.')}; {remedy}"
            ) from error
        if loaded is None:
            raise MetricUnavailableError(f"{self.name}: {self.model} is not in the local hub cache; {remedy}")
        return loaded


def _load(transformers: ModuleType, folder: Path, device: torch.device | str) -> LoadedClipScore:
    with quiet("transformers"):
        settings, _ = transformers.CLIPImageProcessor.get_image_processor_dict(folder)
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
        model, found = transformers.CLIPModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    # transformers would go on with an empty tokenizer, and with random weights.
    if len(tokenizer) < _FEWEST_TOKENS:
        raise OSError("its tokenizer's files are missing.")
    if found["missing_keys"]:
        raise ValueError(f"its weights are not a CLIP model's, {min(found['missing_keys'])} is missing.")
    return LoadedClipScore(model.to(device).eval().requires_grad_(False), tokenizer, Preparation.of(settings), device)


class LoadedClipScore(LoadedMetric):
    """The CLIP score, ready.

    Args:
        model: transformers' `CLIPModel`.
        tokenizer: Its tokenizer.
        preparation: What it does to pictures first.
        device: Where it is.
    """

    def __init__(self, model: Any, tokenizer: Any, preparation: Preparation, device: torch.device | str) -> None:
        self._model, self._tokenizer, self._preparation, self._device = model, tokenizer, preparation, device

    def score(self, pictures: Tensor, references: Tensor, prompts: Sequence[str]) -> list[float | None]:  # noqa: ARG002
        """The score of each picture; None where the prompt is blank, NaN for pictures that are not finite."""
        words = self._tokenizer(
            list(prompts),
            padding=True,
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self._device)
        pixels = self._preparation(pictures.to(self._device))
        found = self._model(input_ids=words["input_ids"], attention_mask=words["attention_mask"], pixel_values=pixels)
        cosines = (found.image_embeds * found.text_embeds).sum(-1)  # both have length 1
        scores = (100 * cosines).clamp(min=0).cpu().masked_fill(~finite(pictures), torch.nan).tolist()
        return [score if prompt.strip() else None for score, prompt in zip(scores, prompts, strict=True)]
