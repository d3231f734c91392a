import subprocess
import sys

import numpy as np
import pytest

import fer_models.lab
from fer_models.lab.experiments import ablate_actions, sweep
from fer_models.lab.parameters import FaceParameters
from fer_models.lab.render import render_face

MOUTH = (slice(270, 360), slice(190, 322))
NEUTRAL = FaceParameters(1)


@pytest.fixture(scope="module")
def neutral():
    return render_face(NEUTRAL).astype(float)


@pytest.fixture(scope="module")
def sees_the_mouth(neutral):
    """A toy network of two classes: class 1 grows with the change of the mouth's pixels alone."""

    def predict(images):
        change = np.abs(images.astype(float) - neutral)[:, *MOUTH].mean((1, 2, 3)) / 50
        return np.stack([1 - change, change], 1)

    return predict


def test_a_sweep_asks_about_every_face_it_lists(sees_the_mouth):
    seen = []

    def predict(images):
        seen.extend(images)
        return sees_the_mouth(images)

    result = sweep(predict, NEUTRAL, "jawOpen", [0.0, 0.5, 1.0])
    assert result.values.tolist() == [0.0, 0.5, 1.0]
    assert result.probabilities.shape == (3, 2)
    assert [p.actions.get("jawOpen", 0) for p in result.parameters] == [0.0, 0.5, 1.0]
    np.testing.assert_array_equal(seen[2], render_face(result.parameters[2]))
    assert result.probabilities[0, 1] == 0
    assert result.probabilities[0, 1] < result.probabilities[1, 1] < result.probabilities[2, 1]


def test_a_sweep_of_something_the_network_cannot_see_is_flat(sees_the_mouth):
    result = sweep(sees_the_mouth, NEUTRAL, "browInnerUp", [0.0, 1.0])
    assert np.ptp(result.probabilities[:, 1]) < 1e-3


def test_expressions_and_angles_can_be_swept(sees_the_mouth):
    result = sweep(sees_the_mouth, NEUTRAL, "sadness", [0.0, 1.0])
    assert result.parameters[1] == NEUTRAL.with_expression("sadness")
    result = sweep(lambda images: np.ones((len(images), 1)), NEUTRAL, "yaw_deg")
    assert result.values[[0, -1]].tolist() == [-45, 45]
    assert [p.yaw_deg for p in result.parameters] == result.values.tolist()


def test_a_symmetric_sweep_moves_both_sides():
    result = sweep(
        lambda images: np.ones((len(images), 1)), NEUTRAL, "mouthSmileLeft", [0.7], symmetric=True
    )
    assert result.parameters[0].actions == {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}


def test_the_action_the_network_sees_ranks_first_and_the_unseen_one_changes_nothing(
    sees_the_mouth,
):
    face = NEUTRAL.with_actions(jawOpen=0.6, browInnerUp=1.0, browDownLeft=0.5, browDownRight=0.5)
    result = ablate_actions(sees_the_mouth, face, target=1)
    assert result.actions[0] == ("jawOpen",)
    assert ("browDownLeft", "browDownRight") in result.actions
    assert result.change[0] == pytest.approx(result.full[1], abs=1e-3)
    assert result.change[0] > 0.05
    np.testing.assert_allclose(result.change[1:], 0, atol=1e-3)
    np.testing.assert_allclose(result.full[1] - result.without[:, 1], result.change)


def test_the_sign_says_whether_an_action_spoke_for_or_against_the_target(sees_the_mouth):
    face = NEUTRAL.with_actions(jawOpen=0.6)
    assert ablate_actions(sees_the_mouth, face, target=1).change[0] > 0
    assert ablate_actions(sees_the_mouth, face, target=0).change[0] < 0


def test_sides_can_be_removed_one_by_one(sees_the_mouth):
    face = NEUTRAL.with_actions(mouthSmileLeft=1.0, mouthSmileRight=0.2)
    assert len(ablate_actions(sees_the_mouth, face, 1).actions) == 1
    result = ablate_actions(sees_the_mouth, face, 1, pair_sides=False)
    assert result.actions == (("mouthSmileLeft",), ("mouthSmileRight",))


def test_a_face_without_actions_has_nothing_to_remove(sees_the_mouth):
    result = ablate_actions(sees_the_mouth, NEUTRAL, 0)
    assert result.actions == ()
    assert result.without.shape == (0, 2)


def test_mistakes_are_refused_with_the_fix(sees_the_mouth):
    with pytest.raises(ValueError, match="cannot be swept; use a facial action"):
        sweep(sees_the_mouth, NEUTRAL, "wink")
    with pytest.raises(ValueError, match="give a number from 0 to 1"):
        sweep(sees_the_mouth, NEUTRAL, "jawOpen", [2.0])
    with pytest.raises(ValueError, match="at least one"):
        sweep(sees_the_mouth, NEUTRAL, "jawOpen", [])
    with pytest.raises(ValueError, match="must give \\(N, K\\)"):
        sweep(lambda images: np.ones(3), NEUTRAL, "jawOpen", [0.5])
    with pytest.raises(ValueError, match="target is 7"):
        ablate_actions(sees_the_mouth, NEUTRAL, 7)


def test_the_package_alone_answers_without_gradio_and_draws_with_numpy_alone():
    program = """
import sys
import numpy as np
from fer_models.lab import FaceParameters, ablate_actions, render_face, sweep

mean = lambda images: images.mean((1, 2, 3))[:, None] / 255
face = FaceParameters(1).with_actions(jawOpen=1.0)
assert render_face(face).shape == (512, 512, 3)
assert sweep(mean, face, "jawOpen", [0, 1]).probabilities.shape == (2, 1)
assert ablate_actions(mean, face, 0).without.shape == (1, 1)
print(sorted({"gradio", "torch", "matplotlib", "scipy"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr


def test_everything_that_the_package_names_is_there():
    for name in fer_models.lab.__all__:
        assert getattr(fer_models.lab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'grin'"):
        _ = fer_models.lab.grin
