"""The page with damaged or missing weights of a network: it is named, and the others answer."""

import shutil
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from fer_models.analysis import PAGE_NETWORKS
from tests.conftest import EXAMPLE, ROOT
from tests.service.page_process import running_page

pytestmark = pytest.mark.hostile
DAMAGED = "mfn"


def copy_page(folder: Path, damage: str) -> Path:
    """A copy of the page in which one network's file is "truncated" or "missing"."""
    root = folder / "copy"
    for folder in ("fer_models", "assets"):
        shutil.copytree(ROOT / folder, root / folder, symlinks=True)
    shutil.copy(ROOT / "app.py", root)
    file = root / "assets" / "checkpoints" / f"{DAMAGED}.safetensors"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return root


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_page_with_a_damaged_file_names_it_and_answers_with_the_others(damage, tmp_path):
    with running_page(tmp_path, copy_page(tmp_path, damage)) as page:
        client = Client(page.url, verbose=False)
        answer = client.predict(
            handle_file(str(EXAMPLE)), "its own answer", False, api_name="/analyze"
        )
    networks = answer["faces"][0]["networks"]
    assert {name: given["expression"] for name, given in networks.items()} == {
        name: "happiness" for name in PAGE_NETWORKS if name != DAMAGED
    }
    assert list(answer["unavailable"]) == [DAMAGED]
    assert f"{DAMAGED}.safetensors" in answer["unavailable"][DAMAGED]
    assert str(tmp_path) not in answer["unavailable"][DAMAGED]
