"""The Lab tab: a drawn face with a dial for every facial action, and what three networks answer."""

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from fer_models.analysis import PAGE_NETWORKS, Analysis, Analyzer, NetworkResult
from fer_models.choice import Choices
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import align_face
from fer_models.figures import draw_analysis, drawable_words, overlay_heatmap, save_figure
from fer_models.lab import (
    ACTIONS,
    ACTIONS_OF_REGION,
    BACKGROUNDS,
    IDENTITIES,
    RANGES,
    FaceParameters,
    ParametersError,
    expression_actions,
    mirror_name,
)
from fer_models.lab.measure import find_face
from fer_models.report import network_report
from fer_models.ui import html
from fer_models.ui.compare import Picture, View, describe_view
from fer_models.ui.lab_experiments import build_experiments, unavailable_networks
from fer_models.ui.lab_face import SIDEWAYS, action_label, draw, is_shown, region_title
from fer_models.ui.picture import download_button, make_download_folder, slider
from fer_models.words import Words

START = FaceParameters().with_expression("happiness")
OVERLAY_SIDE_PX = 224
MAX_JSON_BYTES = 100_000
CUSTOM = "lab-face"


def lock_sides(parameters: FaceParameters) -> FaceParameters:
    """The face with the subject's left side on both sides, and nothing pulled sideways."""
    kept = {a: s for a, s in parameters.actions.items() if a not in SIDEWAYS}
    return replace(parameters, actions=kept).symmetric("Left")


def set_control(
    name: str, parameters: FaceParameters, symmetric: bool, value: float | int | str | None
) -> FaceParameters:
    """The face after one control was moved; an emptied number field changes nothing."""
    if value is None:
        return parameters
    if name not in ACTIONS:
        return replace(parameters, **{name: value})
    names = {name, mirror_name(name)} if symmetric else {name}
    return parameters.with_actions(**dict.fromkeys(names, value))


def shown_expression(parameters: FaceParameters, expression: str | None) -> str | None:
    """The expression whose recipe the face shows; None for a face that was changed by hand."""
    return expression if parameters.actions else "neutral"


def recognise_recipe(parameters: FaceParameters) -> tuple[str | None, float]:
    """Which expression's recipe the face shows, and how strongly; None and 1 where it shows none.

    The strength is one that the slider has, in hundredths.
    """
    if not parameters.actions:
        return "neutral", 1.0
    for expression in EXPRESSIONS[1:]:
        action, full = next(iter(expression_actions(expression).items()))
        strength = round(parameters.actions.get(action, 0.0) / full, 2)
        if strength <= 1 and parameters == parameters.with_expression(expression, strength):
            return expression, strength
    return None, 1.0


def write_png(parameters: FaceParameters, expression: str | None = None) -> str:
    """The face as a PNG file; its path. The name's start is that of a row in Figure 1."""
    file = make_download_folder() / f"{_file_name(parameters, expression)}.png"
    Image.fromarray(draw(parameters)).save(file)
    return str(file)


def write_json(parameters: FaceParameters, expression: str | None = None) -> str:
    """The parameters as a JSON file, from which the same pixels can be drawn; its path."""
    file = make_download_folder() / f"{_file_name(parameters, expression)}.json"
    file.write_text(parameters.to_json() + "\n", encoding="utf-8")
    return str(file)


def write_answers(
    analyzer: Analyzer, parameters: FaceParameters, expression: str | None = None
) -> str:
    """What the cards show of the face, heatmaps in numbers included, as a JSON file; its path."""
    analysis = ask(analyzer, parameters)
    answers = analysis.faces[0].networks if analysis else {}
    report = {
        "face": json.loads(parameters.to_json()),
        "networks": {name: network_report(answer) for name, answer in answers.items()},
    }
    file = make_download_folder() / f"{_file_name(parameters, expression)}_answers.json"
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return str(file)


def write_figure(
    analyzer: Analyzer, parameters: FaceParameters, expression: str | None, words: Words
) -> str:
    """The face, its heatmaps and the answers to it as a PNG file; its path.

    Raises:
        gr.Error: if no face is found.
    """
    analysis = ask(analyzer, parameters)
    if analysis is None:
        raise gr.Error(words("lab.no_face"), print_exception=False)
    file = make_download_folder() / f"{_file_name(parameters, expression)}_answers.png"
    result = analysis.faces[0]
    save_figure(draw_analysis(result.crop, result.networks, words=drawable_words(words)), file)
    return str(file)


