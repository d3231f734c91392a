"""The Trust tab: three checks of whether to believe a heatmap."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import gradio as gr
import numpy as np
from matplotlib.figure import Figure, SubFigure

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, Analyzer, NetworkResult
from fer_models.checkpoints import Card, CheckpointError, find_checkpoint
from fer_models.choice import Choices
from fer_models.explain.cam import METHODS, Target
from fer_models.explain.faithfulness import (
    SAME_MAP_CORRELATION,
    FaithfulnessCurves,
    Perturbed,
    Randomisation,
    Stability,
    measure_faithfulness,
    measure_randomisation,
    measure_stability,
    show_cells,
)
from fer_models.faces import align_face
from fer_models.figures import (
    NETWORK_COLORS,
    draw_faithfulness,
    drawable_words,
    name_explained,
    overlay_heatmap,
    save_figure,
    set_typeface,
    signed,
)
from fer_models.manipulation import COVER_BLUR_PX, blur_image
from fer_models.report import network_report
from fer_models.ui import html
from fer_models.ui.compare import (
    CARD_SIDE_PX,
    EXAMPLES_FOLDER,
    OWN_ANSWER,
    PHOTOGRAPH,
    CompareTab,
    Picture,
    target_choices,
)
from fer_models.ui.picture import example_button, explain_error, make_download_folder
from fer_models.ui.progress import end_failed, step_line, waiting_line
from fer_models.ui.svg import Axis, Band, Line, band_key, line_key, line_plot
from fer_models.words import Words

CHECKS = ("faithfulness", "randomisation", "stability")
RANDOM_ORDERS = 19  # the best of twenty, map included, is the map by chance once in twenty times
DRAWS = 2
STRIP_STEPS = (0, 1, 2, 4, 7)
SMALL_DROP = 0.1
AS_GOOD_AT_RANDOM = 0.1
MAP_STRENGTH = 0.55
RUNS_AT_ONCE = 8
DIGITS = 6
NOTICE_KINDS = {
    "passed": "agree",
    "mixed": "disagree",
    "failed": "problem",
    "undecided": "info",
}
HALF = ((0, "0"), (0.5, "0.5"), (1, "1"))
UNCHANGED = {"shift_x": 0, "shift_y": 0, "brightness": 1}  # no quality of JPEG changes nothing
FIGURE_WIDTH = 11  # inches


@dataclass(frozen=True)
class Verdict:
    """What a check found: "passed", "mixed", "failed" or "undecided", and why, for the page."""

    outcome: str
    text: str


@dataclass(frozen=True)
class Checks:
    """One heatmap and what was found about it so far.

    Attributes:
        network: one of `PAGE_NETWORKS`.
        crop: the face (112,112,3) RGB uint8 as the network is given it.
        card: of the network's checkpoint.
        answer: the network's answer, and the heatmap under test.
    """

    network: str
    crop: np.ndarray
    card: Card
    answer: NetworkResult
    faithfulness: FaithfulnessCurves | None = None
    randomisation: Randomisation | None = None
    stability: Stability | None = None

    @property
    def target(self) -> str:
        return self.answer.gradcam.target

    @property
    def labels(self) -> tuple[str, ...]:
        """The network's expressions, in the order of its probabilities."""
        return self.card.labels

    @property
    def is_blank(self) -> bool:
        """Whether the map is the same everywhere, so that no order of its cells exists."""
        return np.ptp(self.answer.gradcam.values) == 0


@dataclass(frozen=True)
class Step:
    """How far a run is: the check that is running, its steps done and in all, and the findings."""

    check: str
    done: int
    total: int
    checks: Checks


def network_choices(chosen: dict[str, str], words: Words) -> list[tuple[str, str]]:
    """The page's networks by name; one that the visitor has no weights for is marked.

    Args:
        chosen: the visitor's checkpoints, as in `Choices.analyzer`.
    """
    return [
        (
            DISPLAY_NAMES[name]
            if name in chosen or _has_weights(name)
            else words("trust.no_weights", network=DISPLAY_NAMES[name]),
            name,
        )
        for name in PAGE_NETWORKS
    ]


def _has_weights(network: str) -> bool:
    try:
        find_checkpoint(network)
    except CheckpointError:
        return False
    return True


