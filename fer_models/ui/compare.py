"""The Compare tab: one face, three networks, columns that can be compared at a glance."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr
import numpy as np

from fer_models.analysis import (
    DISPLAY_NAMES,
    PAGE_NETWORKS,
    Analyzer,
    FaceResult,
    describe_agreement,
)
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import Face, align_face, detect_faces, face_of_crop
from fer_models.figures import (
    draw_analysis,
    draw_faces,
    draw_winners,
    overlay_heatmap,
    save_figure,
)
from fer_models.report import analysis_report, face_report
from fer_models.ui import html
from fer_models.ui.picture import ImageError, picture_input, read_picture

OWN_ANSWER = "its own answer"
CARD_SIDE_PX = 336
MAP_SIDE_PX = 168
SMALL_FACE_PX = 48
EXAMPLES_FOLDER = Path(__file__).resolve().parent.parent.parent / "assets" / "examples"


@dataclass(frozen=True)
class Picture:
    """What was given: the image (H,W,3), its faces, largest first, and the chosen one's number."""

    image: np.ndarray
    faces: list[Face]
    chosen: int = 0


@dataclass(frozen=True)
class View:
    """What is shown: the picture's chosen face, explained."""

    picture: Picture
    result: FaceResult
    unavailable: dict[str, str]


def find_faces(file: str | None, face_crop: bool = False) -> tuple[Picture | None, str]:
    """A picture's faces, and a notice where there is none or it cannot be read."""
    if file is None:
        return None, html.notice("Upload a picture, use the webcam, or click an example.")
    try:
        image = read_picture(file)
    except ImageError as error:
        return None, html.notice(str(error), "problem")
    faces = [face_of_crop(image)] if face_crop else detect_faces(image)
    if not faces:
        height, width = image.shape[:2]
        text = (
            f"No face was found in this picture ({width}x{height} pixels). Try one in which the "
            "face is larger, upright and lit; or, if the picture is a cut-out face already, tick "
            "“the picture is a face crop already”."
        )
        return Picture(image, []), html.notice(text, "problem")
    return Picture(image, faces), html.notice("Looking at the face ...")


def explain_face(analyzer: Analyzer, picture: Picture, target: str) -> Iterator[View]:
    """The chosen face explained, one network more at each step."""
    face = picture.faces[picture.chosen]
    wanted = None if target == OWN_ANSWER else target
    result, unavailable = None, {}
    for name in PAGE_NETWORKS:
        analysis = analyzer.analyze_faces(picture.image, [face], target=wanted, networks=[name])
        part = analysis.faces[0]
        networks = {**(result.networks if result else {}), **part.networks}
        result = replace(part, networks=networks)
        unavailable.update(analysis.unavailable)
        yield View(picture, result, dict(unavailable))


def describe_view(view: View) -> str:
    """The line above the columns: agreement, and what makes the answers doubtful."""
    done = len(view.result.networks) + len(view.unavailable) == len(PAGE_NETWORKS)
    text = describe_agreement(view.result.networks)
    face = view.result.face
    if face.source == "detected" and face.side_px < SMALL_FACE_PX:
        text += f" The face is only {face.side_px:.0f} pixels wide, so do not rely on any of it."
    if face.source == "framed":
        text += " No landmarks were found in this crop, so the usual framing is assumed."
    for name in view.unavailable:
        text += f" {DISPLAY_NAMES[name]} is not available."
    said = {result.expression for result in view.result.networks.values()}
    kind = "info" if not done else "agree" if len(said) == 1 else "disagree"
    return html.notice(text, kind)


def draw_cards(view: View, strength: float, cells: bool) -> list[str]:
    """The three columns, DDAMFN, MFN, ResNet-50, and the attention row: four HTML strings."""
    crop = align_face(view.picture.image, view.result.face.landmarks, CARD_SIDE_PX)
    cards = []
    for name in PAGE_NETWORKS:
        result = view.result.networks.get(name)
        if result is None:
            missing = view.unavailable.get(name)
            cards.append(html.empty_card(name, missing or "working ..."))
            continue
        overlay = overlay_heatmap(crop, result.gradcam.values, strength=strength, cells=cells)
        cards.append(html.network_card(name, result, overlay))
    return [*cards, draw_attention(view, strength, cells)]


def draw_attention(view: View, strength: float, cells: bool) -> str:
    """DDAMFN's heads over the face, all on one scale; empty where DDAMFN is missing."""
    result = view.result.networks.get("ddamfn")
    if result is None or result.attention is None:
        return ""
    attention = result.attention
    crop = align_face(view.picture.image, view.result.face.landmarks, MAP_SIDE_PX)
    maps = [*attention.maps, attention.fused]
    low, high = float(np.min(maps)), float(np.max(maps))
    pictures = [
        overlay_heatmap(crop, m - low, strength=strength, maximum=high - low, cells=cells)
        for m in maps
    ]
    winners = draw_winners(attention, crop, strength)
    return html.attention_row(attention, pictures, winners, low, high)


def write_downloads(view: View) -> tuple[str, str]:
    """The analysis as a JSON file and as a figure; their paths."""
    folder = Path(tempfile.mkdtemp(prefix="fer_", dir=gr.utils.get_upload_folder()))
    json_file, figure_file = folder / "analysis.json", folder / "analysis.png"
    report = {"faces": [face_report(view.result)], "unavailable": view.unavailable}
    json_file.write_text(json.dumps(report, indent=2) + "\n")
    save_figure(draw_analysis(view.result), figure_file)
    return str(json_file), str(figure_file)


