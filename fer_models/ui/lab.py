"""The Lab tab: a drawn face with a dial for every facial action, and what three networks answer."""

import html as escaping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import gradio as gr
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, Analyzer, NetworkResult
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import align_face
from fer_models.figures import FIGURE1_MAX_ROWS, NETWORK_COLORS, overlay_heatmap, save_figure
from fer_models.lab import (
    ACTIONS,
    ACTIONS_OF_REGION,
    BACKGROUNDS,
    IDENTITIES,
    RANGES,
    FaceParameters,
    mirror_name,
    region_of_action,
)
from fer_models.lab.experiments import Sweep
from fer_models.lab.measure import (
    Claim,
    check_claims,
    count_pictures,
    find_face,
    loadable_networks,
    sweep_networks,
)
from fer_models.lab.render import render_face
from fer_models.ui import html
from fer_models.ui.compare import KEEP_STATE_S, Picture, View, describe_view
from fer_models.ui.picture import make_download_folder
from fer_models.words import load_words

# What an action does, in words a reader knows; sides ("Left", "Right") are added to it.
ACTION_WORDS = {
    "browInnerUp": "Inner brows up (AU1)",
    "browDown": "Brows down (AU4)",
    "browOuterUp": "Outer brows up (AU2)",
    "eyeBlink": "Eyes closed (AU43)",
    "eyeSquint": "Lids tight (AU7)",
    "eyeWide": "Upper lids up (AU5)",
    "eyeLookUp": "Look up",
    "eyeLookDown": "Look down",
    "eyeLookIn": "Look towards the nose",
    "eyeLookOut": "Look outwards",
    "noseSneer": "Nose wrinkled (AU9)",
    "cheekSquint": "Cheeks up (AU6)",
    "cheekPuff": "Cheeks puffed",
    "mouthSmile": "Lip corners up (AU12)",
    "mouthFrown": "Lip corners down (AU15)",
    "mouthDimple": "Lip corners in (AU14)",
    "mouthStretch": "Lips stretched (AU20)",
    "mouthPress": "Lips pressed (AU24)",
    "mouthUpperUp": "Upper lip up (AU10)",
    "mouthLowerDown": "Lower lip down (AU16)",
    "mouthShrugUpper": "Upper lip pushed up",
    "mouthShrugLower": "Chin raised (AU17)",
    "mouthRollUpper": "Upper lip rolled in",
    "mouthRollLower": "Lower lip rolled in",
    "mouthPucker": "Lips pursed (AU18)",
    "mouthFunnel": "Lips funnelled (AU22)",
    "mouthLeft": "Mouth to the subject's left",
    "mouthRight": "Mouth to the subject's right",
    "mouthClose": "Lips closed over an open jaw",
    "jawOpen": "Jaw dropped (AU26)",
    "jawForward": "Jaw forward",
    "jawLeft": "Jaw to the subject's left",
    "jawRight": "Jaw to the subject's right",
    "tongueOut": "Tongue out",
}
# Symmetric, these would pull both ways at once; the symmetry lock leaves them out.
SIDEWAYS = ("mouthLeft", "mouthRight", "jawLeft", "jawRight")
REGION_TITLES = {
    "brows": "Brows",
    "eyes": "Eyes",
    "nose": "Nose and cheeks",
    "mouth": "Mouth",
    "jaw": "Jaw and tongue",
}
ANGLES = {
    "yaw_deg": "Turn the head (yaw), degrees",
    "pitch_deg": "Raise the chin (pitch), degrees",
    "roll_deg": "Tilt the head (roll), degrees",
    "light_azimuth_deg": "Light from the side, degrees",
    "light_elevation_deg": "Light from above, degrees",
}
# Paul Tol's "muted" scheme, which colour-blind people can tell apart (personal.sron.nl/~pault);
# none of it means a network. Markers tell the lines apart in print, too.
EXPRESSION_COLORS = {
    "neutral": "#777777",
    "happiness": "#999933",
    "sadness": "#332288",
    "surprise": "#88CCEE",
    "fear": "#AA4499",
    "disgust": "#117733",
    "anger": "#882255",
    "contempt": "#CC6677",
}
EXPRESSION_MARKERS = dict(zip(EXPRESSIONS, "os^Dvp*X", strict=True))
START = FaceParameters().with_expression("happiness", 0.8)
SWEEP_STEPS = 9  # so that the five faces stand at quarters
MAX_SWEEP_DEG = 45.0
FACES_UNDER_CURVE = 5
OVERLAY_SIDE_PX = 224
MAX_JSON_BYTES = 100_000
CUSTOM = "lab-face"
WAITING = "Choose an expression or move a slider."