def start_checks(
    analyzer: Analyzer, crop: np.ndarray, network: str, target: str, method: str
) -> Checks:
    """The heatmap to be checked.

    Args:
        crop: (112,112,3) RGB uint8.
        target: an expression, or `OWN_ANSWER`.

    Raises:
        CheckpointError: if the network has no weights here.
    """
    card = analyzer.checkpoint(network).card
    wanted = None if target == OWN_ANSWER else target
    results = analyzer.analyze_crops([crop], target=wanted, method=method, networks=[network])
    return Checks(network, crop, card, results[network][0])


def run_checks(analyzer: Analyzer, checks: Checks) -> Iterator[Step]:
    """All three checks, a step after each batch of work; who stops iterating cancels the rest."""
    name, crop, heatmap = checks.network, checks.crop, checks.answer.gradcam
    target = checks.labels.index(checks.target)

    def predict(crops):
        return analyzer.probabilities(name, crops)

    def explain(crops):
        results = analyzer.analyze_crops(
            crops, target=checks.target, method=heatmap.method, networks=[name]
        )[name]
        probabilities = np.array([list(result.probabilities.values()) for result in results])
        return probabilities, np.stack([result.gradcam.values for result in results])

    measurements = {
        "faithfulness": lambda: measure_faithfulness(
            predict, crop, heatmap.values, target, random_orders=RANDOM_ORDERS
        ),
        "randomisation": lambda: measure_randomisation(
            analyzer.checkpoint(name), crop, Target(target), method=heatmap.method, draws=DRAWS
        ),
        "stability": lambda: measure_stability(explain, crop, target),
    }
    for check in CHECKS:
        for progress in measurements[check]():
            if progress.result is not None:
                checks = replace(checks, **{check: progress.result})
            yield Step(check, progress.done, progress.total, checks)


def judge_faithfulness(curves: FaithfulnessCurves, target: str, words: Words) -> Verdict:
    """Against orders at random, and from the middle outwards."""
    before, after = curves.deletion[0], curves.deletion[-1]
    if before - after < SMALL_DROP:
        numbers = {"before": f"{before:.2f}", "after": f"{after:.2f}", "target": target}
        return Verdict("undecided", words("trust.small_drop", **numbers))
    orders = len(curves.random_deletion)
    slower = orders - round(orders * curves.random_below_deletion)
    weaker = orders - round(orders * curves.random_above_insertion)
    text = words("trust.orders", target=target, deleted=slower, inserted=weaker, orders=orders)
    clear = [
        share <= AS_GOOD_AT_RANDOM
        for share in (curves.random_below_deletion, curves.random_above_insertion)
    ]
    if not any(clear):
        return Verdict("failed", text + words.gap + words("trust.as_random"))
    key = "beats_random" if curves.beats_random else "beats_most" if all(clear) else "beats_in_one"
    text += words.gap + words(f"trust.{key}")
    if not curves.beats_centre:
        text += words.gap + words("trust.as_centre")
    if curves.beats_random and curves.beats_centre:
        return Verdict("passed", text)
    return Verdict("mixed", text + words.gap + words("trust.not_enough", orders=orders))


def judge_randomisation(found: Randomisation, words: Words) -> Verdict:
    """Whether the map is another one once every weight is shuffled."""
    key = "depends" if found.depends_on_weights else "independent"
    text = words(f"trust.{key}", likeness=f"{found.likeness[-1]:.2f}", draws=len(found.maps))
    return Verdict("passed" if found.depends_on_weights else "failed", text)


def judge_stability(found: Stability, target: str, words: Words) -> Verdict:
    """Whether answer and map stay while the picture hardly changes."""
    lowest, largest = found.lowest_correlation, found.largest_change
    count = len(found.perturbed)
    kept = round(count * found.answers_kept)
    text = words(
        "trust.kept",
        kept=kept,
        count=count,
        mean=f"{found.mean_correlation:.2f}",
        lowest=f"{lowest.correlation:.2f}",
        lowest_at=describe_change(lowest, words),
        target=target,
        change=signed(largest.probability_change),
        change_at=describe_change(largest, words),
    )
    stays = (kept == count) + (lowest.correlation >= SAME_MAP_CORRELATION)
    outcome = ("failed", "mixed", "passed")[stays]
    key = {"failed": "both_move", "mixed": "answer_moves", "passed": "stays"}[outcome]
    if outcome == "mixed" and kept == count:
        key = "map_moves"
    return Verdict(outcome, text + words.gap + words(f"trust.{key}"))


