"""The Figure 1 tab: seven faces, or any, in the paper's comparison, to look at and to download."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from fer_models.analysis import Analyzer
from fer_models.choice import Choices
from fer_models.expressions import EXPRESSIONS
from fer_models.figure1 import analyze_rows, compose_figure1, row_name
from fer_models.figures import FIGURE1_MAX_ROWS, drawable_words, save_figure
from fer_models.images import ImageError
from fer_models.ui import html
from fer_models.ui.compare import EXAMPLES_FOLDER
from fer_models.ui.picture import (
    explain_error,
    make_download_folder,
    picture_input,
    read_picture,
)
from fer_models.ui.progress import end_failed, step_line, waiting_line
from fer_models.words import Words

SLOTS = EXPRESSIONS[:7]  # the basic expressions, in the published label order
SLOT_HEIGHT_PX = 200
DOWNLOADS = ("png", "pdf", "json")


def sample_file(expression: str) -> str:
    """The drawn face that fills an expression's slot at first."""
    return str(EXAMPLES_FOLDER / f"{expression}.png")


def fill_slots(slots: Sequence[str | None]) -> list[str]:
    """The slots' files, with the drawn face where there is none."""
    return [file or sample_file(name) for name, file in zip(SLOTS, slots, strict=True)]


def name_rows(
    slots: Sequence[str | None], files: Sequence[str] | None, words: Words
) -> list[tuple[str, str]]:
    """(name, file) of each row: the filled slots, then the further pictures."""
    filled = [(name, file) for name, file in zip(SLOTS, slots, strict=True) if file]
    more = [
        (row_name(Path(file), number, words), file)
        for number, file in enumerate(files or [], start=len(filled) + 1)
    ]
    return filled + more


def draw_rows(
    analyzer: Analyzer, rows: Sequence[tuple[str, str]], words: Words
) -> Iterator[tuple[str, list[str] | None]]:
    """Figure 1 of named files, step by step: the line above it and, at the end, the files' paths.

    The paths are those of the figure as PNG and as PDF, and of its record as JSON.
    """
    if not rows:
        yield html.notice(words("figure1.empty"), "problem"), None
        return
    problems, images = [], []
    for name, file in rows[:FIGURE1_MAX_ROWS]:
        try:
            images.append((name, read_picture(file)))
        except ImageError as error:
            problems.append(explain_error(error, words))
    if len(rows) > FIGURE1_MAX_ROWS:
        problems.append(words("figure1.only_first", limit=FIGURE1_MAX_ROWS))
    if not images:
        yield html.notice(words.gap.join(problems), "problem"), None
        return
    steps = len(images) + 1
    text = words("figure1.step", done=1, total=len(images))
    yield step_line(0, steps, text), None
    analyzed = []
    try:
        for row in analyze_rows(analyzer, images):
            analyzed.append(row)
            if (done := len(analyzed)) < len(images):
                text = words("figure1.step", done=done + 1, total=len(images))
            else:
                text = words("figure1.drawing")
            yield step_line(done, steps, text), None
    except ValueError as error:
        yield html.notice(explain_error(error, words), "problem"), None
        return
    made = compose_figure1(analyzer, analyzed, drawable_words(words))
    folder = make_download_folder()
    paths = [folder / f"figure1.{kind}" for kind in ("png", "pdf", "json")]
    save_figure(made.figure, paths[0])
    save_figure(made.figure, paths[1])
    paths[2].write_text(json.dumps(made.record, indent=2) + "\n")
    if made.faceless:
        names = words.join(map(words.expression, made.faceless))
        problems.append(words("figure1.no_faces", names=names))
    line = html.notice(
        words.gap.join(problems) or words("page.done"), "problem" if problems else "agree"
    )
    yield line, [str(path) for path in paths]


def add_row(file: str, files: list[str] | None) -> list[str]:
    """The further pictures with one more, unless the figure would be too long."""
    return [*(files or []), file][: FIGURE1_MAX_ROWS - len(SLOTS)]


def receive_face(file: str, expression: str | None, files: list[str] | None, words: Words) -> list:
    """What the slots, the further pictures and `Figure1Tab.shown` are once the Lab has sent a face.

    Args:
        expression: the one that the face poses, if any; a slot's own face gives way to it.
    """
    slots = [file if name == expression else gr.skip() for name in SLOTS]
    if expression in SLOTS:
        message = words("figure1.received", expression=words.expression(expression))
        return [*slots, gr.skip(), *show_figure(html.notice(message), begun=False)]
    message = words("figure1.received_more")
    return [*slots, add_row(file, files), *show_figure(html.notice(message), begun=False)]


def show_figure(
    line: str, paths: Sequence[str] | None = None, running: bool = False, begun: bool = True
) -> list:
    """What `Figure1Tab.shown` holds: a line, and the figure with its files if it is done.

    Args:
        begun: whether the line speaks of a drawing, so that a change of the faces replaces it.
    """
    files = [
        gr.update(value=path, interactive=path is not None)
        for path in paths or [None] * len(DOWNLOADS)
    ]
    buttons = [gr.update(interactive=not running), gr.update(interactive=running)]
    return [begun, line, paths[0] if paths else None, *files, *buttons]


