"""The Live tab: a webcam's newest frame, followed and smoothed, and the last seconds of answers.

The browser sends one frame, waits for its answer and then takes the next (`live.js`), so whatever
comes in between is dropped before it is sent and nothing can queue. Gradio's own streaming would
send frames at a fixed pace, mirrored, and leave the camera on after its stop button.
"""

import base64
import csv
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from fer_models.agreement import describe_agreement, judge_agreement
from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, Analyzer, NetworkResult
from fer_models.choice import Choices
from fer_models.containers import bare_picture
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import Face, align_face
from fer_models.figures import NETWORK_COLORS, draw_analysis, drawable_words, overlay_heatmap
from fer_models.live import HISTORY_S, LiveResult, LiveSession, Track
from fer_models.ui import html
from fer_models.ui.picture import explain_missing
from fer_models.words import Words

MAX_DRAWINGS = 2  # figures at once, in each language
MAX_VISITORS = 4  # with a camera on at once, in each language: they share the processor
FORGET_S = 10.0
SILENT_S = 2.0  # a camera that is on sends its next frame sooner
MAX_FRAME_BYTES = 1_000_000
MAX_FRAME_SIDE_PX = 1280
MAX_KEY = 64
MAX_CHOICES = 1000
FACE_SIDE_PX = 224
GAP_S = 3.0  # a longer pause between two answers is no line in the strip
SETTINGS = {"networks": ["ddamfn", "mfn"], "heat": True, "strip": "ddamfn"}
# What the browser can say by itself; each stands in the words as `live.<state>`.
PROBLEMS = (
    "denied",
    "no_camera",
    "in_use",
    "insecure",
    "lost",
    "busy",
    "failed",
    "undrawn",
    "crowded",
)
NOTES = ("asking", "starting", "stopped", "left", "nothing", "drawing", "drawn")
SCRIPT = Path(__file__).with_name("live.js").read_text()


class FrameBusy(Exception):
    """A frame that came while the visitor's last one was looked at."""


class FrameError(ValueError):
    """A message that holds no frame of ours."""


@dataclass(frozen=True)
class Message:
    """What a browser sends.

    Attributes:
        key: the visitor's, made by the browser for as long as the camera is on.
        frame: (H,W,3) RGB uint8, as the camera saw it, not mirrored.
        networks: those to run, in the page's order.
        heat: whether faces are shown under their heatmaps.
        strip: the network whose last seconds are drawn.
        choice: what `Visitors.name_choice` called the visitor's checkpoints; "" for the page's own.
    """

    key: str
    frame: np.ndarray
    networks: tuple[str, ...]
    heat: bool
    strip: str
    choice: str = ""


def read_message(data) -> Message:
    """Check what came from a browser.

    Raises:
        FrameError: if anything is missing, unknown or too large.
    """
    try:
        key, networks, strip = data["key"], data["networks"], data["strip"]
        choice = data.get("choice") or ""
        if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
            raise FrameError("the key")
        if not isinstance(choice, str):
            raise FrameError("the choice")
        if strip not in PAGE_NETWORKS or not set(networks) <= set(PAGE_NETWORKS):
            raise FrameError("a network")
        chosen = tuple(name for name in PAGE_NETWORKS if name in networks)
        frame = read_frame(data["frame"])
        return Message(key, frame, chosen, data["heat"] is True, strip, choice)
    except (AttributeError, KeyError, TypeError) as error:
        raise FrameError("incomplete") from error