def _file_name(parameters: FaceParameters, expression: str | None) -> str:
    shown = shown_expression(parameters, expression) or CUSTOM
    return f"{shown}_{IDENTITIES[parameters.identity].name}"


def read_json(file: str, words: Words) -> FaceParameters:
    """Parameters from a file.

    Raises:
        ValueError: if it is none; the message is meant for the page.
    """
    path = Path(file)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(words("lab.too_large", file=path.name))
    try:
        return FaceParameters.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ValueError(words("lab.no_text", file=path.name)) from None
    except RecursionError:
        raise ValueError(words("lab.too_deep", file=path.name)) from None
    except ParametersError as error:
        text = words(error.key, **error.values)
        raise ValueError(words("lab.bad_file", file=path.name, error=text)) from None


def show_face(parameters: FaceParameters, words: Words) -> str:
    """The drawn face as an <img>."""
    name = IDENTITIES[parameters.identity].name
    actions = words.join(action_label(a, words) for a in parameters.actions)
    alt = words("lab.face_alt", name=name, actions=actions or words("lab.at_rest"))
    return html.image_tag(draw(parameters), alt)


def lab_card(name: str, result: NetworkResult, overlay: np.ndarray | None, words: Words) -> str:
    """A network's column: its answer, all probabilities and, if wanted, the face under the heat."""
    picture = ""
    if overlay is not None:
        alt, about = html.describe_heatmap(name, result.gradcam, words)
        unit = html.heat_unit(result.gradcam.method, words)
        picture = html.image_tag(overlay, alt) + html.color_bar(result.gradcam.max, unit=unit)
        picture += f'<p class="fer-caption">{about}</p>'
    return html.card(
        name,
        f"{html.heading(name)}{html.answer_line(result, words)}"
        f"{html.probability_bars(result.probabilities, words)}{picture}",
        "lab-card",
    )


def ask(analyzer: Analyzer, parameters: FaceParameters) -> Analysis | None:
    """What the page's networks answer to the face; None where it is not found in its picture."""
    image = draw(parameters)
    face = find_face(image)
    return face and analyzer.analyze_faces(image, [face], networks=PAGE_NETWORKS)


def measure(
    analyzer: Analyzer, parameters: FaceParameters, heatmaps: bool, words: Words
) -> list[str]:
    """What the networks answer to the face: the line above the cards, and three cards."""
    analysis = ask(analyzer, parameters)
    if analysis is None:
        blank = [html.empty_card(name) for name in PAGE_NETWORKS]
        return [html.notice(words("lab.no_face"), "problem"), *blank]
    image, result = draw(parameters), analysis.faces[0]
    unavailable = unavailable_networks(analysis.unavailable, words)
    crop = align_face(image, result.face.landmarks, OVERLAY_SIDE_PX) if heatmaps else None
    cards = []
    for name in PAGE_NETWORKS:
        answer = result.networks.get(name)
        if answer is None:
            cards.append(html.empty_card(name, unavailable[name]))
            continue
        overlay = overlay_heatmap(crop, answer.gradcam.values) if heatmaps else None
        cards.append(lab_card(name, answer, overlay, words))
    view = View(Picture(image, [result.face]), result, analysis.unavailable)
    return [describe_view(view, words), *cards]


@dataclass(frozen=True)
class LabTab:
    """What the page connects with the other tabs."""

    face: gr.State
    expression: gr.Radio
    to_compare: gr.Button
    to_figure1: gr.Button


@dataclass(frozen=True)
class _Controls:
    """The components that show a face's parameters."""

    identity: gr.Dropdown
    background: gr.Radio
    symmetric: gr.Checkbox
    angles: dict[str, gr.Slider]
    actions: dict[str, gr.Slider]
    words: Words

    def named(self) -> dict:
        """All that set one parameter, by its name."""
        others = {"identity": self.identity, "background": self.background}
        return {**others, **self.angles, **self.actions}

    def all(self) -> list:
        return [self.symmetric, *self.named().values()]

    def updates(self, parameters: FaceParameters, symmetric: bool) -> list:
        """What `all` must show for a face."""
        return [
            symmetric,
            parameters.identity,
            parameters.background,
            *(getattr(parameters, name) for name in self.angles),
            *(
                gr.update(
                    value=parameters.actions.get(a, 0.0),
                    visible=is_shown(a, symmetric),
                    label=action_label(a, self.words, symmetric),
                )
                for a in self.actions
            ),
        ]


