"""requirements.txt and the README's front matter speak of what is installed."""

import re
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

LINES = (ROOT / "requirements.txt").read_text().splitlines()
REQUIRED = [Requirement(line) for line in LINES if line and not line.startswith("#")]


@pytest.mark.parametrize("required", REQUIRED, ids=str)
def test_what_is_installed_lies_in_its_tested_range(required):
    assert required.specifier.contains(version(required.name)), version(required.name)


def test_a_space_gets_a_gradio_of_the_tested_range():
    (gradio,) = (required for required in REQUIRED if required.name == "gradio")
    (spaces,) = re.findall(r"^sdk_version: (.+)$", (ROOT / "README.md").read_text(), re.M)
    assert gradio.specifier.contains(spaces)
