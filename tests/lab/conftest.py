import pytest

from fer_models.expressions import EXPRESSIONS
from fer_models.lab.parameters import FaceParameters
from fer_models.lab.render import render_face


@pytest.fixture(scope="session")
def rendered():
    """Renders a face once a session, however many tests look at it."""
    pictures = {}

    def render(parameters: FaceParameters):
        key = parameters.to_json()
        if key not in pictures:
            pictures[key] = render_face(parameters)
            pictures[key].flags.writeable = False
        return pictures[key]

    return render


@pytest.fixture(scope="session")
def one_face_for_each_expression():
    return [
        FaceParameters(identity=i).with_expression(expression)
        for i, expression in enumerate(EXPRESSIONS)
    ]
