"""Short races on tiny models."""

import time
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.full_size.cases import tiny
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.measure import Race
from benchmarks.full_size.methods import Attached, Method, methods_of
from benchmarks.full_size.sampler import build_denoiser

STEPS = 12


def short(case):
    return replace(tiny(case), num_steps=STEPS)


def race(case, *names, extra=(), seconds=60.0, device=None):
    """A race of some methods over a few steps, and what it said."""
    case, device, said = short(case), device or Cpu(), []
    methods = [method for method in methods_of(case) if method.name in ("uncached", *names)]
    running = Race(build_denoiser(case, device), device, [*methods, *extra], said.append, time.monotonic() + seconds)
    return running, said


def failing(name, error):
    """A method that raises."""

    @contextmanager
    def attach(denoiser):
        raise error
        yield

    return Method(name, attach, STEPS)


def littering(name):
    """A method that forgets to take its hook off."""

    @contextmanager
    def attach(denoiser):
        denoiser.transformer.register_forward_pre_hook(lambda *_: None)
        yield Attached()

    return Method(name, attach, STEPS)