def describe_change(change: Perturbed, words: Words) -> str:
    """A change of the picture in words, as "4 px up"."""
    if change.kind.startswith("shift"):
        way = {
            ("shift_x", True): "right",
            ("shift_x", False): "left",
            ("shift_y", True): "down",
            ("shift_y", False): "up",
        }[change.kind, change.amount > 0]
        return words(f"trust.shifted_{way}", amount=f"{abs(change.amount):g}")
    return words(f"trust.changed_{change.kind}", amount=f"{change.amount:g}")


def judge(checks: Checks, words: Words) -> dict[str, Verdict]:
    """The verdicts of the checks that were done, in their order."""
    target = words.expression(checks.target)
    verdicts = {}
    if checks.faithfulness is not None:
        verdicts["faithfulness"] = judge_faithfulness(checks.faithfulness, target, words)
    if checks.randomisation is not None:
        verdicts["randomisation"] = judge_randomisation(checks.randomisation, words)
    if checks.stability is not None:
        verdicts["stability"] = judge_stability(checks.stability, target, words)
    return verdicts


def describe_end(verdicts: dict[str, Verdict], words: Words) -> str:
    """The line above the checks when all were done, or the run was stopped."""
    outcomes = [verdict.outcome for verdict in verdicts.values()]
    if len(outcomes) < len(CHECKS):
        return html.notice(words("trust.stopped", done=len(outcomes)))
    text = words("trust.finished", passed=outcomes.count("passed"))
    worst = next(o for o in ("failed", "mixed", "undecided", "passed") if o in outcomes)
    return html.notice(text, NOTICE_KINDS[worst])


def deletion_pictures(checks: Checks) -> list[np.ndarray]:
    """The face (112,112,3) after each step of the deletion curve, the brightest cells first."""
    values = checks.answer.gradcam.values
    rank = np.argsort(np.argsort(-values.ravel(), kind="stable")).reshape(values.shape)
    blurred = blur_image(checks.crop, COVER_BLUR_PX)
    return [
        show_cells(checks.crop, blurred, rank >= round(share * values.size))
        for share in checks.faithfulness.shares
    ]


def draw_step(step: Step, words: Words) -> list:
    """The line of a run, then every check's section where it has just been done."""
    text = words(f"trust.step_{step.check}", done=step.done, total=step.total)
    finished = step.check if step.done == step.total else None
    sections = [
        draw_check(check, step.checks, words) if check == finished else gr.skip()
        for check in CHECKS
    ]
    return [step_line(step.done, step.total, text), *sections]


def draw_check(check: str, checks: Checks | None, words: Words) -> str:
    """A check's section: its question, what is done, and the findings once there are any."""
    findings = f'<p class="trust-waiting">{words("trust.waiting")}</p>'
    if checks is not None and getattr(checks, check) is not None:
        verdict = judge(checks, words)[check]
        drawings = {
            "faithfulness": draw_curves,
            "randomisation": draw_random_maps,
            "stability": draw_changes,
        }
        findings = html.notice(verdict.text, NOTICE_KINDS[verdict.outcome])
        findings += drawings[check](checks, words)
    color = NETWORK_COLORS[checks.network] if checks else "currentColor"
    return (
        f'<section class="trust-check" style="--network:{color}">'
        f"<h2>{words(f'trust.{check}')}</h2>"
        f'<p class="fer-caption">{words(f"trust.{check}_about")}</p>{findings}</section>'
    )


def draw_curves(checks: Checks, words: Words) -> str:
    """Deletion beside insertion, their areas, and the face at a few steps of the deletion."""
    curves = checks.faithfulness
    plots = _draw_plot(
        "deletion",
        checks,
        (curves.deletion, curves.deletion_area),
        (curves.centre_deletion, curves.centre_deletion_area),
        curves.random_deletion,
        words,
    ) + _draw_plot(
        "insertion",
        checks,
        (curves.insertion, curves.insertion_area),
        (curves.centre_insertion, curves.centre_insertion_area),
        curves.random_insertion,
        words,
    )
    pictures = deletion_pictures(checks)
    strip = "".join(
        _small_figure(
            pictures[step],
            words("trust.strip_alt", share=f"{curves.shares[step]:.0%}"),
            f"{curves.shares[step]:.0%}",
            f"{curves.deletion[step]:.2f}",
        )
        for step in STRIP_STEPS
    )
    about = words("trust.strip", target=words.expression(checks.target))
    return (
        f'<div class="trust-plots">{plots}</div><p class="fer-caption">{about}</p>'
        f'<div class="trust-strip">{strip}</div>'
    )


