"""The Models tab's functions: what the cards say, and that a visitor's text stays text."""

import base64
import gc
import json
import re
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

from fer_models.analysis import PAGE_NETWORKS, Analyzer
from fer_models.checkpoints import load_card
from fer_models.choice import Choices, accept_upload, remove_upload
from fer_models.official import LICENCE
from fer_models.ui.models import (
    KINDS,
    PAPER,
    UPLOADED,
    card_json,
    choose,
    choose_card,
    draw_card,
    draw_comparison,
    mega_or_giga,
    menu,
    read_measured,
    remove_uploads,
    training_minutes,
    training_stages,
    translate,
    upload,
)
from fer_models.words import LANGUAGES, load_words
from tests.conftest import SHIPPED
from training.engine import LICENCES, OTHER_LICENCE
from training.recipe import CHOICES
from training.tables import TABLES

WORDS, CHINESE = load_words("en"), load_words("zh")
MFN = load_card("mfn")
SPLIT = "PrivateTest"


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html))


@pytest.mark.parametrize("network", SHIPPED)
@pytest.mark.parametrize("kind", KINDS)
def test_the_cards_accuracy_and_recall_follow_from_its_confusion_matrix(network, kind):
    measured = read_measured(load_card(network), SPLIT, kind)
    assert measured.confusion.sum() == measured.n == 3152
    assert measured.confusion.trace() / measured.n == pytest.approx(measured.accuracy)
    rows = measured.confusion.sum(axis=1)
    for i, name in enumerate(measured.recall):
        assert measured.recall[name] == pytest.approx(measured.confusion[i, i] / rows[i])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_card_shows_the_files_own_numbers(language):
    words = load_words(language)
    measured = read_measured(MFN, SPLIT, "corrected")
    card = draw_card("mfn", MFN, False, SPLIT, "corrected", words)
    shown = text_of(card)
    for number in (
        f"{MFN.parameters:,}",
        f"{MFN.multiply_adds / 1e6:.2f} M",
        f"{100 * measured.accuracy:.2f} %",
        f"{100 * measured.balanced_basic:.2f} %",
        f"{measured.calibration_error:.2f}",
        f"{measured.recall['disgust']:.2f}",
        f"{measured.n:,}",
        MFN.sha256[:12],
    ):
        assert number in shown
    anger, neutral = MFN.labels.index("anger"), MFN.labels.index("neutral")
    count, total = measured.confusion[anger, neutral], measured.confusion[anger].sum()
    about = words(
        "models.cell",
        label=words.expression("anger"),
        answer=words.expression("neutral"),
        count=count,
        total=total,
    )
    assert f'title="{about}"' in card
    assert card.count("models-right") == len(MFN.labels)


def test_a_cells_colour_goes_with_its_share_of_the_row():
    card = draw_card("mfn", MFN, False, SPLIT, "corrected", WORDS)
    cells = re.findall(r"--share:([\d.]+)%\" title=\"[^\"]*\">(\d*)</td>", card)
    shares = [float(share) for share, _ in cells]
    assert len(shares) == 64
    for share, shown in cells:
        assert int(shown or 0) == pytest.approx(100 * float(share) / 70, abs=0.6)
    for start in range(0, 64, 8):
        assert sum(shares[start : start + 8]) == pytest.approx(70, abs=0.5)


@pytest.mark.parametrize("network", SHIPPED)
def test_a_shipped_card_is_chinese_on_the_chinese_page(network):
    card = load_card(network)
    card = replace(card, training={k: v for k, v in card.training.items() if k != "note"})
    drawn = draw_card(network, card, False, SPLIT, "corrected", CHINESE)
    shown = text_of(drawn).partition(CHINESE("models.whole_card"))[0]
    schedule = card.training["recipe"]["schedule"]
    for text in (card.licence, card.training["device"], schedule):
        assert translate(text, CHINESE) in shown
    assert not re.findall(r"[A-Za-z]+ [a-z]+ [a-z]+", shown)


