"""The Lab's two experiments: the tuning curve, and which action matters."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape

import gradio as gr
import numpy as np

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, Analyzer
from fer_models.choice import Choices
from fer_models.expressions import EXPRESSIONS
from fer_models.figures import (
    NETWORK_COLORS,
    RemovalPanel,
    draw_removal,
    drawable_words,
    save_figure,
    signed,
)
from fer_models.lab import ACTIONS, RANGES, FaceParameters
from fer_models.lab.experiments import Sweep, remove_actions
from fer_models.lab.measure import (
    MIN_CHANGE,
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
from fer_models.ui.progress import end_failed, step_line, waiting_line
from fer_models.words import Words

SWEEP_STEPS = 9  # so that the five faces stand at quarters
MAX_SWEEP_DEG = 45.0
SWEPT_ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")
CURVES_HEIGHT_PX = 400


def join_sentences(sentences: Iterable[str], words: Words) -> str:
    """One after the other, with the language's gap between them; Chinese has none."""
    return words.gap.join(sentences)


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
        text = join_sentences(unavailable.values(), words)
        yield html.notice(text, "problem"), None, None, None
        return
    values, label = sweep_values(name), sweep_label(name, symmetric, words)
    yield step_line(0, len(values), words("lab_curve.step", done=0, total=len(values))), *[None] * 3
    for sweeps in sweep_networks(analyzer, networks, parameters, name, values, symmetric):
        done = len(next(iter(sweeps.values())).values)
        line = step_line(done, len(values), words("lab_curve.step", done=done, total=len(values)))
        curves = draw_curves(sweeps, values, label, unavailable, words)
        yield line, curves, None, None
    text = join_sentences([describe_sweep(sweeps, name, words), *unavailable.values()], words)
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
    return join_sentences(sentences, words)


def run_removal(
    analyzer: Analyzer, parameters: FaceParameters, expression: str, words: Words
) -> Iterator[tuple[str, list[str] | None, str | None, str | None]]:
    """Which action matters: the line with the one number and, at the end, cards, PNG and JSON.

    A network that was not trained on the expression is left out, with a sentence.
    """
    groups, removed = remove_actions(parameters)
    loaded, missing = loadable_networks(analyzer)
    unavailable = unavailable_networks(missing, words)
    networks = [n for n in loaded if expression in analyzer.checkpoint(n).card.labels]
    for name in loaded:
        if name not in networks:
            known = {"network": DISPLAY_NAMES[name], "expression": words.expression(expression)}
            unavailable[name] = words("compare.unknown", **known)
    problem = None
    if not groups:
        problem = words("lab_removal.at_rest")
    elif not networks:
        problem = join_sentences(unavailable.values(), words)
    if problem:
        yield html.notice(problem, "problem"), None, None, None
        return
    faces = (parameters, *removed)
    answers = []
    for done, face in enumerate(faces):
        text = words("lab_curve.step", done=done + 1, total=len(faces))
        yield step_line(done, len(faces), text), None, None, None
        answers.append(predict_networks(analyzer, networks, [draw(face)])[0])
    try:
        claims = judge_claims(analyzer, networks, parameters, expression, np.stack(answers))
    except NoFaceError:
        yield html.notice(words("lab.no_face"), "problem"), None, None, None
        return
    cards = [
        claim_card(name, claims[name], words)
        if name in claims
        else html.empty_card(name, unavailable[name])
        for name in PAGE_NETWORKS
    ]
    text = describe_claims(claims, expression, words)
    figure = write_figure(claims, parameters, expression, words)
    text = join_sentences([text, *unavailable.values()], words)
    yield html.notice(text), cards, figure, write_claims(claims, parameters, expression)


def write_figure(
    claims: dict[str, Claim], parameters: FaceParameters, expression: str, words: Words
) -> str:
    """The cards as a PNG file, in the page's language where a typeface can draw it; its path."""
    words = drawable_words(words)
    panels = [
        RemovalPanel(
            title=f"{DISPLAY_NAMES[name]}: {words.expression(expression)} "
            f"{claim.ablation.full[claim.ablation.target]:.2f}",
            color=NETWORK_COLORS[name],
            changes=[
                (group_label(group, words), -float(change))
                for group, change in zip(claim.ablation.actions, claim.ablation.change, strict=True)
            ],
            shares=claim_shares(claim, words),
            text=claim_sentence(claim, words),
        )
        for name, claim in claims.items()
    ]
    file = make_download_folder() / "actions.png"
    title = describe_claims(claims, expression, words)
    save_figure(draw_removal(draw(parameters), panels, title, words), file)
    return str(file)


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
        text = join_sentences([text, words("lab_removal.others")], words)
    return text


