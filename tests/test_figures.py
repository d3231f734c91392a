import numpy as np
import pytest

from fer_models.figure1 import make_figure1
from fer_models.figures import (
    draw_analysis,
    draw_faces,
    enlarge_map,
    heat_colors,
    overlay_heatmap,
    save_figure,
    scale_heatmap,
)

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


def test_cells_are_the_squares_that_were_computed():
    values = np.arange(49).reshape(7, 7)
    enlarged = enlarge_map(values, 56, cells=True)
    assert np.array_equal(enlarged, np.kron(values, np.ones((8, 8))))


def test_boxes_that_reach_over_the_border_are_drawn_inside():
    drawn = draw_faces(GREY, [(-10, -10, 80, 30)])
    assert drawn.shape == GREY.shape
    assert not np.array_equal(drawn, GREY) and np.array_equal(drawn[40], GREY[40])


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
    assert made.record["weights"]["ddamfn"]["sha256"] == analyzer.checkpoint("ddamfn").card.sha256
    assert set(made.record) == {"rows", "weights", "layer", "method", "target", "scale"}
    for name in ("figure.png", "figure.pdf"):
        save_figure(made.figure, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


def test_figure1_without_an_image_and_unknown_file_types_are_refused(
    analyzer, photograph, tmp_path
):
    with pytest.raises(ValueError, match="at least one image"):
        make_figure1(analyzer, [])
    figure = draw_analysis(analyzer.analyze(photograph).faces[0])
    with pytest.raises(ValueError, match=r"\.png or \.pdf"):
        save_figure(figure, tmp_path / "figure.txt")
