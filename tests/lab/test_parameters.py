import copy
import json
import pickle

import numpy as np
import pytest

from fer_models.expressions import EXPRESSIONS
from fer_models.lab.actions import (
    ACTIONS,
    ACTIONS_OF_AU,
    AUS_OF_EXPRESSION,
    expression_actions,
    mirror_name,
    region_of_action,
)
from fer_models.lab.parameters import FaceParameters, ParametersError
from fer_models.words import load_words


def test_the_recipes_use_the_action_units_of_emfacs():
    units = {e: "+".join(aus) for e, aus in AUS_OF_EXPRESSION.items()}
    assert tuple(units) == EXPRESSIONS
    assert units == {
        "neutral": "",
        "happiness": "6+12",
        "sadness": "1+4+15",
        "surprise": "1+2+5+26",
        "fear": "1+2+4+5+20+26",
        "disgust": "9+15+17",
        "anger": "4+5+7+23",
        "contempt": "12L+14L",
    }


def test_every_action_unit_maps_to_known_actions():
    for shares in ACTIONS_OF_AU.values():
        for action, share in shares.items():
            assert action in ACTIONS
            assert 0 < share <= 1


def test_intensity_scales_an_expression():
    full, half = expression_actions("happiness"), expression_actions("happiness", 0.5)
    assert set(full) == set(half)
    assert all(half[a] == pytest.approx(full[a] / 2) for a in full)
    assert expression_actions("fear", 0.0) == {}


def test_only_contempt_is_one_sided():
    for expression in EXPRESSIONS:
        actions = expression_actions(expression)
        mirrored = {mirror_name(a): s for a, s in actions.items()}
        assert (actions == mirrored) == (expression != "contempt")


def test_mirroring_twice_gives_the_same_face_back():
    face = FaceParameters(2, {"jawLeft": 0.4, "eyeLookInRight": 0.2}, yaw_deg=10, roll_deg=-5)
    assert face.mirrored() != face
    assert face.mirrored().mirrored() == face
    assert face.mirrored().actions == {"jawRight": 0.4, "eyeLookInLeft": 0.2}


def test_the_symmetry_lock_copies_one_side_to_the_other():
    face = FaceParameters(0, {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.1, "jawOpen": 0.3})
    assert face.symmetric("Left").actions == {
        "mouthSmileLeft": 0.8,
        "mouthSmileRight": 0.8,
        "jawOpen": 0.3,
    }
    assert face.symmetric("Right").actions["mouthSmileLeft"] == 0.1


def test_json_gives_the_same_parameters_back():
    face = FaceParameters(5, {"noseSneerLeft": 0.123456789}, yaw_deg=-12.5, background="blurred")
    assert FaceParameters.from_json(face.to_json()) == face
    assert json.loads(face.to_json())["actions"] == {"noseSneerLeft": 0.123456789}


def test_parameters_can_be_copied_pickled_and_used_as_keys():
    face = FaceParameters(5, {"noseSneerLeft": 0.3}, yaw_deg=-12.5)
    assert copy.deepcopy(face) == face
    assert pickle.loads(pickle.dumps(face)) == face
    assert {face: 1}[copy.copy(face)] == 1


def test_numpy_numbers_are_taken_and_stored_as_plain_ones():
    face = FaceParameters(np.int64(2), {"jawOpen": np.float32(0.5)}, yaw_deg=np.float64(3))
    assert face == FaceParameters(2, {"jawOpen": 0.5}, yaw_deg=3.0)
    assert FaceParameters.from_json(face.to_json()) == face


def test_zeros_and_order_of_actions_make_no_difference():
    a = FaceParameters(0, {"jawOpen": 0.2, "browInnerUp": 0.5, "cheekPuff": 0})
    b = FaceParameters(0, {"browInnerUp": 0.5, "jawOpen": 0.2})
    assert a == b
    assert a.to_json() == b.to_json()


def test_parameters_cannot_be_changed_in_place():
    face = FaceParameters(0, {"jawOpen": 0.2})
    with pytest.raises(TypeError):
        face.actions["jawOpen"] = 1.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"identity": 99}, "identity is 99; give a whole number from 0 to 9"),
        ({"identity": True}, "whole number"),
        ({"identity": 1.5}, "whole number"),
        ({"actions": {"smile": 1}}, "'smile' is no facial action; use ARKit's names"),
        ({"actions": {"jawOpen": 1.2}}, "jawOpen is 1.2; give a number from 0 to 1"),
        ({"actions": {"jawOpen": float("nan")}}, "give a number from 0 to 1"),
        ({"actions": {"jawOpen": "wide"}}, "give a number from 0 to 1"),
        ({"actions": 3}, "must map names to strengths"),
        ({"yaw_deg": 90}, "yaw_deg is 90; give a number from -60 to 60"),
        ({"background": "beach"}, "use one of plain, blurred"),
        ({"yaw_deg": 10**400}, "give a number from -60 to 60"),
    ],
)
def test_bad_values_are_refused_with_the_fix(values, words):
    with pytest.raises(ValueError, match=words):
        FaceParameters(**values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no valid JSON"),
        ("[1]", "must be a JSON object"),
        ('{"identiti": 1}', "Unknown parameter 'identiti'; use identity"),
        ('{"yaw_deg": "left"}', "give a number"),
    ],
)
def test_bad_json_is_refused_with_the_fix(text, words):
    with pytest.raises(ValueError, match=words):
        FaceParameters.from_json(text)


def test_an_error_can_be_said_in_another_language():
    with pytest.raises(ParametersError) as error:
        FaceParameters(0, {"jawOpen": 7})
    assert error.value.key == "lab.wrong_number"
    message = load_words("zh")(error.value.key, **error.value.values)
    assert message == "jawOpen 的值是 7；请填 0 到 1 之间的数。"


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no facial action"):
        region_of_action("earWiggle")
    with pytest.raises(ValueError, match="no expression"):
        expression_actions("boredom")
    with pytest.raises(ValueError, match="intensity is 2"):
        expression_actions("fear", 2)
    with pytest.raises(ValueError, match="use Left or Right"):
        FaceParameters().symmetric("up")
