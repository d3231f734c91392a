"""The Compare tab's functions, without a browser."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fer_models.analysis import PAGE_NETWORKS, Analyzer, FaceResult, GradCam, NetworkResult
from fer_models.checkpoints import load_card
from fer_models.choice import Choices
from fer_models.explain.cam import METHODS, Target, attribute
from fer_models.faces import Face
from fer_models.ui import html
from fer_models.ui.compare import (
    Look,
    Picture,
    Question,
    Settings,
    View,
    analyze_for_client,
    build_compare_tab,
    choose_face,
    describe_view,
    draw_cards,
    explain_face,
    face_at,
    find_faces,
    read_settings,
    settings_text,
    write_figure,
    write_json,
)
from fer_models.ui.trust import build_trust_tab
from fer_models.words import LANGUAGES, load_words
from tests.conftest import EXAMPLE, SHIPPED

WORDS = load_words("en")
# A Lab face whose chin is raised by 40 degrees, level, and lowered by 40: as it was detected.
RAISED, LEVEL, LOWERED = (
    np.array(points, float)
    for points in (
        [[212, 153], [300, 152], [252, 169], [219, 229], [291, 227]],
        [[210, 219], [304, 222], [253, 274], [216, 329], [294, 329]],
        [[207, 357], [306, 355], [256, 428], [216, 441], [294, 438]],
    )
)
SETTINGS = Settings(
    Question("surprise", "happiness", "layer-cam"), Look("shared", "wipe", 0.25, True), True, 3
)


@pytest.fixture(scope="module")
def view(analyzer):
    picture, _ = find_faces(str(EXAMPLE), WORDS)
    return list(explain_face(analyzer, picture, Question()))[-1]


def test_results_appear_network_by_network(analyzer):
    picture, _ = find_faces(str(EXAMPLE), WORDS)
    steps = [
        [*view.result.networks, *view.unavailable]
        for view in explain_face(analyzer, picture, Question())
    ]
    assert steps == [list(PAGE_NETWORKS[: i + 1]) for i in range(3)]


def test_every_card_has_a_heatmap_with_words_and_all_bars_in_order(view):
    *cards, attention = draw_cards(view, Look(), WORDS)
    for name, card in zip(PAGE_NETWORKS, cards, strict=True):
        if name not in SHIPPED:
            assert "No checkpoint" in card
            continue
        assert card.count("<img") == 1 and 'alt="The face under' in card
        order = [card.index(f">{e}</span>") for e in view.result.networks[name].probabilities]
        assert order == sorted(order)
    assert attention.count("<img") == 4
    assert "head 1" in attention and "fused" in attention


def test_the_line_above_says_what_the_networks_say(view):
    assert "happiness" in describe_view(view, WORDS)


def test_a_network_that_is_missing_is_named_in_its_column(analyzer, monkeypatch):
    lame = Analyzer()

    def refuse(name):
        if name == "mfn":
            from fer_models.checkpoints import CheckpointError

            raise CheckpointError("mfn.safetensors is damaged. Fetch it anew.")
        return analyzer.checkpoint(name)

    monkeypatch.setattr(lame, "checkpoint", refuse)
    picture, _ = find_faces(str(EXAMPLE), WORDS)
    view = list(explain_face(lame, picture, Question()))[-1]
    cards = draw_cards(view, Look(), WORDS)
    assert "damaged" in cards[1] and "<img" in cards[0]
    assert "MFN is not available" in describe_view(view, WORDS)


@pytest.fixture
def without_contempt(analyzer, seven_expressions) -> Analyzer:
    """An MFN that was trained on seven expressions, beside the shipped others."""
    return Choices(analyzer).analyzer({"mfn": str(seven_expressions)})


@pytest.mark.parametrize("question", [Question("contempt"), Question("anger", "contempt")])
def test_a_network_that_does_not_know_an_expression_is_left_out(without_contempt, question):
    picture, _ = find_faces(str(EXAMPLE), WORDS)
    view = list(explain_face(without_contempt, picture, question, WORDS))[-1]
    assert set(view.result.networks) == set(SHIPPED) - {"mfn"}
    assert "MFN was not trained on contempt" in draw_cards(view, Look(), WORDS)[1]


@pytest.fixture
def events(analyzer) -> dict:
    """The tab's own functions, by name."""
    with gr.Blocks() as page:
        build_compare_tab(Choices(analyzer), gr.State({}), WORDS)
    return {event.name: event.fn for event in page.fns.values()}


def test_a_picture_that_was_deleted_is_said_and_takes_its_results_away(events):
    values = [*asdict(Question()).values(), *asdict(Look()).values()]
    nothing_yet = list(events["explain"](None, [0, 0, False], {}, *values))
    assert nothing_yet == [[gr.skip()] * len(nothing_yet[0])]
    ((view, line, *cards, json_button, figure_button),) = events["explain"](
        None, [1, 0, True], {}, *values
    )
    assert "was deleted" in line and view is None and "<img" not in "".join(cards)
    assert not json_button["interactive"] and not figure_button["interactive"]


