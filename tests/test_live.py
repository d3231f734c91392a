"""A session on drawn faces that move: followed, searched for anew, smoothed over time."""

import numpy as np
import pytest
from PIL import Image

from fer_models import live
from fer_models.analysis import Analyzer
from fer_models.faces import detect_faces
from fer_models.images import load_image
from fer_models.live import LiveSession, overlap
from tests.conftest import EXAMPLE

EXAMPLES = EXAMPLE.parent


def frame(name: str | None, left: int = 120, top: int = 40, side: int = 400) -> np.ndarray:
    """A camera's frame (480,640,3): a drawn face's picture on grey, or grey alone."""
    canvas = Image.new("RGB", (640, 480), (120, 125, 130))
    if name:
        picture = Image.fromarray(load_image(EXAMPLES / f"{name}.png"))
        canvas.paste(picture.resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return np.asarray(canvas)


class Clock:
    """Seconds that pass only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def searches(monkeypatch) -> list:
    """Every search of a whole frame."""
    made = []
    monkeypatch.setattr(live, "detect_faces", lambda image: made.append(1) or detect_faces(image))
    return made


@pytest.fixture(scope="module")
def small_analyzer() -> Analyzer:
    return Analyzer(["mfn"])


def test_a_moving_face_is_followed_without_searching_each_frame(small_analyzer, clock, searches):
    session = LiveSession(small_analyzer, clock=clock)
    for step in range(8):
        picture = frame("happiness", left=80 + 15 * step, top=20 + 5 * step)
        result = session.process(picture)
        clock.now += 0.1
        expected = detect_faces(picture)[0]
        eye_distance = np.linalg.norm(expected.landmarks[1] - expected.landmarks[0])
        error = np.linalg.norm(result.face.landmarks - expected.landmarks, axis=1).mean()
        assert error < 0.1 * eye_distance
        assert result.searched == (step == 0)
        assert result.networks["mfn"].gradcam.values.shape == (7, 7)
    assert len(searches) == 1
    assert result.frames_per_second == pytest.approx(10)


def test_the_whole_frame_is_searched_again_every_few_seconds(small_analyzer, clock, searches):
    session = LiveSession(small_analyzer, search_every_s=1.0, clock=clock)
    searched = []
    for _ in range(6):
        searched.append(session.process(frame("neutral")).searched)
        clock.now += 0.4
    assert searched == [True, False, False, True, False, False]


def test_a_face_that_leaves_is_gone_and_one_that_comes_starts_anew(small_analyzer, clock):
    session = LiveSession(small_analyzer, clock=clock)
    session.process(frame("happiness"))
    clock.now += 0.1
    gone = session.process(frame(None))
    assert gone.face is None and gone.crop is None and not gone.networks and not gone.tracks
    clock.now += 0.1
    back = session.process(frame("sadness"))
    assert back.searched and len(back.tracks["mfn"].times_s) == 1
    own = np.array(list(back.networks["mfn"].probabilities.values()))
    np.testing.assert_allclose(back.tracks["mfn"].probabilities[-1], own)


def test_of_two_faces_the_followed_one_is_kept(small_analyzer, clock):
    def both(left_side: int) -> np.ndarray:
        picture = frame("happiness", left=0, side=left_side).copy()
        picture[40:320, 350:630] = frame("anger", left=350, top=40, side=280)[40:320, 350:630]
        return picture

    session = LiveSession(small_analyzer, search_every_s=0.0, clock=clock)
    first = session.process(both(left_side=330)).face
    assert first.box_xyxy[2] < 340
    clock.now += 0.1
    assert session.process(both(left_side=270)).face.box_xyxy[2] < 340  # though now the smaller


def test_probabilities_are_smoothed_with_the_time_constant(small_analyzer, clock):
    session = LiveSession(small_analyzer, smoothing_s=0.5, search_every_s=100, clock=clock)
    first = session.process(frame("happiness")).networks["mfn"].probabilities
    clock.now += 0.2
    result = session.process(frame("happiness", left=126))
    second = result.networks["mfn"].probabilities
    kept = np.exp(-0.2 / 0.5)
    expected = {name: kept * first[name] + (1 - kept) * second[name] for name in first}
    assert first != second
    assert result.tracks["mfn"].newest == pytest.approx(expected)
    np.testing.assert_allclose(result.tracks["mfn"].times_s, [-0.2, 0])


def test_the_history_forgets_what_is_older_than_it_is_long(small_analyzer, clock):
    session = LiveSession(small_analyzer, history_s=1.0, clock=clock)
    for _ in range(5):
        track = session.process(frame("neutral")).tracks["mfn"]
        clock.now += 0.4
    np.testing.assert_allclose(track.times_s, [-0.8, -0.4, 0])
    assert track.probabilities.shape == (3, len(track.labels))
    np.testing.assert_allclose(track.probabilities.sum(axis=1), 1, atol=1e-5)


def test_what_is_no_frame_is_refused(small_analyzer):
    with pytest.raises(ValueError, match="RGB uint8"):
        LiveSession(small_analyzer).process(np.zeros((4, 4)))


def test_overlap_is_intersection_over_union():
    from fer_models.faces import Face

    def box(*edges):
        return Face(edges, np.zeros((5, 2)), 1.0)

    assert overlap(box(0, 0, 2, 2), box(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap(box(0, 0, 2, 2), box(5, 5, 6, 6)) == 0
