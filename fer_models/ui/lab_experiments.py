"""The Lab's two experiments: the tuning curve, and which action matters."""

import json
from collections.abc import Iterator, Mapping
from html import escape

import gradio as gr
import numpy as np

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, Analyzer
from fer_models.choice import Choices
from fer_models.expressions import EXPRESSIONS
from fer_models.lab import ACTIONS, RANGES, FaceParameters
from fer_models.lab.experiments import Sweep, remove_actions
from fer_models.lab.measure import (
    Claim,
    NoFaceError,
    judge_claims,
    loadable_networks,
    predict_networks,
    sweep_networks,
)
from fer_models.ui import html
from fer_models.ui.lab_curve import draw_curves, draw_curves_file, format_value
from fer_models.ui.lab_face import action_label, draw, group_label, is_shown, region_title
from fer_models.ui.picture import make_download_folder
from fer_models.ui.progress import step_line
from fer_models.words import Words

SWEEP_STEPS = 9  # so that the five faces stand at quarters
MAX_SWEEP_DEG = 45.0
SWEPT_ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")
CURVES_HEIGHT_PX = 400


def unavailable_networks(unavailable: Mapping[str, str], words: Words) -> dict[str, str]:
    """What the page says instead of why a network could not be loaded."""
    return {n: words("compare.unavailable", network=DISPLAY_NAMES[n]) for n in unavailable}


def sweep_choices(words: Words) -> list[tuple[str, str]]:
    """What can be varied, in words, and its name for `sweep`."""
    recipes = [
        (words("lab_curve.recipe", expression=words.expression(e)), e) for e in EXPRESSIONS[1:]
    ]
    angles = words.choices("lab_angles.", SWEPT_ANGLES)
    actions = [(action_label(a, words, both=True), a) for a in ACTIONS if is_shown(a, True)]
    return [*recipes, *angles, *actions]


def sweep_label(name: str, symmetric: bool, words: Words) -> str:
    """What the curve's horizontal axis says."""
    if name in EXPRESSIONS:
        return words("lab_curve.recipe_axis", expression=words.expression(name))
    if name in RANGES:
        return words(f"lab_angles.{name}")
    return words("lab_curve.action_axis", action=action_label(name, words, both=symmetric))


def sweep_values(name: str) -> np.ndarray:
    """The nine values of a tuning curve."""
    low, high = RANGES.get(name, (0.0, 1.0))
    return np.linspace(max(low, -MAX_SWEEP_DEG), min(high, MAX_SWEEP_DEG), SWEEP_STEPS)


def run_sweep(
    analyzer: Analyzer, parameters: FaceParameters, name: str, symmetric: bool, words: Words
) -> Iterator[tuple[str, str | None, str | None, str | None]]:
    """The tuning curve as it grows: the line above it, its HTML and, at the end, two files.

    The files are the curve as SVG and its numbers as JSON; what is not there yet is None.
    """
    networks, missing = loadable_networks(analyzer)
    unavailable = unavailable_networks(missing, words)
    if not networks:
        yield html.notice(" ".join(unavailable.values()), "problem"), None, None, None
        return
    values, label = sweep_values(name), sweep_label(name, symmetric, words)
    yield step_line(0, len(values), words("lab_curve.step", done=0, total=len(values))), *[None] * 3
    for sweeps in sweep_networks(analyzer, networks, parameters, name, values, symmetric):
        done = len(next(iter(sweeps.values())).values)
        line = step_line(done, len(values), words("lab_curve.step", done=done, total=len(values)))
        curves = draw_curves(sweeps, values, label, unavailable, words)
        yield line, curves, None, None
    text = " ".join([describe_sweep(sweeps, name, words), *unavailable.values()])
    yield html.notice(text), curves, *write_sweep(sweeps, parameters, label, words)


