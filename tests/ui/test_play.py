"""The Play tab's functions, without a browser."""

import json
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from fer_models.analysis import PAGE_NETWORKS
from fer_models.choice import Choices
from fer_models.manipulation import Changes
from fer_models.ui.compare import find_faces
from fer_models.ui.picture import read_controls, slider
from fer_models.ui.play import (
    REGIONS,
    Played,
    describe_play,
    draw_cards,
    is_covered,
    meet_face,
    name_changes,
    play,
    read_mask,
    toggle_region,
    unchanged,
    write_figure,
    write_json,
    write_mask,
    write_png,
)
from fer_models.words import load_words
from tests.conftest import EXAMPLE, SHIPPED

WORDS = load_words("en")
BARE = read_mask("")


@pytest.fixture(scope="module")
def choices(analyzer):
    return Choices(analyzer)


@pytest.fixture(scope="module")
def face(choices):
    return meet_face(choices, {}, find_faces(str(EXAMPLE), WORDS)[0])


def region(*names: str) -> np.ndarray:
    mask = BARE
    for name in names:
        mask = toggle_region(mask, name)
    return mask


def named(mask: np.ndarray, **changes) -> str:
    return name_changes(Played(Changes(**changes), mask, np.zeros((336, 336, 3)), {}), WORDS)


def test_a_cover_survives_the_way_to_the_brush_and_back():
    mask = np.random.default_rng(0).random((112, 112)) < 0.5
    np.testing.assert_array_equal(read_mask(write_mask(mask)), mask)
    assert write_mask(BARE) == "" and not BARE.any()


def test_the_first_digit_is_the_first_four_cells_of_the_first_row():
    mask = BARE.copy()
    mask[0, 0] = mask[0, 3] = mask[111, 111] = True
    text = write_mask(mask)
    assert text[0] == "9" and text[-1] == "1" and len(text) == 112 * 112 // 4


@pytest.mark.parametrize("text", ["00", "zz", "0" * 40_000])
def test_what_is_no_cover_is_refused(text):
    with pytest.raises(ValueError):
        read_mask(text)


@pytest.mark.parametrize("name", REGIONS)
def test_a_region_is_covered_and_uncovered_by_the_same_button(name):
    once = toggle_region(BARE, name)
    assert is_covered(once, name) and once.any()
    assert not toggle_region(once, name).any()


def test_the_regions_lie_on_the_landmarks_of_every_aligned_face():
    from fer_models.faces import TEMPLATE

    left_eye, right_eye, nose, *corners = TEMPLATE.round().astype(int)
    eyes, mouth = region("eyes"), region("mouth")
    assert all(eyes[y, x] and not mouth[y, x] for x, y in (left_eye, right_eye))
    assert all(mouth[y, x] and not eyes[y, x] for x, y in corners)
    assert not eyes[nose[1], nose[0]] and not mouth[nose[1], nose[0]]


def test_what_was_done_is_named():
    assert named(region("mouth")) == "the mouth covered"
    assert named(region("eyes"), mirror=True) == "the eyes covered, left and right exchanged"
    assert named(BARE, brightness=0.5, blur_px=2.0) == "brightness × 0.5, blur of 2 pixels"
    assert named(region("left", "right")) == "everything covered"
    painted = BARE.copy()
    painted[:28, :28] = True
    assert named(painted) == "6% of the picture covered by hand"


def test_nothing_changed_says_what_to_do(face):
    text = describe_play(face, unchanged(face), WORDS)
    assert "Nothing is changed yet" in text and "happiness" in text


def test_a_reset_face_gets_the_answers_it_had(choices, face):
    again = play(choices, face, Changes(), BARE)
    assert not again.changed
    np.testing.assert_array_equal(again.large, face.large)
    for name in SHIPPED:
        assert again.after[name].probabilities == pytest.approx(
            face.before[name].probabilities, abs=1e-5
        )


def test_a_covered_smile_is_less_sure(choices, face):
    played = play(choices, face, Changes(), region("mouth"))
    assert set(played.after) == set(face.before) == set(SHIPPED)
    for name in SHIPPED:
        before, after = face.before[name], played.after[name]
        assert after.probabilities["happiness"] < before.probabilities["happiness"]
    rows, columns = (slice(3 * r.start, 3 * r.stop) for r in REGIONS["mouth"])
    assert (played.large[rows, columns] == 128).all()
    text = describe_play(face, played, WORDS)
    assert "With the mouth covered: DDAMFN " in text
    was, now = (r["ddamfn"].probabilities["happiness"] for r in (face.before, played.after))
    assert f"{was:.2f} → {now:.2f}" in text


def test_a_card_shows_now_and_before(choices, face):
    played = play(choices, face, Changes(mirror=True), region("left"))
    for name, card in zip(PAGE_NETWORKS, draw_cards(face, played, 0.5, WORDS), strict=True):
        if name not in SHIPPED:
            assert "No checkpoint" in card
            continue
        before, after = face.before[name], played.after[name]
        assert f"before: {before.expression} {before.probability:.2f}" in card
        assert f"<strong>{after.expression}</strong> {after.probability:.2f}" in card
        assert card.count('fer-mark"') == 8 and card.count("<img") == 1
        assert f"<span>{after.gradcam.max:.2g} logits</span>" in card


def test_an_emptied_field_changes_nothing():
    with gr.Blocks():
        for value, handed_on in ((None, None), (0.5, 0.5)):
            assert slider(0, 1, value=0.2).preprocess(value) == handed_on
    values = (None, 1.5, None, None, False, "grey")
    assert read_controls(Changes, values) == Changes(contrast=1.5)


def test_the_files_hold_what_is_shown(choices, face):
    played = play(choices, face, Changes(rotation_deg=20.0), region("mouth"))
    np.testing.assert_array_equal(np.asarray(Image.open(write_png(face, played))), played.large)
    report = json.loads(Path(write_json(face, played)).read_text())
    assert report["changes"]["rotation_deg"] == 20 and report["covered_regions"] == ["mouth"]
    np.testing.assert_array_equal(read_mask(report["mask_112x112_hex"]), region("mouth"))
    with Image.open(write_figure(played, 0.5, WORDS)) as figure:
        assert min(figure.size) > 600
    for name in SHIPPED:
        after = played.after[name]
        assert report["after"][name]["expression"] == after.expression
        assert report["before"][name]["probabilities"] != report["after"][name]["probabilities"]
