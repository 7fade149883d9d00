"""The page itself, in gradio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import gradio as gr

from lesa_framework.automatic import DEFAULT_SPEEDUP
from lesa_framework.ui.actions import SPEEDUP, Actions, bound, busy, choices, divide, frame, idle
from lesa_framework.ui.asked import AUTOMATIC
from lesa_framework.ui.methods import Method
from lesa_framework.ui.render import message_html
from lesa_framework.ui.studio import Studio

_HEAD: Final = """
# Try a feature cache
A cache computes some steps of a diffusion transformer and predicts the rest. Say what to draw and how much faster: the
page makes it without and with the cache, and says what that saves and what it costs.
"""
_READY: Final = "Press Run. The uncached picture is made once and kept, so another speed-up takes less time."
#: The longest run that the slider of the steps offers.
_MOST_STEPS: Final = 100
#: What runs a model waits in this queue, which has one place.
_QUEUE: Final = "studio"


def make_page(studio: Studio, methods: Sequence[Method], steps: int) -> gr.Blocks:
    """The page, not served yet.

    Args:
        studio: Makes what it shows.
        methods: Those of its first model.
        steps: Steps of the sampler to begin with.
    """
    first, actions = studio.models[0], Actions(studio)
    with gr.Blocks(title="LESA Framework", analytics_enabled=False) as page:
        gr.Markdown(_HEAD, elem_id="head")
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                prompt = gr.Textbox(studio.prompt(first, 0) or "", label="Prompt", lines=1, max_lines=6)
                another = gr.Button("Another prompt", size="sm", visible=studio.prompt(first, 0) is not None)
                model = gr.Dropdown(list(studio.models), value=first, label="Model", interactive=True)
                speedup = gr.Slider(1.5, 12, DEFAULT_SPEEDUP, step=0.5, label="Speed-up", info=SPEEDUP)
                method = gr.Dropdown(choices(methods), value=AUTOMATIC, label="Method")
                with gr.Row():
                    seed = gr.Number(0, label="Seed", min_width=120)  # without a precision, which would round 1.5
                    count = gr.Slider(
                        2, max(_MOST_STEPS, steps), steps, step=1, label="Steps", min_width=160, elem_id="steps"
                    )
                with gr.Row():
                    run = gr.Button("Run", variant="primary", min_width=120, elem_id="run")
                    stop = gr.Button("Stop", variant="stop", interactive=False, min_width=120, elem_id="stop")
            with gr.Column(scale=5, min_width=300):
                pair = gr.ImageSlider(
                    label="Uncached left, cached right", format="png", type="pil", interactive=False, max_height=480,
                    buttons=["fullscreen"], elem_id="pair",
                )  # fmt: skip
                # The pictures' own handle cannot be reached by keys.
                divider = gr.Slider(0, 100, 50, step=1, label="Divider", elem_id="divider", buttons=[])
                with gr.Group(visible=False, elem_id="clip") as clip:
                    with gr.Row():
                        before, after = _frame("Uncached"), _frame("Cached")
                    number = gr.Slider(1, 2, 1, step=1, label="Frame", elem_id="frame")
                report = gr.HTML(message_html(_READY), elem_id="report")
        shown = gr.State(None)
        fields = [model, prompt, seed, count, method, speedup]
        results = [pair, divider, clip, before, after, number, shown, report]
        made = [*results, run, stop]
        started = gr.on([run.click, prompt.submit], busy, outputs=[run, stop], queue=False)
        whole = started.then(
            actions.run, fields, made, concurrency_id=_QUEUE, concurrency_limit=1, show_progress_on=[pair, before]
        )
        # Where gradio itself refuses a field, `run` is never called.
        whole.failure(idle, outputs=[run, stop], queue=False)
        # Another speed-up or method shows at once what it does, if only the cached run is missing.
        again = gr.on(
            [speedup.input, method.change], actions.rerun, fields, made, concurrency_id=_QUEUE,
            show_progress_on=[pair, before], trigger_mode="always_last",
        )  # fmt: skip
        stop.click(actions.stop, outputs=[run, stop], queue=False, cancels=[whole, again])
        page.unload(actions.leave)
        another.click(actions.another, model, prompt, queue=False, show_progress="hidden")
        # Progress is where gradio shows errors: one of the steps would lie over figures that hold.
        for changes, progress in ((model.change, "full"), (count.release, "hidden")):
            changes(
                actions.methods, [model, count, method], [method, speedup, report], concurrency_id=_QUEUE,
                show_progress=progress, trigger_mode="always_last",
            )  # fmt: skip
        # Not `input`, which lists send whenever they lose the focus.
        model.change(actions.first_prompt, model, [prompt, another], queue=False, show_progress="hidden")
        method.change(bound, method, speedup, queue=False, show_progress="hidden")
        divider.input(divide, divider, pair, queue=False, show_progress="hidden")
        number.change(frame, [shown, number], [before, after], queue=False, show_progress="hidden")
    return page


def _frame(label: str) -> gr.Image:
    return gr.Image(label=label, format="png", interactive=False, buttons=["fullscreen"], min_width=120)