def write_sweep(
    sweeps: dict[str, Sweep], parameters: FaceParameters, label: str, words: Words
) -> tuple[str, str]:
    """The curve as an SVG file and its numbers as a JSON file; their paths."""
    folder = make_download_folder()
    picture, numbers = folder / "tuning-curve.svg", folder / "tuning-curve.json"
    picture.write_text(draw_curves_file(sweeps, label, words), encoding="utf-8")
    first = next(iter(sweeps.values()))
    record = {
        "face": json.loads(parameters.to_json()),
        "varied": first.name,
        "values": first.values.tolist(),
        "probabilities": {
            network: {
                expression: _numbers(curve.probabilities[:, index])
                for index, expression in enumerate(EXPRESSIONS)
            }
            for network, curve in sweeps.items()
        },
    }
    numbers.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return str(picture), str(numbers)


def _numbers(values: np.ndarray) -> list[float | None]:
    """For JSON, which has no NaN."""
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def describe_sweep(sweeps: dict[str, Sweep], name: str, words: Words) -> str:
    """Where each network changes its answer along the axis, in one sentence a network."""
    sentences = []
    for network, curve in sweeps.items():
        title = DISPLAY_NAMES[network]
        found = ~np.isnan(curve.probabilities).all(axis=1)
        if not found.any():
            sentences.append(words("lab_curve.none_found", network=title))
            continue
        answers = np.nan_to_num(curve.probabilities[found], nan=-1).argmax(axis=1)
        values = curve.values[found]
        first = words.expression(EXPRESSIONS[answers[0]])
        steps = [first]
        for before, after, value in zip(answers[:-1], answers[1:], values[1:], strict=True):
            if before != after:
                expression = words.expression(EXPRESSIONS[after])
                value = format_value(value, name)
                steps.append(words("lab_curve.change", expression=expression, value=value))
        if len(steps) == 1:
            sentences.append(words("lab_curve.throughout", network=title, expression=first))
        else:
            steps = words("lab_curve.then").join(steps)
            sentences.append(words("lab_curve.changes", network=title, steps=steps))
    return " ".join(sentences)


def run_removal(
    analyzer: Analyzer, parameters: FaceParameters, expression: str, words: Words
) -> Iterator[tuple[str, list[str] | None, str | None]]:
    """Which action matters: the line with the one number and, at the end, cards and a JSON file.

    A network that was not trained on the expression is left out, with a sentence.
    """
    groups, removed = remove_actions(parameters)
    loaded, missing = loadable_networks(analyzer)
    unavailable = unavailable_networks(missing, words)
    networks = [n for n in loaded if expression in analyzer.checkpoint(n).card.labels]
    for name in loaded:
        if name not in networks:
            known = {"network": DISPLAY_NAMES[name], "expression": words.expression(expression)}
            unavailable[name] = words("lab_removal.unknown", **known)
    problem = None
    if not groups:
        problem = words("lab_removal.at_rest")
    elif not networks:
        problem = " ".join(unavailable.values())
    if problem:
        yield html.notice(problem, "problem"), None, None
        return
    faces = (parameters, *removed)
    answers = []
    for done, face in enumerate(faces):
        text = words("lab_curve.step", done=done + 1, total=len(faces))
        yield step_line(done, len(faces), text), None, None
        answers.append(predict_networks(analyzer, networks, [draw(face)])[0])
    try:
        claims = judge_claims(analyzer, networks, parameters, expression, np.stack(answers))
    except NoFaceError:
        yield html.notice(words("lab.no_face"), "problem"), None, None
        return
    cards = [
        claim_card(name, claims[name], words)
        if name in claims
        else html.empty_card(name, unavailable[name])
        for name in PAGE_NETWORKS
    ]
    text = " ".join([describe_claims(claims, expression, words), *unavailable.values()])
    yield html.notice(text), cards, write_claims(claims, parameters, expression)