def _draw_plot(
    kind: str,
    checks: Checks,
    by_map: tuple[np.ndarray, float],
    by_centre: tuple[np.ndarray, float],
    at_random: np.ndarray,
    words: Words,
) -> str:
    """One panel: a curve with its area for the map and the middle, (R,S+1) random orders."""
    curves = checks.faithfulness
    marks = tuple(
        words("trust.mark", share=f"{share:.0%}", probability=f"{probability:.2f}")
        for share, probability in zip(curves.shares, by_map[0], strict=True)
    )
    color = NETWORK_COLORS[checks.network]
    lines = [
        Line(curves.shares, by_map[0], color, 2.4, marks=marks),
        Line(curves.shares, by_centre[0], dashes="5 3"),
        Line(curves.shares, at_random.mean(axis=0), width=1, dashes="1 2"),
    ]
    names = [
        words("trust.by_map", area=f"{by_map[1]:.2f}"),
        words("trust.by_centre", area=f"{by_centre[1]:.2f}"),
        words(
            "trust.at_random",
            area=f"{curves.random_area:.2f}",
            spread=f"{curves.random_spread:.2f}",
        ),
    ]
    plot = line_plot(
        lines,
        Axis(0, 1, ((0, "0%"), (0.5, "50%"), (1, "100%")), words(f"trust.{kind}_axis")),
        Axis(0, 1, HALF),
        words(f"trust.{kind}_alt", names=words.join(names)),
        band=Band(curves.shares, at_random.min(axis=0), at_random.max(axis=0)),
    )
    keys = "".join(line_key(line, name) for line, name in zip(lines, names, strict=True))
    keys += band_key(words("trust.band", orders=len(at_random)))
    return (
        f'<div class="trust-plot"><h3>{words(f"trust.{kind}")}</h3>{plot}'
        f'<p class="trust-keys">{keys}</p></div>'
    )


def draw_random_maps(checks: Checks, words: Words) -> str:
    """The map as trained, then the first draw's after each level; likeness over all draws."""
    found = checks.randomisation
    cells = [
        _small_figure(
            overlay_heatmap(checks.crop, found.original, strength=MAP_STRENGTH),
            words("trust.trained_alt"),
            words("trust.trained"),
            "1.00",
        )
    ]
    for depth, level in enumerate(found.levels):
        name = (
            words("trust.head_shuffled") if level == "head" else words("trust.stage", level=level)
        )
        cells.append(
            _small_figure(
                overlay_heatmap(checks.crop, found.maps[0, depth], strength=MAP_STRENGTH),
                words("trust.shuffled_alt", level=name),
                name,
                f"{found.likeness[depth]:.2f}",
            )
        )
    about = words("trust.maps", draws=len(found.maps))
    return (
        f'<div class="trust-strip trust-levels">{"".join(cells)}</div>'
        f'<p class="fer-caption">{about}</p>'
    )


def draw_changes(checks: Checks, words: Words) -> str:
    """Four panels: likeness of the map and probability over the amount of each change."""
    lowest = min(change.correlation for change in checks.stability.perturbed)
    y = Axis(0, 1, HALF) if lowest >= 0 else Axis(-1, 1, ((-1, "−1"), (0, "0"), (1, "1")))
    panels = "".join(
        _draw_changes_of(kind, checks, axis, y, words)
        for kind, axis in (
            ("shift_x", Axis(-4, 4, tuple((px, f"{px:g}".replace("-", "−")) for px in (-4, 0, 4)))),
            ("shift_y", Axis(-4, 4, tuple((px, f"{px:g}".replace("-", "−")) for px in (-4, 0, 4)))),
            ("brightness", Axis(0.5, 1.5, ((0.5, "0.5"), (1, "1"), (1.5, "1.5")))),
            ("jpeg", Axis(90, 30, ((90, "90"), (60, "60"), (30, "30")))),
        )
    )
    color = NETWORK_COLORS[checks.network]
    keys = line_key(Line([], [], color, 2.4), words("trust.map_likeness")) + line_key(
        Line([], [], dashes="5 3"),
        words("trust.probability", target=words.expression(checks.target)),
    )
    return (
        f'<p class="trust-keys trust-keys-wide">{keys}'
        f"<span>{words('trust.hollow')}</span></p>"
        f'<div class="trust-plots trust-changes">{panels}</div>'
    )


