"""The Live tab without a browser: messages, visitors, and what is drawn of a frame."""

import base64
import csv
import io
import re
import threading
import time

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from fer_models.analysis import Analyzer, GradCam, NetworkResult
from fer_models.choice import Choices
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import Face, align_face
from fer_models.images import load_image
from fer_models.live import Track
from fer_models.ui import live
from fer_models.ui.live import Visitors, answer_frame, read_frame, read_message
from fer_models.ui.picture import explain_missing
from fer_models.words import load_words
from tests.conftest import EXAMPLE

ENGLISH, CHINESE = load_words("en"), load_words("zh")


def picture(*faces: tuple[str, int, int]) -> np.ndarray:
    """A frame (480,640,3): drawn faces (name, left edge, side) on grey."""
    canvas = Image.new("RGB", (640, 480), (120, 125, 130))
    for name, left, side in faces:
        face = Image.fromarray(load_image(EXAMPLE.parent / f"{name}.png"))
        canvas.paste(face.resize((side, side)), (left, 40))
    return np.asarray(canvas)


def data_url(frame: np.ndarray, kind: str = "jpeg") -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, kind.upper(), quality=90)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def message(frame: np.ndarray, key: str = "one", **changes) -> dict:
    settings = {"networks": ["mfn"], "heat": True, "strip": "mfn"}
    return {"key": key, "frame": data_url(frame), **settings, **changes}


def answer(**probabilities: float) -> NetworkResult:
    """A result with these probabilities, the rest 0, and a heatmap for surprise."""
    every = {name: probabilities.get(name, 0.0) for name in EXPRESSIONS}
    gradcam = GradCam("surprise", np.eye(7))
    return NetworkResult(max(every, key=every.get), every, gradcam, None, 0.0)


def face(**changes) -> Face:
    points = np.array([[250, 200], [390, 200], [320, 280], [270, 340], [370, 340]], float)
    return Face(changes.get("box", (160.0, 120.0, 480.0, 440.0)), points, 1.0)


@pytest.fixture(scope="module")
def mfn() -> Analyzer:
    return Analyzer(["mfn"])


def test_a_frame_is_read_as_the_browser_sent_it():
    frame = picture(("happiness", 120, 400))
    assert np.abs(read_frame(data_url(frame)).astype(int) - frame).mean() < 4


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "https://example.org/face.jpg",
        "data:image/jpeg;base64,!!!",
        "data:image/jpeg;base64," + base64.b64encode(b"no picture").decode(),
        "data:image/jpeg;base64," + "A" * 1_000_001,
        data_url(np.zeros((9, 9, 3), np.uint8), "png"),
        data_url(np.zeros((9, 9, 3), np.uint8), "png").replace("png", "jpeg"),
        data_url(np.zeros((9, 1300, 3), np.uint8)),
        data_url(picture(("anger", 120, 400)))[:5000],
    ],
)
def test_what_is_no_frame_of_ours_is_refused(mfn, url):
    with pytest.raises(live.FrameError):
        read_frame(url)
    data = {**message(picture()), "frame": url}
    assert answer_frame(Visitors(Choices(mfn)), data, ENGLISH) == {"state": "failed"}


@pytest.mark.hostile
def test_a_frames_metadata_never_reach_pillow(monkeypatch):
    monkeypatch.setattr(Image.Exif, "load", None)
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG", exif=b"Exif\0\0" * 10_000)
    content = base64.b64encode(buffer.getvalue()).decode()
    assert read_frame(f"data:image/jpeg;base64,{content}").shape == picture().shape


@pytest.mark.parametrize(
    "changes",
    [{"key": ""}, {"key": "k" * 65}, {"key": 3}, {"networks": ["vgg"]}, {"networks": None}]
    + [{"strip": "<b>"}, {"strip": []}, {"networks": [[]]}, {"choice": ["mfn"]}],
)
def test_other_settings_than_the_pages_are_refused(changes):
    with pytest.raises(live.FrameError):
        read_message(message(picture(), **changes))
    for data in (None, [], {"key": "one"}):
        with pytest.raises(live.FrameError):
            read_message(data)


def test_networks_keep_the_pages_order():
    read = read_message(message(picture(), networks=["resnet50", "ddamfn"]))
    assert read.networks == ("ddamfn", "resnet50")


