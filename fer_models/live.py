"""Faces in a stream of frames: tracked between searches, explained, smoothed over time.

A camera gives frames faster than networks answer, so the page sends the next one only when the last
was answered: frames are dropped and never queued. `LiveSession` is what happens to those sent.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fer_models.analysis import Analyzer, NetworkResult, check_image
from fer_models.faces import MIN_LANDMARK_SCORE, Face, align_face, detect_faces, track_face

SMOOTHING_S = 0.5
HISTORY_S = 10.0
SEARCH_EVERY_S = 3.0
RATE_S = 3.0
SAME_FACE_OVERLAP = 0.3


@dataclass(frozen=True)
class Track:
    """One network's smoothed probabilities over the last seconds.

    Attributes:
        labels: the expressions.
        times_s: (T,) seconds before the newest frame, rising to 0.
        probabilities: (T,K) in the labels' order.
    """

    labels: tuple[str, ...]
    times_s: np.ndarray
    probabilities: np.ndarray

    @property
    def newest(self) -> dict[str, float]:
        return dict(zip(self.labels, self.probabilities[-1].tolist(), strict=True))


@dataclass(frozen=True)
class LiveResult:
    """What is known after a frame.

    Attributes:
        face: the tracked face in the frame's pixels, or None if there is none.
        crop: the face, aligned (112,112,3) RGB uint8, or None.
        networks: the answers on this frame alone, with their heatmaps; empty without a face.
        tracks: the same answers smoothed, with their history; empty without a face.
        searched: whether the whole frame was searched, rather than the face followed.
        frames_per_second: of the frames processed in the last three seconds.
        others: how many further faces the last search of a whole frame found.
    """

    face: Face | None
    crop: np.ndarray | None
    networks: dict[str, NetworkResult]
    tracks: dict[str, Track]
    searched: bool
    frames_per_second: float
    others: int


@dataclass
class _History:
    """One network's smoothed probabilities and their times."""

    labels: tuple[str, ...]
    times: deque = field(default_factory=deque)
    values: deque = field(default_factory=deque)

    def add(self, now: float, probabilities: np.ndarray, smoothing_s: float, keep_s: float) -> None:
        if self.values:
            kept = math.exp(-(now - self.times[-1]) / smoothing_s) if smoothing_s > 0 else 0.0
            probabilities = kept * self.values[-1] + (1 - kept) * probabilities
        self.times.append(now)
        self.values.append(probabilities)
        while now - self.times[0] > keep_s:
            self.times.popleft()
            self.values.popleft()

    def track(self) -> Track:
        times = np.array(self.times)
        return Track(self.labels, times - times[-1], np.array(self.values))


class LiveSession:
    """Follows the largest face of a stream; one for each visitor, fed by one thread at a time.

    Args:
        analyzer: may be shared with everything else.
        networks: those to run; the analyzer's by default.
        smoothing_s: time constant of the exponential smoothing; 0 for none.
        history_s: how long smoothed answers are kept.
        search_every_s: a followed face is looked for anew in the whole frame after that time.
        clock: seconds, rising.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        networks: Sequence[str] | None = None,
        *,
        smoothing_s: float = SMOOTHING_S,
        history_s: float = HISTORY_S,
        search_every_s: float = SEARCH_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.analyzer, self.networks = analyzer, networks
        self.smoothing_s, self.history_s = smoothing_s, history_s
        self.search_every_s, self.clock = search_every_s, clock
        self._face: Face | None = None
        self._others = 0
        self._searched_at = -math.inf
        self._histories: dict[str, _History] = {}
        self._ends: deque[float] = deque()

    def process(
        self,
        frame: np.ndarray,
        *,
        target: str | None = None,
        minus: str | None = None,
        method: str = "grad-cam",
    ) -> LiveResult:
        """Find the face in the next frame and explain it; arguments as `Analyzer.analyze`.

        Raises:
            ValueError: if the frame is no (H,W,3) RGB uint8 image, or an argument does not do.
        """
        check_image(frame)
        now = self.clock()
        searched = self._follow(frame, now)
        crop, answers, tracks = None, {}, {}
        if self._face is not None:
            crop = align_face(frame, self._face.landmarks)
            results = self.analyzer.analyze_crops(
                [crop], target=target, minus=minus, method=method, networks=self.networks
            )
            answers = {name: result[0] for name, result in results.items()}
            tracks = self._smooth(answers, now)
        return LiveResult(self._face, crop, answers, tracks, searched, self._rate(), self._others)

    def _follow(self, frame: np.ndarray, now: float) -> bool:
        """Update the face; True if the whole frame was searched."""
        before = self._face
        followed = before and track_face(frame, before, MIN_LANDMARK_SCORE)
        if followed and now - self._searched_at < self.search_every_s:
            self._face = followed
            return False
        found = detect_faces(frame)
        self._searched_at = now
        same = [face for face in found if followed and overlap(face, followed) > SAME_FACE_OVERLAP]
        self._face = next(iter(same or ([followed] if followed else found)), None)
        self._others = sum(overlap(f, self._face) <= SAME_FACE_OVERLAP for f in found)
        if not followed:
            self._histories.clear()  # another face, or the same after a gap
        return True

    def _smooth(self, answers: dict[str, NetworkResult], now: float) -> dict[str, Track]:
        tracks = {}
        for name, answer in answers.items():
            history = self._histories.setdefault(name, _History(tuple(answer.probabilities)))
            probabilities = np.array(list(answer.probabilities.values()))
            history.add(now, probabilities, self.smoothing_s, self.history_s)
            tracks[name] = history.track()
        return tracks

    def _rate(self) -> float:
        self._ends.append(self.clock())
        while self._ends[-1] - self._ends[0] > RATE_S:
            self._ends.popleft()
        duration = self._ends[-1] - self._ends[0]
        return (len(self._ends) - 1) / duration if duration > 0 else 0.0


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of two faces' boxes, 0..1."""
    a, b = np.array(one.box_xyxy), np.array(other.box_xyxy)
    both = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both))
