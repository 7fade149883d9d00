"""What a timed run is charged for."""

import gc
import math
import weakref

from benchmarks.full_size.cases import FLUX
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.sampler import build_denoiser
from benchmarks.full_size.subject import DenoiserSubject
from tests.benchmarks.full_size.benches import short


class Littered:
    """Garbage that holds itself, as hooks of other libraries do."""

    def __init__(self):
        self.own = self


class Counting(Cpu):
    """A device that holds a hundred bytes as long as the litter lives."""

    def __init__(self):
        super().__init__()
        litter = Littered()
        self._litter = weakref.ref(litter)

    def held_bytes(self):
        return 100 if self._litter() else 0


def test_what_the_method_before_left_behind_is_collected_before_the_memory_is_read():
    gc.disable()  # so that it lives until somebody collects
    try:
        device = Counting()
        assert device.held_bytes() == 100
        denoiser = build_denoiser(short(FLUX), device)
        subject = DenoiserSubject(denoiser, device, math.inf)
        subject._held = 40
        _, read = subject.timed(lambda: None)
    finally:
        gc.enable()
    assert read.cache_bytes == 40
