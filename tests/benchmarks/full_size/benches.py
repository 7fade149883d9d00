"""Short measurements of tiny models."""

from contextlib import contextmanager
from dataclasses import replace

from benchmarks.full_size import bench
from benchmarks.full_size.cases import tiny
from benchmarks.full_size.device import Cpu
from benchmarks.full_size.lineup import chosen, line_up
from lesa_framework.measure.lineup import Contender
from lesa_framework.measure.results import Kind

STEPS = 12


def short(case):
    """The tiny case with few steps."""
    return replace(tiny(case), num_steps=STEPS)


def measure(case, *names, extra=(), rounds=1, budget=600.0, device=None, path=None):
    """Results of some methods over a few steps, and what was said on the way."""
    case, said = short(case), []
    contenders = [*(chosen(line_up(case), names or ["none"])), *extra]
    settings = bench.Settings(rounds, budget)
    return bench.run_case(case, contenders, device or Cpu(), settings, said.append, path), said


def acting(name, act):
    """A cache that calls `act` with the denoiser when it is attached."""

    class Acting(Contender):
        @contextmanager
        def attached(self, pipe, peer=None):
            act(pipe)
            yield None

    return Acting(name, Kind.FEWER_STEPS, "test", STEPS, STEPS)


def failing(name, error):
    """A method that raises."""

    def act(_):
        raise error

    return acting(name, act)


def littering(name):
    """A method that leaves a hook behind."""
    return acting(name, lambda denoiser: denoiser.transformer.register_forward_pre_hook(lambda *_: None))
