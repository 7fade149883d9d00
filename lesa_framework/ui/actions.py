"""What the buttons and fields of the page do."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Final

import gradio as gr

from lesa_framework.errors import LesaError, in_one_line
from lesa_framework.ui.asked import AUTOMATIC, Asked, asked
from lesa_framework.ui.methods import Method, is_bound
from lesa_framework.ui.pictures import Pictures, pictures_of
from lesa_framework.ui.render import message_html, report_html
from lesa_framework.ui.studio import Outcome, Progress, StoppedRunError, Studio
from lesa_framework.ui.words import account

SPEEDUP: Final = "Steps of the run over computed steps"
_OWN: Final = "This preset has steps of its own"
#: What a run changes: pictures, their divider, the clip's group, its two frames, their slider, all frames, the report.
_Update = tuple[Any, ...]


class Actions:
    """What visitors do.

    Args:
        studio: Makes what they ask for.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def run(
        self, model: str, prompt: str, seed: float | None, steps: float, method: str, speedup: float,
        request: gr.Request, progress: gr.Progress = gr.Progress(),  # noqa: B008 - how gradio hands it over
    ) -> Iterator[_Update]:  # fmt: skip
        """Both runs, or the cached one alone where the uncached sample is kept; the buttons Run and Stop with them."""
        try:
            wanted = asked(model, prompt, seed, steps, method, speedup)
        except LesaError as error:
            yield *_said(str(error), is_error=True), *idle()
            return
        yield *_unchanged(), *busy()
        yield *self._made(wanted, request, progress), *idle()

    def rerun(
        self, model: str, prompt: str, seed: float | None, steps: float, method: str, speedup: float,
        request: gr.Request, progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[_Update]:  # fmt: skip
        """Only the cached run, where the uncached sample is there, and the buttons Run and Stop with it."""
        try:
            wanted: Asked | None = asked(model, prompt, seed, steps, method, speedup)
        except LesaError:
            wanted = None
        if wanted is None or not self._studio.has_uncached(wanted.sample):
            yield *_unchanged(), gr.skip(), gr.skip()
            return
        yield *_unchanged(), *busy()
        yield *self._made(wanted, request, progress), *idle()

    def _made(self, wanted: Asked, request: gr.Request, progress: gr.Progress) -> _Update:
        def told(now: Progress) -> None:
            progress((now.step, now.steps) if now.steps else None, desc=now.what, unit="steps")

        try:
            outcome = self._studio.compare(wanted, str(request.session_hash), told)
        except StoppedRunError:
            return _unchanged()
        except LesaError as error:
            return _said(str(error), is_error=True)
        except Exception as error:  # of a model, such as a full GPU: the page stays, and says what it was
            return _said(f"The run failed: {in_one_line(error)}.", is_error=True)
        return _shown(outcome)

    def stop(self, request: gr.Request) -> tuple[Any, Any]:
        """End the visitor's run at its next step."""
        self._studio.stop(str(request.session_hash))
        return idle()

    def leave(self, request: gr.Request) -> None:
        """Nobody waits for the run of a page that was closed."""
        self._studio.stop(str(request.session_hash))

    def another(self, model: str) -> str:
        """Something else to draw."""
        return self._studio.prompt(model, secrets.randbelow(2**31)) or ""

    def first_prompt(self, model: str) -> tuple[Any, Any]:
        """Something that another model can draw: the prompt, and whether there are more."""
        prompt = self._studio.prompt(model, 0)
        return gr.skip() if prompt is None else prompt, gr.update(visible=prompt is not None)

    def methods(self, model: str, steps: float, method: str) -> tuple[Any, Any, Any]:
        """The methods that fit another model or number of steps: their list, the speed-up's slider, a message."""
        try:
            found = self._studio.methods(model, int(steps))
        except LesaError as error:
            return gr.skip(), gr.skip(), message_html(str(error), is_error=True)
        kept = method if method in {each.value for each in found} else AUTOMATIC
        return gr.update(choices=choices(found), value=kept), bound(kept), gr.skip()


def _shown(outcome: Outcome) -> _Update:
    pictures = pictures_of(outcome.uncached, outcome.cached)
    report = report_html(account(outcome))
    if pictures.is_clip:
        frames = gr.update(maximum=len(pictures.uncached), value=1)
        first = pictures.uncached[0], pictures.cached[0]
        hidden = gr.update(visible=False)
        return hidden, hidden, gr.update(visible=True), *first, frames, pictures, report
    pair = gr.update(value=(pictures.uncached[0], pictures.cached[0]), visible=True)
    return pair, gr.update(visible=True), gr.update(visible=False), None, None, gr.skip(), None, report


def _said(text: str, *, is_error: bool = False) -> _Update:
    """Another message in place of the report; the pictures stay."""
    return *(gr.skip() for _ in range(7)), message_html(text, is_error=is_error)


def _unchanged() -> _Update:
    return tuple(gr.skip() for _ in range(8))


def busy() -> tuple[Any, Any]:
    """The buttons Run and Stop while something runs."""
    return gr.update(interactive=False), gr.update(interactive=True)


def idle() -> tuple[Any, Any]:
    """The buttons Run and Stop while nothing runs."""
    return gr.update(interactive=True), gr.update(interactive=False)


def bound(method: str) -> Any:
    """The speed-up's slider, which presets do not use."""
    is_own = is_bound(method)
    return gr.update(interactive=not is_own, info=_OWN if is_own else SPEEDUP)


def frame(pictures: Pictures | None, number: float) -> tuple[Any, Any]:
    """A frame of both clips."""
    if pictures is None:
        return gr.skip(), gr.skip()
    index = min(int(number), len(pictures.uncached)) - 1
    return pictures.uncached[index], pictures.cached[index]


def divide(place: float) -> Any:
    """Where the line between the pictures is, in percent of their width."""
    return gr.update(slider_position=place)


def choices(methods: Sequence[Method]) -> list[tuple[str, str]]:
    """Methods as a list to choose from."""
    return [(each.label, each.value) for each in methods]
