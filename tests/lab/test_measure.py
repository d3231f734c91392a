"""The Lab's faces before the networks: a toy analyzer whose answers are known by hand."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fer_models.analysis import DISPLAY_NAMES, PAGE_NETWORKS, Analyzer
from fer_models.calibration import Calibration
from fer_models.checkpoints import load_card, shipped_checkpoints
from fer_models.engines import Runner
from fer_models.expressions import EXPRESSIONS
from fer_models.faces import align_face, detect_faces
from fer_models.lab import measure
from fer_models.lab.actions import region_of_action
from fer_models.lab.experiments import Ablation, remove_actions
from fer_models.lab.parameters import FaceParameters
from fer_models.lab.regions import region_masks

NEUTRAL = FaceParameters(1)
SMILE = NEUTRAL.with_expression("happiness")


def checkpoint(labels, network):
    """A checkpoint whose network sees crops (N,3,112,112) in 0..1."""

    def preprocess(crops):
        return torch.tensor(np.stack(crops)).movedim(-1, 1).float() / 255

    card = SimpleNamespace(
        labels=labels,
        preprocessing=preprocess,
        calibration=Calibration.none(len(labels)),
        sha256="0123456789abcdef",
    )
    return SimpleNamespace(card=card, network=network)


def spot(row: slice, labels):
    """A network that sees one spot of the crop alone: its mean is happiness's logit, times 6."""

    def network(images):
        logits = torch.zeros(len(images), len(labels))
        logits[:, labels.index("happiness")] = 6 * images[:, :, row, 46:66].mean((1, 2, 3))
        return logits

    return checkpoint(labels, network)


@pytest.fixture(scope="module")
def toy():
    """Two networks: one sees the mouth's rows, the other, in another label order, the brows'."""
    checkpoints = {
        "mouth": spot(slice(84, 98), EXPRESSIONS),
        "brows": spot(slice(0, 25), tuple(reversed(EXPRESSIONS[:7]))),
    }
    analyzer = Analyzer(tuple(checkpoints))
    analyzer.checkpoint = checkpoints.__getitem__
    analyzer.runner = lambda name: Runner(
        lambda images: images, checkpoints[name].network, "torch", torch.device("cpu"), 8
    )
    return analyzer


def ask(toy, name, images):
    return measure.predict_networks(toy, [name], images)[:, 0]