def action_label(action: str, both: bool = False) -> str:
    """An action in words; with its side, unless `both` sides move together."""
    if action in ACTION_WORDS:
        return ACTION_WORDS[action]
    base = action.removesuffix("Left").removesuffix("Right")
    side = "left" if action.endswith("Left") else "right"
    return ACTION_WORDS[base] if both else f"{ACTION_WORDS[base]}, {side}"


def group_label(group: tuple[str, ...]) -> str:
    """An ablation's group of actions in words."""
    return action_label(group[0], both=len(group) > 1)


@lru_cache(maxsize=32)
def draw(parameters: FaceParameters) -> np.ndarray:
    """The face (512,512,3), kept a while: drawing, measuring and sending ask for the same one."""
    image = render_face(parameters)
    image.flags.writeable = False
    return image


def lock_sides(parameters: FaceParameters) -> FaceParameters:
    """The face with the subject's left side on both sides, and nothing pulled sideways."""
    kept = {a: s for a, s in parameters.actions.items() if a not in SIDEWAYS}
    return replace(parameters, actions=kept).symmetric("Left")


def set_control(
    name: str, parameters: FaceParameters, symmetric: bool, value: float | None
) -> FaceParameters:
    """The face after one slider was moved; an emptied number field changes nothing."""
    if value is None:
        return parameters
    if name not in ACTIONS:
        return replace(parameters, **{name: value})
    names = {name, mirror_name(name)} if symmetric else {name}
    return parameters.with_actions(**dict.fromkeys(names, value))


def is_shown(action: str, symmetric: bool) -> bool:
    """Whether the action has a slider of its own: under the lock one stands for both sides."""
    return not symmetric or not (action.endswith("Right") or action in SIDEWAYS)


def face_name(parameters: FaceParameters, expression: str | None) -> str:
    """The start of a file's name, by which Figure 1 names its row."""
    expression = expression if parameters.actions else "neutral"
    return f"{expression or CUSTOM}_{IDENTITIES[parameters.identity].name}"


def write_png(parameters: FaceParameters, expression: str | None = None) -> str:
    """The face as a PNG file; its path."""
    file = make_download_folder() / f"{face_name(parameters, expression)}.png"
    Image.fromarray(draw(parameters)).save(file)
    return str(file)


def write_json(parameters: FaceParameters, expression: str | None = None) -> str:
    """The parameters as a JSON file, from which the same pixels can be drawn; its path."""
    file = make_download_folder() / f"{face_name(parameters, expression)}.json"
    file.write_text(parameters.to_json() + "\n", encoding="utf-8")
    return str(file)


def read_json(file: str) -> FaceParameters:
    """Parameters from a file.

    Raises:
        ValueError: if it is none; the message is meant for the page.
    """
    path = Path(file)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path.name} is too large to hold a face's parameters.")
    try:
        return FaceParameters.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is no text; load a JSON file saved by the Lab.") from None
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply to be a face.") from None
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be used. {error}") from None


def show_face(parameters: FaceParameters) -> str:
    """The drawn face as an <img>."""
    name = IDENTITIES[parameters.identity].name
    actions = ", ".join(action_label(a).lower() for a in parameters.actions) or "at rest"
    return html.image_tag(draw(parameters), f"A drawn face, {name}: {actions}")


