"""A photograph taken in Compare with the camera."""

from fer_models.expressions import EXPRESSIONS
from tests.conftest import SHIPPED


def test_a_snapshot_of_the_camera_is_explained(camera_tab):
    tab = camera_tab
    tab.locator("#picture").get_by_label("Capture from camera").click()
    tab.locator("#picture").get_by_title("grant webcam access").click()
    tab.wait_for_function("document.querySelector('#picture video')?.videoWidth === 640")
    tab.locator("#picture").get_by_label("capture photo").click()
    for name in SHIPPED:
        tab.wait_for_selector(f"#card-{name} .fer-bar", timeout=90_000)
        said = tab.locator(f"#card-{name} .fer-answer strong").inner_text()
        assert said in EXPRESSIONS
    assert tab.locator("#picture img").first.evaluate("image => image.naturalWidth") == 640
