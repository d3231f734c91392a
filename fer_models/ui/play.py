"""The Play tab: cover, light, blur or turn the face, and see the networks' answers follow."""

import html as escaping
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from fer_models.agreement import describe_agreement
from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, NetworkResult
from fer_models.choice import Choices
from fer_models.faces import CROP_SIZE_PX, align_face
from fer_models.figures import draw_analysis, drawable_words, overlay_heatmap, save_figure
from fer_models.manipulation import COVERS, Changes, apply_changes
from fer_models.report import network_report
from fer_models.ui import html
from fer_models.ui.compare import (
    EXAMPLES_FOLDER,
    KEEP_STATE_S,
    PHOTOGRAPH,
    CompareTab,
    Picture,
    example_picture,
)
from fer_models.ui.picture import (
    download_button,
    example_button,
    explain_missing,
    follow,
    make_download_folder,
    read_controls,
    slider,
)
from fer_models.ui.progress import waiting_line
from fer_models.words import Words

ENLARGED = 3  # the page shows the crop this many times larger
BRUSH = Path(__file__).with_name("play.js").read_text()
# Rows and columns of the aligned crop; with the eyes go the brows, with the mouth its corners.
REGIONS = {
    "eyes": (slice(24, 54), slice(12, 100)),
    "mouth": (slice(76, 108), slice(26, 86)),
    "left": (slice(0, CROP_SIZE_PX), slice(0, CROP_SIZE_PX // 2)),
    "right": (slice(0, CROP_SIZE_PX), slice(CROP_SIZE_PX // 2, CROP_SIZE_PX)),
}
COVERED = 0.95  # share of a region from which on it is called covered
NAMELESS = 0.02  # share of the face that may be covered beside the regions without being said


@dataclass(frozen=True)
class PlayFace:
    """The face that is played with, and what the networks said before.

    Attributes:
        crop: as the networks read it, (112,112,3) RGB uint8.
        large: as the page shows it, (336,336,3).
        unavailable: the networks that could not be loaded, and why.
        chosen: the visitor's checkpoints, see `Choices.analyzer`.
    """

    crop: np.ndarray
    large: np.ndarray
    before: dict[str, NetworkResult]
    unavailable: dict[str, str]
    chosen: dict[str, str]


@dataclass(frozen=True)
class Played:
    """A changed face: `large` (336,336,3) RGB uint8, and what the networks say now."""

    changes: Changes
    mask: np.ndarray
    large: np.ndarray
    after: dict[str, NetworkResult]

    @property
    def changed(self) -> bool:
        return self.changes != Changes(cover=self.changes.cover) or bool(self.mask.any())


def read_mask(text: str) -> np.ndarray:
    """The brush's cover as (112,112) bool.

    Raises:
        ValueError: if it is none.
    """
    bits = np.frombuffer(bytes.fromhex(text), np.uint8)
    if not bits.size:
        return np.zeros((CROP_SIZE_PX, CROP_SIZE_PX), bool)
    return np.unpackbits(bits).reshape(CROP_SIZE_PX, CROP_SIZE_PX).astype(bool)


def write_mask(mask: np.ndarray) -> str:
    """A cover (112,112) bool as the brush holds it."""
    return np.packbits(mask).tobytes().hex() if mask.any() else ""


def is_covered(mask: np.ndarray, region: str) -> bool:
    return mask[REGIONS[region]].mean() >= COVERED


def toggle_region(mask: np.ndarray, region: str) -> np.ndarray:
    """The cover with a region added, or taken off where it was covered before."""
    changed = mask.copy()
    changed[REGIONS[region]] = not is_covered(mask, region)
    return changed


def meet_face(
    choices: Choices, chosen: dict[str, str], picture: Picture, words: Words | None = None
) -> PlayFace:
    """A picture's chosen face and the networks' answers to it, unchanged.

    Args:
        words: for the reason why a network is missing; English if None.
    """
    face = picture.faces[picture.chosen]
    analyzer = choices.analyzer(chosen)
    analysis = analyzer.analyze_faces(picture.image, [face], networks=PAGE_NETWORKS)
    result, large = analysis.faces[0], _enlarge(picture)
    missing = analysis.unavailable | explain_missing(analyzer, analysis.unavailable, words)
    return PlayFace(result.crop, large, result.networks, missing, dict(chosen))


def _enlarge(picture: Picture) -> np.ndarray:
    landmarks = picture.faces[picture.chosen].landmarks
    return align_face(picture.image, landmarks, ENLARGED * CROP_SIZE_PX)


def unchanged(face: PlayFace) -> Played:
    """The face as it came."""
    return Played(Changes(), read_mask(""), face.large, face.before)


def play(choices: Choices, face: PlayFace, changes: Changes, mask: np.ndarray) -> Played:
    """The face under `changes`, with the masked (112,112) parts covered, and the answers to it."""
    large_mask = mask.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
    crop = apply_changes(face.crop, changes, mask)
    analyzer = choices.analyzer(face.chosen)
    answers = analyzer.analyze_crops([crop], networks=list(face.before))
    after = {name: results[0] for name, results in answers.items()}
    return Played(changes, mask, apply_changes(face.large, changes, large_mask), after)


def name_changes(played: Played, words: Words) -> str:
    """What was done to the face, in words."""
    covered = [region for region in REGIONS if is_covered(played.mask, region)]
    rest = played.mask.copy()
    for region in covered:
        rest[REGIONS[region]] = False
    parts = [words(f"play.{region}_covered") for region in covered]
    if played.mask.all():
        parts = [words("play.all_covered")]
    elif rest.mean() > NAMELESS or (rest.any() and not covered):
        parts.append(words("play.part_covered", share=f"{rest.mean():.0%}"))
    values = asdict(played.changes)
    for name in ("brightness", "contrast", "blur_px", "rotation_deg"):
        if values[name] != getattr(Changes(), name):
            parts.append(words(f"play.{name}_is", value=f"{values[name]:g}"))
    if played.changes.mirror:
        parts.append(words("play.mirrored"))
    return words.join(parts)


def describe_play(face: PlayFace, played: Played, words: Words) -> str:
    """The line at the top: what was done, and what each network says instead, or still."""
    if not face.before:
        return html.notice(describe_agreement({}, words), "problem")
    if not played.changed:
        answers = describe_agreement(face.before, words)
        return html.notice(words("play.unchanged", answers=answers))
    said = words("play.separator").join(
        words(
            "play.network",
            network=DISPLAY_NAMES[name],
            change=html.describe_change(was.probabilities, played.after[name].probabilities, words),
        )
        for name, was in face.before.items()
        if name in played.after
    )
    moved = any(now.expression != face.before[n].expression for n, now in played.after.items())
    text = words("play.line", changes=name_changes(played, words), networks=said)
    return html.notice(text, "disagree" if moved else "agree")


def draw_cards(face: PlayFace, played: Played, strength: float, words: Words) -> list[str]:
    """A column for each network, as HTML."""
    cards = []
    for name in PAGE_NETWORKS:
        if name in played.after:
            cards.append(_card(name, face.before[name], played, strength, words))
        else:
            cards.append(html.empty_card(name, face.unavailable.get(name, "")))
    return cards


def _card(name: str, before: NetworkResult, played: Played, strength: float, words: Words) -> str:
    after = played.after[name]
    alt, about = html.describe_heatmap(name, after.gradcam, words)
    heat = overlay_heatmap(played.large, after.gradcam.values, strength=strength)
    bar = html.color_bar(after.gradcam.max, unit=html.heat_unit(after.gradcam.method, words))
    was = words(
        "play.before",
        expression=words.expression(before.expression),
        probability=f"{before.probability:.2f}",
    )
    return html.card(
        name,
        f"{html.heading(name)}{html.answer_line(after, words)}"
        f'<p class="fer-caption play-before">{was}</p>'
        f"{html.image_tag(heat, alt)}{bar}"
        f'<p class="fer-caption">{about}</p>'
        f"{html.probability_bars(after.probabilities, words, before.probabilities)}",
        "play-card",
    )


def play_report(face: PlayFace, played: Played) -> dict:
    """What was done and what came of it, as a JSON object."""
    return {
        "changes": asdict(played.changes),
        "covered_share": round(float(played.mask.mean()), 4),
        "covered_regions": [region for region in REGIONS if is_covered(played.mask, region)],
        "mask_112x112_hex": write_mask(played.mask),
        "before": {name: network_report(result) for name, result in face.before.items()},
        "after": {name: network_report(result) for name, result in played.after.items()},
    }


def write_json(face: PlayFace, played: Played) -> str:
    """The report as a file; its path."""
    file = make_download_folder() / "play.json"
    file.write_text(json.dumps(play_report(face, played), indent=2) + "\n")
    return str(file)


def write_png(face: PlayFace, played: Played) -> str:
    """The changed face as a file; its path."""
    file = make_download_folder() / "changed_face.png"
    Image.fromarray(played.large).save(file)
    return str(file)


def write_figure(played: Played, strength: float, words: Words) -> str:
    """The changed face with the answers and heatmaps as a figure; its path."""
    file = make_download_folder() / "play.png"
    figure = draw_analysis(played.large, played.after, strength, words=drawable_words(words))
    save_figure(figure, file)
    return str(file)


def brush_template(words: Words) -> str:
    """The brush's HTML, which `play.js` brings to life."""
    label = escaping.escape(words("play.canvas"), quote=True)
    return (
        '<div class="play-paint"><div class="play-face"></div>'
        f'<canvas width="{CROP_SIZE_PX}" height="{CROP_SIZE_PX}" role="img" aria-label="{label}">'
        '</canvas></div><div class="play-tools">'
        f'<label>{words("play.brush")} <input type="range" name="size" min="4" max="40" '
        'value="16"></label>'
        f'<label><input type="checkbox" name="erase"> {words("play.erase")}</label></div>'
    )


def _build_sliders(words: Words) -> list[gr.Slider]:
    """The controls of the first four fields of `Changes`."""
    ranges = {
        "brightness": (0.2, 3, 0.05),
        "contrast": (0, 3, 0.05),
        "blur_px": (0, 10, 0.25),
        "rotation_deg": (-90, 90, 1),
    }
    return [
        slider(
            low,
            high,
            value=getattr(Changes(), name),
            step=step,
            label=words(f"play.{name}"),
            elem_id=f"play-{name.partition('_')[0]}",
        )
        for name, (low, high, step) in ranges.items()
    ]


def build_play_tab(
    choices: Choices, choice: gr.State, words: Words, tab: gr.Tab, compare: CompareTab
) -> None:
    """Lay out and wire the tab, inside `tab`; its face is Compare's.

    Args:
        choice: the visitor's checkpoints, as the Models tab sets them.
    """
    face_state = gr.State(time_to_live=KEEP_STATE_S)
    played_state = gr.State(time_to_live=KEEP_STATE_S)
    line = gr.HTML(html.notice(words("page.no_face_yet")), elem_id="play-line")
    example = example_button(words, "play-example")
    with gr.Column(visible=False) as body:
        with gr.Row(equal_height=False, elem_classes="play-bench"):
            with gr.Column(min_width=280):
                brush = gr.HTML(
                    "",
                    html_template=brush_template(words),
                    js_on_load=BRUSH,
                    face="",
                    elem_id="play-brush",
                )
                with gr.Row(elem_classes="play-covers"):
                    covers = {
                        region: gr.Button(
                            words(f"play.{region}"), size="sm", elem_id=f"play-{region}"
                        )
                        for region in REGIONS
                    }
                cover = gr.Radio(
                    words.choices("play.cover_", COVERS),
                    value=Changes().cover,
                    label=words("play.cover"),
                    elem_id="play-cover",
                )
                mirror = gr.Checkbox(label=words("play.mirror"), elem_id="play-mirror")
                reset = gr.Button(words("play.reset"), elem_id="play-reset")
                strength = slider(
                    0,
                    1,
                    value=0.5,
                    step=0.05,
                    label=words("compare.strength"),
                    elem_id="play-strength",
                )
                for kind, write in (("png", write_png), ("json", write_json)):
                    download_button(
                        words(f"play.download_{kind}"),
                        write,
                        [face_state, played_state],
                        f"play-save-{kind}",
                        words,
                    )
                download_button(
                    words("compare.download_figure"),
                    lambda played, strength: write_figure(played, strength, words),
                    [played_state, strength],
                    "play-save-figure",
                    words,
                )
            with gr.Column(elem_classes="play-main"):
                with gr.Row(elem_classes="play-controls"):
                    sliders = _build_sliders(words)
                with gr.Row(equal_height=True, elem_classes="play-cards"):
                    cards = [
                        gr.HTML(html.empty_card(name), elem_id=f"play-{name}")
                        for name in PAGE_NETWORKS
                    ]
        gr.HTML(f'<div class="fer-legend"><p>{words("play.about")}</p></div>')
    controls = [*sliders, mirror, cover]  # in the order of the fields of `Changes`
    shown = [played_state, line, *cards]
    start = list(asdict(Changes()).values())
    everything = [face_state, *shown, example, body, brush, *controls]

    def present(face, played, strength):
        text = describe_play(face, played, words)
        return [played, text, *draw_cards(face, played, strength, words)]

    def show(
        picture: Picture | None, face: PlayFace | None, chosen: dict[str, str], strength: float
    ) -> Iterator[list]:
        skipped = [gr.skip()] * len(cards)
        kept = [gr.skip()] * (1 + len(controls))
        hidden, visible = gr.update(visible=False), gr.update(visible=True)
        if picture is None or not picture.faces:
            text = html.notice(words("page.no_face_yet"))
            yield [None, None, text, *skipped, visible, hidden, *kept]
            return
        same = face is not None and face.chosen == chosen
        if same and np.array_equal(face.large, _enlarge(picture)):
            yield [gr.skip()] * len(everything)
            return
        text = waiting_line(words("compare.looking_at_face"))
        yield [None, None, text, *skipped, hidden, gr.skip(), *kept]
        face = meet_face(choices, chosen, picture, words)
        drawn = present(face, unchanged(face), strength)
        tag = html.image_tag(face.large, words("compare.face_alt"))
        yield [face, *drawn, hidden, visible, gr.update(value="", face=tag), *start]

    def show_example(chosen, strength):
        yield from show(example_picture(words), None, chosen, strength)

    def answer(face, text, strength, *values):
        if face is None:
            gone = html.notice(words("page.gone"), "problem")
            return [None, gone, *[gr.skip()] * len(cards)]
        try:
            changes, mask = read_controls(Changes, values), read_mask(text or "")
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return present(face, play(choices, face, changes, mask), strength)

    def redraw(face, played, strength):
        if face is None or played is None or strength is None:
            return [gr.skip()] * len(cards)
        return draw_cards(face, played, strength, words)

    def toggle(region, text):
        return write_mask(toggle_region(read_mask(text or ""), region))

    private = {"api_visibility": "private", "show_progress": "hidden"}
    latest = {**private, "trigger_mode": "always_last"}
    # One at a time, so that the last change's answers land last.
    ordered = {**latest, "concurrency_id": "play", "concurrency_limit": 1}
    asked = [face_state, brush, strength, *controls]
    met = [compare.picture, face_state, choice, strength]
    tab.select(show, met, everything, **ordered)
    follow(compare.picture, "play-line", show, met, everything)
    example.click(show_example, [choice, strength], everything, **ordered).success(
        lambda: str(EXAMPLES_FOLDER / PHOTOGRAPH), None, compare.input, **private
    )
    moved = [brush.input, *(control.input for control in controls)]
    gr.on(moved, answer, asked, shown, **ordered)
    for region, button in covers.items():
        button.click(
            lambda text, region=region: toggle(region, text), brush, brush, **private
        ).then(answer, asked, shown, **ordered)
    reset.click(lambda: ["", *start], None, [brush, *controls], **private).then(
        answer, asked, shown, **ordered
    )
    strength.input(redraw, [face_state, played_state, strength], cards, **latest)
