from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from torch import nn

from lesa_framework.runtime.calls.caller import BETWEEN, Caller, CallerFinder, Rank

MODEL = nn.Linear(1, 1)
FINDER = CallerFinder([nn.Linear(1, 1), MODEL])


def find(known=None) -> Caller | FrameType | None:
    """What is found from here, where no pipeline is an argument."""
    held = dict(known or {})
    return FINDER.find(lambda frame: held.get(id(frame)))


class Pipeline:
    """Runs whatever it is given."""

    def __init__(self, model: nn.Module = MODEL, scheduler: object = "any") -> None:
        self.transformer, self.scheduler = model, scheduler
        self.frame: FrameType | None = None

    def __call__(self, act: Any) -> Any:
        self.frame = sys._getframe()
        return self.sample(act)

    def sample(self, act: Any) -> Any:
        return act()


def through(pipe: Any, act: Any) -> Any:
    return act()


def around(pipe: Any, act: Any) -> Any:
    return through(pipe, act)


def test_the_outermost_method_of_the_pipeline_calls():
    pipe = Pipeline()
    found = pipe(find)
    assert (found.owner, found.frame.f_code.co_name, found.rank) == (pipe, "__call__", Rank.CALL)
    assert pipe.sample(find).frame.f_code.co_name == "sample"


def test_a_method_calls_whatever_functions_are_around_and_inside():
    pipe = Pipeline()
    found = around(pipe, lambda: pipe(lambda: around(pipe, find)))
    assert (found.owner, found.frame.f_code.co_name, found.rank) == (pipe, "__call__", Rank.CALL)


def test_without_a_method_the_outermost_function_calls():
    pipe = Pipeline()
    found = around(pipe, find)
    assert (found.owner, found.frame.f_code.co_name, found.rank) == (pipe, "around", Rank.ARGUMENT)


def test_a_method_may_be_a_whole_run_of_the_function_around_it():
    pipe, frames = Pipeline(), []

    def loop(pipe: Any, act: Any) -> Any:
        frames.append(sys._getframe())
        return pipe.sample(lambda: through(pipe, act))

    for found in (loop(pipe, find), loop(pipe, lambda: find({id(frames[-1]): (pipe, Rank.ARGUMENT)}))):
        assert (found.owner, found.frame.f_code.co_name, found.rank) == (pipe, "sample", Rank.METHOD)


def test_a_method_may_be_a_step_of_the_method_around_it():
    class Looping(Pipeline):
        def loop(self, act: Any) -> Any:
            self.frame = sys._getframe()
            return through(self, lambda: self.sample(act))

    pipe = Looping()
    found = around(pipe, lambda: pipe.loop(find))
    assert (found.frame, found.rank) == (pipe.frame, Rank.METHOD)
    assert pipe.loop(lambda: find({id(pipe.frame): (pipe, Rank.METHOD)})) is pipe.frame


def test_a_generator_of_the_pipeline_is_no_step_of_the_function_that_takes_its_steps():
    class Streaming(Pipeline):
        def stream(self) -> Iterator[Any]:
            yield self.sample(find)

    pipe = Streaming()
    found = around(pipe, lambda: next(pipe.stream()))
    assert (found.frame.f_code.co_name, found.rank, found.may_pause) == ("stream", Rank.METHOD, True)


def test_a_pipeline_may_be_any_argument_of_a_function():
    def last(number: int, text: str, nothing: None, pipe: Any) -> Any:
        return find()

    pipe = Pipeline()
    found = last(1, "two", None, pipe)
    assert (found.owner, found.frame.f_code.co_name, found.rank) == (pipe, "last", Rank.ARGUMENT)


def test_a_pipeline_may_be_given_by_keyword_alone():
    def keyword(*, number: int, pipe: Any) -> Any:
        return find()

    pipe = Pipeline()
    found = keyword(number=1, pipe=pipe)
    assert (found.owner, found.frame.f_code.co_name, found.rank) == (pipe, "keyword", Rank.ARGUMENT)