def lab_card(name: str, result: NetworkResult, overlay: np.ndarray | None) -> str:
    """A network's column: its answer, all probabilities and, if wanted, the face under the heat."""
    unsure = '<span class="fer-unsure">unsure</span>' if result.unsure else ""
    target = result.gradcam.target
    picture = ""
    if overlay is not None:
        alt = f"The face under {DISPLAY_NAMES[name]}'s heatmap for {target}"
        picture = html.image_tag(overlay, alt)
        picture += f'<p class="fer-caption">Heatmap for {target}.</p>'
    return (
        f'<section class="fer-card lab-card" style="--network:{NETWORK_COLORS[name]}">'
        f"<h2>{DISPLAY_NAMES[name]}</h2>"
        f'<p class="fer-answer"><strong>{result.expression}</strong> '
        f"{result.probability:.2f} {unsure}</p>"
        f"{html.probability_bars(result, load_words())}{picture}</section>"
    )


def measure(analyzer: Analyzer, parameters: FaceParameters, heatmaps: bool = False) -> list[str]:
    """What the networks answer to the face: the line above the cards, and three cards."""
    image = draw(parameters)
    face = find_face(image)
    if face is None:
        text = "No face is found in this view, so no network is asked. Turn the head to the camera."
        return [html.notice(text, "problem"), *(html.empty_card(name) for name in PAGE_NETWORKS)]
    analysis = analyzer.analyze_faces(image, [face], networks=PAGE_NETWORKS)
    result = analysis.faces[0]
    crop = align_face(image, face.landmarks, OVERLAY_SIDE_PX) if heatmaps else None
    cards = []
    for name in PAGE_NETWORKS:
        answer = result.networks.get(name)
        if answer is None:
            cards.append(html.empty_card(name, analysis.unavailable[name]))
            continue
        overlay = overlay_heatmap(crop, answer.gradcam.values) if heatmaps else None
        cards.append(lab_card(name, answer, overlay))
    return [
        describe_view(View(Picture(image, [face]), result, analysis.unavailable), load_words()),
        *cards,
    ]


def sweep_choices() -> list[tuple[str, str]]:
    """What can be varied, in words, and its name for `sweep`."""
    recipes = [(f"Recipe: {e}, from nothing to full", e) for e in EXPRESSIONS[1:]]
    head = [(ANGLES[name], name) for name in ("yaw_deg", "pitch_deg", "roll_deg")]
    actions = [(action_label(a, both=True), a) for a in ACTIONS if is_shown(a, True)]
    return [*recipes, *head, *actions]


def sweep_title(name: str, symmetric: bool) -> str:
    """What the curve's horizontal axis says."""
    if name in EXPRESSIONS:
        return f"intensity of the recipe for {name}"
    if name in ANGLES:
        return ANGLES[name]
    return f"{action_label(name, both=symmetric)}, 0 at rest to 1"


def draw_tuning_curve(sweeps: dict[str, Sweep], title: str) -> Figure:
    """Every expression's probability per network over one axis, and the face at five points of it.

    The networks' panels lie above each other, so that the face below is the face of all of them.
    """
    first = next(iter(sweeps.values()))
    low, high = float(first.values[0]), float(first.values[-1])
    figure = Figure(figsize=(9.5, 1.95 * len(sweeps) + 2.6), dpi=130)
    panels = figure.add_gridspec(
        len(sweeps), 1, left=0.09, right=0.82, top=0.965, bottom=2.45 / figure.get_figheight()
    ).subplots(sharex=True, squeeze=False)[:, 0]
    for axis, (network, curve) in zip(panels, sweeps.items(), strict=True):
        for index, expression in enumerate(EXPRESSIONS):
            axis.plot(
                curve.values,
                curve.probabilities[:, index],
                color=EXPRESSION_COLORS[expression],
                marker=EXPRESSION_MARKERS[expression],
                markersize=4,
                linewidth=1.8,
                label=expression,
            )
        axis.set_title(
            DISPLAY_NAMES[network],
            color=NETWORK_COLORS[network],
            loc="left",
            fontsize=11,
            fontweight="bold",
        )
        axis.set_ylim(-0.03, 1.03)
        axis.set_yticks([0, 0.5, 1])
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
        if np.isnan(curve.probabilities).all(axis=1).any():
            axis.text(0.99, 0.9, "gaps: no face found", transform=axis.transAxes, ha="right")
    panels[len(panels) // 2].set_ylabel("probability")
    panels[-1].set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    panels[-1].set_xlabel(title)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="center right", frameon=False)
    _draw_faces_below(figure, panels[-1], first)
    return figure