def write_claims(claims: dict[str, Claim], parameters: FaceParameters, expression: str) -> str:
    """The numbers behind the cards as a JSON file; its path."""
    file = make_download_folder() / "actions.json"
    record = {
        "face": json.loads(parameters.to_json()),
        "expression": expression,
        "networks": {
            name: {
                "probability": float(claim.ablation.full[claim.ablation.target]),
                "without": {
                    "+".join(group): probability
                    for group, probability in zip(
                        claim.ablation.actions,
                        _numbers(claim.ablation.without[:, claim.ablation.target]),
                        strict=True,
                    )
                },
                "heatmap_share": claim.shares,
                "area_share": claim.areas,
                "decisive": None if claim.decisive is None else "+".join(claim.decisive),
                "decisive_region": claim.decisive_region,
                "agree": claim.agrees,
            }
            for name, claim in claims.items()
        },
    }
    file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return str(file)


def describe_claims(claims: dict[str, Claim], expression: str, words: Words) -> str:
    """The one number: in how many networks the heatmap points where the intervention does."""
    expression = words.expression(expression)
    asked = {name: c for name, c in claims.items() if c.agrees is not None}
    if not asked:
        return words("lab_removal.no_change", expression=expression)
    agreeing = sum(claim.agrees for claim in asked.values())
    text = words("lab_removal.count", agreeing=agreeing, asked=len(asked), expression=expression)
    if len(asked) < len(claims):
        text += " " + words("lab_removal.others")
    return text


def claim_card(name: str, claim: Claim, words: Words) -> str:
    """A network's ranked actions, and its heatmap's share on each region."""
    ablation = claim.ablation
    full, target = ablation.full[ablation.target], words.expression(EXPRESSIONS[ablation.target])
    rows = "".join(
        _change_bar(group_label(group, words), float(change), words)
        for group, change in zip(ablation.actions, ablation.change, strict=True)
    )
    shares = "".join(
        f'<div class="fer-bar lab-share{" fer-chosen" if region == claim.brightest else ""}">'
        f'<span class="fer-name">{region_title(region, words)}</span>'
        f'<span class="fer-track"><span style="width:{100 * share:.1f}%"></span>'
        f'<i class="lab-area" style="left:{100 * claim.areas[region]:.1f}%"></i></span>'
        f'<span class="fer-number">{share:.0%}</span></div>'
        for region, share in claim.shares.items()
    )
    return html.card(
        name,
        f'{html.heading(name)}<p class="fer-answer">{target} <strong>{full:.2f}</strong></p>'
        f"<h3>{words('lab_removal.without')}</h3>"
        f'<div class="fer-bars">{rows}</div>'
        f"<h3>{words('lab_removal.shares')}</h3>"
        f'<div class="fer-bars">{shares}</div>'
        f'<p class="fer-caption">{escape(claim_sentence(claim, words))}</p>',
        "lab-card",
    )


def claim_sentence(claim: Claim, words: Words) -> str:
    """Whether heatmap and intervention point to the same region, in words."""
    if claim.brightest is None:
        return words("lab_removal.empty_heatmap")
    brightest = words(f"lab_regions.{claim.brightest}")
    if claim.decisive is None:
        return words("lab_removal.no_action", region=brightest)
    verdict = words(
        "lab_removal.verdict",
        brightest=brightest,
        action=group_label(claim.decisive, words),
        region=words(f"lab_regions.{claim.decisive_region}"),
    )
    return f"{verdict} {words('lab_removal.agree' if claim.agrees else 'lab_removal.disagree')}"


def _change_bar(label: str, change: float, words: Words) -> str:
    """Removing the action changes the probability by minus `change`; the bar grows either way."""
    if np.isnan(change):
        number, bar = words("lab_removal.no_face"), ""
    else:
        number = f"{-change:+.2f}".replace("-", "−") if abs(change) >= 0.005 else "0.00"
        side = "right:50%" if change > 0 else "left:50%"
        bar = f'<span style="{side};width:{50 * abs(change):.1f}%"></span>'
    return (
        f'<div class="lab-change"><span class="fer-name">{escape(label)}</span>'
        f'<span class="lab-axis">{bar}</span><span class="fer-number">{number}</span></div>'
    )