def claim_card(name: str, claim: Claim, words: Words) -> str:
    """A network's ranked actions, and its heatmap's share on each region."""
    ablation = claim.ablation
    full, target = ablation.full[ablation.target], words.expression(EXPRESSIONS[ablation.target])
    rows = "".join(
        _change_bar(group_label(group, words), float(change), words)
        for group, change in zip(ablation.actions, ablation.change, strict=True)
    )
    brightest = None if claim.brightest is None else region_title(claim.brightest, words)
    shares = "".join(
        _share_bar(title, share, area, chosen=title == brightest)
        for title, share, area in claim_shares(claim, words)
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


def claim_shares(claim: Claim, words: Words) -> list[tuple[str, float, float]]:
    """Each region's name, its share of the heatmap's brightness and of the picture."""
    shares = [(region_title(r, words), share, claim.areas[r]) for r, share in claim.shares.items()]
    if claim.brightest is not None:
        rest = (max(0.0, 1 - sum(part.values())) for part in (claim.shares, claim.areas))
        shares.append((words("lab_removal.elsewhere"), *rest))
    return shares


def claim_sentence(claim: Claim, words: Words) -> str:
    """Whether heatmap and intervention point to the same region, in words."""
    if claim.brightest is None:
        return words("lab_removal.empty_heatmap")
    sentences = [
        words(
            "lab_removal.brightest",
            region=words(f"lab_regions.{claim.brightest}"),
            share=f"{claim.shares[claim.brightest]:.0%}",
            area=f"{claim.areas[claim.brightest]:.0%}",
        )
    ]
    if claim.decisive is None:
        sentences.append(words("lab_removal.no_action"))
    else:
        action, region = group_label(claim.decisive, words), f"lab_regions.{claim.decisive_region}"
        sentences += [
            words("lab_removal.decisive", action=action, region=words(region)),
            words("lab_removal.agree" if claim.agrees else "lab_removal.disagree"),
        ]
    first, change = claim.ablation.actions[0], claim.ablation.change[0]
    if change <= -MIN_CHANGE:
        against = {
            "action": group_label(first, words),
            "expression": words.expression(EXPRESSIONS[claim.ablation.target]),
            "rise": f"{-change:.2f}",
        }
        sentences.append(words("lab_removal.against", **against))
    return join_sentences(sentences, words)


def _share_bar(label: str, share: float, area: float, *, chosen: bool = False) -> str:
    """A region's share of the brightness, with a tick at its share of the picture."""
    kinds = "fer-bar lab-share fer-chosen" if chosen else "fer-bar lab-share"
    return (
        f'<div class="{kinds}"><span class="fer-name">{label}</span>'
        f'<span class="fer-track"><span style="width:{100 * share:.1f}%"></span>'
        f'<i class="lab-area" style="left:{100 * area:.1f}%"></i></span>'
        f'<span class="fer-number">{share:.0%}</span></div>'
    )


def _change_bar(label: str, change: float, words: Words) -> str:
    """Removing the action changes the probability by minus `change`; the bar grows either way."""
    if np.isnan(change):
        number, bar = words("lab_removal.no_face"), ""
    else:
        number = signed(-change)
        side = "right:50%" if change > 0 else "left:50%"
        bar = f'<span style="{side};width:{50 * abs(change):.1f}%"></span>'
    return (
        f'<div class="lab-change"><span class="fer-name">{escape(label)}</span>'
        f'<span class="lab-axis">{bar}</span><span class="fer-number">{number}</span></div>'
    )


@dataclass(frozen=True)
class _Bench:
    """An experiment's components; `shown` are all that a run sets.

    Attributes:
        empty: what the results show before a run.
    """

    start: gr.Button
    stop: gr.Button
    line: gr.HTML
    results: list[gr.HTML]
    files: list[gr.DownloadButton]
    empty: list[str]

    @property
    def shown(self) -> list:
        return [self.line, *self.results, *self.files, self.start, self.stop]

    def show(
        self,
        line: str,
        results: list[str] | None = None,
        paths: list[str] | None = None,
        running: bool = False,
    ) -> list:
        """The values of `shown`; without results, those that stand there stay."""
        return [
            line,
            *(results or [gr.skip()] * len(self.results)),
            *(
                gr.update(value=path, interactive=path is not None)
                for path in paths or [None] * len(self.files)
            ),
            gr.update(interactive=not running),
            gr.update(interactive=running),
        ]

    def connect(self, run: Callable, asked: list, changes: list, words: Words) -> None:
        """Wire the buttons; `changes` to another question end the run and take its results away."""

        # Counts starts and stops, and holds the question of what stands there; changed in place, so
        # that a run sees it. Two `cancels` of one run at once are an error of Gradio's.
        ticket = gr.State([0, None])
        same = [gr.skip()] * len(self.shown)

        def begin(ticket, *question):
            ticket[:] = mine = [ticket[0] + 1, question]
            for values in run(*question):
                if ticket != mine:
                    break
                yield values
            # Gradio sends a generator's last output once more when it ends.
            yield same

        def end(ticket):
            ticket[0] += 1
            return self.show(html.notice(words("page.stopped")))

        def forget(ticket, *question):
            if ticket[1] in (None, question):
                return same
            ticket[:] = [ticket[0] + 1, None]
            return self.show(html.notice(words("lab.changed")), self.empty)

        private = {"api_visibility": "private", "show_progress": "hidden"}
        self.start.click(
            begin, [ticket, *asked], self.shown, trigger_mode="multiple", **private
        ).failure(lambda: end_failed(words), None, [self.line, self.start, self.stop], **private)
        self.stop.click(end, ticket, self.shown, **private)
        gr.on(changes, forget, [ticket, *asked], self.shown, trigger_mode="always_last", **private)


def build_experiments(
    choices: Choices,
    choice: gr.State,
    face: gr.State,
    expression: gr.Radio,
    symmetric: gr.Checkbox,
    words: Words,
) -> None:
    """Lay out and wire both experiments on the present face, below the bench."""
    with gr.Accordion(words("lab_curve.title"), open=False):
        varied = _build_sweep(choices, choice, face, symmetric, words)
    with gr.Accordion(words("lab_removal.title"), open=False):
        target = _build_removal(choices, choice, face, words)
    expression.change(
        follow_expression,
        [expression, varied],
        [varied, target],
        api_visibility="private",
        show_progress="hidden",
    )


def follow_expression(expression: str | None, varied: str) -> list:
    """What both experiments ask about once an expression is posed; one varied by hand stays."""
    if expression is None:
        return [gr.skip(), gr.skip()]
    keeps = varied not in EXPRESSIONS or expression == "neutral"
    return [gr.skip() if keeps else expression, expression]


def _run_buttons(label: str, elem_id: str, words: Words) -> tuple[gr.Button, gr.Button]:
    start = gr.Button(label, variant="primary", scale=1, elem_id=elem_id)
    stop = gr.Button(
        words("page.stop"), interactive=False, scale=0, min_width=80, elem_id=f"{elem_id}-stop"
    )
    return start, stop


def _file_button(label: str, elem_id: str) -> gr.DownloadButton:
    return gr.DownloadButton(label, size="sm", interactive=False, elem_id=elem_id)


def _build_sweep(
    choices: Choices, choice: gr.State, face: gr.State, symmetric: gr.Checkbox, words: Words
) -> gr.Dropdown:
    with gr.Row(equal_height=False, elem_classes="lab-run"):
        varied = gr.Dropdown(
            sweep_choices(words),
            value="happiness",
            label=words("lab_curve.vary"),
            scale=3,
            elem_id="lab-vary",
        )
        buttons = _run_buttons(words("lab_curve.draw"), "lab-sweep", words)
    line = gr.HTML(html.notice(words("lab_curve.before")), elem_id="lab-curve-line")
    cards = "".join(html.empty_card(name) for name in PAGE_NETWORKS)
    empty = f'<div class="lab-curves">{cards}</div>'
    curves = gr.HTML(empty, min_height=CURVES_HEIGHT_PX, elem_id="lab-curve")
    with gr.Row():
        files = [
            _file_button(words("lab_curve.save_svg"), "lab-curve-svg"),
            _file_button(words("lab_curve.save_json"), "lab-curve-json"),
        ]
    bench = _Bench(*buttons, line, [curves], files, [empty])

    def draw_curve(text, chosen, name, symmetric):
        yield bench.show(waiting_line(words("compare.looking_at_face")), running=True)
        analyzer, parameters = choices.analyzer(chosen), FaceParameters.from_json(text)
        for notice, drawn, *paths in run_sweep(analyzer, parameters, name, symmetric, words):
            yield bench.show(notice, drawn and [drawn], paths, running=True)
        yield bench.show(notice, paths=paths)

    changes = [face.change, choice.change, symmetric.change, varied.change]
    bench.connect(draw_curve, [face, choice, varied, symmetric], changes, words)
    return varied


def _build_removal(choices: Choices, choice: gr.State, face: gr.State, words: Words) -> gr.Dropdown:
    with gr.Row(equal_height=False, elem_classes="lab-run"):
        target = gr.Dropdown(
            words.choices("expressions.", EXPRESSIONS),
            value="happiness",
            label=words("lab_removal.target"),
            scale=3,
            elem_id="lab-target",
        )
        buttons = _run_buttons(words("lab_removal.remove"), "lab-rank", words)
    line = gr.HTML(html.notice(words("lab_removal.before")), elem_id="lab-claim-line")
    empty = [html.empty_card(name) for name in PAGE_NETWORKS]
    with gr.Row(equal_height=True, elem_classes="lab-cards"):
        cards = [
            gr.HTML(card, elem_id=f"lab-claim-{name}")
            for name, card in zip(PAGE_NETWORKS, empty, strict=True)
        ]
    gr.Markdown(words("lab_removal.about"))
    with gr.Row():
        files = [
            _file_button(words("lab_removal.save_png"), "lab-claims-png"),
            _file_button(words("lab_removal.save_json"), "lab-claims-json"),
        ]
    bench = _Bench(*buttons, line, cards, files, empty)

    def rank(text, chosen, expression):
        yield bench.show(waiting_line(words("compare.looking_at_face")), running=True)
        analyzer, parameters = choices.analyzer(chosen), FaceParameters.from_json(text)
        for notice, made, *paths in run_removal(analyzer, parameters, expression, words):
            yield bench.show(notice, made, paths, running=True)
        yield bench.show(notice, paths=paths)

    changes = [face.change, choice.change, target.change]
    bench.connect(rank, [face, choice, target], changes, words)
    return target
