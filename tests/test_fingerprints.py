from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lesa_framework.fingerprints import canonical


def picture(shade: int = 0, mode: str = "RGB") -> Image.Image:
    made = Image.new(mode, (4, 3))
    if mode == "P":
        made.putpalette([shade] * 768)
    else:
        made.putpixel((1, 1), (shade,) * 3)
    return made


def numbers(changed: bool = False) -> torch.Tensor:
    """So many that `str` leaves out the middle."""
    made = torch.zeros(100, 100)
    made[50, 50] = changed
    return made


@pytest.mark.parametrize(
    ("value", "copy", "other"),
    [
        (picture(), picture(), picture(9)),
        (picture(mode="P"), picture(mode="P"), picture(9, "P")),
        (numbers(), numbers(), numbers(changed=True)),
        (numbers().numpy(), numbers().numpy(), numbers(changed=True).numpy()),
        (numbers().bfloat16(), numbers().bfloat16(), numbers()),
        (numbers(), numbers().T.contiguous().T, numbers().view(-1)),
        (torch.tensor(True), torch.tensor(True), torch.tensor(False)),
    ],
    ids=["picture", "palette", "tensor", "array", "bfloat16", "layout", "scalar"],
)
def test_numbers_go_by_their_content(value: Any, copy: Any, other: Any) -> None:
    assert canonical({"image": [value]}) == canonical({"image": [copy]})
    assert canonical({"image": [value]}) != canonical({"image": [other]})


def test_other_things_go_by_their_words_without_an_address() -> None:
    class Thing:
        pass

    plain = {"b": 1, "a": [Path("x"), 0.5, torch.float16, np.float32(0.5), None]}
    assert canonical(plain) == '{"a": ["x", 0.5, "torch.float16", "0.5", null], "b": 1}'
    assert canonical([Thing(), lambda: 0]) == canonical([Thing(), lambda: 0])
    assert "0x" not in canonical([Thing(), lambda: 0])