def test_what_training_writes_into_cards_has_its_words():
    for text in {*LICENCES.values(), OTHER_LICENCE, LICENCE, *CHOICES["schedule"]}:
        assert translate(text, WORDS) == text != translate(text, CHINESE)
    assert translate("CPU, 1 thread", WORDS) == "CPU, 1 thread"
    assert translate("CPU, 2 threads", CHINESE) == "CPU，2 个线程"
    assert translate("NVIDIA H100", CHINESE) == "NVIDIA H100"


def test_a_short_schedule_on_a_cpu_is_said_with_all_its_minutes():
    training = MFN.training
    minutes = sum(map(float, re.findall(r'"minutes": ([\d.]+)', json.dumps(training))))
    assert training["before"]["minutes"] < minutes > training["minutes"]
    assert training_minutes(training) == pytest.approx(minutes)
    card = text_of(draw_card("mfn", MFN, False, SPLIT, "corrected", WORDS))
    assert f"Trained for {minutes:.1f} minutes on a CPU: a short schedule" in card
    assert "Stage 1" in card and "2.5 epochs at 48 px" in card
    long = replace(MFN, training={"minutes": 600, "device": "NVIDIA H100"})
    assert "short schedule" not in draw_card("mfn", long, False, SPLIT, "corrected", WORDS)


def test_only_the_last_stage_of_a_recipe_stands_open():
    card = draw_card("mfn", MFN, False, SPLIT, "corrected", WORDS)
    stages = training_stages(MFN.training)
    folded = re.findall(r"<details><summary>(Stage \d+)</summary><dl", card)
    assert folded == [f"Stage {number}" for number in range(1, len(stages))]
    assert f"<h4>Stage {len(stages)}</h4>" in card
    alone = replace(MFN, training={k: v for k, v in MFN.training.items() if k != "before"})
    assert "Stage" not in draw_card("mfn", alone, False, SPLIT, "corrected", WORDS)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(539030304, "539.03 M"), (4087152640, "4.09 G"), (10**9, "1.00 G"), ("many", "–")],
)
def test_multiply_adds_are_printed_as_the_paper_prints_them(count, shown):
    assert mega_or_giga(count) == shown


def test_the_downloaded_card_is_the_card():
    card = draw_card("mfn", MFN, False, SPLIT, "corrected", WORDS)
    name, data = re.search(
        r'download="(.*?)" href="data:application/json;base64,(.*?)"', card
    ).groups()
    assert name == "mfn.json"
    assert json.loads(base64.b64decode(data)) == json.loads(json.dumps(MFN.to_dict()))
    row = MFN.metrics[SPLIT]["corrected"]["confusion"][0]
    assert f"[{', '.join(map(str, row))}]" in card_json(MFN)


def test_the_papers_numbers_are_those_of_the_tables_that_training_reproduces():
    rows = {row.run: row.paper for table in ("ddamfn-2", "ddamfn-3") for row in TABLES[table].rows}
    backbones = {row.run: row.paper["rafdb"] for row in TABLES["ddamfn-2"].rows}
    for network, paper in PAPER.items():
        assert paper.accuracy["rafdb"] == backbones[network]
        assert paper.accuracy.get("affectnet7") == rows[network].get("affectnet7")


def test_the_comparison_has_both_numbers_and_says_that_they_are_no_common_exam():
    cards = {name: choose_card(name, {}) for name in PAGE_NETWORKS}
    table = text_of(draw_comparison(cards, SPLIT, WORDS))
    for kind in KINDS:
        assert f"{100 * read_measured(MFN, SPLIT, kind).accuracy:.2f} %" in table
    assert "90.32 %" in table and "91.35 %" in table and "89.63 %" in table
    assert "Not the same exam." in table and "RAF-DB and AffectNet" in table


def test_a_network_without_weights_says_so_and_a_card_without_numbers_too():
    assert choose_card("no-such", {}) is None
    assert "No weights" in draw_card("resnet50", None, False, SPLIT, "corrected", WORDS)
    bare = replace(MFN, metrics={}, training={})
    card = draw_card("mfn", bare, False, SPLIT, "corrected", WORDS)
    assert "no measurement" in card and "no recipe" in card
    assert "models-confusion" not in card