def _draw_faces_below(figure: Figure, axis, curve: Sweep) -> None:
    """The face at five points, each centred under its value on the axis."""
    width, height = figure.get_size_inches()
    side = 1.32  # inches
    for index in np.linspace(0, len(curve.values) - 1, FACES_UNDER_CURVE).round().astype(int):
        x_px, _ = axis.transData.transform((curve.values[index], 0))
        x = figure.transFigure.inverted().transform((x_px, 0))[0]
        below = figure.add_axes((x - side / 2 / width, 0.32 / height, side / width, side / height))
        below.imshow(draw(curve.parameters[index])[30:440, 51:461])
        below.set_xlabel(f"{curve.values[index]:g}", fontsize=9)
        below.set_xticks([])
        below.set_yticks([])
        below.spines[:].set_visible(False)


def make_tuning_curve(
    analyzer: Analyzer, parameters: FaceParameters, name: str, symmetric: bool, progress
) -> tuple[str, str | None]:
    """The tuning curve's picture: a notice, and the PNG's path (None where it can't be made)."""
    networks, unavailable = loadable_networks(analyzer)
    if not networks:
        return html.notice(next(iter(unavailable.values())), "problem"), None
    done = iter(range(1, SWEEP_STEPS + 1))

    def count() -> None:
        step = next(done, SWEEP_STEPS)
        progress(step / SWEEP_STEPS, desc=f"Face {step} of {SWEEP_STEPS}")

    progress(0, desc="Drawing the faces")
    low, high = RANGES.get(name, (0.0, 1.0))
    values = np.linspace(max(low, -MAX_SWEEP_DEG), min(high, MAX_SWEEP_DEG), SWEEP_STEPS)
    sweeps = sweep_networks(
        analyzer, networks, parameters, name, values, symmetric=symmetric, on_image=count
    )
    title = sweep_title(name, symmetric)
    file = make_download_folder() / "tuning-curve.png"
    save_figure(draw_tuning_curve(sweeps, title), file)
    text = describe_sweep(sweeps, name)
    for message in unavailable.values():
        text += f" {message}"
    return html.notice(text), str(file)


def describe_sweep(sweeps: dict[str, Sweep], name: str) -> str:
    """Where each network changes its answer along the axis, in one sentence a network."""
    unit = "°" if name in RANGES else ""
    sentences = []
    for network, curve in sweeps.items():
        found = ~np.isnan(curve.probabilities).all(axis=1)
        if not found.any():
            sentences.append(f"{DISPLAY_NAMES[network]}: no face was found.")
            continue
        answers = np.nan_to_num(curve.probabilities[found], nan=-1).argmax(axis=1)
        values = curve.values[found]
        steps = [EXPRESSIONS[answers[0]]]
        for before, after, value in zip(answers[:-1], answers[1:], values[1:], strict=True):
            if before != after:
                steps.append(f"{EXPRESSIONS[after]} from {value:g}{unit}")
        same = " throughout" if len(steps) == 1 else ""
        sentences.append(f"{DISPLAY_NAMES[network]}: {', '.join(steps)}{same}.")
    return " ".join(sentences)


def describe_claims(claims: dict[str, Claim], expression: str) -> str:
    """The one number: in how many networks the heatmap points where the intervention does."""
    asked = {name: c for name, c in claims.items() if c.agrees is not None}
    if not asked:
        return (
            f"No action on this face raises the probability of {expression} by 0.01 or more in "
            "any network, so there is nothing to compare the heatmaps with."
        )
    agreeing = sum(claim.agrees for claim in asked.values())
    text = (
        f"{agreeing} of {len(asked)}: in so many networks the heatmap for {expression} is "
        "brightest in the region of the action that matters most."
    )
    if len(asked) < len(claims):
        text += " In the others no action raises the probability by 0.01."
    return text


