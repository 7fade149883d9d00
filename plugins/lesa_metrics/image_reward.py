"""ImageReward: how much would people like a picture for its prompt?"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from lesa_framework import LoadedMetric, Metric, MetricUnavailableError, in_one_line
from lesa_framework.pipelines import quiet
from lesa_metrics.needs import cached, finite, library

_REMEDY: Final = "pip install image-reward (its release 1.5 needs transformers below 4.56)"
_FILES: Final = ("ImageReward.pt", "med_config.json")
_TOKENIZER: Final = "bert-base-uncased"
_TOKENIZER_FILES: Final = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "config.json")


class ImageReward(Metric):
    """ImageReward v1.0 ([arXiv 2304.05977](https://arxiv.org/abs/2304.05977)), by the package `image-reward`.

    Args:
        folder: Where `ImageReward.pt` and `med_config.json` are; by default where the package keeps them.
    """

    name = "image_reward"
    heading = "ImageReward"
    higher_is_better = True
    summary = "How much people would like the picture for its prompt; 0 is the average of its training pictures."

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path.home() / ".cache" / "ImageReward"

    def load(self, device: torch.device | str) -> LoadedImageReward:
        """Load the package and its weights.

        Raises:
            MetricUnavailableError: The package, its weights or its tokenizer are not on the machine.
        """
        package = library(self.name, "ImageReward", _REMEDY)
        missing = [file for file in _FILES if not (self.folder / file).is_file()]
        if missing:
            are, them = ("are", "them") if len(missing) > 1 else ("is", "it")
            raise MetricUnavailableError(
                f"{self.name}: {' and '.join(missing)} {are} not in {self.folder}; "
                f"fetch {them} with `hf download THUDM/ImageReward {' '.join(_FILES)} --local-dir {self.folder}`"
            )
        words = cached(_TOKENIZER, _TOKENIZER_FILES[0])
        if words is None:
            raise MetricUnavailableError(
                f"{self.name}: the tokenizer {_TOKENIZER} is not in the local hub cache; "
                f"fetch it with `hf download {_TOKENIZER} {' '.join(_TOKENIZER_FILES)}`"
            )
        weights, settings = (str(self.folder / file) for file in _FILES)
        try:
            # It talks on standard output, which is for results.
            with quiet("transformers"), _tokenizer_from(words), redirect_stdout(sys.stderr):
                model = package.load(weights, device=device, med_config=settings)
        except Exception as error:  # an old package among newer ones has many ways to fail
            raise MetricUnavailableError(
                f"{self.name}: ImageReward cannot be loaded ({in_one_line(error)}); {_REMEDY}"
            ) from error
        return LoadedImageReward(model)


class LoadedImageReward(LoadedMetric):
    """ImageReward, ready.

    Args:
        model: The package's model; its `score(prompt, picture)` takes Pillow's pictures.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def score(self, pictures: Tensor, references: Tensor, prompts: Sequence[str]) -> list[float | None]:  # noqa: ARG002
        """The reward of each picture; None where the prompt is blank, NaN for pictures that are not finite."""
        known = finite(pictures).tolist()
        return [
            (self._reward(picture, prompt) if good else float("nan")) if prompt.strip() else None
            for picture, prompt, good in zip(pictures, prompts, known, strict=True)
        ]

    def _reward(self, picture: Tensor, prompt: str) -> float:
        from lesa_framework.measure import to_pil

        return float(self._model.score(prompt, to_pil(picture)))  # it takes 8-bit pictures only


@contextmanager
def _tokenizer_from(folder: Path) -> Iterator[None]:
    """Give the package the tokenizer in this folder while it loads; otherwise it would ask the hub for it."""
    from transformers import BertTokenizer

    read = BertTokenizer.from_pretrained
    BertTokenizer.from_pretrained = lambda _: read(folder)
    try:
        yield
    finally:
        del BertTokenizer.from_pretrained  # back to the inherited one
