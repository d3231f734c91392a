"""How far a run has come, as a line that the page shows while it works, and how it ends badly."""

import html

import gradio as gr

from fer_models.ui.html import notice
from fer_models.words import Words


def step_line(done: int, total: int, text: str) -> str:
    """A notice with a bar: `done` of `total` steps, and what is being done."""
    return (
        '<div class="fer-notice fer-info fer-step">'
        f'<progress value="{done}" max="{total}" aria-label="{html.escape(text, quote=True)}">'
        f"</progress> {html.escape(text)}</div>"
    )


def waiting_line(text: str) -> str:
    """As `step_line`, for what has no steps: a bar that only moves."""
    return (
        '<div class="fer-notice fer-info fer-step" role="status">'
        f'<progress aria-label="{html.escape(text, quote=True)}"></progress> '
        f"{html.escape(text)}</div>"
    )


def end_failed(words: Words) -> list:
    """A line, a start and a stop button after a run that ended by an error nobody foresaw."""
    line = notice(words("page.failed"), "problem")
    return [line, gr.update(interactive=True), gr.update(interactive=False)]