def claim_card(name: str, claim: Claim) -> str:
    """A network's ranked actions, and its heatmap's share on each region."""
    ablation = claim.ablation
    full = ablation.full[ablation.target]
    expression = EXPRESSIONS[ablation.target]
    rows = "".join(
        _change_bar(group_label(group), float(change))
        for group, change in zip(ablation.actions, ablation.change, strict=True)
    )
    shares = "".join(
        f'<div class="fer-bar lab-share{" fer-chosen" if region == claim.brightest else ""}">'
        f'<span class="fer-name">{REGION_TITLES[region]}</span>'
        f'<span class="fer-track"><span style="width:{100 * share:.1f}%"></span>'
        f'<i class="lab-area" style="left:{100 * claim.areas[region]:.1f}%"></i></span>'
        f'<span class="fer-number">{share:.0%}</span></div>'
        for region, share in claim.shares.items()
    )
    return (
        f'<section class="fer-card lab-card" style="--network:{NETWORK_COLORS[name]}">'
        f"<h2>{DISPLAY_NAMES[name]}</h2>"
        f'<p class="fer-answer">{expression} <strong>{full:.2f}</strong></p>'
        "<h3>Without each action, the probability would change by</h3>"
        f'<div class="fer-bars">{rows}</div>'
        "<h3>The heatmap's brightness lies on</h3>"
        f'<div class="fer-bars">{shares}</div>'
        f'<p class="fer-caption">{escaping.escape(claim_sentence(claim))}</p></section>'
    )


def claim_sentence(claim: Claim) -> str:
    """Whether heatmap and intervention point to the same region, in words."""
    if claim.brightest is None:
        return "The heatmap is empty: no region speaks for this expression."
    brightest = REGION_TITLES[claim.brightest].lower()
    if claim.decisive is None:
        return f"The heatmap is brightest on {brightest}, but no action raises the probability."
    action = group_label(claim.decisive)
    region = REGION_TITLES[region_of_action(claim.decisive[0])].lower()
    verdict = "They agree." if claim.agrees else "They do not agree."
    return (
        f"Brightest region: {brightest}. Action that matters most: {action} ({region}). {verdict}"
    )


def _change_bar(label: str, change: float) -> str:
    """Removing the action changes the probability by minus `change`; the bar grows either way."""
    if np.isnan(change):
        number, bar = "no face", ""
    else:
        number = f"{-change:+.2f}".replace("-", "−") if abs(change) >= 0.005 else "0.00"
        side = "right:50%" if change > 0 else "left:50%"
        bar = f'<span style="{side};width:{50 * abs(change):.1f}%"></span>'
    return (
        f'<div class="lab-change"><span class="fer-name">{escaping.escape(label)}</span>'
        f'<span class="lab-axis">{bar}</span><span class="fer-number">{number}</span></div>'
    )


def rank_actions(
    analyzer: Analyzer, parameters: FaceParameters, expression: str, progress
) -> list[str]:
    """Which action matters: the line with the one number, and three cards."""
    blank = [html.empty_card(name) for name in PAGE_NETWORKS]
    if not parameters.actions:
        text = "This face is at rest: there is no action to remove. Choose an expression first."
        return [html.notice(text, "problem"), *blank]
    networks, unavailable = loadable_networks(analyzer)
    if not networks:
        return [html.notice(next(iter(unavailable.values())), "problem"), *blank]
    total = count_pictures(parameters)
    done = iter(range(1, total + 1))

    def count() -> None:
        step = next(done, total)
        progress(step / total, desc=f"Face {step} of {total}")

    progress(0, desc="Drawing the faces")
    try:
        claims = check_claims(analyzer, networks, parameters, expression, count)
    except ValueError as error:
        return [html.notice(str(error), "problem"), *blank]
    cards = [
        claim_card(name, claims[name])
        if name in claims
        else html.empty_card(name, unavailable[name])
        for name in PAGE_NETWORKS
    ]
    return [html.notice(describe_claims(claims, expression)), *cards]


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

    def all(self) -> list:
        return [
            self.identity,
            self.background,
            self.symmetric,
            *self.angles.values(),
            *self.actions.values(),
        ]

    def updates(self, parameters: FaceParameters, symmetric: bool) -> list:
        """What `all` must show for a face."""
        return [
            parameters.identity,
            parameters.background,
            symmetric,
            *(getattr(parameters, name) for name in self.angles),
            *(
                gr.update(
                    value=parameters.actions.get(a, 0.0),
                    visible=is_shown(a, symmetric),
                    label=action_label(a, symmetric),
                )
                for a in self.actions
            ),
        ]


