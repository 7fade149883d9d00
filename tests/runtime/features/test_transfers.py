"""A history on the host: what is copied when, and that nothing is read before it is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from lesa_framework import AffinePredictor, EntryInfo, Filter, HistoryPlace, HistoryView, StepContext
from lesa_framework.runtime.features.history import History
from lesa_framework.runtime.features.packing import packed, unpacked
from lesa_framework.runtime.features.transfers import Arrival
from lesa_framework.testing.tiny_pipeline import noise
from tests.runtime.loop import drive, engine

HOST = HistoryPlace(device=torch.device("cpu"))
SHAPE = (1, 3, 4)


@dataclass
class Copies:
    """A device whose copies are late: none is made before it is waited for, in the order in which they were begun.

    What arrives is NaN until then, so that whatever is read too early, or overwritten on its way, shows in the numbers.
    """

    pinned = False
    log: list[str] = field(default_factory=list)
    queue: deque[Callable[[], object]] = field(default_factory=deque)

    def store(self, feature: Tensor, slot: Tensor) -> None:
        self.log.append("store")
        self.queue.append(lambda: slot.copy_(feature))

    def bring(self, slot: Tensor, device: torch.device) -> Arrival:
        self.log.append("bring")
        late = torch.full(slot.shape, torch.nan, dtype=slot.dtype, device=device)
        self.queue.append(lambda: late.copy_(slot))
        return Late(self, late, len(self.queue))


@dataclass
class Late:
    copies: Copies
    tensor: Tensor
    place: int

    def wait(self) -> None:
        self.copies.log.append("wait")
        while self.copies.queue:
            self.copies.queue.popleft()()


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    """The CPU pretends to be a device whose histories are elsewhere."""
    made = Copies()
    monkeypatch.setattr("lesa_framework.runtime.features.history.transfers_between", lambda host, device: made)
    return made


def appended(history: History, step: int) -> Tensor:
    """Appends a feature that the model then writes over."""
    feature = noise(SHAPE, step)
    history.append(feature, EntryInfo(step, computed=True))
    kept = feature.clone()
    feature.fill_(torch.nan)
    return kept


def test_what_is_read_is_what_was_appended(copies: Copies) -> None:
    history = History(3, HOST)
    model = [appended(history, step) for step in range(5)][::-1][:3]
    history.expect([0, 2])
    for k in range(3):
        assert torch.equal(history.feature(k), model[k])
    expected = model[0] - 2 * model[1] + 0.5 * model[2]
    torch.testing.assert_close(history.apply(Filter((1.0, -2.0, 0.5))), expected)


def test_the_newest_feature_is_there_without_a_copy_back(copies: Copies) -> None:
    history = History(3, HOST)
    for step in range(3):
        appended(history, step)
    assert copies.log == ["store"] * 3
    history.expect([0, 1])
    assert copies.log == ["store"] * 3  # what was just appended is on the device until something else is expected
    history.expect([])
    history.expect([1])
    history.expect([1])
    assert copies.log == ["store"] * 3 + ["bring"]  # once, however many steps read it


@pytest.mark.parametrize("weights", [(2.0, -1.0), (3e38, 3e38)], ids=["finite", "replaced"])
def test_a_prediction_that_nobody_expected_brings_each_feature_once(copies: Copies, weights: tuple[float, ...]) -> None:
    """As with a gate. What is not finite is replaced by the newest one, which the sum has read."""
    branches: dict[str, HistoryView] = {}
    for name in ("cond", "uncond"):
        branches[name] = history = History(3, HOST, branches)
        for step in range(3):
            appended(history, step)
        history.expect(())
    own = branches["cond"]
    assert isinstance(own, History)
    own.predict(Filter(weights), check=True)
    assert copies.log.count("bring") == 2
    own.predict(Filter(weights, others={"uncond": (0.5,)}), check=True)
    assert copies.log.count("bring") == 2 + 3
    assert own.nbytes == 3 * noise(SHAPE, 0).nbytes  # and none of it stays


def test_the_scales_of_samples_stay_with_their_features(copies: Copies) -> None:
    history = History(2, HistoryPlace(device=HOST.device, dtype=torch.float8_e4m3fn))
    given = [noise((2, 3, 4), step) * torch.tensor([1.0, 10.0**step]).view(2, 1, 1) for step in range(3)]
    for step, feature in enumerate(given):
        history.append(feature, EntryInfo(step, computed=True))
    history.expect([1])
    for k in range(2):
        feature = given[2 - k]
        assert torch.equal(history.feature(k), unpacked(*packed(feature), feature.dtype))


def test_between_predicted_steps_nothing_is_on_the_device(copies: Copies) -> None:
    history, size = History(3, HOST), noise(SHAPE, 0).nbytes
    for step in range(3):
        appended(history, step)
    history.expect([0, 1])
    assert history.nbytes == 3 * size + 2 * size
    history.expect([])
    assert history.nbytes == 3 * size
    history.expect([0, 1])
    history.free()
    assert history.nbytes == 0


class Line(AffinePredictor):
    """A straight line through the newest and the oldest of three features."""

    depth = 3

    def min_history(self, stage: int) -> int:
        return 3

    def filter(self, entries: Sequence[EntryInfo], ctx: StepContext) -> Filter:
        return Filter((2.0, 0.0, -1.0))


def run(steps: Sequence[int], place: HistoryPlace) -> tuple[list[Tensor], int]:
    """The features of a run of eight steps that computes these, and its report's bytes."""
    loop = engine(Line(), steps, history=place)
    found = drive(loop)
    return found, loop.report.cache_bytes


def test_a_run_reads_nothing_but_what_was_brought_a_step_before(copies: Copies, monkeypatch) -> None:
    """The newest feature is still there, and the filter gives the middle one no weight: one is brought."""
    own = Line.predict

    def predict(self, history, ctx):
        copies.log.append("predict")
        found = own(self, history, ctx)
        copies.log.append("predicted")
        return found

    monkeypatch.setattr(Line, "predict", predict)
    elsewhere, _ = run([0, 1, 2, 5], HOST)
    order = " ".join(step for step in copies.log if step != "wait")
    assert order == (
        "store store store bring predict predicted predict predicted store bring predict predicted predict predicted"
    )
    monkeypatch.undo()
    here, _ = run([0, 1, 2, 5], HistoryPlace())
    assert all(torch.equal(one, other) for one, other in zip(elsewhere, here, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float8_e4m3fn])
def test_cuda_copies_wait_on_the_device_and_never_on_the_host(dtype: torch.dtype | None) -> None:
    device = torch.device("cuda")
    features = [torch.randn(64, 1024, 256, device=device) for _ in range(6)]
    far, near = History(3, HistoryPlace(torch.device("cpu"), dtype)), History(3, HistoryPlace(None, dtype))
    taps = Filter((2.0, -0.5, -0.5))
    far.append(features[0], EntryInfo(0, computed=True))  # pins the ring, which waits
    near.append(features[0], EntryInfo(0, computed=True))
    torch.cuda.synchronize()
    found = []
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step, feature in enumerate(features[1:], start=1):
            for history in (far, near):
                own = feature.clone()
                history.append(own, EntryInfo(step, computed=True))
                own.fill_(torch.nan)  # the model writes to what it gave
                history.expect(range(len(history.entries)))
            if step >= 2:
                found.append((far.apply(taps), near.apply(taps)))
            far.expect(())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for one, other in found:
        torch.testing.assert_close(one, other)
