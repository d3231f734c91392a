"""The Lab tab's functions, without a browser."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_models.analysis import PAGE_NETWORKS
from fer_models.checkpoints import CheckpointError
from fer_models.expressions import EXPRESSIONS
from fer_models.lab import ACTIONS, FaceParameters
from fer_models.lab.experiments import Ablation, Sweep
from fer_models.lab.measure import Claim
from fer_models.lab.render import render_face
from fer_models.ui import lab
from fer_models.ui.figure1 import row_name
from fer_models.ui.page import build_page
from tests.conftest import SHIPPED

SMILE = FaceParameters(3).with_expression("happiness", 0.8)


@pytest.fixture(autouse=True)
def downloads(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "make_download_folder", lambda: tmp_path)


def test_every_action_has_words_and_a_slider():
    words = [lab.action_label(action) for action in ACTIONS]
    assert len(set(words)) == len(ACTIONS) == 52
    assert lab.action_label("mouthSmileLeft") == "Lip corners up (AU12), left"
    assert lab.action_label("mouthSmileLeft", both=True) == "Lip corners up (AU12)"


def test_under_the_lock_one_slider_moves_a_pair():
    assert lab.set_control("mouthSmileLeft", FaceParameters(), True, 0.4).actions == {
        "mouthSmileLeft": 0.4,
        "mouthSmileRight": 0.4,
    }
    assert lab.set_control("mouthSmileLeft", FaceParameters(), False, 0.4).actions == {
        "mouthSmileLeft": 0.4
    }
    assert lab.set_control("yaw_deg", FaceParameters(), True, 12).yaw_deg == 12
    assert lab.set_control("jawOpen", SMILE, True, None) == SMILE


def test_the_lock_keeps_the_subjects_left_and_nothing_sideways():
    face = FaceParameters().with_actions(mouthSmileLeft=0.6, browDownRight=0.5, jawLeft=0.7)
    assert lab.lock_sides(face).actions == {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}
    shown = [a for a in ACTIONS if lab.is_shown(a, True)]
    assert "mouthSmileLeft" in shown and "mouthSmileRight" not in shown and "jawLeft" not in shown
    assert all(lab.is_shown(a, False) for a in ACTIONS)


def test_contempt_alone_of_the_recipes_opens_the_lock():
    uneven = [
        e
        for e in EXPRESSIONS
        if (face := FaceParameters().with_expression(e)) != lab.lock_sides(face)
    ]
    assert uneven == ["contempt"]


def test_saved_parameters_give_the_same_pixels():
    face = SMILE.with_actions(jawOpen=0.1234567)
    loaded = lab.read_json(lab.write_json(face, "happiness"))
    assert loaded == face
    picture = np.asarray(Image.open(lab.write_png(loaded, "happiness")))
    np.testing.assert_array_equal(picture, render_face(face))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no json", "no valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"smile": 1}', "Unknown parameter smile"),
        (b'{"actions": {"jawOpen": 7}}', "jawOpen is 7; give a number from 0 to 1"),
        (b'{"actions": {"jawOpen": NaN}}', "give a number"),
        (b"\xff\xfe\x00", "is no text"),
        (b"[" * 99_000, "face"),
        (b" " * 200_000, "too large"),
    ],
)
def test_bad_parameters_get_a_message_that_names_the_file(tmp_path, content, message):
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="bad.json") as error:
        lab.read_json(str(file))
    assert message in str(error.value)


def test_a_files_name_gives_figure_1_its_rows_name():
    assert row_name(Path(lab.write_png(SMILE, "happiness"))) == "happiness"
    assert row_name(Path(lab.write_png(FaceParameters(), None))) == "neutral"
    assert row_name(Path(lab.write_png(SMILE, None))).startswith("lab-face")


def test_figure_1_takes_no_more_than_it_can_draw():
    assert lab.add_row("b", ["a"]) == ["a", "b"]
    assert lab.add_row("a", None) == ["a"]
    assert len(lab.add_row("a", ["b"] * 24)) == 24


def test_the_face_is_drawn_with_words_for_those_who_do_not_see_it():
    tag = lab.show_face(SMILE)
    assert "A drawn face, Devi" in tag and "lip corners up" in tag
    assert lab.show_face(FaceParameters()) != tag


def test_three_cards_have_all_bars_and_heatmaps_only_on_demand(analyzer):
    line, *cards = lab.measure(analyzer, SMILE)
    assert "fer-notice" in line
    for name, card in zip(PAGE_NETWORKS, cards, strict=True):
        if name not in SHIPPED:
            assert "fer-empty" in card
            continue
        assert "<img" not in card
        order = [card.index(f">{e}</span>") for e in EXPRESSIONS]
        assert order == sorted(order)
    drawn = "".join(lab.measure(analyzer, SMILE, heatmaps=True)[1:])
    assert drawn.count("<img") == len(SHIPPED)


def test_a_view_without_a_face_asks_to_turn_the_head(analyzer, monkeypatch):
    monkeypatch.setattr(lab, "find_face", lambda image: None)
    line, *cards = lab.measure(analyzer, SMILE)
    assert "fer-problem" in line and "Turn the head" in line
    assert all("fer-empty" in card for card in cards)


class Lame:
    """An analyzer none of whose networks can be loaded."""

    def checkpoint(self, name):
        raise CheckpointError(f"{name} is damaged. Fetch it anew.")


def no_progress(*args, **kwargs):
    pass


def test_without_networks_the_experiments_say_why():
    notice, picture = lab.make_tuning_curve(Lame(), SMILE, "jawOpen", True, no_progress)
    assert "damaged" in notice and picture is None
    assert "damaged" in lab.rank_actions(Lame(), SMILE, "happiness", no_progress)[0]


def test_a_face_at_rest_has_no_action_to_take_away():
    line, *_ = lab.rank_actions(Lame(), FaceParameters(), "happiness", no_progress)
    assert "at rest" in line and "fer-problem" in line


def ramp(low: str, high: str, missing: int = 0) -> Sweep:
    """The answer goes from one expression to another in five steps; the last may lack a face."""
    values = np.linspace(0, 1, 5)
    probabilities = np.zeros((5, 8))
    probabilities[:, EXPRESSIONS.index(low)] = 1 - values
    probabilities[:, EXPRESSIONS.index(high)] = values
    probabilities[5 - missing :] = np.nan
    faces = tuple(FaceParameters().with_actions(jawOpen=v) for v in values)
    return Sweep("jawOpen", values, faces, probabilities)


def test_the_curve_shows_every_expression_for_every_network_and_five_faces():
    sweeps = {"ddamfn": ramp("neutral", "surprise"), "mfn": ramp("neutral", "fear", missing=1)}
    figure = lab.draw_tuning_curve(sweeps, "jaw")
    panels, faces = figure.axes[:2], figure.axes[2:]
    assert [len(p.lines) for p in panels] == [8, 8]
    assert [line.get_color() for line in panels[0].lines] == list(lab.EXPRESSION_COLORS.values())
    assert [p.get_title(loc="left") for p in panels] == ["DDAMFN", "MFN"]
    assert [f.get_xlabel() for f in faces] == ["0", "0.25", "0.5", "0.75", "1"]
    assert "no face" in " ".join(t.get_text() for t in panels[1].texts)
    # Every face lies under its own value, so the picture can be read straight down.
    figure.canvas.draw()
    for face, value in zip(faces, ramp("neutral", "fear").values, strict=True):
        under = face.get_window_extent()
        assert (under.x0 + under.x1) / 2 == pytest.approx(
            panels[-1].transData.transform((value, 0))[0], abs=2
        )


def test_the_curve_in_words_says_where_the_answer_changes():
    text = lab.describe_sweep({"mfn": ramp("neutral", "surprise")}, "jawOpen")
    assert text == "MFN: neutral, surprise from 0.75."
    text = lab.describe_sweep({"mfn": ramp("fear", "fear", missing=5)}, "jawOpen")
    assert "no face was found" in text


def claim(change: float) -> Claim:
    shares = {"brows": 0.1, "eyes": 0.1, "nose": 0.2, "mouth": 0.5, "jaw": 0.0}
    ablation = Ablation(
        1,
        (("mouthSmileLeft", "mouthSmileRight"),),
        np.full(8, 0.9),
        np.zeros((1, 8)),
        np.array([change]),
    )
    return Claim(shares, shares, ablation)


def test_the_one_number_counts_the_networks_whose_heatmap_agrees():
    text = lab.describe_claims({"mfn": claim(0.5), "ddamfn": claim(0.0)}, "happiness")
    assert text.startswith("1 of 1") and "In the others" in text
    assert "nothing to compare" in lab.describe_claims({"mfn": claim(0.0)}, "happiness")


def test_a_card_says_what_happens_without_the_action():
    card = lab.claim_card("mfn", claim(0.5))
    assert "Lip corners up (AU12)" in card and "−0.50" in card and "They agree." in card
    assert "+0.30" in lab.claim_card("mfn", claim(-0.3))


def test_nothing_of_the_lab_is_open_to_clients_and_nothing_claims_to_see_emotions():
    config = build_page(Lame()).get_config_file()
    public = [d["api_name"] for d in config["dependencies"] if d["api_visibility"] == "public"]
    assert public == ["analyze"]
    assert "emotion detected" not in json.dumps(config, default=str).lower()