def test_a_network_without_the_expression_ends_the_checks_of_trust_in_words(without_contempt):
    class Chosen:
        """Stands for `Choices`."""

        def analyzer(self, chosen):
            return without_contempt

    with gr.Blocks() as page:
        compare = build_compare_tab(Chosen(), gr.State({}), WORDS)
        build_trust_tab(Chosen(), gr.State({}), WORDS, compare)
    run = next(event.fn for event in page.fns.values() if event.name == "run")
    picture, _ = find_faces(str(EXAMPLE), WORDS)
    *_, (line, *_, start, stop) = run(picture, {}, "mfn", "contempt", "grad-cam", [0, 0])
    assert "fer-problem" in line and "contempt" in line
    assert start["interactive"] and not stop["interactive"]


@pytest.mark.parametrize(("target", "face_crop"), [(["happiness"], False), ("anger", "false")])
def test_a_clients_odd_values_are_refused_in_words(analyzer, target, face_crop):
    with pytest.raises(gr.Error, match="target|face_crop"):
        analyze_for_client(analyzer, str(EXAMPLE), WORDS, target, face_crop)


def write(folder: Path, name: str) -> Path:
    file = folder / name
    if name == "text.jpg":
        file.write_text("no picture")
    elif name == "one-pixel.png":
        Image.new("RGB", (1, 1)).save(file)
    else:
        Image.fromarray(np.full((300, 300, 3), 60, np.uint8)).save(file)
    return file


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.jpg", "not a picture"),
        ("one-pixel.png", "No face was found"),
        ("grey.png", "cut-out face"),
    ],
)
def test_what_cannot_be_explained_gets_a_notice_with_the_next_step(tmp_path, name, message):
    picture, notice = find_faces(str(write(tmp_path, name)), WORDS)
    assert picture is None or picture.faces == []
    assert message in notice and "fer-problem" in notice


def test_text_from_outside_cannot_become_html():
    assert "<script>" not in html.notice("<script>alert(1)</script>")
    assert "<script>" not in html.empty_card("mfn", "<script>")


def made_view(face: Face, method: str = "grad-cam", minus: str | None = None) -> View:
    """A view without any network: made-up answers whose maps reach 1, 2 and 4 at one cell."""
    values = np.zeros((7, 7))
    values[3, 3] = 1
    networks = {
        name: NetworkResult(
            "surprise",
            {"surprise": 0.9, "happiness": 0.1},
            GradCam("surprise", values * 2**step, method, minus),
            None,
            0.0,
        )
        for step, name in enumerate(PAGE_NETWORKS)
    }
    image = np.full((120, 120, 3), 90, np.uint8)
    crop = np.full((112, 112, 3), 90, np.uint8)
    return View(Picture(image, [face]), FaceResult(face, crop, networks), {})


def made_face(box=(10.0, 10.0, 110.0, 110.0), landmarks=None, source="detected") -> Face:
    usual = np.array([[45, 50], [75, 50], [60, 65], [48, 80], [72, 80]], float)
    return Face(box, usual if landmarks is None else landmarks, 0.99, source)


def test_of_overlapping_faces_the_smallest_under_the_point_is_meant():
    boxes = [(0, 0, 100, 100), (40, 40, 80, 80), (60, 60, 70, 70)]
    picture = Picture(np.zeros((120, 120, 3), np.uint8), [made_face(box) for box in boxes])
    points = [(65, 65), (50, 50), (10, 10), (110, 50), (50, 110), (100, 100)]
    assert [face_at(picture, *point) for point in points] == [2, 1, 0, None, None, 0]


def test_a_face_is_chosen_by_its_number_where_there_is_one():
    picture = Picture(np.zeros((120, 120, 3), np.uint8), [made_face()] * 3)
    assert [choose_face(picture, number).chosen for number in (1, 3, 4)] == [0, 2, 0]


def test_on_a_shared_scale_all_cards_state_one_maximum():
    view = made_view(made_face())
    own, shared = (
        [card.partition("fer-gradient")[2] for card in draw_cards(view, Look(scale), WORDS)[:3]]
        for scale in ("own", "shared")
    )
    for card, value in zip(own, (1, 2, 4), strict=True):
        assert f"<span>{value} logits</span>" in card
    assert all("<span>4 logits</span>" in card for card in shared)


def test_on_a_shared_scale_a_weaker_map_is_darker():
    view = made_view(made_face())
    weak, _, strong = draw_cards(view, Look("shared", cells=True), WORDS)[:3]
    weak_own, _, strong_own = draw_cards(view, Look("own", cells=True), WORDS)[:3]
    picture = 'src="data:'
    assert weak_own.split(picture)[1][:5000] != weak.split(picture)[1][:5000]
    assert strong_own == strong


def test_the_wipe_shows_the_face_and_the_heat_under_a_handle():
    for view, pictures, handles in (("over", 1, 0), ("beside", 2, 0), ("wipe", 2, 1)):
        card = draw_cards(made_view(made_face()), Look(view=view), WORDS)[0]
        assert (card.count("<img"), card.count('type="range"')) == (pictures, handles)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("method", METHODS)