def _build_controls(words: Words) -> _Controls:
    symmetric = gr.Checkbox(
        True,
        label=words("lab.symmetric"),
        info=words("lab.symmetric_info"),
        elem_id="lab-symmetric",
    )
    actions = {}
    for region, names in ACTIONS_OF_REGION.items():
        with gr.Accordion(region_title(region, words), open=region == "brows"):
            for name in names:
                actions[name] = slider(
                    0,
                    1,
                    value=START.actions.get(name, 0.0),
                    step=0.01,
                    label=action_label(name, words, True),
                    visible=is_shown(name, True),
                    elem_id=f"lab-{name}",
                )
    with gr.Accordion(words("lab.view"), open=False):
        angles = {
            name: slider(
                *RANGES[name],
                value=getattr(START, name),
                step=1,
                label=label,
                elem_id=f"lab-{name}",
            )
            for name, label in words.section("lab_angles").items()
        }
        background = gr.Radio(
            words.choices("lab.background_", BACKGROUNDS),
            value=START.background,
            label=words("lab.background"),
            elem_id="lab-background",
        )
    people = [(person.name, number) for number, person in enumerate(IDENTITIES)]
    identity = gr.Dropdown(
        people,
        value=START.identity,
        label=words("lab.identity"),
        render=False,
        elem_id="lab-identity",
    )
    return _Controls(identity, background, symmetric, angles, actions, words)


