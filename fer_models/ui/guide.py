"""The guided first minute: five steps through two pictures, for a teacher with a projector."""

import filecmp
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from fer_models.ui.compare import (
    EXAMPLES_FOLDER,
    NOTHING,
    OWN_ANSWER,
    PHOTOGRAPH,
    CompareTab,
    Question,
)
from fer_models.words import Words


@dataclass(frozen=True)
class Step:
    """What a step shows: its picture in Compare, the question asked of it, the view, the tab."""

    picture: str = PHOTOGRAPH
    target: str = OWN_ANSWER
    minus: str = NOTHING
    view: str = "over"
    tab: str = "compare"


STEPS = (
    Step(),
    Step(view="wipe"),
    Step(target="surprise", minus="happiness"),
    Step(picture="fear.png"),
    Step(picture="fear.png", tab="trust"),
)


@dataclass(frozen=True)
class Guide:
    """The guide's components; `step` holds the number of the step shown, -1 before the first."""

    step: gr.State
    text: gr.HTML
    back: gr.Button
    forward: gr.Button


def step_text(number: int, words: Words) -> str:
    """A step's words as HTML; before the first, what the guide is."""
    if number < 0:
        return f'<div class="fer-step"><p>{words("guide.before")}</p></div>'
    title = words("guide.title", number=number + 1, count=len(STEPS))
    return (
        f'<div class="fer-step" role="status"><h3>{title}</h3>'
        f"<p>{words(f'guide.step{number + 1}')}</p></div>"
    )


def build_guide(words: Words) -> Guide:
    """Lay out the guide, above the tabs."""
    step = gr.State(-1)
    with gr.Accordion(words("guide.name"), open=False, elem_id="guide"):
        text = gr.HTML(step_text(-1, words), min_height=70)
        with gr.Row():
            back = gr.Button(words("guide.back"), size="sm", interactive=False)
            forward = gr.Button(
                words("guide.forward"), size="sm", variant="primary", elem_id="guide-next"
            )
    return Guide(step, text, back, forward)


def connect_guide(guide: Guide, words: Words, tabs: gr.Tabs, compare: CompareTab) -> None:
    """Let the guide's buttons set what its steps show."""
    shown = [
        guide.step,
        guide.text,
        guide.back,
        guide.forward,
        tabs,
        compare.input,
        compare.target,
        compare.minus,
        compare.method,
        compare.view,
    ]

    def go(number: int, by: int, picture: str | None) -> list:
        number = min(max(number + by, 0), len(STEPS) - 1)
        step = STEPS[number]
        wanted = EXAMPLES_FOLDER / step.picture
        same = bool(picture) and Path(picture).is_file() and filecmp.cmp(picture, wanted, False)
        return [
            number,
            step_text(number, words),
            gr.update(interactive=number > 0),
            gr.update(interactive=number < len(STEPS) - 1),
            gr.Tabs(selected=step.tab),
            gr.skip() if same else str(wanted),
            step.target,
            gr.update(value=step.minus, interactive=step.target != OWN_ANSWER),
            Question().method,
            step.view,
        ]

    for button, by in ((guide.back, -1), (guide.forward, 1)):
        event = button.click(
            lambda number, picture, by=by: go(number, by, picture),
            [guide.step, compare.input],
            shown,
            api_visibility="private",
            show_progress="hidden",
        )
        compare.ask(event)
