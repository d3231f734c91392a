import numpy as np
import pytest

from fer_models.expressions import EXPRESSIONS, LABEL_ORDERS, canonical_expression, reorder


def test_every_data_set_names_each_expression_once():
    for order in LABEL_ORDERS.values():
        assert len(set(order)) == len(order)
        assert set(order) - {"unknown", "not_a_face"} <= set(EXPRESSIONS)


def test_fer2013_code_3_is_happiness_and_rafdb_code_4_is_too():
    assert LABEL_ORDERS["fer2013"][3] == "happiness"
    assert LABEL_ORDERS["rafdb"][4 - 1] == "happiness"


def test_reordering_follows_names_not_positions():
    votes = np.arange(10)[None]  # neutral 0, happiness 1, surprise 2, sadness 3, ...
    eight = reorder(votes, LABEL_ORDERS["ferplus_votes"], EXPRESSIONS)
    assert dict(zip(EXPRESSIONS, eight[0].tolist(), strict=True)) == {
        "neutral": 0,
        "happiness": 1,
        "sadness": 3,
        "surprise": 2,
        "fear": 6,
        "disgust": 5,
        "anger": 4,
        "contempt": 7,
    }


def test_reordering_refuses_a_name_that_is_not_there():
    with pytest.raises(ValueError, match="contempt"):
        reorder(np.zeros((1, 7)), LABEL_ORDERS["fer2013"], EXPRESSIONS)
    with pytest.raises(ValueError, match="7 names"):
        reorder(np.zeros((1, 8)), LABEL_ORDERS["fer2013"], EXPRESSIONS[:7])


def test_usual_spellings_find_their_expression_and_others_are_refused():
    assert canonical_expression(" Happy ") == "happiness"
    assert canonical_expression("angry") == "anger"
    with pytest.raises(ValueError, match="neutral, happiness"):
        canonical_expression("bored")