HOSTILE = "<script>alert(1)</script>"


def test_a_strangers_card_cannot_write_html():
    metrics = json.loads(json.dumps(MFN.metrics))
    metrics[SPLIT]["data"] = HOSTILE
    training = {"data": HOSTILE, "source": HOSTILE, "note": HOSTILE, "device": HOSTILE}
    training["recipe"] = {"init": HOSTILE, "sizes": [HOSTILE], "epochs": [HOSTILE], "flip": HOSTILE}
    card = replace(
        MFN, name=HOSTILE + '"', licence=HOSTILE, metrics=metrics, training=training, sha256=HOSTILE
    )
    for html in (
        draw_card("mfn", card, True, SPLIT, "corrected", WORDS),
        draw_comparison({**dict.fromkeys(PAGE_NETWORKS), "mfn": card}, SPLIT, WORDS),
    ):
        assert "<script" not in html
        assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    "metrics",
    [
        {SPLIT: 3},
        {SPLIT: {"corrected": {"confusion": [[1]]}, "data": "x"}},
        {SPLIT: {"corrected": {**MFN.metrics[SPLIT]["corrected"], "n": "many"}, "data": "x"}},
        {SPLIT: {"corrected": {**MFN.metrics[SPLIT]["corrected"], "recall": 1}, "data": "x"}},
    ],
)
def test_numbers_that_cannot_be_read_are_left_out(metrics):
    card = replace(MFN, metrics=metrics)
    assert read_measured(card, SPLIT, "corrected") is None
    assert "no measurement" in draw_card("mfn", card, True, SPLIT, "corrected", WORDS)


def test_the_menu_offers_what_is_installed_and_the_visitors_upload():
    choices, value = menu("mfn", {}, {}, WORDS)
    assert ("mfn (shipped)", "mfn") in choices and value == "mfn"
    choices, value = menu("mfn", {"mfn": "/t/uploaded.safetensors"}, {"mfn": "/t/x"}, WORDS)
    assert choices[-1] == ("your upload", UPLOADED) and value == UPLOADED
    assert "/t" not in str(choices)  # the server's paths stay there


def test_choosing_and_going_back():
    uploads = {"mfn": "/t/uploaded.safetensors"}
    chosen = choose("mfn", UPLOADED, {"ddamfn": "other"}, uploads)
    assert chosen == {"ddamfn": "other", "mfn": "/t/uploaded.safetensors"}
    assert choose("mfn", "mfn", chosen, uploads) == {"ddamfn": "other"}
    assert choose("mfn", UPLOADED, {}, {}) == {}


@pytest.mark.hostile
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_upload_is_chosen_and_a_wrong_one_changes_nothing(language):
    words = load_words(language)
    files = [str(Path("assets/checkpoints") / f"mfn{end}") for end in (".safetensors", ".json")]
    choice, uploads, notice = upload(files, {}, {}, words)
    assert choice == uploads and list(choice) == ["mfn"] and "fer-agree" in notice
    again, _, _ = upload(files, choice, uploads, words)
    assert not Path(choice["mfn"]).exists() and Path(again["mfn"]).exists()
    kept, still, notice = upload(files[:1], again, again, words)
    assert kept == still == again
    assert "fer-problem" in notice and words("models.upload_pair") in notice
    choices = Choices(Analyzer(()))
    network = weakref.ref(choices.upload(again["mfn"])[0].network)
    remove_uploads(again, choices)
    gc.collect()
    assert not Path(again["mfn"]).exists() and network() is None


def test_an_uploads_card_is_shown_as_the_uploaders_word():
    files = [Path("assets/checkpoints") / f"mfn{end}" for end in (".safetensors", ".json")]
    path, card = accept_upload(files)
    assert choose_card("mfn", {"mfn": path}) == card == MFN
    assert "Your upload" in draw_card("mfn", card, True, SPLIT, "corrected", WORDS)
    remove_upload(path)
