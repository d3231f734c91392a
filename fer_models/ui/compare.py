"""The Compare tab: one face, three networks, columns that can be compared at a glance."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from fer_models.agreement import describe_agreement, judge_agreement
from fer_models.analysis import (
    DISPLAY_NAMES,
    PAGE_NETWORKS,
    Analyzer,
    FaceResult,
)
from fer_models.checkpoints import CheckpointError
from fer_models.choice import Choices
from fer_models.explain.cam import METHODS
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import Face, align_face, detect_faces, face_of_crop
from fer_models.figures import (
    draw_analysis,
    draw_attention_maps,
    draw_faces,
    draw_winners,
    drawable_words,
    overlay_heatmap,
    save_figure,
)
from fer_models.images import ImageError
from fer_models.report import analysis_report, face_report
from fer_models.ui import html
from fer_models.ui.picture import (
    download_button,
    explain_error,
    explain_missing,
    make_download_folder,
    picture_input,
    read_controls,
    read_picture,
    slider,
)
from fer_models.ui.uploads import KEEP_UPLOADS_S
from fer_models.words import Words, load_words

OWN_ANSWER = "its own answer"
NOTHING = "nothing"
SCALES = ("own", "shared")
VIEWS = ("over", "beside", "wipe")
CARD_SIDE_PX = 336
MAP_SIDE_PX = 168
SMALL_FACE_PX = 48
KEEP_STATE_S = KEEP_UPLOADS_S
PHOTOGRAPH = "eileen_collins.jpg"
EXAMPLES_FOLDER = Path(__file__).resolve().parent.parent.parent / "assets" / "examples"


@dataclass(frozen=True, eq=False)
class Picture:
    """What was given: the image (H,W,3), its faces, largest first, and the chosen one's number."""

    image: np.ndarray
    faces: list[Face]
    chosen: int = 0


@dataclass(frozen=True)
class Question:
    """What the networks are asked to explain: `target`, or why it and not `minus`."""

    target: str = OWN_ANSWER
    minus: str = NOTHING
    method: str = "grad-cam"

    def arguments(self) -> dict:
        """The analyzer's keyword arguments; without a target of its own, nothing is taken off."""
        own = self.target == OWN_ANSWER
        compared = not own and self.minus not in (NOTHING, self.target)
        return {
            "target": None if own else self.target,
            "minus": self.minus if compared else None,
            "method": self.method,
        }


@dataclass(frozen=True)
class Look:
    """How the heatmaps are drawn.

    Attributes:
        scale: "own", each map over its own maximum, or "shared", all over the largest.
        view: "over" the face, "beside" it, or "wipe", with a handle that uncovers the heat.
        strength: of the heat over the face, 0..1.
        cells: whether the 7x7 cells are drawn as they were computed.
    """

    scale: str = "own"
    view: str = "over"
    strength: float = 0.5
    cells: bool = False

    @property
    def heat_strength(self) -> float:
        """As `strength`; beside the face the heat stands alone."""
        return 1.0 if self.view == "beside" else self.strength


@dataclass(frozen=True)
class Settings:
    """All that is set on the tab; `face` counts the picture's faces from 1, the largest."""

    question: Question = Question()
    look: Look = Look()
    face_crop: bool = False
    face: int = 1


@dataclass(frozen=True)
class View:
    """What is shown: the picture's chosen face, explained."""

    picture: Picture
    result: FaceResult
    unavailable: dict[str, str]


def find_faces(
    file: str | None, words: Words, face_crop: bool = False
) -> tuple[Picture | None, str]:
    """A picture's faces, and a notice where there is none or it cannot be read."""
    if file is None:
        return None, html.notice(words("compare.empty"))
    try:
        image = read_picture(file)
    except ImageError as error:
        return None, html.notice(explain_error(error, words), "problem")
    faces = [face_of_crop(image)] if face_crop else detect_faces(image)
    if not faces:
        height, width = image.shape[:2]
        text = words("compare.no_face", width=width, height=height)
        return Picture(image, []), html.notice(text, "problem")
    return Picture(image, faces), html.notice(words("compare.looking_at_face"))


