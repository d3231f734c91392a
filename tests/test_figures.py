import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from fer_models import figures
from fer_models.analysis import GradCam, NetworkResult
from fer_models.checkpoints import find_checkpoint, sha256_of
from fer_models.explain.attention import Attention
from fer_models.explain.faithfulness import FaithfulnessCurves
from fer_models.figure1 import make_figure1, row_name
from fer_models.figures import (
    FigureRow,
    blend,
    chinese_font,
    describe_wins,
    draw_analysis,
    draw_attention_maps,
    draw_faces,
    draw_faithfulness,
    draw_figure1,
    draw_profiles,
    drawable_words,
    enlarge_map,
    heat_colors,
    overlay_heatmap,
    save_figure,
    scale_heatmap,
)
from fer_models.words import LANGUAGES, load_words
from tests.conftest import SHIPPED

CHINESE = load_words("zh")
GREY = np.full((56, 56, 3), 100, np.uint8)


def test_heat_is_cut_off_below_zero_and_scaled_by_its_own_or_a_shared_maximum():
    attribution = np.array([[-2.0, 0.0], [1.0, 4.0]])
    assert scale_heatmap(attribution).tolist() == [[0, 0], [0.25, 1]]
    assert scale_heatmap(attribution, maximum=8).tolist() == [[0, 0], [0.125, 0.5]]


def test_a_map_that_is_nowhere_positive_stays_dark():
    assert (scale_heatmap(-np.ones((7, 7))) == 0).all()


def test_strength_goes_from_the_face_alone_to_the_heatmap_alone():
    attribution = np.zeros((7, 7))
    attribution[3, 3] = 1
    assert np.array_equal(overlay_heatmap(GREY, attribution, strength=0), GREY)
    alone = overlay_heatmap(GREY, attribution, strength=1, cells=True)
    assert alone[28, 28].tolist() == heat_colors(np.ones((1, 1)))[0, 0].tolist()
    assert alone[0, 0].tolist() == heat_colors(np.zeros((1, 1)))[0, 0].tolist()


def test_heat_is_matplotlibs_map():
    values = np.linspace(0, 1, 256)[None]
    wanted = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[None, :, :3]
    assert np.array_equal(heat_colors(values), wanted)
    assert np.array_equal(heat_colors(np.array([[-1.0, 2.0]]))[0], wanted[0, [0, -1]])


def test_a_blend_is_the_weighted_mean_of_every_pair_of_values():
    below, above = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for strength in (0, 0.25, 0.7, 1):
        exact = (1 - strength) * below + strength * above
        assert np.abs(blend(below, above, strength) - exact).max() <= 1
    assert np.array_equal(blend(below, above, 0), below)
    assert np.array_equal(blend(below, above, 1), above)


def test_profile_bars_are_as_long_as_their_values_and_lie_beside_their_cells():
    column = np.array([1, 1.6, 2, 3, 1, 0, 9.0])  # of a scale from 1 to 3
    row = np.array([3, 1, 1, 1, 1, 1, 2.0])
    drawn = draw_profiles(GREY, column, row, color="#ff0000", low=1, high=3)
    assert drawn.shape == (70, 70, 3) and np.array_equal(drawn[:56, :56], GREY)
    red = (drawn == [255, 0, 0]).all(axis=-1)
    middles = np.arange(7) * 8 + 4
    assert red[middles, 56:].sum(axis=1).tolist() == [0, 4, 7, 14, 0, 0, 14]
    assert red[56:, middles].sum(axis=0).tolist() == [14, 0, 0, 0, 0, 0, 7]
    assert not red[np.arange(7) * 8].any()  # the gaps between the bars


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_curves_are_drawn_with_their_areas_in_the_pages_words(language):
    ramp = np.linspace(0, 1, 8)
    curves = FaithfulnessCurves(
        target=0,
        shares=ramp,
        deletion=(1 - ramp) ** 2,
        insertion=np.ones(8),
        centre_deletion=1 - ramp,
        centre_insertion=ramp,
        random_deletion=np.stack([0.2 + 0 * ramp, 0.4 + 0 * ramp]),
    )
    figure, words = Figure(), load_words(language)
    draw_faithfulness(figure, curves, "fear", "red", words)
    left, right = figure.axes
    assert left.get_title(loc="left") == words("trust.deletion")
    assert words.expression("fear") in right.get_ylabel()
    random, centre, by_map = left.lines
    np.testing.assert_array_equal(by_map.get_ydata(), curves.deletion)
    np.testing.assert_array_equal(right.lines[2].get_ydata(), curves.insertion)
    np.testing.assert_array_equal(centre.get_ydata(), curves.centre_deletion)
    np.testing.assert_allclose(random.get_ydata(), 0.3)
    said = [text.get_text() for text in left.get_legend().get_texts()]
    area = ((1 - ramp) ** 2).mean() - (0.5 * (1 + 0)) / 8  # trapezoids: half of either end
    assert said == [
        words("trust.by_map", area=f"{area * 8 / 7:.2f}"),
        words("trust.by_centre", area="0.50"),
        words("trust.at_random", area="0.30", spread="0.14"),
    ]
    above = right.get_legend().get_texts()[0].get_text()
    assert above == words("trust.by_map", area="1.00")