def _draw_changes_of(kind: str, checks: Checks, x: Axis, y: Axis, words: Words) -> str:
    """One panel: likeness of the map and probability over the amount of one kind of change."""
    found, unchanged = checks.stability, UNCHANGED.get(kind)
    changes = changes_of(kind, found)
    amounts = [change.amount for change in changes]
    hollow = frozenset(i for i, change in enumerate(changes) if change.answer != found.answer)
    likeness, probabilities = [], []
    for change in changes:
        at = words("trust.unchanged")
        if change.amount != unchanged:
            at = describe_change(change, words)
        answer = words.expression(checks.labels[change.answer])
        likeness.append(words("trust.map_mark", at=at, value=f"{change.correlation:.2f}"))
        probabilities.append(
            words("trust.answer_mark", at=at, value=f"{change.probability:.2f}", answer=answer)
        )
    lines = [
        Line(
            amounts,
            [change.probability for change in changes],
            dashes="5 3",
            marks=tuple(probabilities),
            hollow=hollow,
        ),
        Line(
            amounts,
            [change.correlation for change in changes],
            NETWORK_COLORS[checks.network],
            2.4,
            marks=tuple(likeness),
        ),
    ]
    name = words(f"trust.{kind}")
    alt = words("trust.change_alt", change=name)
    plot = line_plot(lines, replace(x, name=name), y, alt, width=240, height=190)
    return f'<div class="trust-plot">{plot}</div>'


def changes_of(kind: str, found: Stability) -> list[Perturbed]:
    """The changes of a kind by their amount; the unchanged face where the scale has a place."""
    changes = [change for change in found.perturbed if change.kind == kind]
    if kind in UNCHANGED:
        same = Perturbed(kind, UNCHANGED[kind], 1.0, found.probability, 0.0, found.answer)
        changes.append(same)
    return sorted(changes, key=lambda change: change.amount)


def _small_figure(picture: np.ndarray, alt: str, title: str, number: str) -> str:
    return (
        f"<figure>{html.image_tag(picture, alt)}<figcaption>{title}"
        f"<b>{number}</b></figcaption></figure>"
    )


def draw_subject(picture: Picture, network: str, checks: Checks | None, words: Words) -> str:
    """The face, and once it is known the heatmap under test with the network's answer."""
    crop = align_face(picture.image, picture.faces[picture.chosen].landmarks, CARD_SIDE_PX)
    answer, image = "&nbsp;", html.image_tag(crop, words("compare.face_alt"))
    bar, about = "", words("trust.no_map_yet")
    if checks is not None:
        heatmap = checks.answer.gradcam
        names = {
            "network": DISPLAY_NAMES[network],
            "target": words.expression(heatmap.target),
            "method": words(f"methods.{heatmap.method}"),
        }
        image = html.image_tag(
            overlay_heatmap(crop, heatmap.values), words("compare.heatmap_alt", **names)
        )
        bar = html.color_bar(heatmap.max, unit=html.heat_unit(heatmap.method, words))
        about = words("compare.heatmap_dark" if heatmap.max <= 0 else "trust.map_about", **names)
        answer = (
            f"<strong>{words.expression(checks.answer.expression)}</strong> "
            f"{checks.answer.probability:.2f}"
        )
    return html.card(
        network,
        f'{html.heading(network)}<p class="fer-answer">{answer}</p>{image}{bar}'
        f'<p class="fer-caption">{about}</p>',
    )


