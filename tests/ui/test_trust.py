"""The Trust tab's functions, without a browser."""

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from fer_models.checkpoints import CheckpointError
from fer_models.explain.faithfulness import (
    FaithfulnessCurves,
    Perturbed,
    Randomisation,
    Stability,
)
from fer_models.expressions import EXPRESSIONS
from fer_models.ui.compare import OWN_ANSWER, find_faces
from fer_models.ui.trust import (
    CHECKS,
    DRAWS,
    RANDOM_ORDERS,
    STRIP_STEPS,
    checks_report,
    deletion_pictures,
    describe_change,
    describe_end,
    draw_check,
    draw_checks,
    draw_subject,
    judge,
    judge_faithfulness,
    judge_randomisation,
    judge_stability,
    run_checks,
    start_checks,
    write_downloads,
)
from fer_models.words import LANGUAGES, load_words
from tests.conftest import EXAMPLE, SHIPPED

WORDS = load_words("en")
NETWORK = SHIPPED[-1]


@pytest.fixture(scope="module")
def picture():
    return find_faces(str(EXAMPLE), WORDS)[0]


@pytest.fixture(scope="module")
def started(analyzer, photograph_crop):
    return start_checks(analyzer, photograph_crop, NETWORK, OWN_ANSWER, "grad-cam")


@pytest.fixture(scope="module")
def steps(analyzer, started):
    return list(run_checks(analyzer, started))


@pytest.fixture(scope="module")
def checks(steps):
    return steps[-1].checks


def test_the_networks_own_answer_is_checked_unless_another_is_asked(
    analyzer, photograph_crop, started
):
    assert started.target == started.answer.expression == "happiness"
    other = start_checks(analyzer, photograph_crop, NETWORK, "fear", "hirescam")
    assert (other.target, other.answer.gradcam.method) == ("fear", "hirescam")
    assert other.answer.expression == "happiness"


def test_a_network_without_weights_is_an_error_with_a_name(analyzer, photograph_crop):
    with pytest.raises(CheckpointError, match="nowhere"):
        start_checks(analyzer, photograph_crop, "nowhere", OWN_ANSWER, "grad-cam")


def test_the_checks_come_one_after_another_with_their_progress(steps):
    assert list(dict.fromkeys(step.check for step in steps)) == list(CHECKS)
    for check in CHECKS:
        mine = [step for step in steps if step.check == check]
        assert [step.done for step in mine] == sorted({step.done for step in mine})
        assert mine[-1].done == mine[-1].total
        assert [getattr(step.checks, check) is not None for step in mine] == [
            step is mine[-1] for step in mine
        ]


def test_stopping_keeps_what_was_done(analyzer, started):
    run = run_checks(analyzer, started)
    step = next(step for step in run if step.checks.faithfulness is not None)
    run.close()
    verdicts = judge(step.checks, WORDS)
    assert list(verdicts) == ["faithfulness"]
    assert "1 of 3" in describe_end(verdicts, WORDS)
    assert "<svg" in draw_check("faithfulness", step.checks, WORDS)
    assert WORDS("trust.waiting") in draw_check("stability", step.checks, WORDS)


def test_the_strip_shows_the_pictures_whose_probabilities_the_curve_has(analyzer, checks):
    shown = analyzer.probabilities(NETWORK, deletion_pictures(checks))
    followed = shown[:, checks.labels.index(checks.target)]
    np.testing.assert_allclose(followed, checks.faithfulness.deletion, atol=0.01)


def test_every_check_is_drawn_with_its_verdict_and_numbers(checks):
    faithfulness, randomisation, stability = (draw_check(c, checks, WORDS) for c in CHECKS)
    verdicts = judge(checks, WORDS)
    assert faithfulness.count("<svg class") == 2
    assert faithfulness.count("<img") == len(STRIP_STEPS)
    assert f"area {checks.faithfulness.deletion_area:.2f}" in faithfulness
    assert f"± {checks.faithfulness.random_spread:.2f}" in faithfulness
    assert randomisation.count("<img") == 1 + len(checks.randomisation.levels)
    assert stability.count("<svg class") == 4
    # Every change has a mark on both lines; the unchanged face has one in three panels.
    assert stability.count("<circle") == 2 * (len(checks.stability.perturbed) + 3)
    for drawn, check in zip((faithfulness, randomisation, stability), CHECKS, strict=True):
        assert verdicts[check].text in unescape(drawn)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_before_a_run_each_check_says_what_it_will_ask(language):
    words = load_words(language)
    for check in CHECKS:
        drawn = draw_check(check, None, words)
        assert words(f"trust.{check}") in drawn and words("trust.waiting") in drawn


