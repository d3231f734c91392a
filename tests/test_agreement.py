"""Whether networks agree, in one sentence and in each language."""

import numpy as np

from fer_models.agreement import describe_agreement, judge_agreement
from fer_models.analysis import GradCam, NetworkResult
from fer_models.words import load_words


def answer(expression: str, probability: float) -> NetworkResult:
    rest = 1 - probability
    probabilities = {expression: probability, "other": rest}
    return NetworkResult(
        expression, probabilities, GradCam(expression, np.zeros((7, 7))), None, 0.1
    )


def test_agreement_is_said_in_one_sentence():
    same = {"ddamfn": answer("happiness", 0.97), "mfn": answer("happiness", 0.95)}
    assert describe_agreement(same) == "Both say happiness (0.97, 0.95)."
    three = {**same, "resnet50": answer("happiness", 0.91)}
    assert describe_agreement(three) == "All three say happiness (0.97, 0.95, 0.91)."


def test_disagreement_and_doubt_are_said():
    mixed = {"ddamfn": answer("fear", 0.55), "mfn": answer("surprise", 0.9)}
    sentence = describe_agreement(mixed)
    assert sentence.startswith("The networks disagree: DDAMFN fear (0.55), MFN surprise (0.90).")
    assert sentence.endswith("Unsure: DDAMFN.")


def test_nobody_sure_and_nobody_there_are_said():
    unsure = {"ddamfn": answer("fear", 0.4), "mfn": answer("fear", 0.45)}
    assert describe_agreement(unsure).endswith("None of them is sure.")
    assert describe_agreement({}) == "No network could be run."


def test_the_sentence_follows_the_language():
    same = {"ddamfn": answer("happiness", 0.97), "mfn": answer("happiness", 0.95)}
    assert describe_agreement(same, load_words("zh")) == "两个网络都认为是高兴（0.97、0.95）。"


def test_the_mark_is_of_agreement_only_where_somebody_is_sure():
    sure, other = answer("fear", 0.9), answer("anger", 0.9)
    unsure = answer("fear", 0.4)
    assert judge_agreement({"ddamfn": sure, "mfn": unsure}) == "agree"
    assert judge_agreement({"ddamfn": unsure, "mfn": other}) == "disagree"
    assert judge_agreement({"ddamfn": unsure, "mfn": answer("anger", 0.3)}) == "info"
    assert judge_agreement({}) == "problem"