def test_the_caption_speaks_of_the_answer_only_where_the_method_looks_at_it(method, language):
    words = load_words(language)
    for minus in (None, "happiness"):
        cam = GradCam("surprise", np.eye(7), method, minus)
        alt, about = html.describe_heatmap("mfn", cam, words)
        assert "MFN" in alt and "MFN" in about
        for name in filter(None, (cam.target, minus)):
            is_named = words.expression(name) in alt, words.expression(name) in about
            assert is_named == (method != "eigen-cam",) * 2
    if language == "en":
        assert ("would change most" in about) == (method != "eigen-cam")


@pytest.mark.parametrize("method", METHODS)
def test_only_maps_that_grow_with_the_logit_are_given_in_logits(method):
    torch.manual_seed(0)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3, bias=False))
    features = torch.rand(1, 6, 7, 7)
    once = attribute(head, features, [Target(1)], method)
    with torch.no_grad():
        head[2].weight *= 2
    twice = attribute(head, features, [Target(1)], method)
    unit = html.heat_unit(method, WORDS)
    assert (unit == "logits") == np.allclose(twice, 2 * once, rtol=1e-4)
    assert unit in ("logits", "")
    bar = html.color_bar(1.5, unit=unit)
    assert f"<span>{'1.5 logits' if unit else '1.5'}</span>" in bar
    assert "-0" not in html.color_bar(-0.0)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_see_what_the_legend_says(name):
    preprocessing = load_card(name).preprocessing
    assert preprocessing.grey and preprocessing.detail_px == 48
    for text in (html.heat_legend(WORDS), WORDS("play.about")):
        assert "networks shipped with this page" in text and "grey" in text and "48" in text


def test_a_small_face_is_said():
    assert "The face is small" in describe_view(made_view(made_face((10, 10, 50, 57))), WORDS)
    assert "The face is small" not in describe_view(made_view(made_face((10, 10, 50, 58))), WORDS)
    crop = made_face((10, 10, 50, 50), source="face-crop")
    assert "The face is small" not in describe_view(made_view(crop), WORDS)


@pytest.mark.parametrize(
    ("landmarks", "is_turned"),
    [
        (LEVEL, False),
        (RAISED, True),
        (LOWERED, True),
        (LEVEL[:, ::-1] * [1, -1], True),  # lying on the side
        (LEVEL + [[0, 0], [0, 0], [60, 0], [0, 0], [0, 0]], True),
        (np.ones((5, 2)), True),
    ],
)
def test_an_extreme_pose_is_said(landmarks, is_turned):
    assert made_face(landmarks=landmarks).is_turned == is_turned
    if len(np.unique(landmarks)) > 1:
        text = describe_view(made_view(made_face(landmarks=landmarks)), WORDS)
        assert ("turned or tilted" in text) == is_turned


def test_a_level_face_may_be_tilted_a_little():
    for angle_deg, is_turned in ((20, False), (-20, False), (40, True), (-40, True)):
        cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
        tilted = LEVEL @ np.array([[cosine, -sine], [sine, cosine]]).T
        assert made_face(landmarks=tilted).is_turned == is_turned


def test_settings_come_back_as_they_were():
    for settings in (SETTINGS, Settings()):
        assert read_settings(settings_text(settings), WORDS) == settings


def test_settings_from_before_faces_were_in_them_still_load():
    values = json.loads(settings_text(SETTINGS))
    del values["face_crop"], values["face"]
    restored = read_settings(json.dumps(values), WORDS)
    assert restored == replace(SETTINGS, face_crop=False, face=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("target", "boredom"),
        ("minus", "boredom"),
        ("method", "saliency"),
        ("scale", None),
        ("view", "inside"),
        ("strength", float("nan")),
        ("strength", 1.5),
        ("cells", "yes"),
        ("face_crop", "no"),
        ("face", 0),
        ("face", 1.5),
        ("face", True),
    ],
)
def test_a_setting_that_is_not_known_is_named(key, value):
    values = {**json.loads(settings_text(SETTINGS)), key: value}
    with pytest.raises(ValueError, match=f"The setting {key} has a value"):
        read_settings(json.dumps(values), WORDS)


@pytest.mark.parametrize(
    "text", ["", "none", "[]", "3", '{"target": "fear"}', "[" * 100_000, '{"strength": "much"}']
)
def test_what_are_no_settings_is_refused(text):
    with pytest.raises(ValueError, match="not a copy of the settings"):
        read_settings(text, WORDS)


def test_the_downloads_hold_the_contrast_and_look_as_the_page(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    view = made_view(made_face(), minus="happiness")
    face = json.loads(Path(write_json(view)).read_text())["faces"][0]
    assert face["networks"]["mfn"]["gradcam"]["minus"] == "happiness"

    def drawn(look: Look) -> bytes:
        return Path(write_figure(view, look, WORDS)).read_bytes()

    usual = drawn(Look())
    assert drawn(Look(view="wipe")) == usual
    for look in (Look("shared"), Look(strength=0.2), Look(cells=True), Look(view="beside")):
        assert drawn(look) != usual