def test_the_subject_shows_the_face_then_the_heatmap_with_the_answer(checks, picture):
    before = draw_subject(picture, NETWORK, None, WORDS)
    after = draw_subject(picture, NETWORK, checks, WORDS)
    assert WORDS("trust.no_map_yet") in before and "<strong>" not in before
    assert "<strong>happiness</strong>" in after and "Grad-CAM" in after
    assert before.count("<img") == after.count("<img") == 1


def curves(deletion, insertion, random, centre=None) -> FaithfulnessCurves:
    """Curves of three points, in which only the middle one differs between orders."""
    centre = centre or (0.5, 0.5)
    return FaithfulnessCurves(
        target=0,
        shares=np.array([0, 0.5, 1]),
        deletion=np.array([1, deletion, 0]),
        insertion=np.array([0, insertion, 1]),
        centre_deletion=np.array([1, centre[0], 0]),
        centre_insertion=np.array([0, centre[1], 1]),
        random_deletion=np.array([[1, middle, 0] for middle in random]),
    )


EVEN = np.linspace(0.3, 0.7, RANDOM_ORDERS)


@pytest.mark.parametrize(
    ("deletion", "insertion", "centre", "outcome", "numbers"),
    [
        (0.1, 0.9, (0.5, 0.5), "passed", "19 of 19 random orders; uncovering them first raises it"),
        (0.1, 0.9, (0.1, 0.5), "mixed", "middle of the face"),
        (
            0.1,
            0.5,
            (0.5, 0.4),
            "mixed",
            "faster than 9 of 19. Clearly better than random in only one",
        ),
        (0.31, 0.69, (0.5, 0.5), "mixed", "faster than 18 of 19. Better than nearly every"),
        (0.5, 0.5, (0.6, 0.4), "failed", "do not rely"),
        (0.9, 0.1, (0.5, 0.5), "failed", "faster than 0 of 19 random orders"),
    ],
)
def test_the_first_verdict_counts_the_random_orders_that_are_slower(
    deletion, insertion, centre, outcome, numbers
):
    found = judge_faithfulness(curves(deletion, insertion, EVEN, centre), "fear", WORDS)
    assert found.outcome == outcome
    assert numbers in found.text
    assert ("Not passed" in found.text) == (outcome == "mixed")


def test_nothing_is_concluded_where_blurring_all_of_the_face_changes_little():
    flat = replace(curves(0.1, 0.9, EVEN), deletion=np.array([0.5, 0.1, 0.45]))
    found = judge_faithfulness(flat, "fear", WORDS)
    assert found.outcome == "undecided"
    assert "from 0.50 to 0.45" in found.text


@pytest.mark.parametrize(("sign", "outcome"), [(1, "failed"), (-1, "failed"), (0, "passed")])
def test_a_map_that_stays_under_random_weights_fails(sign, outcome):
    original = np.arange(49.0).reshape(7, 7)
    random = np.random.default_rng(0).permutation(49).reshape(7, 7)
    last = sign * original if sign else random
    found = judge_randomisation(
        Randomisation(("head", "0"), original, np.stack([[original, last]] * 2)), WORDS
    )
    assert found.outcome == outcome
    if sign:
        assert "1.00" in found.text and "do not rely" in found.text


def stability(*changed: tuple[float, int]) -> Stability:
    perturbed = tuple(
        Perturbed("shift_x", -4, correlation, 0.4, -0.5, answer) for correlation, answer in changed
    )
    return Stability(0, 0.9, 0, perturbed)


@pytest.mark.parametrize(
    ("changed", "outcome", "words"),
    [
        ([(0.9, 0), (0.8, 0)], "passed", "stay put"),
        ([(0.9, 0), (0.8, 1)], "mixed", "the answer does not"),
        ([(0.9, 0), (0.2, 0)], "mixed", "the map does not"),
        ([(0.9, 0), (0.2, 1)], "failed", "Neither"),
    ],
)
def test_the_last_verdict_asks_both_answer_and_map_to_stay(changed, outcome, words):
    found = judge_stability(stability(*changed), "fear", WORDS)
    kept = sum(answer == 0 for _, answer in changed)
    assert found.outcome == outcome and words in found.text
    assert ("Not passed" in found.text) == (outcome == "mixed")
    assert f"stays in {kept} of 2" in found.text
    assert "−0.50 (4 px to the left)" in found.text


