"""Results as plain dictionaries for JSON: the command line's and the page's download."""

import numpy as np

from fer_models.analysis import Analysis, FaceResult, NetworkResult
from fer_models.explain.attention import Attention

DIGITS = 6


def _rounded(values: np.ndarray) -> list:
    return (np.round(np.asarray(values, dtype=np.float64), DIGITS) + 0.0).tolist()  # no "-0.0"


def attention_report(attention: Attention) -> dict:
    return {
        "heads": [
            {"row": _rounded(row), "column": _rounded(column), "map": _rounded(head_map)}
            for row, column, head_map in zip(
                attention.rows, attention.columns, attention.maps, strict=True
            )
        ],
        "fused": _rounded(attention.fused),
        "winner": attention.winner.tolist(),
        "pairwise_mse": _rounded(attention.pairwise_mse),
    }


def network_report(result: NetworkResult) -> dict:
    return {
        "expression": result.expression,
        "probabilities": {name: round(p, DIGITS) for name, p in result.probabilities.items()},
        "gradcam": {
            "target": result.gradcam.target,
            "minus": result.gradcam.minus,
            "method": result.gradcam.method,
            "values": _rounded(result.gradcam.values),
            "max": round(result.gradcam.max, DIGITS),
        },
        "attention": None if result.attention is None else attention_report(result.attention),
        "seconds": round(result.seconds, 4),
    }


def face_report(result: FaceResult) -> dict:
    return {
        "box_xyxy": _rounded(result.face.box_xyxy),
        "score": round(result.face.score, DIGITS),
        "landmarks": _rounded(result.face.landmarks),
        "source": result.face.source,
        "networks": {name: network_report(r) for name, r in result.networks.items()},
    }


def analysis_report(analysis: Analysis) -> dict:
    """An analysis as a JSON object: `faces[]`, and `unavailable` where a network has no answer."""
    report = {"faces": [face_report(face) for face in analysis.faces]}
    if analysis.unavailable:
        report["unavailable"] = dict(analysis.unavailable)
    if analysis.left_out:
        report["faces_left_out"] = analysis.left_out
    return report