def test_cells_are_the_squares_that_were_computed():
    values = np.arange(49).reshape(7, 7)
    enlarged = enlarge_map(values, 56, cells=True)
    assert np.array_equal(enlarged, np.kron(values, np.ones((8, 8))))


def test_boxes_that_reach_over_the_border_are_drawn_inside():
    drawn = draw_faces(GREY, [(-10, -10, 80, 30)])
    assert drawn.shape == GREY.shape
    assert not np.array_equal(drawn, GREY) and np.array_equal(drawn[40], GREY[40])


def test_every_box_has_its_number_at_any_size_of_the_picture():
    for side in (20, 400, 1600):
        image = np.full((side, side, 3), 90, np.uint8)
        boxes = [(0.1 * side, 0.1 * side, 0.4 * side, 0.5 * side), (side - 4, side - 4, side, side)]
        drawn = draw_faces(image, boxes, chosen=1)
        dark = (drawn < 60).all(axis=-1)
        for digit in np.hsplit(dark, 2):
            assert np.ptp(np.flatnonzero(digit.any(axis=1))) + 1 >= max(6, side / 50)
    first, third = (
        draw_faces(np.full((400, 400, 3), 90, np.uint8), [(50, 50, 200, 200)] * count, count)
        for count in (1, 3)
    )
    assert not np.array_equal(first, third)