def read_frame(url: str) -> np.ndarray:
    """A frame (H,W,3) RGB uint8 from a JPEG's data URL.

    Raises:
        FrameError: if it is none, or larger than the page's own.
    """
    head, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if head != "data:image/jpeg;base64" or len(data) > MAX_FRAME_BYTES:
        raise FrameError("no JPEG, or a large one")
    try:
        picture, _ = bare_picture(base64.b64decode(data, validate=True))
        image = Image.open(io.BytesIO(picture), formats=["JPEG"])
        if max(image.size) > MAX_FRAME_SIDE_PX:
            raise FrameError("too many pixels")
        return np.asarray(image.convert("RGB"))
    except (ValueError, OSError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise FrameError("unreadable") from error


@dataclass
class _Visitor:
    """A session, when it was last used, and the lock that keeps its frames in a row.

    Attributes:
        choice: the name of the checkpoints that the session runs.
        tracks: what the last frame's strips are drawn from.
    """

    session: LiveSession
    seen: float
    choice: str
    tracks: dict[str, Track] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Visitors:
    """The sessions of those whose camera is on: few, apart from each other, forgotten soon.

    Args:
        choices: of everybody's checkpoints.
        limit: how many sessions there can be.
        forget_s: a session goes that long after its last frame.
        silent_s: where there is no room, it goes that soon, for another visitor's sake.
        clock: seconds, rising.
    """

    def __init__(
        self,
        choices: Choices,
        limit: int = MAX_VISITORS,
        forget_s: float = FORGET_S,
        silent_s: float = SILENT_S,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.choices, self.limit, self.clock = choices, limit, clock
        self.forget_s, self.silent_s = forget_s, silent_s
        self._visitors: dict[str, _Visitor] = {}
        self._chosen: dict[str, dict[str, str]] = {}
        self._guard = threading.Lock()
        self.drawing = threading.Semaphore(MAX_DRAWINGS)

    def __len__(self) -> int:
        return len(self._visitors)

    def name_choice(self, chosen: Mapping[str, str]) -> str:
        """A name that a browser may send for a visitor's checkpoints; uploads' paths stay here."""
        if not chosen:
            return ""
        name = hashlib.sha256(json.dumps(sorted(chosen.items())).encode()).hexdigest()[:32]
        with self._guard:
            self._chosen[name] = dict(chosen)
            while len(self._chosen) > MAX_CHOICES:
                del self._chosen[next(iter(self._chosen))]
        return name

    def analyzer(self, choice: str) -> Analyzer:
        """The analyzer with the checkpoints of that name, or else with the page's own."""
        return self.choices.analyzer(self._chosen.get(choice, {}))

    def process(self, message: Message) -> LiveResult | None:
        """The answer to a visitor's frame, or None where there is no room for another visitor.

        Raises:
            FrameBusy: while the visitor's last frame is looked at. The page's browser never sends
                two; those who do must not wait, as few threads serve everybody.
        """
        visitor = self._enter(message.key, message.choice)
        if visitor is None:
            return None
        if not visitor.lock.acquire(blocking=False):
            raise FrameBusy
        try:
            # Other weights' answers begin a strip of their own.
            if visitor.choice != message.choice:
                visitor.session = LiveSession(self.analyzer(message.choice))
                visitor.choice = message.choice
            visitor.session.networks = message.networks
            result = visitor.session.process(message.frame)
            visitor.tracks, visitor.seen = result.tracks, self.clock()
        finally:
            visitor.lock.release()
        return result

    def table(self, key: str) -> str:
        """A visitor's last seconds as CSV; empty where there are none."""
        visitor = self._visitors.get(key)
        return "" if visitor is None else write_table(visitor.tracks)

    def leave(self, key: str) -> str:
        """Forget a visitor, at once; the last seconds as CSV."""
        text = self.table(key)
        with self._guard:
            self._visitors.pop(key, None)
        return text

    def _enter(self, key: str, choice: str) -> _Visitor | None:
        with self._guard:
            visitor = self._visitors.get(key)
            if visitor is None:
                if len(self._visitors) >= self.limit:
                    self._drop_silent(self.silent_s)
                if len(self._visitors) >= self.limit:
                    return None
                if not self._visitors:
                    self._forget_later()
                session = LiveSession(self.analyzer(choice))
                visitor = self._visitors[key] = _Visitor(session, self.clock(), choice)
            visitor.seen = self.clock()
            return visitor

    def _forget_later(self) -> None:
        timer = threading.Timer(self.forget_s / 2, self._forget)
        timer.daemon = True
        timer.start()

    def _forget(self) -> None:
        with self._guard:
            self._drop_silent(self.forget_s)
            if self._visitors:
                self._forget_later()

    def _drop_silent(self, seconds: float) -> None:
        oldest = self.clock() - seconds
        self._visitors = {
            key: visitor
            for key, visitor in self._visitors.items()
            if visitor.seen > oldest or visitor.lock.locked()
        }


def write_table(tracks: Mapping[str, Track]) -> str:
    """What the strips show as CSV: a row for each network and time; empty where there is nothing.

    Seconds are counted back from the newest frame; probabilities are smoothed, as in the strip.
    """
    if not tracks:
        return ""
    known = {label for track in tracks.values() for label in track.labels}
    labels = [label for label in EXPRESSIONS if label in known]
    text = io.StringIO()
    table = csv.DictWriter(text, ["network", "seconds", *labels])
    table.writeheader()
    for name, track in tracks.items():
        for seconds, values in zip(track.times_s, track.probabilities, strict=True):
            row = {"network": name, "seconds": f"{seconds:.3f}"}
            answers = zip(track.labels, values, strict=True)
            table.writerow(row | {label: f"{value:.6f}" for label, value in answers})
    return text.getvalue()


def smooth_answer(answer: NetworkResult, track: Track) -> NetworkResult:
    """A frame's result with the smoothed probabilities in place of that one frame's."""
    newest = track.newest
    return replace(answer, expression=max(newest, key=newest.get), probabilities=newest)


def describe_frame(
    face: Face | None, answers: dict[str, NetworkResult], others: int, words: Words
) -> tuple[str, str]:
    """The line on top, and its kind, see `html.notice`."""
    if face is None:
        return words("live.no_face"), "problem"
    text = describe_agreement(answers, words)
    if others:
        text += words.gap + words("live.one_other" if others == 1 else "live.others", count=others)
    if face.is_turned:
        text += words.gap + words("compare.turned")
    return text, judge_agreement(answers)


def face_box(face: Face | None, frame: np.ndarray) -> list[float] | None:
    """Left, top, width and height of a face in percent of the frame, cut off at its borders."""
    if face is None:
        return None
    height, width = frame.shape[:2]
    left, right = np.clip(np.array(face.box_xyxy[::2]) / width, 0, 1) * 100
    top, bottom = np.clip(np.array(face.box_xyxy[1::2]) / height, 0, 1) * 100
    return [round(float(v), 2) for v in (left, top, right - left, bottom - top)]


def draw_cards(
    message: Message,
    face: Face | None,
    answers: Mapping[str, NetworkResult],
    missing: Mapping[str, str],
    words: Words,
) -> str:
    """A column for each network of the page; the browser hides those that are not chosen."""
    if not answers:
        return draw_empty_cards(words, missing)
    crop = align_face(message.frame, face.landmarks, FACE_SIDE_PX)
    return "".join(
        draw_card(name, answers[name], crop, message.heat, words)
        if name in answers
        else draw_empty_card(name, words, missing.get(name, ""))
        for name in PAGE_NETWORKS
    )


def draw_card(name: str, answer: NetworkResult, crop: np.ndarray, heat: bool, words: Words) -> str:
    """A network's column: its smoothed answer, the face of this frame, its probabilities."""
    target = words.expression(answer.gradcam.target)
    if heat:
        picture = overlay_heatmap(crop, answer.gradcam.values)
        alt = words("live.heatmap_alt", network=DISPLAY_NAMES[name], target=target)
        caption = words("live.heatmap_about", target=target)
    else:
        picture, alt, caption = crop, words("compare.face_alt"), words("live.face_about")
    unit = html.heat_unit(answer.gradcam.method, words)
    scale = html.color_bar(answer.gradcam.max, unit=unit) if heat else ""
    said, bars = html.answer_line(answer, words), html.probability_bars(answer.probabilities, words)
    return _card(name, said, html.image_tag(picture, alt) + scale, caption, bars)


def draw_empty_card(name: str, words: Words, text: str = "") -> str:
    """A column of the same size without an answer, and why it has none."""
    track = '<span class="fer-track"></span>'
    rows = "".join(html.bar(words.expression(label), track, "") for label in EXPRESSIONS)
    blank = '<div class="live-blank"></div><div class="fer-scale">&nbsp;</div>'
    bars = f'<div class="fer-bars">{rows}</div>'
    return _card(name, '<p class="fer-answer">&nbsp;</p>', blank, escape(text), bars)


def draw_empty_cards(words: Words, missing: Mapping[str, str] = {}) -> str:
    """All columns, without an answer."""
    return "".join(draw_empty_card(name, words, missing.get(name, "")) for name in PAGE_NETWORKS)


def _card(name: str, said: str, picture: str, caption: str, bars: str) -> str:
    hidden = "" if name in SETTINGS["networks"] else " hidden"  # until the browser decides
    return html.card(
        name,
        f'{html.heading(name)}{said}<div class="live-body"><div class="live-picture">'
        f'{picture}<p class="fer-caption">{caption}</p></div>{bars}</div>',
        more=f' data-network="{name}"{hidden}',
    )


def draw_strip(name: str, track: Track | None, words: Words, note: str = "") -> str:
    """The last seconds of a network's smoothed probabilities, a row for each expression."""
    labels = EXPRESSIONS if track is None else track.labels
    newest = {} if track is None else track.newest
    chosen = max(newest, key=newest.get, default=None)
    rows = ""
    for index, label in enumerate(labels):
        path = "" if track is None else trace(track.times_s, track.probabilities[:, index])
        number = f"{newest[label]:.2f}" if newest else ""
        drawn = (
            '<svg viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">'
            f'<path d="{path}"/></svg>'
        )
        rows += html.bar(words.expression(label), drawn, number, chosen=label == chosen)
    seconds = f"{HISTORY_S:.0f}"
    title = words("live.strip_title", network=DISPLAY_NAMES[name], seconds=seconds)
    return (
        f"<h3>{title} <small>{note}</small></h3>"
        f'<div class="fer-bars" style="--network:{NETWORK_COLORS[name]}">{rows}'
        '<div class="fer-bar live-axis"><span></span>'
        f"<span><span>{words('live.ago', seconds=seconds)}</span>"
        f"<span>{words('live.now')}</span></span></div></div>"
    )


def trace(times_s: np.ndarray, values: np.ndarray) -> str:
    """The area under values 0..1 as an SVG path, 100 wide for `HISTORY_S` and 20 high.

    Args:
        times_s: (T,) rising to 0; after a pause longer than `GAP_S` a new area begins.
    """
    path = ""
    breaks = np.flatnonzero(np.diff(times_s) > GAP_S) + 1
    for times, heights in zip(np.split(times_s, breaks), np.split(values, breaks), strict=True):
        x = 100 * (1 + times / HISTORY_S)
        points = "".join(f"L{a:.1f} {20 * (1 - b):.1f}" for a, b in zip(x, heights, strict=True))
        path += f"M{x[0]:.1f} 20{points}L{x[-1]:.1f} 20z"
    return path


def answer_frame(visitors: Visitors, data, words: Words) -> dict | None:
    """What the browser shows for a frame it sent, or only the `state` it stops with.

    None while its last frame is looked at: then it tries again in a second.
    """
    try:
        message = read_message(data)
        result = visitors.process(message)
    except FrameError:
        return {"state": "failed"}
    except FrameBusy:
        return None
    if result is None:
        return {"state": "busy"}
    answers = {
        name: smooth_answer(answer, result.tracks[name]) for name, answer in result.networks.items()
    }
    silent = [name for name in message.networks if name not in answers]
    missing = explain_missing(visitors.analyzer(message.choice), silent, words)
    note = "" if message.strip in message.networks else words("live.strip_unchosen")
    line, kind = describe_frame(result.face, answers, result.others, words)
    if result.face is not None and not message.networks:
        line, kind = words("live.tick"), "info"
    return {
        "line": line,
        "kind": kind,
        "box": face_box(result.face, message.frame),
        "cards": draw_cards(message, result.face, answers, missing, words),
        "strip": draw_strip(message.strip, result.tracks.get(message.strip), words, note),
        "rate": words("live.rate", rate=f"{result.frames_per_second:.1f}"),
    }


def draw_frame(visitors: Visitors, data, words: Words) -> str | None:
    """A figure of one frame's analysis, unsmoothed, as a PNG's data URL; "" where it cannot be.

    None while `MAX_DRAWINGS` others are drawn: who waits would hold one of everybody's threads.
    """
    if not visitors.drawing.acquire(blocking=False):
        return None
    try:
        return _draw_frame(visitors, read_message(data), words)
    except FrameError:
        return ""
    finally:
        visitors.drawing.release()


def _draw_frame(visitors: Visitors, message: Message, words: Words) -> str:
    session = LiveSession(visitors.analyzer(message.choice), message.networks)
    result = session.process(message.frame)
    if not result.networks:
        return ""
    crop = align_face(message.frame, result.face.landmarks, FACE_SIDE_PX)
    strength = 0.5 if message.heat else 0.0
    figure = draw_analysis(crop, result.networks, strength, words=drawable_words(words))
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return "data:image/png;base64," + base64.b64encode(drawn.getvalue()).decode()


def camera_html(words: Words) -> str:
    """The mirror, its button, and what the browser says by itself, in the page's language."""
    kinds = {**dict.fromkeys(PROBLEMS, "problem"), **dict.fromkeys(NOTES, "info")}
    texts = {state: [kind, words(f"live.{state}")] for state, kind in kinds.items()}
    labels = [words("live.start"), words("live.stop")]
    return (
        f'<div class="live-stage" data-texts="{_attribute(texts)}" '
        f'data-labels="{_attribute(labels)}" data-settings="{_attribute(SETTINGS)}">'
        '<div class="live-mirror"><svg viewBox="0 0 48 36" aria-hidden="true"><path '
        'd="M4 8h25v20h-25zM32 16l12 -7v18l-12 -7z"/></svg><video autoplay muted '
        'playsinline></video><div class="live-face"></div></div>'
        f'<div class="live-run"><button type="button" disabled>{labels[0]}</button>'
        '<span class="live-rate"></span></div>'
        f'<p class="fer-caption">{words("live.mirror")}</p></div>'
    )


def _attribute(value) -> str:
    return escape(json.dumps(value, ensure_ascii=False), quote=True)


def build_live_tab(choices: Choices, choice: gr.State, words: Words) -> None:
    """Lay out and wire the tab, inside a `gr.Tab`.

    Args:
        choice: the visitor's checkpoints, as the Models tab sets them.
    """
    visitors = Visitors(choices)

    def look(data) -> dict | None:
        return answer_frame(visitors, data, words)

    def table(key) -> str:
        return visitors.table(str(key))

    def leave(key) -> str:
        return visitors.leave(str(key))

    def picture(data) -> str:
        return draw_frame(visitors, data, words)

    names = [(DISPLAY_NAMES[name], name) for name in PAGE_NETWORKS]
    gr.HTML(html.notice(words("live.off")), elem_id="live-line")
    gr.HTML(f'<p class="live-about">{words("live.about")}</p>')
    with gr.Row(equal_height=False, elem_classes="live-bench"):
        with gr.Column(scale=2, min_width=300, elem_classes="live-side"):
            gr.HTML(
                camera_html(words),
                js_on_load=SCRIPT,
                server_functions=[look, table, leave, picture],
                elem_id="live-camera",
            )
            networks = gr.CheckboxGroup(
                names,
                value=SETTINGS["networks"],
                label=words("live.networks"),
                elem_id="live-networks",
            )
            heat = gr.Checkbox(SETTINGS["heat"], label=words("live.heat"), elem_id="live-heat")
            strip = gr.Radio(
                names, value=SETTINGS["strip"], label=words("live.strip"), elem_id="live-strip-of"
            )
        with gr.Column(scale=5, min_width=300):
            gr.HTML(
                f'<div class="live-cards">{draw_empty_cards(words)}</div>', elem_id="live-cards"
            )
            shown = draw_strip(SETTINGS["strip"], None, words)
            gr.HTML(f'<div class="live-strip">{shown}</div>', elem_id="live-strip")
            with gr.Row():
                save = gr.Button(words("live.download"), size="sm", elem_id="live-csv")
                draw = gr.Button(words("live.download_figure"), size="sm", elem_id="live-png")
            gr.HTML(f'<div class="fer-legend"><p>{words("live.legend")}</p></div>')
    # Read at every frame: the tab may be opened after the weights were chosen.
    chosen = gr.Textbox("", visible="hidden", elem_id="live-choice")
    choice.change(visitors.name_choice, choice, chosen, api_visibility="private")
    settings = [networks, heat, strip]
    tell = _tell_camera("(networks, heat, strip)", "settings")
    for component in settings:
        component.change(None, settings, None, js=tell, api_visibility="private")
    save.click(None, None, None, js=_tell_camera("()", "save"), api_visibility="private")
    draw.click(None, None, None, js=_tell_camera("()", "draw"), api_visibility="private")


def _tell_camera(arguments: str, event: str) -> str:
    """JavaScript that hands its arguments to `live.js` as an event's detail."""
    detail = arguments.replace("(", "{").replace(")", "}")
    return (
        f"{arguments} => document.querySelector('#live-camera .live-stage')"
        f"?.dispatchEvent(new CustomEvent('{event}', {{detail: {detail}}}))"
    )
