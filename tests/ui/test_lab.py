"""The Lab tab's functions, without a browser."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import gradio as gr
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fer_models.analysis import PAGE_NETWORKS
from fer_models.checkpoints import CheckpointError
from fer_models.choice import Choices
from fer_models.expressions import EXPRESSIONS
from fer_models.lab import ACTIONS, FaceParameters
from fer_models.lab.experiments import Ablation, Sweep
from fer_models.lab.measure import Claim, NoFaceError
from fer_models.lab.render import render_face
from fer_models.ui import lab, lab_curve, lab_experiments, lab_face
from fer_models.ui.figure1 import add_row, row_name
from fer_models.ui.page import build_page
from fer_models.words import LANGUAGES, load_words
from tests.conftest import SHIPPED

ENGLISH, CHINESE = load_words("en"), load_words("zh")
SMILE = FaceParameters(3).with_expression("happiness", 0.8)


@pytest.fixture(autouse=True)
def downloads(tmp_path, monkeypatch):
    for module in (lab, lab_experiments):
        monkeypatch.setattr(module, "make_download_folder", lambda: tmp_path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_action_has_words_of_its_own_and_no_word_is_left_over(language):
    words = load_words(language)
    labels = [lab_face.action_label(action, words) for action in ACTIONS]
    assert len(set(labels)) == len(ACTIONS) == 52
    used = {lab_face.action_label(action, words, both=True) for action in ACTIONS}
    assert used == set(words.section("lab_actions").values())


def test_an_actions_label_names_its_side_unless_both_move():
    assert lab_face.action_label("mouthSmileLeft", ENGLISH) == "Lip corners up (AU12), left"
    assert lab_face.action_label("mouthSmileLeft", ENGLISH, both=True) == "Lip corners up (AU12)"
    assert lab_face.action_label("mouthSmileRight", CHINESE) == "嘴角上扬（AU12），右侧"


def test_under_the_lock_one_slider_moves_a_pair():
    assert lab.set_control("mouthSmileLeft", FaceParameters(), True, 0.4).actions == {
        "mouthSmileLeft": 0.4,
        "mouthSmileRight": 0.4,
    }
    assert lab.set_control("mouthSmileLeft", FaceParameters(), False, 0.4).actions == {
        "mouthSmileLeft": 0.4
    }
    assert lab.set_control("yaw_deg", FaceParameters(), True, 12).yaw_deg == 12
    assert lab.set_control("identity", FaceParameters(), True, 4).identity == 4
    assert lab.set_control("jawOpen", SMILE, True, None) == SMILE


def test_the_lock_keeps_the_subjects_left_and_nothing_sideways():
    face = FaceParameters().with_actions(mouthSmileLeft=0.6, browDownRight=0.5, jawLeft=0.7)
    assert lab.lock_sides(face).actions == {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}
    shown = [a for a in ACTIONS if lab_face.is_shown(a, True)]
    assert "mouthSmileLeft" in shown and "mouthSmileRight" not in shown and "jawLeft" not in shown
    assert all(lab_face.is_shown(a, False) for a in ACTIONS)


def test_contempt_alone_of_the_recipes_opens_the_lock():
    uneven = [
        e
        for e in EXPRESSIONS
        if (face := FaceParameters().with_expression(e)) != lab.lock_sides(face)
    ]
    assert uneven == ["contempt"]


def test_saved_parameters_give_the_same_pixels():
    face = SMILE.with_actions(jawOpen=0.1234567)
    loaded = lab.read_json(lab.write_json(face, "happiness"), ENGLISH)
    assert loaded == face
    picture = np.asarray(Image.open(lab.write_png(loaded, "happiness")))
    np.testing.assert_array_equal(picture, render_face(face))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no json", "no valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"smile": 1}', "Unknown parameter 'smile'"),
        (b'{"yaw_deg": 1' + b"0" * 400 + b"}", "give a number from -60 to 60"),
        (b'{"yaw_deg": 1' + b"0" * 4400 + b"}", "too long to be read"),
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
        lab.read_json(str(file), ENGLISH)
    assert message in str(error.value)
    with pytest.raises(ValueError, match="bad.json ") as error:
        lab.read_json(str(file), CHINESE)
    sentence = re.sub(r"'.*?'|[(（].*?[)）]|bad.json", "", str(error.value))
    assert not re.search("[a-zA-Z]{3,} [a-zA-Z]{2,}", sentence), "an English sentence"


def test_a_face_of_a_recipe_is_recognised_by_its_actions():
    for expression in EXPRESSIONS[1:]:
        for strength in (0.01, 0.37, 0.8, 1.0):
            face = FaceParameters(2, yaw_deg=9).with_expression(expression, strength)
            assert lab.recognise_recipe(face) == (expression, strength)
    assert lab.recognise_recipe(FaceParameters()) == ("neutral", 1.0)
    assert lab.recognise_recipe(SMILE.with_actions(jawOpen=0.1)) == (None, 1.0)
    assert lab.recognise_recipe(SMILE.with_actions(cheekSquintLeft=0.81)) == (None, 1.0)


def test_a_files_name_gives_figure_1_its_rows_name():
    def name(file):
        return row_name(Path(file), 1, ENGLISH)

    assert name(lab.write_png(SMILE, "happiness")) == "happiness"
    assert name(lab.write_png(FaceParameters(), None)) == "neutral"
    assert name(lab.write_png(SMILE, None)).startswith("lab-face")


def test_figure_1_takes_no_more_than_it_can_draw():
    assert add_row("b", ["a"]) == ["a", "b"]
    assert add_row("a", None) == ["a"]
    assert len(add_row("a", ["b"] * 24)) == 24 - 7


def test_the_face_is_drawn_with_words_for_those_who_do_not_see_it():
    tag = lab.show_face(SMILE, ENGLISH)
    assert "A drawn face, Devi" in tag and "Lip corners up" in tag
    assert lab.show_face(FaceParameters(), ENGLISH) != tag
    assert "嘴角上扬" in lab.show_face(SMILE, CHINESE)


def test_three_cards_have_all_bars_and_heatmaps_only_on_demand(analyzer):
    line, *cards = lab.measure(analyzer, SMILE, False, ENGLISH)
    assert "fer-notice" in line
    for name, card in zip(PAGE_NETWORKS, cards, strict=True):
        if name not in SHIPPED:
            assert "fer-empty" in card and "is not available" in card
            continue
        assert "<img" not in card
        order = [card.index(f">{e}</span>") for e in EXPRESSIONS]
        assert order == sorted(order)
    drawn = "".join(lab.measure(analyzer, SMILE, True, CHINESE)[1:])
    assert drawn.count("<img") == drawn.count("亮：如果这些区域改变") == len(SHIPPED)
    answers = lab.ask(analyzer, SMILE).faces[0].networks
    cards = lab.measure(analyzer, SMILE, True, ENGLISH)[1:]
    for name, card in zip(PAGE_NETWORKS, cards, strict=True):
        if name in SHIPPED:
            assert f"<span>{answers[name].gradcam.max:.2g} logits</span>" in card


def test_a_view_without_a_face_asks_to_turn_the_head(analyzer, monkeypatch):
    monkeypatch.setattr(lab, "find_face", lambda image: None)
    line, *cards = lab.measure(analyzer, SMILE, False, ENGLISH)
    assert "fer-problem" in line and "Turn the head" in line
    assert all("fer-empty" in card for card in cards)
    record = json.loads(Path(lab.write_answers(analyzer, SMILE)).read_text())
    assert record["networks"] == {}
    with pytest.raises(gr.Error, match="Turn the head"):
        lab.write_figure(analyzer, SMILE, None, ENGLISH)


def test_the_answers_file_holds_the_face_and_what_every_card_shows(analyzer):
    file = Path(lab.write_answers(analyzer, SMILE, "happiness"))
    assert file.name == "happiness_Devi_answers.json"
    record = json.loads(file.read_text())
    assert FaceParameters.from_json(json.dumps(record["face"])) == SMILE
    assert tuple(record["networks"]) == SHIPPED
    cards = lab.measure(analyzer, SMILE, False, ENGLISH)[1:]
    for name, card in zip(PAGE_NETWORKS, cards, strict=True):
        if name in SHIPPED:
            answer = record["networks"][name]
            assert all(f"{p:.2f}" in card for p in answer["probabilities"].values())
            assert np.shape(answer["gradcam"]["values"]) == (7, 7)


def test_the_answers_figure_is_drawn_in_the_pages_language(analyzer, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        lab,
        "draw_analysis",
        lambda crop, networks, words: drawn.append((networks, words)) or Figure(),
    )
    file = Path(lab.write_figure(analyzer, SMILE, "happiness", ENGLISH))
    assert file.name == "happiness_Devi_answers.png" and Image.open(file).size[0] > 100
    ((networks, words),) = drawn
    assert tuple(networks) == SHIPPED and words is ENGLISH


def test_the_visitors_own_checkpoint_answers_in_its_networks_card(analyzer, saved_mfn):
    choices = Choices(analyzer)
    own = lab.measure(choices.analyzer({}), SMILE, False, ENGLISH)
    chosen = lab.measure(choices.analyzer({"mfn": str(saved_mfn[0])}), SMILE, False, ENGLISH)
    changed = [a != b for a, b in zip(own[1:], chosen[1:], strict=True)]
    assert changed == [name == "mfn" for name in PAGE_NETWORKS]
    assert "contempt" in chosen[2].split("fer-bars")[0]


def test_every_question_of_the_lab_is_put_to_the_visitors_own_checkpoints():
    asked = []

    class Recorder:
        """Stands for `Choices`."""

        def analyzer(self, chosen):
            asked.append(chosen)
            raise LookupError

    with gr.Blocks() as page, gr.Tab("Lab") as tab:
        choice = gr.State({"mfn": "mine"})
        lab.build_lab_tab(Recorder(), choice, ENGLISH, tab)
    # An experiment's "forget" only compares what is asked now with what was asked.
    questions = [f for f in page.fns.values() if choice in f.inputs and f.name != "forget"]
    assert {f.name for f in questions} == {
        "answer",
        "write_answers_file",
        "write_figure_file",
        "begin",
    }
    assert sum(f.name == "begin" for f in questions) == 2  # of both experiments
    for question in questions:
        with pytest.raises(LookupError):
            list(question.fn(*(component.value for component in question.inputs)))
    assert asked == [{"mfn": "mine"}] * len(questions)


class Lame:
    """An analyzer none of whose networks can be loaded."""

    def checkpoint(self, name):
        raise CheckpointError(f"{name} is damaged. Fetch it anew.")


class Trained:
    """An analyzer of which nothing is known but each network's labels."""

    def __init__(self, **labels):
        self.labels = labels

    def checkpoint(self, name):
        if name not in self.labels:
            raise CheckpointError(f"{name} is missing.")
        return SimpleNamespace(card=SimpleNamespace(labels=self.labels[name]))