def checks_report(checks: Checks, picture: Picture, words: Words) -> dict:
    """Everything that was measured, as plain data for JSON; curves and maps in full."""
    report = {
        "network": checks.network,
        "checkpoint": {"name": checks.card.name, "sha256": checks.card.sha256},
        "face": {
            "box_xyxy": _numbers(picture.faces[picture.chosen].box_xyxy),
            "landmarks": _numbers(picture.faces[picture.chosen].landmarks),
        },
        **network_report(checks.answer),
    }
    verdicts = judge(checks, words)
    if checks.faithfulness is not None:
        curves = checks.faithfulness
        names = (
            *("shares", "deletion", "insertion", "centre_deletion", "centre_insertion"),
            *("random_deletion", "deletion_area", "insertion_area", "centre_deletion_area"),
            *("centre_insertion_area", "random_area", "random_spread", "random_below_deletion"),
            "random_above_insertion",
        )
        report["faithfulness"] = {name: _numbers(getattr(curves, name)) for name in names}
    if checks.randomisation is not None:
        found = checks.randomisation
        report["randomisation"] = {
            "levels": list(found.levels),
            "correlations": _numbers(found.correlations),
            "likeness": _numbers(found.likeness),
            "maps": _numbers(found.maps),
        }
    if checks.stability is not None:
        found = checks.stability
        report["stability"] = {
            "answers_kept": _numbers(found.answers_kept),
            "mean_correlation": _numbers(found.mean_correlation),
            "changes": [
                {
                    "kind": change.kind,
                    "amount": change.amount,
                    "correlation": _numbers(change.correlation),
                    "probability": _numbers(change.probability),
                    "answer": checks.labels[change.answer],
                }
                for change in found.perturbed
            ],
        }
    for name, verdict in verdicts.items():
        report[name] = {"outcome": verdict.outcome, "verdict": verdict.text, **report[name]}
    return report


def _numbers(values):
    return (np.round(np.asarray(values, dtype=float), DIGITS) + 0.0).tolist()


def draw_checks(checks: Checks, words: Words) -> Figure:
    """Every check that was done, as a figure; see `drawable_words`."""
    verdicts = judge(checks, words)
    heights = {"faithfulness": 4.1, "randomisation": 1.9, "stability": 2.9}  # inches
    drawings = {
        "faithfulness": _plot_orders,
        "randomisation": _plot_random_maps,
        "stability": _plot_changes,
    }
    figure = Figure(
        (FIGURE_WIDTH, 0.4 + sum(map(heights.get, verdicts))), 150, layout="constrained"
    )
    parts = figure.subfigures(
        len(verdicts), 1, squeeze=False, height_ratios=list(map(heights.get, verdicts))
    )
    for (check, verdict), part in zip(verdicts.items(), parts[:, 0], strict=True):
        title = f"{words(f'trust.{check}')} {words(f'trust.outcome_{verdict.outcome}')}"
        part.suptitle(title, x=0.01, ha="left", fontsize=11)
        drawings[check](part, checks, words)
    network = f"{DISPLAY_NAMES[checks.network]} ({checks.card.name})"
    expression, probability = checks.answer.expression, f"{checks.answer.probability:.2f}"
    said = words(
        "heads.line",
        network=network,
        expression=words.expression(expression),
        probability=probability,
    )
    title = f"{said} {name_explained(checks.answer.gradcam, words)}"
    figure.suptitle(title, fontsize=12, fontweight="bold", parse_math=False)
    set_typeface(figure, words)
    return figure


def _plot_orders(part: SubFigure, checks: Checks, words: Words) -> None:
    """The heatmap under test, then deletion and insertion."""
    left, right = part.subfigures(1, 2, width_ratios=[1, 3])
    axis = left.subplots()
    axis.imshow(overlay_heatmap(checks.crop, checks.answer.gradcam.values))
    axis.set_axis_off()
    color = NETWORK_COLORS[checks.network]
    draw_faithfulness(right, checks.faithfulness, checks.target, color, words)


def _plot_random_maps(part: SubFigure, checks: Checks, words: Words) -> None:
    """The map as trained, then the first draw's after each level, with the mean likeness."""
    found = checks.randomisation
    names = [words("trust.trained"), words("trust.head_shuffled")]
    names += [words("trust.stage", level=level) for level in found.levels[1:]]
    maps, likeness = [found.original, *found.maps[0]], [1.0, *found.likeness]
    axes = part.subplots(1, len(maps))
    for axis, name, values, value in zip(axes, names, maps, likeness, strict=True):
        axis.imshow(overlay_heatmap(checks.crop, values, strength=MAP_STRENGTH))
        axis.set(xticks=[], yticks=[])
        axis.set_title(name, fontsize=8)
        axis.set_xlabel(f"{value:.2f}", fontsize=9)
    part.supxlabel(words("trust.likeness"), fontsize=8)