@dataclass(frozen=True)
class Figure1Tab:
    """What other tabs need of this one.

    Attributes:
        slots: expression -> its picture input.
        files: the further pictures.
        shown: all that `show_figure` sets; the first holds its `begun`.
        ticket: whoever sets `shown` adds 1 to its first number, so that no drawing lands after it.
    """

    slots: dict[str, gr.Image]
    files: gr.File
    shown: list
    ticket: gr.State


def build_figure1_tab(choices: Choices, choice: gr.State, words: Words) -> Figure1Tab:
    """Lay out and wire the tab, inside a `gr.Tab`.

    Args:
        choice: the visitor's checkpoints, as the Models tab sets them.
    """
    about = words("figure1.about")
    if drawable_words(words) is not words:
        about += words("figure1.english")
    gr.Markdown(about)
    begun = gr.State(False)
    # Counts drawings, stops and changes; changed in place, so that a drawing sees it. Two `cancels`
    # of one run at once are an error of Gradio's. Beside it, what the last drawing is of.
    ticket = gr.State([0, None])
    with gr.Row(elem_id="figure1-slots"):
        slots = {
            name: picture_input(
                words,
                value=sample_file(name),
                label=words.expression(name),
                sources=["upload", "webcam", "clipboard"],
                height=SLOT_HEIGHT_PX,
                min_width=150,
                buttons=[],
                elem_id=f"figure1-{name}",
            )
            for name in SLOTS
        }
    with gr.Row():
        fill = gr.Button(words("figure1.fill"), size="sm", elem_id="figure1-fill")
        clear = gr.Button(words("figure1.clear"), size="sm", elem_id="figure1-clear")
    with gr.Accordion(words("figure1.pictures"), open=False, elem_id="figure1-more"):
        gr.Markdown(words("figure1.pictures_about", limit=FIGURE1_MAX_ROWS))
        files = gr.File(
            show_label=False,
            file_count="multiple",
            file_types=["image"],
            allow_reordering=True,
            height=160,
            elem_id="figure1-files",
        )
    with gr.Row():
        start = gr.Button(words("figure1.draw"), variant="primary", scale=4, elem_id="figure1-draw")
        stop = gr.Button(
            words("page.stop"), interactive=False, scale=0, min_width=120, elem_id="figure1-stop"
        )
    line = gr.HTML(html.notice(words("figure1.before")), elem_id="figure1-line")
    with gr.Row():
        downloads = [
            gr.DownloadButton(
                words(f"page.download_{kind}"),
                interactive=False,
                size="sm",
                elem_id=f"figure1-{kind}",
            )
            for kind in DOWNLOADS
        ]
    with gr.Column(elem_id="figure1-paper"):
        picture = gr.Image(
            show_label=False,
            type="filepath",
            interactive=False,
            buttons=["fullscreen"],
            height=None,
            alt_text=words("figure1.figure_alt"),
            elem_id="figure1-image",
        )

    def draw(ticket, chosen, files, *slots):
        ticket[0] = mine = ticket[0] + 1
        ticket[1] = [chosen, files, *slots]
        yield show_figure(waiting_line(words("compare.looking_at_face")), running=True)
        rows = name_rows(slots, files, words)
        for step in draw_rows(choices.analyzer(chosen), rows, words):
            if ticket[0] != mine:
                break
            yield show_figure(step[0], running=True)
        else:
            yield show_figure(*step)
        # Gradio sends a generator's last output once more when it ends.
        yield [gr.skip()] * len(shown)

    def halt(ticket):
        ticket[0] += 1
        return show_figure(html.notice(words("page.stopped")))

    def forget(begun, ticket, *asked):
        # Who presses Draw at once after a change is before the change's own event, which then says
        # what is drawn already.
        if not begun or [*asked] == ticket[1]:
            return [gr.skip()] * len(shown)
        ticket[0] += 1
        return show_figure(html.notice(words("figure1.changed")), begun=False)

    private = {"api_visibility": "private", "show_progress": "hidden"}
    pictures = list(slots.values())
    asked = [ticket, choice, files, *pictures]  # in the order of `draw` and `forget`
    shown = [begun, line, picture, *downloads, start, stop]
    start.click(draw, asked, shown, trigger_mode="multiple", **private).failure(
        lambda: end_failed(words), None, [line, start, stop], **private
    )
    stop.click(halt, ticket, shown, **private)
    fill.click(lambda *given: fill_slots(given), pictures, pictures, **private)
    clear.click(lambda: [None] * (len(SLOTS) + 1), None, [*pictures, files], **private)
    changes = [component.change for component in (*pictures, files, choice)]
    gr.on(changes, forget, [begun, *asked], shown, trigger_mode="always_last", **private)
    return Figure1Tab(slots, files, shown, ticket)
