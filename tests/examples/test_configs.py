"""The example configurations are valid, and their plans are the paper's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesa_framework import ArtifactError, Reason, Strategy, build_strategy, load_config
from lesa_framework.runtime.strategy import plan
from lesa_framework.testing import even_grid

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted((EXAMPLES / "configs").glob("*.yaml"))
TABLE = {
    5: [0, 1, 2, 3, 7, 12, 17, 22, 27, 32, 37, 42, 47],
    6: [0, 1, 2, 3, 8, 14, 20, 26, 32, 38, 44],
    7: [0, 1, 2, 3, 9, 16, 23, 30, 37, 44],
    8: [0, 1, 2, 3, 10, 18, 26, 34, 42],
    10: [0, 1, 2, 3, 12, 22, 32, 42],
}


def test_there_is_one_for_every_schedule_and_predictor():
    expected = {f"flux-dev-n{n}-{kind}" for n in TABLE for kind in ("reuse", "taylorseer", "lesa")}
    assert {file.stem for file in FILES} == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_plan_is_the_papers(file):
    config = load_config(file)
    interval = int(file.stem.split("-")[2].removeprefix("n"))
    if config.predictor.kind == "lesa":
        pytest.importorskip("kan")
        from lesa_kan.trainable_lesa import TrainableLesa

        with pytest.raises(ArtifactError, match=r"no such weights file. Check the path"):
            build_strategy(config)
        small = load_config(file, ["predictor.hidden=[4]"])  # the KANs' width does not matter for the plan
        trainable = TrainableLesa(small.predictor.shape_for(50), seed=0)
        strategy = Strategy(config.schedule.build(), config.router.build(), trainable)
    else:
        strategy = build_strategy(config)
    # FLUX.1-dev at 1024x1024 shifts its grid by 3.16.
    grid = [3.16 * sigma / (1 + 2.16 * sigma) for sigma in even_grid(50)]
    computed = [ctx.index for ctx, reason in plan(strategy, grid) if reason is not Reason.PREDICTED]
    assert computed == TABLE[interval]


def test_the_comment_states_the_ratio():
    for file in FILES:
        count = len(TABLE[int(file.stem.split("-")[2].removeprefix("n"))])
        assert file.read_text().startswith(f"# FLUX.1-dev, 50 steps, {count} computed: {50 / count:.2f}x")