@pytest.fixture(scope="module")
def grey_picture():
    return np.full((512, 512, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("identity", "expression", "yaw"), [(0, "neutral", 0), (5, "surprise", 30), (9, "fear", -45)]
)
def test_the_quick_search_finds_the_very_landmarks_of_the_full_one(
    rendered, identity, expression, yaw
):
    image = rendered(FaceParameters(identity, yaw_deg=yaw).with_expression(expression))
    quick, full = measure.find_face(image), detect_faces(image)[0]
    np.testing.assert_allclose(quick.landmarks, full.landmarks, atol=0.05)


def test_a_small_face_is_left_to_the_full_search(photograph):
    small = np.full((512, 512, 3), 128, np.uint8)
    small[200:300, 200:300] = photograph[::5, ::5][:100, :100]
    found = measure.find_face(small)
    assert found is not None
    assert found.side_px < 100


def test_predictions_come_in_the_order_of_the_expressions_whatever_the_cards_order(toy, rendered):
    answer = ask(toy, "brows", [rendered(NEUTRAL)])[0]
    assert EXPRESSIONS[int(np.nanargmax(answer))] == "happiness"
    assert np.isnan(answer[EXPRESSIONS.index("contempt")])
    assert np.nansum(answer) == pytest.approx(1)


def test_a_picture_without_a_face_gets_nan_and_leaves_the_others_alone(toy, rendered, grey_picture):
    seen = []
    images = [rendered(NEUTRAL), grey_picture, rendered(SMILE)]
    both = measure.predict_networks(toy, ["mouth", "brows"], images, lambda: seen.append(1))
    assert both.shape == (3, 2, 8)
    assert np.isnan(both[1]).all()
    assert not np.isnan(both[[0, 2], 0]).any()
    assert len(seen) == 3
    np.testing.assert_array_equal(both[2, 0], ask(toy, "mouth", images[2:])[0])
    np.testing.assert_allclose(
        both[0, 0],
        measure.predict_crops(
            toy,
            "mouth",
            [align_face(images[0], detect_faces(images[0])[0].landmarks)],
        )[0],
        atol=1e-4,
    )


def test_a_sweep_gives_each_network_its_own_curve_that_grows_face_by_face(toy):
    steps = list(measure.sweep_networks(toy, ["mouth", "brows"], NEUTRAL, "jawOpen", [0.0, 1.0]))
    happiness = EXPRESSIONS.index("happiness")
    assert [s["mouth"].probabilities.shape for s in steps] == [(1, 8), (2, 8)]
    assert [s["brows"].values.tolist() for s in steps] == [[0.0], [0.0, 1.0]]
    np.testing.assert_array_equal(
        steps[0]["mouth"].probabilities, steps[1]["mouth"].probabilities[:1]
    )
    change = {n: abs(np.diff(c.probabilities[:, happiness])[0]) for n, c in steps[1].items()}
    assert change["mouth"] > 0.05
    assert change["mouth"] > 2 * change["brows"]


class ToyExplanations:
    """Stands for the analyzer: the toy's networks, and one heatmap for all of them."""

    def __init__(self, toy, heatmap=None):
        self.checkpoint, self.probabilities = toy.checkpoint, toy.probabilities
        self.heatmap = np.ones((7, 7)) if heatmap is None else heatmap

    def analyze_faces(self, image, faces, target, networks):
        result = SimpleNamespace(gradcam=SimpleNamespace(values=self.heatmap))
        face = SimpleNamespace(networks=dict.fromkeys(networks, result))
        return SimpleNamespace(faces=[face], unavailable={})


def test_a_network_without_the_expression_ends_the_claims_in_words(toy):
    explanations, reason = ToyExplanations(toy), "mouth was not trained on fear."
    answer = SimpleNamespace(faces=[], unavailable={"mouth": reason})
    explanations.analyze_faces = lambda *arguments, **settings: answer
    with pytest.raises(ValueError, match=reason):
        measure.check_claims(explanations, ["mouth"], NEUTRAL, "fear")


def test_every_network_ranks_the_actions_for_itself(toy):
    face = NEUTRAL.with_actions(jawOpen=1.0, browOuterUpLeft=1.0, browOuterUpRight=1.0)
    seen = []
    claims = measure.check_claims(
        ToyExplanations(toy), ["mouth", "brows"], face, "happiness", lambda: seen.append(1)
    )
    assert len(seen) == 3  # the face, and it without the jaw and without the pair of brows
    assert claims["mouth"].ablation.actions[0] == ("jawOpen",)
    for name, claim in claims.items():
        ablation = claim.ablation
        assert list(abs(ablation.change)) == sorted(abs(ablation.change), reverse=True)
        full = ask(toy, name, [measure.render_face(face)])[0]
        np.testing.assert_allclose(ablation.full, full)
        assert claim.shares == claim.areas


@pytest.mark.parametrize(
    ("action", "region"),
    [("browInnerUp", "brows"), ("eyeBlinkLeft", "eyes"), ("jawOpen", "mouth"), ("jawLeft", "jaw")],
)
def test_an_action_shows_where_it_changes_the_picture_most(action, region):
    assert measure.changed_region(NEUTRAL.with_actions(**{action: 1.0}), [action]) == region


def test_a_heatmap_on_the_mouth_agrees_with_a_dropped_jaw_that_decides(toy):
    face = NEUTRAL.with_actions(jawOpen=1.0, browInnerUp=1.0)
    mouth = np.zeros((7, 7))
    mouth[5, 2:5] = 1.0
    answers = np.zeros((3, 1, 8))  # the face, and it without each action
    answers[:, 0, EXPRESSIONS.index("surprise")] = 0.9
    groups, _ = remove_actions(face)
    answers[1 + groups.index(("jawOpen",)), 0, EXPRESSIONS.index("surprise")] = 0.2
    asked = (["mouth"], face, "surprise", answers)
    claim = measure.judge_claims(ToyExplanations(toy, mouth), *asked)["mouth"]
    assert claim.decisive == ("jawOpen",)
    assert claim.brightest == claim.decisive_region == "mouth"
    assert claim.agrees is True
    assert measure.judge_claims(ToyExplanations(toy, mouth[::-1]), *asked)["mouth"].agrees is False


def test_a_claim_without_a_face_in_sight_says_so(toy, monkeypatch):
    monkeypatch.setattr(measure, "find_face", lambda image: None)
    with pytest.raises(measure.NoFaceError, match="turn the head"):
        measure.check_claims(ToyExplanations(toy), ["mouth"], SMILE, "happiness")


def test_a_heatmap_on_the_masks_own_cells_lies_on_that_region(rendered):
    landmarks = detect_faces(rendered(NEUTRAL))[0].landmarks
    cells = measure.region_cells(NEUTRAL, landmarks)
    for region in ("brows", "mouth", "nose"):
        attribution = np.full((7, 7), -1.0)
        attribution[np.unravel_index(cells[region].argmax(), (7, 7))] = 3.0
        shares = measure.region_shares(attribution, NEUTRAL, landmarks)
        assert max(shares, key=shares.get) == region
        assert shares[region] == pytest.approx(cells[region].max())


def test_the_regions_follow_the_alignment_of_the_face():
    tilted = FaceParameters(1, roll_deg=20)
    masks = region_masks(tilted)
    landmarks = detect_faces(measure.render_face(tilted))[0].landmarks
    cells = measure.region_cells(tilted, landmarks)
    # Upright again in the crop: brows in its top rows, mouth in its lower ones, both in the middle.
    assert cells["brows"][:2, 1:6].mean() > 0.5 > cells["brows"][3:].mean()
    assert cells["mouth"][5, 2:5].mean() > 0.8
    assert sum(masks.values()).max() == 1
    assert sum(cells.values()).max() <= 1.02


def test_even_brightness_gives_the_areas_and_an_empty_heatmap_nothing(rendered):
    landmarks = detect_faces(rendered(NEUTRAL))[0].landmarks
    shares = measure.region_shares(np.ones((7, 7)), NEUTRAL, landmarks)
    assert 0.6 < sum(shares.values()) <= 1
    assert set(measure.region_shares(-np.ones((7, 7)), NEUTRAL, landmarks).values()) == {0.0}


def claim(mouth_share: float, changes: dict[str, float]) -> measure.Claim:
    shares = {"brows": 0.3, "eyes": 0.1, "nose": 0.1, "mouth": mouth_share, "jaw": 0.0}
    ordered = sorted(changes, key=lambda a: -abs(changes[a]))
    ablation = Ablation(
        1,
        tuple((a,) for a in ordered),
        np.zeros(8),
        np.zeros((len(ordered), 8)),
        np.array([changes[a] for a in ordered]),
    )
    decisive = measure.decisive_actions(ablation)
    region = region_of_action(decisive[0]) if decisive else None
    return measure.Claim(shares, shares, ablation, region)


def test_heatmap_and_intervention_agree_where_the_action_shows_in_the_brightest_region():
    assert claim(0.5, {"mouthSmileLeft": 0.4, "browInnerUp": 0.1}).agrees is True
    assert claim(0.5, {"mouthSmileLeft": 0.1, "browInnerUp": 0.4}).agrees is False
    assert claim(0.2, {"mouthSmileLeft": 0.4, "browInnerUp": 0.1}).agrees is False


def test_an_action_that_speaks_against_the_expression_is_not_the_one_that_matters():
    one = claim(0.5, {"mouthSmileLeft": 0.2, "browInnerUp": -0.6})
    assert one.decisive == ("mouthSmileLeft",)
    assert one.agrees is True


def test_without_a_change_or_without_brightness_there_is_no_verdict():
    assert claim(0.5, {"mouthSmileLeft": 0.001}).agrees is None
    assert claim(0.5, {}).agrees is None
    dark = measure.Claim(dict.fromkeys(measure.REGIONS, 0.0), {}, claim(0.5, {}).ablation, None)
    assert dark.brightest is None


def test_the_table_counts_agreement_and_shows_every_disagreement():
    rows = [
        measure.TableRow(0, "fear", {"mfn": ("fear", 0.9), "ddamfn": ("surprise", 0.8)}),
        measure.TableRow(1, "fear", {"mfn": ("fear", 0.7), "ddamfn": ("fear", 0.6)}),
        measure.TableRow(2, "fear", {}),
    ]
    text = measure.expression_table(rows, ["ddamfn", "mfn"])
    assert "| fear | 1 of 3 | 2 of 3 |" in text
    assert "| Ada | fear | **surprise 0.80** | fear 0.90 |" in text
    assert "| Chen | fear | no face found | no face found |" in text
    assert "for 1 of 3 faces" in text
    assert "Drawn faces: 3; identities: 3," in text


def test_the_command_says_in_one_line_that_there_are_no_networks(monkeypatch, capsys):
    monkeypatch.setattr(measure, "loadable_networks", lambda analyzer: ((), {"mfn": "mfn: gone."}))
    assert measure.main([]) == 2
    assert capsys.readouterr().err.splitlines()[0] == "mfn: gone."


@pytest.fixture
def toy_command(toy, monkeypatch):
    """The command with the toy's networks instead of the page's."""
    monkeypatch.setattr(measure, "Analyzer", lambda: ToyExplanations(toy))
    monkeypatch.setattr(measure, "loadable_networks", lambda analyzer: (("mouth", "brows"), {}))


def test_the_command_writes_the_table_and_what_made_it(toy_command, tmp_path):
    file = tmp_path / "docs" / "table.md"
    assert measure.main(["--identities", "1", "--table", str(file)]) == 0
    text = file.read_text()
    assert text.count("| Bo | ") == len(EXPRESSIONS)
    assert "Drawn faces: 8; identities: 1," in text
    assert f"`python -m fer_models.lab.measure --identities 1 --table {file}`" in text
    assert "begins with mouth `0123456789ab`, brows `0123456789ab`." in text


@pytest.mark.slow
def test_the_command_counts_the_heatmaps_that_point_to_the_decisive_action(toy_command, capsys):
    assert measure.main(["--identities", "1", "--claims"]) == 0
    counted = capsys.readouterr().out.split("## Is the heatmap brightest where")[1]
    row = next(line for line in counted.splitlines() if line.startswith("| mouth |"))
    right, by_area = (cell.split(" of ") for cell in row.strip("| ").split(" | ")[1:])
    # The toy's heatmap is even, so its brightest region is the largest one.
    assert right == by_area
    assert 0 < int(right[1]) <= len(EXPRESSIONS) - 1


def test_the_shipped_table_was_made_with_the_shipped_weights():
    # After new weights: python -m fer_models.lab.measure --table docs/lab_predictions.md
    text = (Path(__file__).parents[2] / "docs" / "lab_predictions.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"(\S+) `([0-9a-f]{12})`", text))
    shipped = [name for name in PAGE_NETWORKS if name in shipped_checkpoints()]
    assert stated == {DISPLAY_NAMES[name]: load_card(name).sha256[:12] for name in shipped}


def test_an_identity_that_does_not_exist_is_refused_in_one_line(capsys):
    assert measure.main(["--identities", "99"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