def test_figure1_has_the_papers_columns_and_a_record_of_what_made_it(
    analyzer, photograph, tmp_path
):
    made = make_figure1(analyzer, [("happiness", photograph), ("again", photograph)])
    titles = [axis.get_title() for axis in made.figure.axes[:4]]
    assert titles == ["original", "ResNet-50", "MFN", "DDAMFN"]
    assert made.figure.axes[0].get_ylabel() == "happiness"
    cell = made.figure.axes[2].get_xlabel()
    result = made.record["rows"][0]["networks"]["mfn"]
    assert cell.startswith(
        f"{result['expression']} {result['probabilities'][result['expression']]:.2f}"
    )
    assert made.record["weights"] == {
        name: {"sha256": sha256_of(find_checkpoint(name))} for name in SHIPPED
    }
    assert set(made.record) == {"rows", "weights", "layer", "method", "target", "scale"}
    for name in ("figure.png", "figure.pdf"):
        save_figure(made.figure, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


@pytest.mark.parametrize(("font", "name"), [("a font", "第 1 张图片"), (None, "picture 1")])
def test_a_row_has_no_name_that_cannot_be_drawn(monkeypatch, font, name):
    monkeypatch.setattr(figures, "chinese_font", lambda: font)
    assert row_name(Path("照片.png"), 1, CHINESE) == name


def test_figure1_without_an_image_and_unknown_file_types_are_refused(
    analyzer, photograph, tmp_path
):
    with pytest.raises(ValueError, match="at least one image"):
        make_figure1(analyzer, [])
    face = analyzer.analyze(photograph).faces[0]
    figure = draw_analysis(face.crop, face.networks)
    with pytest.raises(ValueError, match=r"\.png or \.pdf"):
        save_figure(figure, tmp_path / "figure.txt")


def test_an_analysis_is_drawn_with_what_it_explains_and_the_scale_asked_for():
    weak = GradCam("surprise", np.eye(7), "hirescam", "happiness")
    strong = GradCam("surprise", 4 * np.eye(7), "eigen-cam", "happiness")
    plain = GradCam("surprise", -np.eye(7))
    answers = {"surprise": 0.9, "happiness": 0.1}
    networks = {
        name: NetworkResult("surprise", answers, cam, None, 0.0)
        for name, cam in (("ddamfn", weak), ("mfn", strong), ("resnet50", plain))
    }
    figure = draw_analysis(GREY, networks, 0.3, cells=True)
    assert [axis.get_xlabel() for axis in figure.axes[1:4]] == [
        "HiResCAM for surprise, not happiness\ndark 0 to bright 1",
        "Eigen-CAM (whatever the answer)\ndark 0 to bright 4",
        "Grad-CAM for surprise\ndark 0 to bright 0",
    ]
    shared = draw_analysis(GREY, networks, 0.3, shared=True, cells=True)
    assert shared.axes[1].get_xlabel().endswith("dark 0 to bright 4")
    for drawn, maximum in ((figure, 1), (shared, 4)):
        expected = overlay_heatmap(GREY, np.eye(7), strength=0.3, maximum=maximum, cells=True)
        np.testing.assert_array_equal(drawn.axes[1].images[0].get_array(), expected)


def test_an_analysis_shows_the_heads_in_the_pages_language_each_on_its_scale(analyzer, photograph):
    face = analyzer.analyze(photograph).faces[0]
    shown = face.networks["ddamfn"].attention
    heads = len(shown.maps)
    figure = draw_analysis(face.crop, face.networks, words=CHINESE)
    answers, attention = figure.subfigs
    assert attention.get_suptitle() == CHINESE("compare.heads_title")
    assert len(attention.axes) == heads + 2
    for axis, values in zip(attention.axes, [*shown.maps, shown.fused], strict=False):
        scale = {"low": f"{values.min():.2f}", "high": f"{values.max():.2f}"}
        assert axis.get_xlabel() == CHINESE("compare.dark_to_bright", **scale)
    won = [text.get_text() for text in attention.legends[0].get_texts()]
    assert won == [describe_wins(shown, number, CHINESE) for number in range(heads)]
    assert CHINESE.expression("happiness") in answers.axes[1].get_title()
    plain = draw_analysis(face.crop, {"mfn": face.networks["mfn"]})
    assert len(plain.subfigs) == 1


def made_attention(maps: np.ndarray, winner: np.ndarray, winner_share: np.ndarray) -> Attention:
    return Attention(
        columns=maps.mean(axis=2),
        rows=maps.mean(axis=1),
        maps=maps,
        fused=maps.max(axis=0),
        winner=winner,
        winner_share=winner_share,
        pairwise_mse=np.zeros((len(maps), len(maps))),
    )


def test_every_head_is_drawn_from_its_own_lowest_value_to_its_highest():
    pattern = np.arange(49).reshape(7, 7) / 48
    maps = np.stack([0.3 + 0.1 * pattern, 0.9 * pattern, np.full((7, 7), 0.5)])
    attention = made_attention(maps, np.zeros((7, 7), int), np.ones((7, 7)))
    drawn = draw_attention_maps(attention, GREY, 1, cells=True)
    assert [(round(low, 2), round(high, 2)) for _, low, high in drawn] == [
        (0.3, 0.4),
        (0, 0.9),
        (0.5, 0.5),
        (0.5, 0.9),
    ]
    first, second, flat = (picture for picture, _, _ in drawn[:3])
    assert np.array_equal(first, second) and len(np.unique(flat.reshape(-1, 3), axis=0)) == 1


def test_a_win_in_hardly_more_channels_than_chance_gives_is_called_no_lead():
    winner = np.zeros((7, 7), int)
    winner[:2] = 1
    share = np.where(winner == 1, 0.9, 0.52)
    words = load_words("en")
    attention = made_attention(np.full((3, 7, 7), 0.5), winner, share)
    assert [describe_wins(attention, number, words) for number in range(3)] == [
        "head 1: 35 of 49 cells, larger there in 52 of 100 channels",
        "head 2: 14 of 49 cells, larger there in 90 of 100 channels",
        "head 3: no cell",
    ]
    pair = made_attention(np.full((2, 7, 7), 0.5), winner, share)
    assert describe_wins(pair, 0, words).endswith("52 of 100 channels: hardly a lead")
    alone = made_attention(np.full((1, 7, 7), 0.5), 0 * winner, np.ones((7, 7)))
    assert describe_wins(alone, 0, words).endswith("100 of 100 channels")


def figure1_row() -> FigureRow:
    """A row in which ResNet-50 is missing, MFN is unsure, and DDAMFN is sure of anger."""
    heat = GradCam("fear", np.eye(7))
    doubtful = NetworkResult("fear", {"fear": 0.4, "anger": 0.3}, heat, None, 0.0)
    sure = NetworkResult("anger", {"fear": 0.1, "anger": 0.9}, heat, None, 0.0)
    return FigureRow("happiness", GREY, {"mfn": doubtful, "ddamfn": sure})


@pytest.mark.skipif(chinese_font() is None, reason="no typeface with Chinese characters here")
def test_figure1_is_drawn_in_chinese_with_a_typeface_that_has_every_character(tmp_path):
    figure = draw_figure1([figure1_row()], words=drawable_words(CHINESE))
    said = {text.get_text() for text in figure.findobj(Text)}
    assert {"高兴", "原图", "不可用", "恐惧 0.40 (不确定)", "愤怒 0.90", "DDAMFN"} <= said
    assert CHINESE("figure1.legend") in said
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a character that it draws as a box
        for name in ("figure.png", "figure.pdf"):
            save_figure(figure, tmp_path / name)


def test_figure1_stays_english_where_no_typeface_has_chinese(monkeypatch):
    monkeypatch.setattr(figures, "chinese_font", lambda: None)
    assert drawable_words(CHINESE).language == "en"
    figure = draw_figure1([figure1_row()], words=drawable_words(CHINESE))
    said = {text.get_text() for text in figure.findobj(Text)}
    assert {"happiness", "original", "not available", "fear 0.40 (unsure)", "anger 0.90"} <= said
    assert all(text.isascii() for text in said)