def _build_controls() -> _Controls:
    symmetric = gr.Checkbox(
        True,
        label="Both sides alike",
        info="One slider moves a pair. Untick to move left and right (the subject's) alone.",
        elem_id="lab-symmetric",
    )
    actions = {}
    for region, names in ACTIONS_OF_REGION.items():
        with gr.Accordion(REGION_TITLES[region], open=region == "brows"):
            for name in names:
                actions[name] = gr.Slider(
                    0,
                    1,
                    value=START.actions.get(name, 0.0),
                    step=0.01,
                    label=action_label(name, True),
                    visible=is_shown(name, True),
                    elem_id=f"lab-{name}",
                )
    with gr.Accordion("Head, light and background", open=False):
        angles = {
            name: gr.Slider(
                *RANGES[name],
                value=getattr(START, name),
                step=1,
                label=label,
                elem_id=f"lab-{name}",
            )
            for name, label in ANGLES.items()
        }
        background = gr.Radio(list(BACKGROUNDS), value=START.background, label="Background")
    people = [(person.name, number) for number, person in enumerate(IDENTITIES)]
    identity = gr.Dropdown(people, value=START.identity, label="Who (all are drawn)", render=False)
    return _Controls(identity, background, symmetric, angles, actions)


def build_lab_tab(analyzer: Analyzer, tab: gr.Tab) -> LabTab:
    """Lay out and wire the tab, inside `tab`."""
    # The state is the parameters' JSON: gradio takes dataclasses apart, which these do not allow.
    face = gr.State(START.to_json(), time_to_live=KEEP_STATE_S)
    private = {"api_visibility": "private", "show_progress": "hidden"}
    with gr.Row(equal_height=False, elem_classes="lab-bench"):
        with gr.Column(scale=2, min_width=300, elem_classes="lab-controls"):
            expression = gr.Radio(
                list(EXPRESSIONS),
                value="happiness",
                label="Pose the recipe of an expression",
                elem_id="lab-expression",
            )
            intensity = gr.Slider(
                0, 1, value=0.8, step=0.01, label="How strongly", elem_id="lab-intensity"
            )
            people = gr.Row()
            controls = _build_controls()
            with people:
                controls.identity.render()
                reset = gr.Button("Reset", size="sm", min_width=80, elem_id="lab-reset")
        with gr.Column(scale=3, min_width=320, elem_classes="lab-stage"):
            line = gr.HTML(html.notice(WAITING), elem_id="lab-line")
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=260):
                    picture = gr.HTML(elem_id="lab-face", min_height=260)
                with gr.Column(scale=2, min_width=180):
                    gr.Markdown(
                        "A **drawn** face, nobody's portrait. An expression here is a recipe of "
                        "facial actions: posed, not felt."
                    )
                    to_compare = gr.Button("Send to Compare", size="sm", elem_id="lab-to-compare")
                    to_figure1 = gr.Button("Send to Figure 1", size="sm", elem_id="lab-to-figure1")
                    save_png = gr.Button("Download the face (PNG)", size="sm", elem_id="lab-png")
                    save_json = gr.Button(
                        "Download its parameters (JSON)", size="sm", elem_id="lab-json"
                    )
                    load = gr.UploadButton(
                        "Load parameters (JSON)",
                        file_types=[".json"],
                        size="sm",
                        elem_id="lab-load",
                    )
                    heatmaps = gr.Checkbox(label="Show heatmaps", elem_id="lab-heatmaps")
            with gr.Row(equal_height=True, elem_classes="lab-cards"):
                cards = [
                    gr.HTML(html.empty_card(name), elem_id=f"lab-card-{name}", min_height=290)
                    for name in PAGE_NETWORKS
                ]
    _build_experiments(analyzer, face, controls.symmetric)
    files = {
        save_png: (write_png, gr.DownloadButton("PNG", elem_id="lab-png-file")),
        save_json: (write_json, gr.DownloadButton("JSON", elem_id="lab-json-file")),
    }

    everything = [face, picture, line, expression, *controls.all()]

    def show(parameters, symmetric, chosen):
        settings = controls.updates(parameters, symmetric)
        return [parameters.to_json(), show_face(parameters), gr.skip(), chosen, *settings]

    def move(name, text, symmetric, value):
        parameters = set_control(name, FaceParameters.from_json(text), symmetric, value)
        # A face that was changed by hand is no longer the recipe's.
        kept = None if name in ACTIONS else gr.skip()
        return parameters.to_json(), show_face(parameters), kept

    def pose(text, chosen, strength):
        if chosen is None:
            return [gr.skip()] * len(everything)
        parameters = FaceParameters.from_json(text).with_expression(chosen, strength)
        return show(parameters, parameters == lock_sides(parameters), chosen)

    def lock(text, symmetric, chosen):
        parameters = FaceParameters.from_json(text)
        locked = lock_sides(parameters) if symmetric else parameters
        return show(locked, symmetric, chosen if locked == parameters else None)

    def load_file(file):
        try:
            parameters = read_json(file)
        except ValueError as error:
            skipped = [gr.skip()] * len(everything)
            skipped[everything.index(line)] = html.notice(str(error), "problem")
            return skipped
        return show(parameters, parameters == lock_sides(parameters), None)

    def change(field, text, value):
        parameters = replace(FaceParameters.from_json(text), **{field: value})
        return parameters.to_json(), show_face(parameters)

    def show_first(text):
        return show_face(FaceParameters.from_json(text))

    def answer(text, heatmaps):
        return measure(analyzer, FaceParameters.from_json(text), heatmaps)

    def write_file(write, text, chosen):
        return write(FaceParameters.from_json(text), chosen)

    shown = [line, *cards]
    # One at a time: each reads the face that the one before it left. In parallel, a slider's last
    # step could write back the face from before a newly chosen expression.
    change_face = {**private, "concurrency_id": "lab-face", "concurrency_limit": 1}
    for name, slider in {**controls.angles, **controls.actions}.items():
        slider.input(
            partial(move, name),
            [face, controls.symmetric, slider],
            [face, picture, expression],
            trigger_mode="always_last",
            **change_face,
        )
    for name, control in (("identity", controls.identity), ("background", controls.background)):
        control.input(partial(change, name), [face, control], [face, picture], **change_face)
    gr.on(
        [expression.input, intensity.input],
        pose,
        [face, expression, intensity],
        everything,
        trigger_mode="always_last",
        **change_face,
    )
    controls.symmetric.input(
        lock, [face, controls.symmetric, expression], everything, **change_face
    )
    reset.click(lambda: show(FaceParameters(), True, "neutral"), None, everything, **change_face)
    load.upload(load_file, load, everything, **change_face)
    face.change(answer, [face, heatmaps], shown, trigger_mode="always_last", **private)
    heatmaps.input(answer, [face, heatmaps], shown, trigger_mode="always_last", **private)
    # Drawn when the tab is first looked at: opening the page must neither draw nor load weights.
    tab.select(show_first, face, picture, **private).then(
        answer, [face, heatmaps], shown, **private
    )
    for button, (write, hidden) in files.items():
        button.click(partial(write_file, write), [face, expression], hidden, **private).success(
            None, js=f"() => {{ {_click(hidden.elem_id)} }}", api_visibility="private"
        )
    return LabTab(face, expression, to_compare, to_figure1)


