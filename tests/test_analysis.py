"""The whole pipeline on the example photograph, with the shipped weights."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from fer_models import checkpoints
from fer_models.analysis import (
    MAX_FACES,
    PAGE_NETWORKS,
    Analyzer,
)
from fer_models.checkpoints import SHIPPED_FOLDER
from fer_models.explain.cam import METHODS
from fer_models.faces import detect_faces
from fer_models.report import analysis_report
from tests.conftest import SHIPPED
from tests.explain.test_cam import hooks_in


@pytest.fixture(scope="module")
def analysis(analyzer, photograph):
    return analyzer.analyze(photograph)


def test_every_network_calls_the_smiling_portrait_happy(analysis):
    networks = analysis.faces[0].networks
    assert list(networks) == list(SHIPPED)
    assert set(analysis.unavailable) == set(PAGE_NETWORKS) - set(SHIPPED)
    assert {name: r.expression for name, r in networks.items()} == dict.fromkeys(
        SHIPPED, "happiness"
    )


def test_each_result_is_complete(analysis):
    for name, result in analysis.faces[0].networks.items():
        assert abs(sum(result.probabilities.values()) - 1) < 1e-5
        assert result.gradcam.values.shape == (7, 7)
        assert result.gradcam.max > 0
        assert (result.attention is not None) == (name == "ddamfn")
        assert result.seconds > 0


def test_one_target_for_all_networks_explains_that_expression(analyzer, photograph, analysis):
    other = analyzer.analyze(photograph, target="Sad")
    for name, result in other.faces[0].networks.items():
        own = analysis.faces[0].networks[name]
        assert result.gradcam.target == "sadness"
        assert result.probabilities == pytest.approx(own.probabilities, abs=1e-5)
        assert not np.allclose(result.gradcam.values, own.gradcam.values)


def test_a_contrast_explains_the_lead_of_one_expression_over_another(analyzer, photograph_crop):
    def values(**explained):
        results = analyzer.analyze_crops([photograph_crop], **explained)
        assert list(results) == list(SHIPPED)
        return {name: result[0].gradcam for name, result in results.items()}

    one, other = values(target="sadness"), values(target="neutral")
    contrast = values(target="Sad", minus="neutral")
    for name, gradcam in contrast.items():
        assert (gradcam.target, gradcam.minus) == ("sadness", "neutral")
        expected = one[name].values - other[name].values
        scale = np.abs(expected).max()
        np.testing.assert_allclose(gradcam.values / scale, expected / scale, atol=1e-4)


def test_a_contrast_that_explains_nothing_is_refused(analyzer, photograph):
    with pytest.raises(ValueError, match="give the target too"):
        analyzer.analyze(photograph, minus="neutral")
    with pytest.raises(ValueError, match="two different expressions"):
        analyzer.analyze(photograph, target="sad", minus="sadness")
    with pytest.raises(ValueError, match="boredom"):
        analyzer.analyze(photograph, target="sadness", minus="boredom")


def test_aligned_crops_give_what_the_whole_photograph_gives(analyzer, photograph, analysis):
    results = analyzer.analyze_crops([analysis.faces[0].crop] * 2)
    for name, expected in analysis.faces[0].networks.items():
        assert len(results[name]) == 2
        for found in results[name]:
            assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
            np.testing.assert_allclose(
                found.gradcam.values,
                expected.gradcam.values,
                atol=1e-4 * np.abs(expected.gradcam.values).max(),
            )


@pytest.mark.parametrize("name", SHIPPED)
def test_no_hook_is_left_and_the_next_picture_is_explained_after_an_error(
    analyzer, name, photograph_crop, monkeypatch
):
    plain = Analyzer([name], engine="torch")  # whose trunk is a module that could hold a hook
    ran = [analyzer.runner(name).head, plain.runner(name).head, plain.checkpoint(name).network]

    def fail(*arguments):
        raise RuntimeError("out of memory")

    before = [_contents(a, name, photograph_crop) for a in (analyzer, plain)]
    assert [hooks_in(module) for module in ran] == [0, 0, 0]
    with monkeypatch.context() as broken:
        broken.setattr("pytorch_grad_cam.GradCAM.get_cam_weights", fail)
        for a in (analyzer, plain):
            with pytest.raises(RuntimeError, match="out of memory"):
                _contents(a, name, photograph_crop)
    assert [hooks_in(module) for module in ran] == [0, 0, 0]
    for a, expected in zip((analyzer, plain), before, strict=True):
        assert _contents(a, name, photograph_crop) == pytest.approx(expected, abs=1e-6)


def _contents(analyzer, name, crop) -> dict[str, float]:
    (result,) = analyzer.analyze_crops([crop], networks=[name])[name]
    return result.probabilities | {"heat": result.gradcam.max}


def test_what_is_no_crop_is_refused(analyzer):
    with pytest.raises(ValueError, match="RGB uint8"):
        analyzer.analyze_crops([np.zeros((112, 112, 3))])


@pytest.mark.parametrize("name", SHIPPED)
def test_probabilities_of_many_crops_are_those_of_each(analyzer, photograph_crop, name):
    crops = [np.roll(photograph_crop, shift, axis=1) for shift in range(11)]
    found = analyzer.probabilities(name, crops)
    results = analyzer.analyze_crops(crops, networks=[name])[name]
    expected = np.array([list(result.probabilities.values()) for result in results])
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.allclose(found[0], found[5])
    assert analyzer.probabilities(name, []).shape == (0, expected.shape[1])


def test_a_face_crop_is_taken_whole(analyzer, photograph_crop):
    result = analyzer.analyze(photograph_crop, face_crop=True).faces[0]
    assert result.face.source in {"face-crop", "framed"}
    assert result.face.box_xyxy == (0, 0, 112, 112)


def test_a_picture_without_a_face_gives_no_faces(analyzer):
    assert analyzer.analyze(np.full((100, 100, 3), 127, np.uint8)).faces == []


@pytest.mark.parametrize(
    "image", [np.zeros((5, 5, 3)), np.zeros((5, 5), np.uint8), np.zeros((0, 5, 3), np.uint8)]
)
def test_what_is_no_rgb_image_is_refused(analyzer, image):
    with pytest.raises(ValueError, match="RGB uint8"):
        analyzer.analyze(image)


def test_two_threads_get_what_one_after_the_other_gets(analyzer, photograph):
    targets = ["happiness", "anger"] * 3
    alone = [report(analyzer, photograph, t) for t in targets]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda t: report(analyzer, photograph, t), targets))
    assert together == alone


def report(analyzer, image, target):
    made = analysis_report(analyzer.analyze(image, target=target))
    for result in made["faces"][0]["networks"].values():
        del result["seconds"]
    return json.dumps(made)


def test_a_network_is_loaded_once_and_only_when_asked_for(photograph, monkeypatch):
    loaded = []
    real = checkpoints.load_network
    monkeypatch.setattr(
        "fer_models.analysis.load_network", lambda name: loaded.append(name) or real(name)
    )
    fresh = Analyzer(["mfn"])
    assert loaded == []
    fresh.analyze(photograph)
    fresh.analyze(photograph)
    assert loaded == ["mfn"]


def test_warming_up_loads_all_that_there_is(monkeypatch):
    loaded = []
    real = checkpoints.load_network
    monkeypatch.setattr(
        "fer_models.analysis.load_network", lambda name: loaded.append(name) or real(name)
    )
    Analyzer(["mfn", "no-such-weights"]).warm_up()
    assert set(loaded) == {"mfn", "no-such-weights"}


def test_a_crowd_is_explained_in_part_and_says_so(photograph):
    face = detect_faces(photograph)[0]
    analysis = Analyzer(["mfn"]).analyze_faces(photograph, [face] * (MAX_FACES + 3))
    assert len(analysis.faces) == MAX_FACES and analysis.left_out == 3
    assert analysis_report(analysis)["faces_left_out"] == 3
    answers = [result.networks["mfn"].probabilities for result in analysis.faces]
    assert answers[-1] == pytest.approx(answers[0], abs=1e-5)  # whatever the batch


@pytest.mark.parametrize("name", SHIPPED)
def test_the_page_sees_real_faces_as_training_did(analyzer, fer2013_folder, name):
    from training.datasets.fer2013 import load_fer2013, read_records
    from training.evaluate import predict_logits

    card = analyzer.checkpoint(name).card
    records = read_records(str(fer2013_folder), "PublicTest")
    few = 60
    faces = load_fer2013(str(fer2013_folder), "PublicTest", card.preprocessing)
    faces = faces.subset(np.arange(few))
    network = analyzer.checkpoint(name).network
    logits = predict_logits(network, faces, card.preprocessing, torch.device("cpu"))
    expected = card.calibration.probabilities(logits).numpy()
    found = []
    for image in records.images[:few]:
        colour = np.repeat(image[..., None], 3, axis=-1)
        analysis = analyzer.analyze(colour, face_crop=True, networks=[name])
        found.append(list(analysis.faces[0].networks[name].probabilities.values()))
    # Training's landmarks are rounded to a quarter of a pixel.
    assert np.abs(np.array(found) - expected).mean() < 0.01
    assert (np.argmax(found, axis=1) == expected.argmax(axis=1)).mean() >= 0.95


def test_a_missing_network_is_named_and_the_others_answer(photograph):
    analysis = Analyzer(["mfn", "no-such-weights"]).analyze(photograph)
    assert list(analysis.faces[0].networks) == ["mfn"]
    assert "no-such-weights" in analysis.unavailable["no-such-weights"]


@pytest.mark.parametrize("asked", [{"target": "contempt"}, {"target": "fear", "minus": "contempt"}])
def test_a_network_without_the_expression_is_named_and_the_others_answer(
    photograph, seven_expressions, asked
):
    seven = str(seven_expressions)
    analysis = Analyzer([seven, "mfn"], engine="torch").analyze(photograph, **asked)
    assert list(analysis.faces[0].networks) == ["mfn"]
    assert analysis.faces[0].networks["mfn"].gradcam.target == asked["target"]
    assert list(analysis.unavailable) == [seven]
    assert "seven was not trained on contempt; it knows neutral" in analysis.unavailable[seven]
    report = analysis_report(analysis)
    assert report["unavailable"] == analysis.unavailable


def test_where_no_network_knows_the_expression_it_is_an_error(photograph, seven_expressions):
    alone = Analyzer([str(seven_expressions), "no-such-weights"], engine="torch")
    for image in (photograph, np.full((100, 100, 3), 127, np.uint8)):
        with pytest.raises(ValueError, match="not trained on contempt.*no-such-weights"):
            alone.analyze(image, target="contempt")
    assert alone.analyze(photograph, target="fear").faces[0].networks


@pytest.mark.hostile
def test_a_network_with_one_wrong_bit_is_named_and_the_others_answer(
    photograph, tmp_path, monkeypatch
):
    for file in SHIPPED_FOLDER.iterdir():
        (tmp_path / file.name).symlink_to(file)
    damaged = tmp_path / "ddamfn.safetensors"
    damaged.unlink()
    content = bytearray((SHIPPED_FOLDER / damaged.name).read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(checkpoints, "SHIPPED_FOLDER", tmp_path)
    analysis = Analyzer().analyze(photograph)
    assert list(analysis.faces[0].networks) == ["mfn", "resnet50"]
    assert list(analysis.unavailable) == ["ddamfn"]
    assert "ddamfn.safetensors: its sha256 is" in analysis.unavailable["ddamfn"]


@pytest.mark.parametrize("method", METHODS)
def test_every_face_passes_every_trunk_once(analyzer, photograph, method):
    """Answers, heatmaps and the heads' maps come from the same features."""
    passed = []

    def counting(name):
        runner = analyzer.runner(name)

        def trunk(images):
            passed.extend([name] * len(images))
            return runner.trunk(images)

        return replace(runner, trunk=trunk)

    counted = Analyzer(SHIPPED)
    counted._checkpoints = {name: analyzer.checkpoint(name) for name in SHIPPED}
    counted._runners = {name: counting(name) for name in SHIPPED}
    (face,) = counted.analyze(photograph, target="anger", method=method).faces
    assert face.networks["ddamfn"].attention is not None
    assert sorted(passed) == sorted(SHIPPED)
    passed.clear()
    counted.analyze_faces(photograph, [face.face] * 3, method=method)
    assert sorted(passed) == sorted(SHIPPED * 3)
