"""How far a run has come, as a line that the page shows while it works."""

import html


def step_line(done: int, total: int, text: str) -> str:
    """A notice with a bar: `done` of `total` steps, and what is being done."""
    return (
        '<div class="fer-notice fer-info fer-step" role="status">'
        f'<progress value="{done}" max="{total}"></progress> {html.escape(text)}</div>'
    )


def waiting_line(text: str) -> str:
    """As `step_line`, for what has no steps: a bar that only moves."""
    return (
        '<div class="fer-notice fer-info fer-step" role="status">'
        f"<progress></progress> {html.escape(text)}</div>"
    )