def test_a_face_gets_an_answer_a_box_and_a_strip(mfn):
    frame = picture(("surprise", 120, 400))
    shown = answer_frame(Visitors(Choices(mfn)), message(frame), ENGLISH)
    assert shown["line"].startswith("MFN says surprise (0.") and shown["kind"] == "agree"
    left, top, width, height = shown["box"]
    assert 30 < left + width / 2 < 70 and 20 < top + height / 2 < 80
    assert shown["cards"].count("<img") == 1 and shown["cards"].count("data-network") == 3
    assert shown["strip"].count("<path d=") == 8 and "M100.0 20L100.0" in shown["strip"]
    assert shown["rate"] == "0.0 analysed frames per second"  # after one frame there is no rate


def test_heatmaps_can_be_left_out_and_nothing_is_mirrored_here(mfn):
    visitors, frame = Visitors(Choices(mfn)), picture(("contempt", 120, 400))
    over = answer_frame(visitors, message(frame), ENGLISH)["cards"]
    plain = answer_frame(visitors, message(frame, heat=False), ENGLISH)["cards"]
    assert "Heatmap of this frame" in over and "as the networks are given it" in plain
    assert over.count("fer-gradient") == 1 and "fer-gradient" not in plain
    data = base64.b64decode(re.search('base64,([^"]+)', plain)[1])
    drawn = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    sent = read_frame(data_url(frame))
    found = live.LiveSession(mfn).process(sent).face
    expected = align_face(sent, found.landmarks, live.FACE_SIDE_PX)
    assert np.abs(drawn - expected).mean() < 4
    assert np.abs(drawn[:, ::-1] - expected).mean() > 8


def test_an_empty_frame_gets_the_next_step_and_no_box(mfn):
    shown = answer_frame(Visitors(Choices(mfn)), message(picture()), CHINESE)
    assert shown["line"] == CHINESE("live.no_face") and shown["kind"] == "problem"
    assert shown["box"] is None and "<img" not in shown["cards"]


def test_a_second_face_is_said(mfn):
    both = picture(("happiness", 0, 330), ("anger", 340, 290))
    line = answer_frame(Visitors(Choices(mfn)), message(both), ENGLISH)["line"]
    assert "one more person is in sight" in line


def test_a_network_without_weights_says_so_and_the_others_answer(mfn):
    data = message(picture(("happiness", 120, 400)), networks=["mfn", "resnet50"])
    if "resnet50" in explain_missing(mfn, ["resnet50"]):
        cards = answer_frame(Visitors(Choices(mfn)), data, ENGLISH)["cards"]
        assert "No checkpoint" in cards and cards.count("<img") == 1
    missing = {"resnet50": "<i>gone</i>"}
    read = read_message(data)
    drawn = live.draw_cards(read, face(), {"mfn": answer(fear=0.9)}, missing, ENGLISH)
    assert "&lt;i&gt;gone" in drawn and "fear</strong> 0.90" in drawn


def test_words_are_smoothed_and_the_heatmap_names_what_it_explains():
    track = Track(("surprise", "fear"), np.array([-0.1, 0.0]), np.array([[0.9, 0.1], [0.4, 0.6]]))
    smooth = live.smooth_answer(answer(surprise=1.0), track)
    assert (smooth.expression, smooth.probability, smooth.unsure) == ("fear", 0.6, False)
    card = live.draw_card("mfn", smooth, np.zeros((224, 224, 3), np.uint8), True, ENGLISH)
    assert "fear</strong> 0.60" in card and "Heatmap of this frame for “surprise”" in card


def test_the_line_tells_agreement_disagreement_and_doubt():
    sure, other, unsure = answer(anger=0.8), answer(fear=0.8), answer(fear=0.3, anger=0.25)

    def kind(*answers):
        named = dict(zip(("ddamfn", "mfn"), answers, strict=True))
        return live.describe_frame(face(), named, 0, ENGLISH)

    assert kind(sure, sure)[1] == "agree" and "Both say anger" in kind(sure, sure)[0]
    assert kind(sure, other)[1] == "disagree" and "disagree" in kind(sure, other)[0]
    assert kind(unsure, unsure)[1] == "info" and "None of them is sure" in kind(unsure, unsure)[0]
    assert live.describe_frame(face(), {}, 0, ENGLISH) == ("No network could be run.", "problem")
    assert "3 more people" in live.describe_frame(face(), {"mfn": sure}, 3, ENGLISH)[0]