def build_lab_tab(choices: Choices, choice: gr.State, words: Words, tab: gr.Tab) -> LabTab:
    """Lay out and wire the tab, inside `tab`.

    Args:
        choice: the visitor's checkpoints, as the Models tab sets them.
    """
    # The state is the parameters' JSON: gradio takes dataclasses apart, which these do not allow.
    face = gr.State(START.to_json())
    # How often all controls were set at once, and how often the visitor's page knows of. A control
    # that was moved before the page knew speaks of a face that is gone.
    posed = gr.State(0)
    known = gr.Number(0, visible=False)
    private = {"api_visibility": "private", "show_progress": "hidden"}

    def write_file(write, text, shown):
        return write(FaceParameters.from_json(text), shown)

    def write_answers_file(text, shown, chosen):
        return write_answers(choices.analyzer(chosen), FaceParameters.from_json(text), shown)

    def write_figure_file(text, shown, chosen):
        return write_figure(choices.analyzer(chosen), FaceParameters.from_json(text), shown, words)

    with gr.Row(equal_height=False, elem_classes="lab-bench"):
        with gr.Column(scale=2, min_width=300, elem_classes="lab-controls"):
            expression = gr.Radio(
                words.choices("expressions.", EXPRESSIONS),
                value="happiness",
                label=words("lab.expression"),
                elem_id="lab-expression",
            )
            intensity = slider(
                0, 1, value=1, step=0.01, label=words("lab.intensity"), elem_id="lab-intensity"
            )
            people = gr.Row(equal_height=False, elem_classes="lab-run")
            controls = _build_controls(words)
            with people:
                controls.identity.render()
                reset = gr.Button(words("lab.reset"), size="sm", min_width=80, elem_id="lab-reset")
        with gr.Column(scale=3, min_width=320, elem_classes="lab-stage"):
            line = gr.HTML(html.notice(words("lab.waiting")), elem_id="lab-line")
            with gr.Row(equal_height=False, elem_classes="lab-watch"):
                with gr.Column(scale=3, min_width=260, elem_classes="lab-watch"):
                    picture = gr.HTML(elem_id="lab-face", min_height=260)
                with gr.Column(scale=2, min_width=180, elem_classes="lab-tools"):
                    gr.Markdown(words("lab.about"))
                    to_compare, to_figure1 = (
                        gr.Button(words(f"lab.to_{name}"), size="sm", elem_id=f"lab-to-{name}")
                        for name in ("compare", "figure1")
                    )
                    for kind, write in (("png", write_png), ("json", write_json)):
                        download_button(
                            words(f"lab.save_{kind}"),
                            partial(write_file, write),
                            [face, expression],
                            f"lab-{kind}",
                            words,
                        )
                    for kind, write in (
                        ("answers", write_answers_file),
                        ("figure", write_figure_file),
                    ):
                        download_button(
                            words(f"lab.save_{kind}"),
                            write,
                            [face, expression, choice],
                            f"lab-{kind}",
                            words,
                        )
                    load = gr.UploadButton(
                        words("lab.load"), file_types=[".json"], size="sm", elem_id="lab-load"
                    )
                    problem = gr.HTML(visible=False, elem_id="lab-problem")
                    heatmaps = gr.Checkbox(label=words("lab.heatmaps"), elem_id="lab-heatmaps")
            with gr.Row(equal_height=True, elem_classes="lab-cards"):
                cards = [
                    gr.HTML(html.empty_card(name), elem_id=f"lab-card-{name}", min_height=290)
                    for name in PAGE_NETWORKS
                ]
    build_experiments(choices, choice, face, expression, controls.symmetric, words)

    everything = [face, posed, known, picture, problem, expression, intensity, *controls.all()]

    def show(parameters, symmetric, chosen, count, strength=None):
        return [
            parameters.to_json(),
            count + 1,
            count + 1,
            show_face(parameters, words),
            gr.update(visible=False),
            chosen,
            gr.skip() if strength is None else strength,
            *controls.updates(parameters, symmetric),
        ]

    def move(name, text, count, seen, symmetric, value):
        before = FaceParameters.from_json(text)
        parameters = set_control(name, before, symmetric, value)
        if seen != count or parameters == before:
            return [gr.skip()] * 3
        # A face that was changed by hand is no longer the recipe's.
        kept = None if name in ACTIONS else gr.skip()
        return parameters.to_json(), show_face(parameters, words), kept

    def pose(text, count, chosen, strength):
        if chosen is None or strength is None:
            return [gr.skip()] * len(everything)
        parameters = FaceParameters.from_json(text).with_expression(chosen, strength)
        return show(parameters, parameters == lock_sides(parameters), chosen, count)

    def lock(text, count, symmetric, chosen):
        parameters = FaceParameters.from_json(text)
        locked = lock_sides(parameters) if symmetric else parameters
        return show(locked, symmetric, chosen if locked == parameters else None, count)

    def start_anew(count):
        return show(FaceParameters(), True, "neutral", count, 1.0)

    def load_file(count, file):
        try:
            parameters = read_json(file, words)
        except ValueError as error:
            skipped = [gr.skip()] * len(everything)
            text = html.notice(str(error), "problem")
            skipped[everything.index(problem)] = gr.update(value=text, visible=True)
            return skipped
        recipe = recognise_recipe(parameters)
        return show(parameters, parameters == lock_sides(parameters), recipe[0], count, recipe[1])

    def show_first(text):
        return show_face(FaceParameters.from_json(text), words)

    def answer(text, heatmaps, chosen):
        analyzer = choices.analyzer(chosen)
        return measure(analyzer, FaceParameters.from_json(text), heatmaps, words)

    asked, shown = [face, heatmaps, choice], [line, *cards]
    # One at a time, because each reads the face that the one before it left.
    change_face = {**private, "concurrency_id": "lab-face", "concurrency_limit": 1}
    latest = {**change_face, "trigger_mode": "always_last"}
    for name, control in controls.named().items():
        control.input(
            partial(move, name),
            [face, posed, known, controls.symmetric, control],
            [face, picture, expression],
            **latest,
        )
    gr.on(
        [expression.input, intensity.input],
        pose,
        [face, posed, expression, intensity],
        everything,
        **latest,
    )
    controls.symmetric.input(
        lock, [face, posed, controls.symmetric, expression], everything, **change_face
    )
    reset.click(start_anew, posed, everything, **change_face)
    load.upload(load_file, [posed, load], everything, **change_face)
    face.change(answer, asked, shown, trigger_mode="always_last", **private)
    heatmaps.input(answer, asked, shown, trigger_mode="always_last", **private)
    # Drawn when the tab is first looked at: opening the page must neither draw nor load weights.
    tab.select(show_first, face, picture, **private).then(answer, asked, shown, **private)
    return LabTab(face, expression, to_compare, to_figure1)