@pytest.mark.parametrize(
    "other",
    [Pipeline(scheduler=None), Pipeline(nn.Linear(1, 1)), SimpleNamespace(transformer=MODEL), MODEL, None, 3],
    ids=["without scheduler", "of another model", "no scheduler at all", "the model", "nothing", "a number"],
)
def test_only_what_holds_the_model_and_a_scheduler_is_a_pipeline(other):
    assert through(other, find) is None


def test_local_variables_are_not_arguments():
    def local(number: int) -> Any:
        pipe = Pipeline()
        return through(pipe.scheduler, find)

    assert local(1) is None


def test_a_function_is_no_method_for_its_name_or_its_first_argument():
    def sample(pipe: Any) -> Any:
        return find()

    def elsewhere(self: Any) -> Any:
        return find()

    def loader(first: Any, self: Any) -> Any:
        return find()

    pipe = Pipeline()
    assert [found.rank for found in (sample(pipe), elsewhere(pipe), loader(1, pipe))] == [Rank.ARGUMENT] * 3


def test_a_pipeline_within_a_pipelines_call_is_the_one_that_calls():
    outer, inner = Pipeline(), Pipeline()
    assert outer(lambda: inner(find)).owner is inner
    assert outer(lambda: through(inner, find)).owner is inner
    assert around(outer, lambda: through(inner, find)).owner is inner


def test_a_call_that_is_known_is_told_by_its_frame():
    pipe = Pipeline()
    assert pipe(lambda: find({id(pipe.frame): (pipe, Rank.CALL)}) is pipe.frame)
    assert pipe(lambda: through(pipe, lambda: find({id(pipe.frame): (pipe, Rank.CALL)})) is pipe.frame)


def test_a_method_that_calls_the_pipeline_again_and_again_is_not_the_call():
    class Server(Pipeline):
        def serve(self, act: Any) -> Any:
            self.outer = sys._getframe()
            return self(act)

    pipe = Server()
    assert pipe.serve(find).frame is pipe.frame
    assert pipe.serve(lambda: find({id(pipe.outer): (pipe, Rank.METHOD)})).frame is pipe.frame


class Slotted:
    """Has no dictionary."""

    __slots__ = ("scheduler", "transformer")

    def __init__(self) -> None:
        self.transformer, self.scheduler = MODEL, "any"


class ModulePipeline(nn.Module):
    """Is a module itself."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer, self.scheduler = MODEL, "any"


@pytest.mark.parametrize("kind", [Slotted, ModulePipeline])
def test_pipelines_of_every_make(kind):
    pipe = kind()
    assert through(pipe, find).owner is pipe


def test_a_new_call_within_a_known_one_of_another_pipeline():
    outer, inner = Pipeline(), Pipeline()
    found = outer(lambda: inner(lambda: find({id(outer.frame): (outer, Rank.CALL)})))
    assert (found.owner, found.rank) == (inner, Rank.CALL)


def test_the_end_of_a_call_is_told_whether_it_returns_or_fails():
    ended, marks = [], []
    pipe = Pipeline()

    def mark() -> None:
        pipe.frame = None  # a frame that is held does not end
        marks.append(find().mark(lambda: ended.append(len(ended))))

    def fail() -> None:
        mark()
        assert not ended[1:]
        raise KeyError

    pipe(mark)
    assert ended == [0]
    with suppress(KeyError):
        pipe(fail)
    assert ended == [0, 1]


def test_the_stack_is_the_call_and_what_it_is_called_from():
    pipe = Pipeline()
    here = sys._getframe()
    inside = []

    def look() -> Any:
        inside.append(id(sys._getframe()))
        return find().stack()

    found = pipe(look)
    assert {id(pipe.frame), id(here)} <= found
    assert inside[0] not in found


def test_the_modules_between_a_pipeline_and_its_call_are_there():
    assert all(find_spec(name) for name in BETWEEN)


@pytest.mark.parametrize("modules", [["upscale"], {"upscale"}, None])
def test_an_object_with_something_else_for_modules_is_no_pipeline(modules):
    pipe = Pipeline()

    def run(app: Any, pipe: Any) -> Any:
        return find()

    assert run(SimpleNamespace(_modules=modules), pipe).owner is pipe