def analyze_for_client(
    analyzer: Analyzer, file: str | None, target: str = OWN_ANSWER, face_crop: bool = False
) -> dict:
    """The `/analyze` endpoint: every face of a picture, as the command line's JSON."""
    if file is None:
        raise gr.Error("Give a picture.", print_exception=False)
    try:
        image = read_picture(file)
        wanted = None if target == OWN_ANSWER else target
        return analysis_report(analyzer.analyze(image, target=wanted, face_crop=face_crop))
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from None


def example_files() -> list[str]:
    return sorted(str(f) for f in EXAMPLES_FOLDER.glob("*") if f.suffix in {".jpg", ".png"})


def build_compare_tab(analyzer: Analyzer) -> None:
    """Lay out and wire the tab, inside a `gr.Tab`."""
    picture_state, view_state = gr.State(), gr.State()
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=280):
            picture = picture_input(
                label="Picture",
                sources=["upload", "webcam", "clipboard"],
                height=280,
                buttons=["fullscreen"],
                elem_id="picture",
            )
            face_crop = gr.Checkbox(
                label="The picture is a face crop already",
                info="For small data-set images, in which no face can be searched for.",
                elem_id="face-crop",
            )
            faces = gr.Gallery(
                label="Faces found (click one)",
                columns=4,
                height=130,
                allow_preview=False,
                object_fit="contain",
                visible=False,
                elem_id="faces",
            )
            target = gr.Dropdown(
                [OWN_ANSWER, *EXPRESSIONS],
                value=OWN_ANSWER,
                label="Explain, for each network",
                elem_id="target",
            )
            strength = gr.Slider(0, 1, value=0.5, step=0.05, label="Heatmap over face")
            cells = gr.Checkbox(label="Show the 7x7 cells that were computed")
            gr.Examples(example_files(), [picture], label="Examples", elem_id="examples")
        with gr.Column(scale=3, min_width=320):
            line = gr.HTML(find_faces(None)[1], elem_id="agreement")
            with gr.Row(equal_height=True):
                cards = [
                    gr.HTML(html.empty_card(name), elem_id=f"card-{name}", min_height=560)
                    for name in PAGE_NETWORKS
                ]
            gr.HTML(html.heat_legend())
            attention = gr.HTML(elem_id="attention", min_height=40)
            with gr.Row():
                json_button = gr.DownloadButton("Download JSON", visible=False, size="sm")
                figure_button = gr.DownloadButton("Download figure", visible=False, size="sm")
    shown = [line, *cards, attention]
    settings = [target, strength, cells]

    def show_gallery(found: Picture | None):
        several = found is not None and len(found.faces) > 1
        if not several:
            return gr.Gallery(value=None, visible=False)
        crops = [align_face(found.image, face.landmarks) for face in found.faces]
        boxed = draw_faces(found.image, [f.box_xyxy for f in found.faces], found.chosen)
        return gr.Gallery(value=[*crops, boxed], visible=True)

    def clear(text: str):
        empty = [html.empty_card(name) for name in PAGE_NETWORKS]
        return [None, text, *empty, "", gr.update(visible=False), gr.update(visible=False)]

    def start(file, is_crop):
        found, text = find_faces(file, is_crop)
        return [found, show_gallery(found), *clear(text)]

    def explain(found, target, strength, cells):
        if found is None or not found.faces:
            yield [gr.skip()] * (1 + len(shown) + 2)
            return
        for view in explain_face(analyzer, found, target):
            cards = draw_cards(view, strength, cells)
            yield [view, describe_view(view), *cards, gr.skip(), gr.skip()]
        json_file, figure_file = write_downloads(view)
        yield [
            *[gr.skip()] * (1 + len(shown)),
            gr.update(value=json_file, visible=True),
            gr.update(value=figure_file, visible=True),
        ]

    def redraw(view, strength, cells):
        return draw_cards(view, strength, cells) if view else [gr.skip()] * 4

    def choose(found, event: gr.SelectData):
        if found is None or event.index >= len(found.faces):
            return gr.skip()
        return replace(found, chosen=event.index)

    results = [view_state, *shown, json_button, figure_button]
    explain_inputs = [picture_state, *settings]
    private = {"api_visibility": "private", "show_progress": "hidden"}
    for trigger in (picture.change, face_crop.input):
        trigger(start, [picture, face_crop], [picture_state, faces, *results], **private).success(
            explain, explain_inputs, results, **private
        )
    faces.select(choose, picture_state, picture_state, **private).success(
        explain, explain_inputs, results, **private
    )
    target.input(explain, explain_inputs, results, **private)
    for control in (strength.change, cells.input):
        control(
            redraw,
            [view_state, strength, cells],
            [*cards, attention],
            trigger_mode="always_last",
            **private,
        )

    endpoint_out = gr.JSON(visible=False)
    gr.Button(visible=False).click(
        lambda file, target, is_crop: analyze_for_client(analyzer, file, target, is_crop),
        [picture, target, face_crop],
        endpoint_out,
        api_name="analyze",
    )
