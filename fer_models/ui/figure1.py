"""The Figure 1 tab: any faces in the paper's comparison, to look at and to download."""

import json
from pathlib import Path

import gradio as gr

from fer_models.analysis import Analyzer
from fer_models.expressions import EXPRESSIONS
from fer_models.figure1 import make_figure1
from fer_models.figures import FIGURE1_MAX_ROWS, save_figure
from fer_models.ui import html
from fer_models.ui.picture import ImageError, explain_error, make_download_folder, read_picture
from fer_models.words import Words


def row_name(file: Path) -> str:
    """The expression that a file's name begins with ("happiness_2.jpg"), else the name itself."""
    stem = file.stem
    return next((e for e in EXPRESSIONS if stem.lower().startswith(e)), stem[:18])


def build_figure(analyzer: Analyzer, files: list[str] | None, words: Words, progress) -> tuple:
    """Figure 1 of uploaded files: notice, PNG path, PDF path, JSON path (None where unmade)."""
    if not files:
        return html.notice(words("figure1.empty")), None, None, None
    problems, images = [], []
    for file in files[:FIGURE1_MAX_ROWS]:
        try:
            images.append((row_name(Path(file)), read_picture(file)))
        except ImageError as error:
            problems.append(explain_error(error, words))
    if len(files) > FIGURE1_MAX_ROWS:
        problems.append(words("figure1.only_first", limit=FIGURE1_MAX_ROWS))
    if not images:
        return html.notice(" ".join(problems), "problem"), None, None, None
    progress(0.2, desc=words("figure1.looking"))
    try:
        made = make_figure1(analyzer, images)
    except ValueError as error:
        return html.notice(str(error), "problem"), None, None, None
    folder = make_download_folder()
    paths = [folder / "figure1.png", folder / "figure1.pdf", folder / "figure1.json"]
    progress(0.7, desc=words("figure1.drawing"))
    save_figure(made.figure, paths[0])
    save_figure(made.figure, paths[1])
    paths[2].write_text(json.dumps(made.record, indent=2) + "\n")
    framed = [row["name"] for row in made.record["rows"] if row["source"] != "detected"]
    if framed:
        problems.append(words("figure1.no_faces", names=words.join(framed)))
    text = html.notice(" ".join(problems) or words("page.done"), "problem" if problems else "agree")
    return text, *(str(path) for path in paths)


def build_figure1_tab(analyzer: Analyzer, words: Words) -> gr.File:
    """Lay out and wire the tab, inside a `gr.Tab`; returns its list of pictures."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=280):
            files = gr.File(
                label=words("figure1.pictures"),
                file_count="multiple",
                file_types=["image"],
                allow_reordering=True,
                height=220,
                elem_id="figure1-files",
            )
            gr.Markdown(words("figure1.about"))
            button = gr.Button(words("figure1.draw"), variant="primary", elem_id="figure1-draw")
            stop = gr.Button(words("page.stop"), size="sm")
        with gr.Column(scale=3, min_width=320):
            line = gr.HTML(html.notice(words("figure1.empty")))
            picture = gr.Image(
                label=words("figure1.figure"),
                type="filepath",
                interactive=False,
                buttons=["fullscreen"],
                alt_text=words("figure1.figure_alt"),
                elem_id="figure1-image",
            )
            with gr.Row():
                png = gr.DownloadButton(words("page.download_png"), visible=False, size="sm")
                pdf = gr.DownloadButton(words("page.download_pdf"), visible=False, size="sm")
                record = gr.DownloadButton(words("page.download_json"), visible=False, size="sm")

    def draw(paths, progress=gr.Progress()):  # noqa: B008 - gradio's way to ask for it
        text, *made = build_figure(analyzer, paths, words, progress)
        buttons = [gr.update(value=path, visible=path is not None) for path in made]
        return [text, made[0], *buttons]

    drawing = button.click(draw, files, [line, picture, png, pdf, record], api_visibility="private")
    stop.click(
        lambda: html.notice(words("page.stopped")),
        None,
        line,
        cancels=drawing,
        api_visibility="private",
    )
    return files