def test_a_box_is_cut_off_at_the_frames_borders():
    frame = picture()
    assert live.face_box(face(), frame) == [25.0, 25.0, 50.0, 66.67]
    assert live.face_box(face(box=(-64.0, 0.0, 320.0, 960.0)), frame) == [0.0, 0.0, 50.0, 100.0]
    assert live.face_box(None, frame) is None


def test_the_strip_begins_anew_after_a_pause():
    path = live.trace(np.array([-10.0, -9.0, -1.0, 0.0]), np.array([0.0, 1.0, 0.5, 0.25]))
    assert path == ("M0.0 20L0.0 20.0L10.0 0.0L10.0 20zM90.0 20L90.0 10.0L100.0 15.0L100.0 20z")


def test_visitors_have_sessions_of_their_own(mfn):
    visitors, frame = Visitors(Choices(mfn)), picture(("surprise", 120, 400))
    for _ in range(3):
        first = visitors.process(read_message(message(frame, "one")))
    second = visitors.process(read_message(message(frame, "two")))
    assert len(first.tracks["mfn"].times_s) == 3
    assert len(second.tracks["mfn"].times_s) == 1 and second.searched


def test_places_are_few_and_free_again_once_left(mfn):
    visitors = Visitors(Choices(mfn), limit=2, clock=lambda: 0.0)
    for key in ("one", "two"):
        assert "line" in answer_frame(visitors, message(picture(), key), ENGLISH)
    assert answer_frame(visitors, message(picture(), "three"), ENGLISH) == {"state": "busy"}
    assert "line" in answer_frame(visitors, message(picture(), "one"), ENGLISH)
    visitors.leave("two")
    visitors.leave("nobody")
    assert "line" in answer_frame(visitors, message(picture(), "three"), ENGLISH)
    assert len(visitors) == 2


def test_without_any_network_chosen_the_line_says_what_to_do(mfn):
    data = {**message(picture(("surprise", 120, 400))), "networks": []}
    shown = answer_frame(Visitors(Choices(mfn)), data, ENGLISH)
    assert shown["line"] == "Tick at least one network." and shown["box"] is not None


def test_a_frame_is_drawn_as_a_figure_without_a_session(mfn):
    visitors = Visitors(Choices(mfn))
    url = live.draw_frame(visitors, message(picture(("surprise", 120, 400))), CHINESE)
    head, _, data = url.partition(",")
    drawn = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == "data:image/png;base64" and drawn.format == "PNG" and min(drawn.size) > 300
    assert live.draw_frame(visitors, message(picture()), ENGLISH) == ""  # no face
    assert live.draw_frame(visitors, {"key": "one"}, ENGLISH) == ""
    assert len(visitors) == 0


def test_who_only_closed_the_page_makes_room_for_another(mfn):
    seconds = [0.0]
    visitors = Visitors(Choices(mfn), limit=2, clock=lambda: seconds[0])
    for key in ("gone", "here"):
        visitors.process(read_message(message(picture(), key)))
    seconds[0] = 1.9
    visitors.process(read_message(message(picture(), "here")))
    third = read_message(message(picture(), "third"))
    assert visitors.process(third) is None
    seconds[0] = 2.1
    assert visitors.process(third) is not None
    assert len(visitors) == 2
    assert answer_frame(visitors, message(picture(), "gone"), ENGLISH) == {"state": "busy"}


def test_the_last_seconds_are_a_table_while_the_camera_is_on_and_when_it_goes_off(mfn):
    visitors = Visitors(Choices(mfn))
    assert visitors.table("one") == visitors.leave("one") == ""
    data = message(picture(("surprise", 120, 400)))
    tracks = [visitors.process(read_message(data)).tracks["mfn"] for _ in range(2)][-1]
    text = visitors.table("one")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["network"] for row in rows] == ["mfn", "mfn"]
    assert [float(row["seconds"]) for row in rows] == pytest.approx(tracks.times_s, abs=1e-3)
    for index, label in enumerate(tracks.labels):
        column = [float(row[label]) for row in rows]
        assert column == pytest.approx(tracks.probabilities[:, index], abs=1e-6)
    assert visitors.leave("one") == text and visitors.table("one") == ""