def face_at(picture: Picture, x: float, y: float) -> int | None:
    """The number of the smallest face whose box holds a point of the picture, if any does."""
    hit = [
        number
        for number, face in enumerate(picture.faces)
        if face.box_xyxy[0] <= x <= face.box_xyxy[2] and face.box_xyxy[1] <= y <= face.box_xyxy[3]
    ]
    return min(hit, key=lambda number: picture.faces[number].side_px, default=None)


def choose_face(picture: Picture, number: int) -> Picture:
    """The picture with its face of that number, counted from 1, chosen; as it is without one."""
    return replace(picture, chosen=number - 1) if number <= len(picture.faces) else picture


def explain_face(
    analyzer: Analyzer, picture: Picture, question: Question, words: Words | None = None
) -> Iterator[View]:
    """The chosen face explained, one network more at each step.

    Args:
        words: for the reason why a network is missing; English if None.
    """
    face = picture.faces[picture.chosen]
    result, unavailable = None, {}
    for name in PAGE_NETWORKS:
        unknown = explain_unknown(analyzer, name, question, words)
        asked = {"networks": []} if unknown else {"networks": [name], **question.arguments()}
        analysis = analyzer.analyze_faces(picture.image, [face], **asked)
        part = analysis.faces[0]
        networks = {**(result.networks if result else {}), **part.networks}
        result = replace(part, networks=networks)
        unavailable.update(analysis.unavailable)
        unavailable.update(explain_missing(analyzer, analysis.unavailable, words))
        unavailable.update(unknown)
        yield View(picture, result, dict(unavailable))


def explain_unknown(
    analyzer: Analyzer, name: str, question: Question, words: Words | None = None
) -> dict[str, str]:
    """Why a network cannot be asked, where it was not trained on an expression asked about."""
    try:
        labels = analyzer.checkpoint(name).card.labels
    except CheckpointError:
        return {}  # it is missing, which is said otherwise
    words, asked = words or load_words(), question.arguments()
    for expression in (asked["target"], asked["minus"]):
        if expression is not None and expression not in labels:
            known = {"network": DISPLAY_NAMES[name], "expression": words.expression(expression)}
            return {name: words("compare.unknown", **known)}
    return {}


def describe_view(view: View, words: Words) -> str:
    """The line above the columns: agreement, and what makes the answers doubtful."""
    results = view.result.networks
    done = len(results) + len(view.unavailable) == len(PAGE_NETWORKS)
    text = describe_agreement(results, words)
    face = view.result.face
    if face.source == "detected" and face.side_px < SMALL_FACE_PX:
        text += words.gap + words("compare.small_face")
    if face.source != "framed" and face.is_turned:
        text += words.gap + words("compare.turned")
    if face.source == "framed":
        text += words.gap + words("compare.framed")
    if face.source == "face-crop":
        text += words.gap + words("compare.whole_taken")
    for name in view.unavailable:
        text += words.gap + words("compare.unavailable", network=DISPLAY_NAMES[name])
    return html.notice(text, judge_agreement(results) if done else "info")


def draw_cards(view: View, look: Look, words: Words) -> list[str]:
    """The three columns, DDAMFN, MFN, ResNet-50, and the attention row: four HTML strings."""
    crop = align_face(view.picture.image, view.result.face.landmarks, CARD_SIDE_PX)
    results = view.result.networks
    largest = max((result.gradcam.max for result in results.values()), default=0.0)
    shared = largest if look.scale == "shared" else None
    cards = []
    for name in PAGE_NETWORKS:
        result = results.get(name)
        if result is None:
            missing = view.unavailable.get(name)
            cards.append(html.empty_card(name, missing or words("compare.working")))
            continue
        heat = overlay_heatmap(
            crop,
            result.gradcam.values,
            strength=look.heat_strength,
            maximum=shared,
            cells=look.cells,
        )
        top = result.gradcam.max if shared is None else shared
        cards.append(html.network_card(name, result, crop, heat, look.view, top, words))
    return [*cards, draw_attention(view, crop, look, words)]