def build_experiments(
    choices: Choices, choice: gr.State, face: gr.State, symmetric: gr.Checkbox, words: Words
) -> None:
    """Lay out and wire both experiments on the present face, below the bench."""
    with gr.Accordion(words("lab_curve.title"), open=False):
        _build_sweep(choices, choice, face, symmetric, words)
    with gr.Accordion(words("lab_removal.title"), open=False):
        _build_removal(choices, choice, face, words)


def _file_button(label: str, elem_id: str) -> gr.DownloadButton:
    return gr.DownloadButton(label, size="sm", interactive=False, elem_id=elem_id)


def _file_update(path: str | None) -> dict:
    """A download button's new file; without one it cannot be pressed."""
    return gr.update(value=path, interactive=path is not None)


def _build_sweep(
    choices: Choices, choice: gr.State, face: gr.State, symmetric: gr.Checkbox, words: Words
) -> None:
    with gr.Row(equal_height=False, elem_classes="lab-run"):
        varied = gr.Dropdown(
            sweep_choices(words),
            value="happiness",
            label=words("lab_curve.vary"),
            scale=3,
            elem_id="lab-vary",
        )
        start = gr.Button(words("lab_curve.draw"), variant="primary", scale=1, elem_id="lab-sweep")
        stop = gr.Button(words("page.stop"), scale=0, min_width=80, elem_id="lab-sweep-stop")
    line = gr.HTML(html.notice(words("lab_curve.before")), elem_id="lab-curve-line")
    empty = "".join(html.empty_card(name) for name in PAGE_NETWORKS)
    curves = gr.HTML(
        f'<div class="lab-curves">{empty}</div>', min_height=CURVES_HEIGHT_PX, elem_id="lab-curve"
    )
    with gr.Row():
        files = [
            _file_button(words("lab_curve.save_svg"), "lab-curve-svg"),
            _file_button(words("lab_curve.save_json"), "lab-curve-json"),
        ]

    def draw_curve(text, chosen, name, symmetric):
        analyzer, parameters = choices.analyzer(chosen), FaceParameters.from_json(text)
        for notice, drawn, *paths in run_sweep(analyzer, parameters, name, symmetric, words):
            yield [notice, gr.skip() if drawn is None else drawn, *map(_file_update, paths)]

    private = {"api_visibility": "private", "show_progress": "hidden"}
    asked = [face, choice, varied, symmetric]
    run = start.click(draw_curve, asked, [line, curves, *files], **private)
    stop.click(lambda: html.notice(words("page.stopped")), None, line, cancels=run, **private)


def _build_removal(choices: Choices, choice: gr.State, face: gr.State, words: Words) -> None:
    with gr.Row(equal_height=False, elem_classes="lab-run"):
        target = gr.Dropdown(
            words.choices("expressions.", EXPRESSIONS),
            value="happiness",
            label=words("lab_removal.target"),
            scale=3,
            elem_id="lab-target",
        )
        start = gr.Button(
            words("lab_removal.remove"), variant="primary", scale=1, elem_id="lab-rank"
        )
        stop = gr.Button(words("page.stop"), scale=0, min_width=80, elem_id="lab-rank-stop")
    line = gr.HTML(html.notice(words("lab_removal.before")), elem_id="lab-claim-line")
    with gr.Row(equal_height=True, elem_classes="lab-cards"):
        cards = [
            gr.HTML(html.empty_card(name), elem_id=f"lab-claim-{name}") for name in PAGE_NETWORKS
        ]
    gr.Markdown(words("lab_removal.about"))
    file = _file_button(words("lab_removal.save_json"), "lab-claims-json")

    def rank(text, chosen, expression):
        analyzer, parameters = choices.analyzer(chosen), FaceParameters.from_json(text)
        for notice, made, path in run_removal(analyzer, parameters, expression, words):
            yield [notice, *(made or [gr.skip()] * len(cards)), _file_update(path)]

    private = {"api_visibility": "private", "show_progress": "hidden"}
    run = start.click(rank, [face, choice, target], [line, *cards, file], **private)
    stop.click(lambda: html.notice(words("page.stopped")), None, line, cancels=run, **private)