def test_a_network_without_an_expression_has_an_empty_cell_for_it():
    times = np.array([-0.1, 0.0])
    few = Track(("fear", "anger"), times, np.array([[0.2, 0.8], [0.7, 0.3]]))
    more = Track(("neutral", "fear"), times[1:], np.array([[0.4, 0.6]]))
    lines = live.write_table({"mfn": few, "resnet50": more}).splitlines()
    assert lines == [
        "network,seconds,neutral,fear,anger",
        "mfn,-0.100,,0.200000,0.800000",
        "mfn,0.000,,0.700000,0.300000",
        "resnet50,0.000,0.400000,0.600000,",
    ]


def test_a_visitors_own_checkpoint_answers_in_a_strip_of_its_own(mfn, saved_mfn):
    visitors = Visitors(Choices(mfn))
    assert visitors.name_choice({}) == ""
    name = visitors.name_choice({"mfn": str(saved_mfn[0])})
    assert str(saved_mfn[0].parent) not in name
    frame = picture(("surprise", 120, 400))
    shared = visitors.process(read_message(message(frame)))
    own = visitors.process(read_message(message(frame, choice=name)))
    assert shared.networks["mfn"].expression != "contempt"
    assert own.networks["mfn"].expression == "contempt"
    assert len(own.tracks["mfn"].times_s) == 1
    back = visitors.process(read_message(message(frame, choice="unknown")))
    assert back.networks["mfn"].expression != "contempt"


def test_the_choice_of_the_models_tab_is_told_to_the_camera(mfn):
    with gr.Blocks() as page:
        choice = gr.State({})
        live.build_live_tab(Choices(mfn), choice, ENGLISH)
    told = next(event for event in page.fns.values() if event.name == "name_choice")
    assert told.inputs == [choice] and told.targets == [(choice._id, "change")]
    assert told.outputs[0].elem_id == "live-choice" and "#live-choice" in live.SCRIPT


def test_a_visitor_who_only_goes_is_forgotten(mfn):
    visitors = Visitors(Choices(mfn), forget_s=0.4)
    visitors.process(read_message(message(picture())))
    assert len(visitors) == 1
    deadline = time.monotonic() + 10
    while len(visitors) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(visitors) == 0
    visitors.process(read_message(message(picture())))  # and may come back
    assert len(visitors) == 1


@pytest.fixture
def held(monkeypatch):
    """Every frame is looked at until the event is set; those that are can be counted."""
    go, entered = threading.Event(), threading.Semaphore(0)
    process = live.LiveSession.process

    def wait(self, frame):
        entered.release()
        assert go.wait(30)
        return process(self, frame)

    monkeypatch.setattr(live.LiveSession, "process", wait)
    yield go, entered
    go.set()


def test_a_second_frame_of_a_visitor_is_turned_away_at_once_and_the_next_answered(mfn, held):
    go, entered = held
    visitors, data, answers = Visitors(Choices(mfn)), message(picture()), []
    first = threading.Thread(target=lambda: answers.append(answer_frame(visitors, data, ENGLISH)))
    first.start()
    assert entered.acquire(timeout=30)
    assert answer_frame(visitors, data, ENGLISH) is None
    go.set()
    first.join()
    assert "line" in answers[0] and "line" in answer_frame(visitors, data, ENGLISH)


def test_few_figures_are_drawn_at_once_and_no_other_waits(mfn, held):
    go, entered = held
    visitors, drawn = Visitors(Choices(mfn)), []
    data = message(picture(("surprise", 120, 400)))
    threads = [
        threading.Thread(target=lambda: drawn.append(live.draw_frame(visitors, data, ENGLISH)))
        for _ in range(live.MAX_DRAWINGS)
    ]
    for thread in threads:
        thread.start()
        assert entered.acquire(timeout=30)
    assert live.draw_frame(visitors, data, ENGLISH) is None
    go.set()
    for thread in threads:
        thread.join()
    assert all(url.startswith("data:image/png") for url in drawn)
    assert live.draw_frame(visitors, {}, ENGLISH) == ""  # and gives its place back
    assert live.draw_frame(visitors, data, ENGLISH)


def test_what_the_browser_says_by_itself_is_there_in_both_languages():
    for words in (ENGLISH, CHINESE):
        stage = live.camera_html(words)
        for state in (*live.PROBLEMS, *live.NOTES):
            assert words(f"live.{state}").replace("'", "&#x27;") in stage
    for state in {*live.PROBLEMS, *live.NOTES} - {"busy"}:  # which the server says
        assert f'"{state}"' in live.SCRIPT or f"texts.{state}" in live.SCRIPT