def _plot_changes(part: SubFigure, checks: Checks, words: Words) -> None:
    """Likeness of the map and probability over each kind of change; hollow: another answer."""
    found, color = checks.stability, NETWORK_COLORS[checks.network]
    kinds = list(dict.fromkeys(change.kind for change in found.perturbed))
    axes = part.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    lowest = min(change.correlation for change in found.perturbed)
    target = words.expression(checks.target)
    names = words("trust.map_likeness"), words("trust.probability", target=target)
    for axis, kind in zip(axes, kinds, strict=True):
        changes = changes_of(kind, found)
        amounts = [change.amount for change in changes]
        fills = ["white" if change.answer != found.answer else None for change in changes]
        for attribute, name, shade, style in (
            ("correlation", names[0], color, "-"),
            ("probability", names[1], "0.2", "--"),
        ):
            values = [getattr(change, attribute) for change in changes]
            axis.plot(amounts, values, style, color=shade, label=name)
            faces = [fill or shade for fill in fills]
            axis.scatter(amounts, values, 22, faces, edgecolors=shade, zorder=3, clip_on=False)
        axis.set(ylim=(0 if lowest >= 0 else -1, 1.02), xlabel=words(f"trust.{kind}"))
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8.5)
        if kind == "jpeg":
            axis.invert_xaxis()
    handles = axes[0].get_legend_handles_labels()
    note = words("trust.hollow")
    settings = {"fontsize": 8, "title": note, "title_fontsize": 8, "frameon": False}
    part.legend(*handles, loc="outside lower center", ncols=2, **settings)


def write_downloads(checks: Checks, picture: Picture, words: Words) -> tuple[str, str]:
    """All numbers as a JSON file, and the checks that were done as a figure; their paths."""
    folder = make_download_folder()
    json_file, figure_file = folder / "trust.json", folder / "trust.png"
    report = json.dumps(checks_report(checks, picture, words), indent=2, ensure_ascii=False)
    json_file.write_text(report + "\n", encoding="utf-8")
    save_figure(draw_checks(checks, drawable_words(words)), figure_file)
    return str(json_file), str(figure_file)