def _click(elem_id: str) -> str:
    """JavaScript that clicks a hidden download button, once its new link has reached the page."""
    return (
        f"setTimeout(() => {{ const e = document.getElementById('{elem_id}');"
        "(e.querySelector('a, button') || e).click(); }, 100)"
    )


def _build_experiments(analyzer: Analyzer, face: gr.State, symmetric: gr.Checkbox) -> None:
    """The two experiments on the present face, below the bench."""
    with gr.Accordion("Tuning curve: vary one thing, watch every probability", open=False):
        with gr.Row(equal_height=True):
            varied = gr.Dropdown(
                sweep_choices(), value="happiness", label="Vary", scale=3, elem_id="lab-vary"
            )
            sweep_button = gr.Button(
                "Draw the curve", variant="primary", scale=1, elem_id="lab-sweep"
            )
            stop_sweep = gr.Button("Stop", scale=0, min_width=80)
        curve_line = gr.HTML(
            html.notice("Nine faces are drawn, from 0 to 1 (an angle: from -45 to 45 degrees).")
        )
        curve = gr.Image(
            label="Tuning curve",
            type="filepath",
            format="png",
            interactive=False,
            buttons=["download", "fullscreen"],
            alt_text="Probability of every expression for each network, and five faces below",
            elem_id="lab-curve",
        )
    with gr.Accordion("Which action matters: take away one action at a time", open=False):
        with gr.Row(equal_height=True):
            target = gr.Dropdown(
                list(EXPRESSIONS),
                value="happiness",
                label="For the probability of",
                scale=3,
                elem_id="lab-target",
            )
            rank_button = gr.Button(
                "Take each away", variant="primary", scale=1, elem_id="lab-rank"
            )
            stop_rank = gr.Button("Stop", scale=0, min_width=80)
        claim_line = gr.HTML(
            html.notice("Each active action is set to rest, the others stay."),
            elem_id="lab-claim-line",
        )
        with gr.Row(equal_height=True, elem_classes="lab-cards"):
            claims = [gr.HTML(elem_id=f"lab-claim-{name}") for name in PAGE_NETWORKS]
        gr.Markdown(
            "The heatmap says where a network's answer rests, by its own gradients; taking an "
            "action away shows what the answer does. The tick on a region's bar is the region's "
            "share of the picture: an even heatmap would end there. Where the two do not agree, "
            "believe the experiment. A heatmap proves nothing."
        )

    def draw_curve(text, name, symmetric, progress=gr.Progress()):  # noqa: B008
        parameters = FaceParameters.from_json(text)
        return make_tuning_curve(analyzer, parameters, name, symmetric, progress)

    def rank(text, expression, progress=gr.Progress()):  # noqa: B008
        return rank_actions(analyzer, FaceParameters.from_json(text), expression, progress)

    private = {"api_visibility": "private"}
    drawing = sweep_button.click(
        draw_curve, [face, varied, symmetric], [curve_line, curve], **private
    )
    ranking = rank_button.click(
        rank, [face, target], [claim_line, *claims], show_progress_on=claim_line, **private
    )
    for button, run, line in ((stop_sweep, drawing, curve_line), (stop_rank, ranking, claim_line)):
        button.click(lambda: html.notice("Stopped."), None, line, cancels=run, **private)


def add_row(file: str, files: list[str] | None) -> list[str]:
    """Figure 1's pictures with one more, unless it is full."""
    return [*(files or []), file][:FIGURE1_MAX_ROWS]


def connect_lab(lab: LabTab, tabs: gr.Tabs, picture: gr.Image, figure1_files: gr.File) -> None:
    """Send the Lab's face to the Compare tab (id "compare") and to Figure 1 (id "figure1")."""

    def send_to_compare(text, expression):
        return write_png(FaceParameters.from_json(text), expression), gr.Tabs(selected="compare")

    def send_to_figure1(text, expression, files):
        file = write_png(FaceParameters.from_json(text), expression)
        return add_row(file, files), gr.Tabs(selected="figure1")

    sent = [lab.face, lab.expression]
    lab.to_compare.click(send_to_compare, sent, [picture, tabs], api_visibility="private")
    lab.to_figure1.click(
        send_to_figure1,
        [*sent, figure1_files],
        [figure1_files, tabs],
        api_visibility="private",
    )