@pytest.mark.parametrize(
    ("kind", "amount", "text"),
    [
        ("shift_x", 2, "2 px to the right"),
        ("shift_y", 1, "1 px down"),
        ("shift_y", -1, "1 px up"),
        ("brightness", 1.25, "brightness x 1.25"),
        ("jpeg", 30, "JPEG quality 30"),
    ],
)
def test_changes_are_named_in_words(kind, amount, text):
    assert describe_change(Perturbed(kind, amount, 1, 1, 0, 0), WORDS) == text


def test_a_changed_answer_is_a_hollow_mark(checks):
    found = checks.stability
    flipped = (checks.labels.index("fear") + found.answer + 1) % len(EXPRESSIONS)
    first = replace(found.perturbed[0], answer=flipped)
    moved = replace(checks, stability=replace(found, perturbed=(first, *found.perturbed[1:])))
    before, after = (
        draw_check("stability", c, WORDS).count("fill-primary") for c in (checks, moved)
    )
    assert after == before + 1


def test_a_map_that_is_the_same_everywhere_has_nothing_to_check(started):
    assert not started.is_blank
    flat = replace(started.answer.gradcam, values=np.zeros((7, 7), np.float32))
    assert replace(started, answer=replace(started.answer, gradcam=flat)).is_blank


def test_the_end_never_claims_a_proof(checks):
    verdicts = judge(checks, WORDS)
    passed = sum(verdict.outcome == "passed" for verdict in verdicts.values())
    text = describe_end(verdicts, WORDS)
    assert f"{passed} of 3" in text and "does not prove" in text


def test_the_downloads_hold_all_numbers(checks, picture):
    json_file, figure_file = write_downloads(checks, picture, WORDS)
    report = json.loads(Path(json_file).read_text(encoding="utf-8"))
    assert (report["network"], report["gradcam"]["target"]) == (NETWORK, "happiness")
    curves = report["faithfulness"]
    assert np.shape(curves["random_deletion"]) == (RANDOM_ORDERS, len(curves["shares"]))
    assert curves["deletion_area"] == pytest.approx(
        np.trapezoid(curves["deletion"], curves["shares"]), abs=1e-5
    )
    levels = len(report["randomisation"]["levels"])
    assert np.shape(report["randomisation"]["maps"]) == (DRAWS, levels, 7, 7)
    assert len(report["stability"]["changes"]) == 20
    assert {report[check]["outcome"] for check in CHECKS} <= {
        "passed",
        "mixed",
        "failed",
        "undecided",
    }
    assert Path(figure_file).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_figure_has_every_check_that_was_done(checks, language):
    words = load_words(language)
    verdicts = judge(checks, words)
    figure = draw_checks(checks, words)
    assert len(figure.subfigs) == len(CHECKS)
    for part, (check, verdict) in zip(figure.subfigs, verdicts.items(), strict=True):
        outcome = words(f"trust.outcome_{verdict.outcome}")
        assert part.get_suptitle() == f"{words(f'trust.{check}')} {outcome}"
    assert len(figure.subfigs[0].subfigs[1].axes) == 2  # deletion and insertion
    assert len(figure.subfigs[1].axes) == 1 + len(checks.randomisation.levels)
    shown = [len(axis.collections[0].get_offsets()) for axis in figure.subfigs[2].axes]
    assert sum(shown) == len(checks.stability.perturbed) + 3  # and the unchanged face
    stopped = replace(checks, randomisation=None, stability=None)
    assert len(draw_checks(stopped, words).subfigs) == 1


def test_a_check_alone_has_its_files_too(started, picture):
    found = replace(started, stability=stability((0.9, 0)))
    json_file, figure_file = write_downloads(found, picture, WORDS)
    report = checks_report(found, picture, WORDS)
    assert "faithfulness" not in report and Path(figure_file).stat().st_size > 1000
    assert json.loads(Path(json_file).read_text(encoding="utf-8")) == report