def build_trust_tab(choices: Choices, choice: gr.State, words: Words, compare: CompareTab) -> None:
    """Lay out and wire the tab, inside a `gr.Tab`.

    Args:
        choice: the visitor's checkpoints, as the Models tab sets them.
    """
    # Counts the faces and settings, and the stops; changed in place, so that a run sees it.
    ticket = gr.State([0, 0])
    line = gr.HTML(html.notice(words("page.no_face_yet")), elem_id="trust-line")
    example = example_button(words, "trust-example")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=260):
            network = gr.Radio(
                network_choices({}, words),
                value=PAGE_NETWORKS[0],
                label=words("trust.network"),
                elem_id="trust-network",
            )
            target = gr.Dropdown(
                target_choices(words),
                value=OWN_ANSWER,
                label=words("trust.target"),
                elem_id="trust-target",
            )
            method = gr.Dropdown(
                words.choices("methods.", METHODS),
                value=METHODS[0],
                label=words("compare.method"),
                elem_id="trust-method",
            )
            with gr.Row():
                start = gr.Button(
                    words("trust.run"), variant="primary", interactive=False, elem_id="trust-run"
                )
                stop = gr.Button(
                    words("page.stop"),
                    interactive=False,
                    scale=0,
                    min_width=80,
                    elem_id="trust-stop",
                )
            subject = gr.HTML(elem_id="trust-subject")
            with gr.Row():
                files = [
                    gr.DownloadButton(
                        words(key), interactive=False, size="sm", min_width=100, elem_id=elem_id
                    )
                    for key, elem_id in (
                        ("page.download_json", "trust-json"),
                        ("page.download_png", "trust-png"),
                    )
                ]
        with gr.Column(scale=3, min_width=320):
            gr.HTML(f'<p class="trust-about">{words("trust.about")}</p>')
            parts = [
                gr.HTML(draw_check(check, None, words), elem_id=f"trust-{check}")
                for check in CHECKS
            ]
    shown = [line, subject, *parts, *files, start, stop]

    def buttons(running: bool) -> list:
        return [gr.update(interactive=not running), gr.update(interactive=running)]

    def reset(found, name, ticket):
        """What stands there before a run on the present face and settings."""
        ticket[0] += 1
        empty = [draw_check(check, None, words) for check in CHECKS]
        off = [gr.update(value=None, interactive=False)] * len(files)
        if found is None or not found.faces:
            idle = [gr.update(interactive=False)] * 2
            return [html.notice(words("page.no_face_yet")), "", *empty, *off, *idle]
        ready = html.notice(words("trust.ready", network=DISPLAY_NAMES[name]))
        card = draw_subject(found, name, None, words)
        return [ready, card, *empty, *off, *buttons(running=False)]

    def run(found, chosen, name, target, method, ticket):
        cleared = reset(found, name, ticket)
        mine = list(ticket)
        if found is None or not found.faces:
            yield cleared
            return
        looking = waiting_line(words("compare.looking_at_face"))
        yield [looking, *cleared[1:-2], *buttons(running=True)]
        analyzer = choices.analyzer(chosen)
        crop = align_face(found.image, found.faces[found.chosen].landmarks)
        same = [gr.skip()] * len(shown)
        try:
            checks = start_checks(analyzer, crop, name, target, method)
            card = draw_subject(found, name, checks, words)
            if ticket[0] != mine[0]:
                yield same
                return
            if checks.is_blank:
                yield [html.notice(words("trust.blank"), "problem"), card, *cleared[2:]]
                return
            for step in run_checks(analyzer, checks):
                if ticket[0] != mine[0]:  # another face or network was chosen meanwhile
                    # Gradio sends a generator's last output once more when it ends.
                    yield same
                    return
                if ticket[1] != mine[1]:
                    break
                checks = step.checks
                line_now, *drawn = draw_step(step, words)
                yield [line_now, card, *drawn, *same[: len(files) + 2]]
                card = gr.skip()
        except ValueError as error:  # a network is missing, or does not know the expression
            text = words("compare.unavailable", network=DISPLAY_NAMES[name])
            text += words.gap + explain_error(error, words)
            stale = ticket[0] != mine[0]
            yield same if stale else [html.notice(text, "problem"), *cleared[1:]]
            return
        verdicts = judge(checks, words)
        made = [gr.skip()] * len(files)
        if verdicts:
            made = [
                gr.update(value=path, interactive=True)
                for path in write_downloads(checks, found, words)
            ]
        if ticket[0] != mine[0]:  # while the figure was drawn
            yield same
            return
        end = describe_end(verdicts, words)
        yield [end, *same[: 1 + len(CHECKS)], *made, *buttons(running=False)]

    def ask_to_stop(ticket):
        ticket[1] += 1
        return html.notice(words("trust.stopping")), gr.update(interactive=False)

    def choose_checkpoint(found, name, chosen, ticket):
        return [*reset(found, name, ticket), gr.Radio(network_choices(chosen, words))]

    def show_example():
        return waiting_line(words("compare.looking_at_face")), str(EXAMPLES_FOLDER / PHOTOGRAPH)

    def offer_example(found):
        return gr.update(visible=found is None or not found.faces)

    private = {"api_visibility": "private", "show_progress": "hidden"}
    example.click(show_example, None, [line, compare.input], **private)
    compare.picture.change(offer_example, compare.picture, example, **private)
    start.click(
        run,
        [compare.picture, choice, network, target, method, ticket],
        shown,
        trigger_mode="multiple",
        concurrency_limit=RUNS_AT_ONCE,
        **private,
    ).failure(lambda: end_failed(words), None, [line, start, stop], **private)
    # Without `cancels`: the run ends by itself after its batch, and hands over what it has.
    stop.click(ask_to_stop, ticket, [line, stop], **private)
    for trigger in (compare.picture.change, network.input, target.input, method.input):
        trigger(
            reset, [compare.picture, network, ticket], shown, trigger_mode="always_last", **private
        )
    choice.change(
        choose_checkpoint, [compare.picture, network, choice, ticket], [*shown, network], **private
    )