def test_without_networks_the_experiments_say_so():
    ((line, *nothing),) = lab_experiments.run_sweep(Lame(), SMILE, "jawOpen", True, ENGLISH)
    assert "MFN is not available" in line and "fer-problem" in line
    assert nothing == [None] * 3
    ((line, *nothing),) = lab_experiments.run_removal(Lame(), SMILE, "happiness", ENGLISH)
    assert "MFN is not available" in line and nothing == [None] * 3


def test_a_face_at_rest_has_no_action_to_take_away():
    neutral = FaceParameters()
    ((line, *_),) = lab_experiments.run_removal(Lame(), neutral, "happiness", ENGLISH)
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


SVG = "{http://www.w3.org/2000/svg}"
FIVE = np.linspace(0, 1, 5)


def parse(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<all>{html}</all>")


def test_a_column_shows_every_expression_and_the_face_at_five_points():
    sweeps = {"mfn": ramp("neutral", "fear", missing=1)}
    page = parse(lab_curve.draw_curves(sweeps, FIVE, "jaw", {"ddamfn": "not here"}, CHINESE))
    empty, panel, _ = page.findall(".//section")
    assert "not here" in "".join(empty.itertext())
    drawing = panel.find("svg")
    lines = {g.get("class"): g for g in drawing.findall("g")}
    assert list(lines) == [f"lab-line-{e}" for e in EXPRESSIONS]
    assert [g.get("stroke") for g in lines.values()] == list(lab_curve.EXPRESSION_COLORS.values())
    titles = [t.text for t in lines["lab-line-fear"].iter("title")]
    assert titles == [f"恐惧 {v:.2f}，位于 {v:g}" for v in FIVE[:4]]  # the last has no face
    texts = [t.text for t in drawing.findall("text")]
    assert texts[-5:] == ["0", "0.25", "0.5", "0.75", "1"]
    assert CHINESE("lab_curve.gaps") in texts
    # Every face lies under its own value, so the picture can be read straight down.
    marks = [t for t in lines["lab-line-fear"].findall("path") if t.get("transform")]
    for face, mark in zip(drawing.findall("image"), marks, strict=False):
        middle = float(face.get("x")) + float(face.get("width")) / 2
        assert f"translate({middle:.1f} " in mark.get("transform")
    assert len(drawing.findall("image")) == 5


def test_a_growing_curve_keeps_its_axis():
    whole = ramp("neutral", "fear")
    half = replace(whole, values=FIVE[:3], probabilities=whole.probabilities[:3])
    page = parse(lab_curve.draw_curves({"mfn": half}, FIVE, "jaw", {}, ENGLISH))
    assert len(page.findall(".//image")) == 3
    last = page.findall(".//g[@class='lab-line-fear']/path")[-1].get("transform")
    middle = (lab_curve.LEFT + lab_curve.RIGHT) / 2
    assert last.startswith(f"translate({middle:.1f} ")


def test_the_curves_file_stands_alone():
    sweeps = {"ddamfn": ramp("neutral", "surprise"), "mfn": ramp("neutral", "fear")}
    text = lab_curve.draw_curves_file(sweeps, "jaw <open>", CHINESE)
    drawing = ElementTree.fromstring(text)
    assert drawing.tag == f"{SVG}svg"
    assert "var(" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    words = [t.text for t in drawing.iter(f"{SVG}text")]
    assert {"DDAMFN", "MFN", "惊讶", "jaw <open>"} <= set(words)
    assert len(list(drawing.iter(f"{SVG}image"))) == 10


def test_the_curve_in_words_says_where_the_answer_changes():
    text = lab_experiments.describe_sweep({"mfn": ramp("neutral", "surprise")}, "jawOpen", ENGLISH)
    assert text == "MFN: neutral, surprise from 0.75."
    text = lab_experiments.describe_sweep({"mfn": ramp("neutral", "surprise")}, "jawOpen", CHINESE)
    assert text == "MFN：中性，从 0.75 起是惊讶。"
    text = lab_experiments.describe_sweep({"mfn": ramp("fear", "fear", missing=5)}, "jaw", ENGLISH)
    assert "no face was found" in text


def test_an_angle_has_a_sign_and_a_unit():
    assert lab_curve.format_value(-22.5, "yaw_deg") == "−22.5°"
    assert lab_curve.format_value(0.125, "jawOpen") == "0.125"


def test_what_can_be_varied_has_one_name_each_and_an_axis():
    for words in (ENGLISH, CHINESE):
        labels, names = zip(*lab_experiments.sweep_choices(words), strict=True)
        assert len(set(labels)) == len(set(names)) == len(names)
        assert all(lab_experiments.sweep_label(name, True, words) for name in names)
    assert lab_experiments.sweep_values("pitch_deg")[[0, -1]].tolist() == [-40, 40]
    assert lab_experiments.sweep_values("yaw_deg")[[0, -1]].tolist() == [-45, 45]


def test_the_curve_grows_face_by_face_and_ends_with_its_files(monkeypatch):
    whole = ramp("neutral", "fear", missing=1)

    def sweep(analyzer, networks, parameters, name, values, symmetric):
        for done in (1, 5):
            yield {
                "mfn": replace(whole, values=FIVE[:done], probabilities=whole.probabilities[:done])
            }

    monkeypatch.setattr(lab_experiments, "SWEEP_STEPS", 5)
    monkeypatch.setattr(lab_experiments, "sweep_networks", sweep)
    monkeypatch.setattr(
        lab_experiments, "loadable_networks", lambda a: (("mfn",), {"resnet50": "gone"})
    )
    steps = list(lab_experiments.run_sweep(None, SMILE, "jawOpen", True, ENGLISH))
    assert [("<progress" in line, curve is None) for line, curve, *_ in steps] == [
        (True, True),
        (True, False),
        (True, False),
        (False, False),
    ]
    assert all(paths == [None, None] for _, _, *paths in steps[:-1])
    line, _, picture, numbers = steps[-1]
    assert "ResNet-50 is not available." in line
    ElementTree.parse(picture)
    record = json.loads(Path(numbers).read_text())
    assert record["probabilities"]["mfn"]["fear"] == [0, 0.25, 0.5, 0.75, None]
    assert FaceParameters.from_json(json.dumps(record["face"])) == SMILE


def claim(change: float) -> Claim:
    shares = {"brows": 0.1, "eyes": 0.1, "nose": 0.2, "mouth": 0.5, "jaw": 0.0}
    areas = {**shares, "mouth": 0.4}
    ablation = Ablation(
        1,
        (("mouthSmileLeft", "mouthSmileRight"),),
        np.full(8, 0.9),
        np.zeros((1, 8)),
        np.array([change]),
    )
    return Claim(shares, areas, ablation, "mouth" if change >= 0.01 else None)


def test_the_one_number_counts_the_networks_whose_heatmap_agrees():
    claims = {"mfn": claim(0.5), "ddamfn": claim(0.0)}
    text = lab_experiments.describe_claims(claims, "happiness", ENGLISH)
    assert text.startswith("In 1 of 1 networks") and "In the others" in text
    assert "1 个网络中有 1 个" in lab_experiments.describe_claims(claims, "happiness", CHINESE)
    text = lab_experiments.describe_claims({"mfn": claim(0.0)}, "happiness", ENGLISH)
    assert "nothing to compare" in text


def test_the_verdict_names_the_region_where_the_action_shows():
    jaw = replace(claim(0.5), ablation=replace(claim(0.5).ablation, actions=(("jawOpen",),)))
    for words in (ENGLISH, CHINESE):
        text = lab_experiments.claim_sentence(jaw, words)
        assert words("lab_regions.jaw") not in text
        assert text.count(words("lab_regions.mouth")) == 2
        assert words("lab_removal.agree") in text
        assert "50%" in text and "40%" in text  # of the brightness, and of the picture
        assert words("lab_removal.against", action="", expression="", rise="")[:12] not in text


def test_a_first_action_that_speaks_against_the_expression_gets_a_sentence():
    both = replace(
        claim(0.5).ablation,
        actions=(("cheekSquintLeft", "cheekSquintRight"), ("mouthSmileLeft",)),
        change=np.array([-0.4, 0.3]),
    )
    text = lab_experiments.claim_sentence(replace(claim(0.5), ablation=both), ENGLISH)
    assert "Cheeks up (AU6) speaks against happiness" in text and "rises by 0.40" in text
    assert "Lip corners up" in text  # what speaks for it is still named
    small = replace(both, change=np.array([-0.004, 0.003]))
    silent = replace(claim(0.0), ablation=small)
    assert "against" not in lab_experiments.claim_sentence(silent, ENGLISH)


def test_a_cards_shares_come_to_one_hundred_per_cent():
    card = parse(lab_experiments.claim_card("mfn", claim(0.5), ENGLISH))
    rows = card.findall(".//div[@class='fer-bars']/div/span[@class='fer-number']")
    shares = [row.text for row in rows if row.text.endswith("%")]
    assert shares == ["10%", "10%", "20%", "50%", "0%", "10%"]
    assert "Elsewhere" in "".join(card.itertext())


def test_a_card_says_what_happens_without_the_action():
    card = lab_experiments.claim_card("mfn", claim(0.5), ENGLISH)
    assert "Lip corners up (AU12)" in card and "−0.50" in card and "They agree." in card
    assert "+0.30" in lab_experiments.claim_card("mfn", claim(-0.3), ENGLISH)
    assert "没有脸" in lab_experiments.claim_card("mfn", claim(np.nan), CHINESE)


def test_taking_actions_away_asks_about_each_face_once(monkeypatch):
    asked = []

    def predict(analyzer, networks, images):
        asked.extend(images)
        return np.full((1, 2, 8), len(asked) / 10)

    def judge(analyzer, networks, parameters, expression, answers):
        np.testing.assert_allclose(answers[:, 0, 0], [0.1, 0.2, 0.3])
        return {"mfn": claim(0.5), "ddamfn": claim(-0.5)}

    monkeypatch.setattr(lab_experiments, "predict_networks", predict)
    monkeypatch.setattr(lab_experiments, "judge_claims", judge)
    both = Trained(ddamfn=EXPRESSIONS, mfn=EXPRESSIONS)
    *steps, (line, cards, figure, file) = lab_experiments.run_removal(
        both, SMILE, "happiness", ENGLISH
    )
    assert ["Face 1 of 3" in steps[0][0], "Face 3 of 3" in steps[2][0]] == [True, True]
    assert [image.tobytes() for image in asked[:1]] == [render_face(SMILE).tobytes()]
    assert len({image.tobytes() for image in asked}) == 3
    assert "In 1 of 1" in line
    assert ["fer-empty" in card for card in cards] == [False, False, True]
    mfn = json.loads(Path(file).read_text())["networks"]["mfn"]
    assert mfn["without"] == {"mouthSmileLeft+mouthSmileRight": 0.0} and mfn["agree"] is True
    assert mfn["decisive"] == "mouthSmileLeft+mouthSmileRight"
    assert mfn["decisive_region"] == "mouth"
    assert Image.open(figure).format == "PNG"

    def lose(*args):
        raise NoFaceError

    monkeypatch.setattr(lab_experiments, "judge_claims", lose)
    *_, (line, *nothing) = lab_experiments.run_removal(both, SMILE, "happiness", CHINESE)
    assert "没有找到脸" in line and nothing == [None, None, None]


def test_a_network_that_does_not_know_the_expression_is_left_out_with_a_sentence(monkeypatch):
    asked = []

    def predict(analyzer, networks, images):
        asked.append(list(networks))
        return np.zeros((1, len(networks), 8))

    monkeypatch.setattr(lab_experiments, "draw", lambda face: np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(lab_experiments, "predict_networks", predict)
    monkeypatch.setattr(
        lab_experiments, "judge_claims", lambda a, networks, *_: dict.fromkeys(networks, claim(0.5))
    )
    seven = EXPRESSIONS[:7]
    some = Trained(ddamfn=EXPRESSIONS, mfn=seven, resnet50=EXPRESSIONS)
    *_, (line, cards, figure, file) = lab_experiments.run_removal(some, SMILE, "contempt", ENGLISH)
    sentence = "MFN was not trained on contempt, so it is left out."
    assert asked == [["ddamfn", "resnet50"]] * 3
    assert sentence in line and "2 of 2" in line
    assert [sentence in card for card in cards] == [False, True, False]
    assert list(json.loads(Path(file).read_text())["networks"]) == ["ddamfn", "resnet50"]

    none = Trained(ddamfn=seven, mfn=seven, resnet50=seven)
    ((line, *nothing),) = lab_experiments.run_removal(none, SMILE, "contempt", CHINESE)
    assert "fer-problem" in line and "没有学过" in line and nothing == [None, None, None]


def test_both_experiments_follow_the_posed_expression_but_not_what_was_chosen_by_hand():
    assert lab_experiments.follow_expression("anger", "happiness") == ["anger", "anger"]
    varied, target = lab_experiments.follow_expression("anger", "yaw_deg")
    assert target == "anger" and varied == gr.skip()
    varied, target = lab_experiments.follow_expression("neutral", "happiness")
    assert target == "neutral" and varied == gr.skip()
    assert lab_experiments.follow_expression(None, "happiness") == [gr.skip()] * 2


def test_in_chinese_no_gap_stands_between_sentences_and_no_quotes_in_quotes():
    sweeps = dict.fromkeys(("ddamfn", "mfn"), ramp("neutral", "fear"))
    whole = lab_experiments.describe_sweep(sweeps, "happiness", CHINESE)
    assert whole == "DDAMFN：中性，从 0.75 起是恐惧。MFN：中性，从 0.75 起是恐惧。"
    assert "。 " not in lab_experiments.claim_sentence(claim(0.5), CHINESE)
    label = lab_experiments.sweep_label("happiness", True, CHINESE)
    drawn = lab_curve.draw_curves({"mfn": ramp("neutral", "fear")}, FIVE, label, {}, CHINESE)
    assert "高兴" in drawn and "““" not in drawn and not re.search("“[^”]*“", drawn)


def test_nothing_of_the_lab_is_open_to_clients_and_nothing_claims_to_see_emotions():
    config = build_page(Choices(Lame())).get_config_file()
    public = [d["api_name"] for d in config["dependencies"] if d["api_visibility"] == "public"]
    assert public == ["analyze"]
    assert "emotion detected" not in json.dumps(config, default=str).lower()