def draw_attention(view: View, crop: np.ndarray, look: Look, words: Words) -> str:
    """DDAMFN's heads over the card's crop; empty where DDAMFN is missing."""
    result = view.result.networks.get("ddamfn")
    if result is None or result.attention is None:
        return ""
    attention = result.attention
    crop = np.asarray(Image.fromarray(crop).reduce(CARD_SIDE_PX // MAP_SIDE_PX))
    maps = draw_attention_maps(attention, crop, look.strength, cells=look.cells)
    winners = draw_winners(attention, crop, look.strength)
    return html.attention_row(attention, maps, winners, words)


def write_json(view: View) -> str:
    """The analysis as a file; its path."""
    file = make_download_folder() / "analysis.json"
    report = {"faces": [face_report(view.result)], "unavailable": view.unavailable}
    file.write_text(json.dumps(report, indent=2) + "\n")
    return str(file)


def write_figure(view: View, look: Look, words: Words) -> str:
    """The analysis as a figure that looks and reads as the page does; the file's path."""
    file = make_download_folder() / "analysis.png"
    shared = look.scale == "shared"
    figure = draw_analysis(
        view.result.crop,
        view.result.networks,
        look.heat_strength,
        shared=shared,
        cells=look.cells,
        words=drawable_words(words),
    )
    save_figure(figure, file)
    return str(file)


def settings_text(settings: Settings) -> str:
    """All settings as JSON, to be kept and given back."""
    values = {**asdict(settings.question), **asdict(settings.look)}
    return json.dumps({**values, "face_crop": settings.face_crop, "face": settings.face})


def read_settings(text: str, words: Words) -> Settings:
    """The settings that `settings_text` wrote, now or before it knew of faces.

    Raises:
        ValueError: if the text is none, or a value is unknown; the message is for the page.
    """
    allowed = {
        "target": (OWN_ANSWER, *EXPRESSIONS),
        "minus": (NOTHING, *EXPRESSIONS),
        "method": METHODS,
        "scale": SCALES,
        "view": VIEWS,
        "cells": (False, True),
        "face_crop": (False, True),
    }
    try:
        values = {"face_crop": False, "face": 1, **json.loads(text)}
        for key, choices in allowed.items():
            if values[key] not in choices:
                raise ValueError(words("compare.bad_setting", name=key))
        if not 0 <= values["strength"] <= 1:
            raise ValueError(words("compare.bad_setting", name="strength"))
        if type(values["face"]) is not int or values["face"] < 1:
            raise ValueError(words("compare.bad_setting", name="face"))
    except (json.JSONDecodeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(words("compare.bad_settings")) from error
    return Settings(
        Question(*(values[field.name] for field in fields(Question))),
        Look(*(values[field.name] for field in fields(Look))),
        values["face_crop"],
        values["face"],
    )


def analyze_for_client(
    analyzer: Analyzer,
    file: str | None,
    words: Words,
    target: str = OWN_ANSWER,
    face_crop: bool = False,
) -> dict:
    """The `/analyze` endpoint: every face of a picture, as the command line's JSON."""
    if file is None:
        raise gr.Error(words("compare.give_picture"), print_exception=False)
    for name, value, kind in (("target", target, str), ("face_crop", face_crop, bool)):
        if not isinstance(value, kind):  # gradio lets a client's list or text pass
            raise gr.Error(words("compare.bad_setting", name=name), print_exception=False)
    try:
        image = read_picture(file)
        wanted = None if target == OWN_ANSWER else target
        return analysis_report(analyzer.analyze(image, target=wanted, face_crop=face_crop))
    except ValueError as error:
        raise gr.Error(explain_error(error, words), print_exception=False) from None


def example_files() -> list[str]:
    """The photograph first, then the drawn faces in the expressions' order."""
    drawn = [EXAMPLES_FOLDER / f"{expression}.png" for expression in EXPRESSIONS]
    return [str(f) for f in (EXAMPLES_FOLDER / PHOTOGRAPH, *drawn) if f.is_file()]


def example_picture(words: Words) -> Picture:
    """The example photograph, for a tab that has no face yet."""
    return find_faces(str(EXAMPLES_FOLDER / PHOTOGRAPH), words)[0]


@dataclass(frozen=True)
class CompareTab:
    """What other tabs and the guide need of this one.

    Attributes:
        input: the picture input.
        picture: holds None before the first picture, then a `Picture`, without faces where none
            was found.
        target, minus: the expression that is explained, and the one it is compared with.
        method: how the heatmaps are computed.
        view: how the heatmap is shown.
        ask: makes an event ask the networks anew, with the settings as they are after it.
    """

    input: gr.Image
    picture: gr.State
    target: gr.Dropdown
    minus: gr.Dropdown
    method: gr.Dropdown
    view: gr.Radio
    ask: Callable


@dataclass(frozen=True)
class _Settings:
    """The components that make a `Question` and a `Look`."""

    target: gr.Dropdown
    minus: gr.Dropdown
    method: gr.Dropdown
    scale: gr.Radio
    view: gr.Radio
    strength: gr.Slider
    cells: gr.Checkbox

    @property
    def question(self) -> list:
        return [self.target, self.minus, self.method]

    @property
    def look(self) -> list:
        return [self.scale, self.view, self.strength, self.cells]


def target_choices(words: Words) -> list[tuple[str, str]]:
    """What can be explained: a network's own answer, or an expression."""
    own = (words("compare.own_answer"), OWN_ANSWER)
    return [own, *words.choices("expressions.", EXPRESSIONS)]


def _build_settings(words: Words) -> _Settings:
    target = gr.Dropdown(
        target_choices(words),
        value=OWN_ANSWER,
        label=words("compare.target"),
        elem_id="target",
    )
    minus = gr.Dropdown(
        [(words("compare.nothing"), NOTHING), *words.choices("expressions.", EXPRESSIONS)],
        value=NOTHING,
        label=words("compare.minus"),
        info=words("compare.minus_info"),
        interactive=False,
        elem_id="minus",
    )
    view = gr.Radio(
        words.choices("compare.view_", VIEWS),
        value="over",
        label=words("compare.view"),
        elem_id="view",
    )
    strength = slider(
        0, 1, value=0.5, step=0.05, label=words("compare.strength"), elem_id="strength"
    )
    with gr.Accordion(words("compare.more"), open=False, elem_id="more"):
        method = gr.Dropdown(
            words.choices("methods.", METHODS),
            value="grad-cam",
            label=words("compare.method"),
            elem_id="method",
        )
        scale = gr.Radio(
            words.choices("compare.scale_", SCALES),
            value="own",
            label=words("compare.scale"),
            elem_id="scale",
        )
        cells = gr.Checkbox(label=words("compare.cells"))
    return _Settings(target, minus, method, scale, view, strength, cells)


def build_compare_tab(choices: Choices, choice: gr.State, words: Words) -> CompareTab:
    """Lay out and wire the tab, inside a `gr.Tab`.

    Args:
        choice: the visitor's checkpoints, as the Models tab sets them.
    """
    picture_state = gr.State(time_to_live=KEEP_STATE_S)
    view_state = gr.State(time_to_live=KEEP_STATE_S)
    wanted_face = gr.State(1)  # of the next picture: the restored settings' face
    # Counts the pictures and the questions about them, and whether a picture is there; changed in
    # place, so that a run sees it.
    ticket = gr.State([0, 0, False])
    line = gr.HTML(find_faces(None, words)[1], elem_id="agreement")
    with gr.Row(equal_height=False, elem_classes="compare-bench"):
        with gr.Column(min_width=280, elem_classes="compare-side"):
            picture = picture_input(
                words,
                label=words("compare.picture"),
                sources=["upload", "webcam", "clipboard"],
                height=280,
                buttons=["fullscreen"],
                elem_id="picture",
            )
            whole = gr.Button(words("compare.whole"), visible=False, elem_id="take-whole")
            overview = gr.Image(
                label=words("compare.overview"),
                interactive=False,
                visible=False,
                buttons=[],
                height=220,
                alt_text=words("compare.overview_alt"),
                elem_id="overview",
            )
            faces = gr.Gallery(
                label=words("compare.faces"),
                show_label=False,
                columns=3,
                height="auto",
                allow_preview=False,
                buttons=[],
                visible=False,
                elem_id="faces",
            )
            gr.Examples(
                example_files(),
                [picture],
                label=words("compare.examples"),
                elem_id="examples",
                api_visibility="private",
            )
        with gr.Column(min_width=280, elem_classes="compare-settings"):
            settings = _build_settings(words)
            face_crop = gr.Checkbox(
                label=words("compare.face_crop"),
                info=words("compare.face_crop_info"),
                elem_id="face-crop",
            )
            with gr.Accordion(words("compare.settings"), open=False, elem_id="settings"):
                kept = gr.Textbox(
                    settings_text(Settings()),
                    label=words("compare.settings_label"),
                    info=words("compare.settings_info"),
                    lines=3,
                    max_length=1000,
                    buttons=["copy"],
                    elem_id="settings-text",
                )
                restore = gr.Button(words("compare.restore"), size="sm", elem_id="restore")
        with gr.Column(min_width=280, elem_classes="compare-main"):
            with gr.Row(equal_height=True, elem_classes="compare-cards"):
                cards = [
                    gr.HTML(html.empty_card(name), elem_id=f"card-{name}") for name in PAGE_NETWORKS
                ]
            gr.HTML(html.heat_legend(words))
            attention = gr.HTML(elem_id="attention")
            with gr.Row():
                json_button = gr.DownloadButton(
                    words("page.download_json"), interactive=False, size="sm"
                )
                figure_button = download_button(
                    words("compare.download_figure"),
                    lambda view, *values: write_figure(view, read_controls(Look, values), words),
                    [view_state, *settings.look],
                    "save-figure",
                    words,
                    interactive=False,
                )
    shown = [line, *cards, attention]
    drawn = [*cards, attention]
    downloads = [json_button, figure_button]
    chooser = [overview, faces]
    results = [view_state, *shown, *downloads]

    def show_choice(found: Picture | None) -> list:
        if found is None or len(found.faces) < 2:
            return [gr.update(value=None, visible=False)] * 2
        boxed = draw_faces(found.image, [f.box_xyxy for f in found.faces], found.chosen)
        crops = [
            (align_face(found.image, face.landmarks), words("compare.face_number", number=number))
            for number, face in enumerate(found.faces, start=1)
        ]
        gallery = gr.update(value=crops, selected_index=found.chosen, visible=True)
        return [gr.update(value=boxed, visible=True), gallery]

    def clear(text: str) -> list:
        empty = [html.empty_card(name) for name in PAGE_NETWORKS]
        off = gr.update(value=None, interactive=False), gr.update(interactive=False)
        return [None, text, *empty, "", *off]

    def start(file, is_crop, ticket, wanted):
        ticket[0] += 1
        mine = ticket[0]
        hidden = gr.update(visible=False)
        if file is not None:
            waiting = clear(html.notice(words("compare.looking_for_face")))
            yield [None, hidden, *show_choice(None), *waiting, wanted]
        found, text = find_faces(file, words, is_crop)
        if ticket[0] != mine:
            yield [gr.skip()] * len(found_outputs)
            return
        if found is not None:
            found = choose_face(found, wanted)
            wanted = 1
        ticket[2] = found is not None
        faceless = found is not None and not found.faces
        offer = gr.update(visible=True) if faceless else hidden
        yield [found, offer, *show_choice(found), *clear(text), wanted]

    def explain(found, ticket, chosen, *values):
        question, look = Question(*values[:3]), read_controls(Look, values[3:])
        if found is None and ticket[2]:  # gradio has deleted it
            ticket[2] = False
            yield clear(html.notice(words("page.gone"), "problem"))
            return
        if found is None or not found.faces:
            yield [gr.skip()] * len(results)
            return
        mine = list(ticket)
        for view in explain_face(choices.analyzer(chosen), found, question, words):
            if ticket != mine:  # another picture or face was asked for meanwhile
                # Gradio sends a generator's last output once more when it ends.
                yield [gr.skip()] * len(results)
                return
            done = draw_cards(view, look, words)
            yield [view, describe_view(view, words), *done, gr.skip(), gr.skip()]
        button = gr.update(value=write_json(view), interactive=True)
        buttons = [button, gr.update(interactive=True)]
        if ticket != mine:
            buttons = [gr.skip()] * len(buttons)
        yield [*[gr.skip()] * (1 + len(shown)), *buttons]

    def redraw(view, *values):
        if view is None:
            return [gr.skip()] * len(drawn)
        *made, heads = draw_cards(view, read_controls(Look, values), words)
        missing = [n not in view.result.networks for n in PAGE_NETWORKS]
        made = [gr.skip() if m else card for card, m in zip(made, missing, strict=True)]
        return [*made, heads]

    def choose(found, number, ticket):
        if found is None or number is None or number == found.chosen:
            return [gr.skip()] * 3
        ticket[1] += 1
        chosen = replace(found, chosen=number)
        return [chosen, *show_choice(chosen)]

    def choose_crop(found, ticket, event: gr.SelectData):
        return choose(found, event.index, ticket)

    def choose_point(found, ticket, event: gr.SelectData):
        return choose(found, None if found is None else face_at(found, *event.index), ticket)

    def ask_anew(target, ticket):
        ticket[1] += 1
        own = target == OWN_ANSWER
        return gr.update(interactive=not own, **({"value": NOTHING} if own else {}))

    def apply_settings(text):
        try:
            kept = read_settings(text, words)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None
        question = kept.question
        minus = gr.update(value=question.minus, interactive=question.target != OWN_ANSWER)
        changed = [question.target, minus, question.method, *asdict(kept.look).values()]
        return [*changed, kept.face_crop, kept.face]

    def keep_settings(found, wanted, is_crop, *values):
        number = wanted if found is None else found.chosen + 1
        question, look = Question(*values[:3]), read_controls(Look, values[3:])
        return settings_text(Settings(question, look, is_crop, number))

    latest = {
        "api_visibility": "private",
        "show_progress": "hidden",
        "trigger_mode": "always_last",
    }
    explain_inputs = [picture_state, ticket, choice, *settings.question, *settings.look]

    def then_explain(event) -> None:
        # The settings may have moved while the networks ran, so the end is drawn with them.
        event.success(explain, explain_inputs, results, **latest).then(
            redraw, [view_state, *settings.look], drawn, **latest
        )

    asked_and_drawn = [*settings.question, *settings.look]
    keeping = [picture_state, wanted_face, face_crop, *asked_and_drawn]

    def then_keep(event) -> None:
        event.success(keep_settings, keeping, kept, **latest)

    found_outputs = [picture_state, whole, *chooser, *results, wanted_face]
    take_whole = whole.click(lambda: True, None, face_crop, api_visibility="private")
    restored = restore.click(
        apply_settings, kept, [*asked_and_drawn, face_crop, wanted_face], **latest
    )
    starting = [picture, face_crop, ticket, wanted_face]
    for trigger in (picture.change, face_crop.input, take_whole.success, restored.success):
        event = trigger(start, starting, found_outputs, **latest)
        then_keep(event)
        then_explain(event)
    choosing = [picture_state, ticket], [picture_state, *chooser]
    for event in (
        faces.select(choose_crop, *choosing, **latest),
        overview.select(choose_point, *choosing, **latest),
    ):
        then_keep(event)
        then_explain(event)
    asked = (settings.target.input, settings.minus.input, settings.method.input, choice.change)
    for trigger in asked:
        then_explain(trigger(ask_anew, [settings.target, ticket], settings.minus, **latest))
    for component in settings.look:
        component.change(redraw, [view_state, *settings.look], drawn, **latest)
    settings.view.change(
        lambda view: gr.update(info=words("compare.strength_beside") if view == "beside" else ""),
        settings.view,
        settings.strength,
        **latest,
    )
    for component in asked_and_drawn:
        component.change(keep_settings, keeping, kept, **latest)

    gr.Button(visible=False).click(
        lambda file, target, is_crop: analyze_for_client(
            choices.shared, file, words, target, is_crop
        ),
        [picture, settings.target, face_crop],
        gr.JSON(visible=False),
        api_name="analyze",
        api_visibility="public" if words.language == "en" else "private",
    )

    def ask(event) -> None:
        then_explain(event.success(ask_anew, [settings.target, ticket], settings.minus, **latest))

    return CompareTab(picture, picture_state, *settings.question, view=settings.view, ask=ask)
