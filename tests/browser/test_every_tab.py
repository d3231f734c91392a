"""Every tab in Chinese, on a phone and in the dark: it opens, fits and logs no error."""

import pytest

from fer_models.words import load_words
from tests.browser.conftest import SCREENSHOTS

WIDE = 1440
# The page's path, its width in pixels and its language.
WAYS = {
    "zh": ("zh", WIDE, "zh"),
    "phone": ("", 390, "en"),
    "dark": ("?__theme=dark", WIDE, "en"),
}
# What shows that a tab has come to rest, where there is more to wait for than the tab itself.
RESTS = {
    "compare": "#card-resnet50 .fer-bar",
    "heads": "#heads-off .fer-bar",
    "trust": "#trust-subject img",
    "play": "#play-resnet50 .fer-bar",
    "live": "#live-camera button",
    "lab": "#lab-card-resnet50 .fer-bar",
    "figure1": "#figure1-anger img",
    "models": "#models-cards .models-card >> nth=2",
    "batch": "#batch-start",
}


@pytest.fixture(scope="module", params=WAYS)
def way(request, chromium, page_url):
    """The page in one of the ways with the example's results, and its errors so far."""
    path, width, language = WAYS[request.param]
    tab = chromium.new_page(viewport={"width": width, "height": 844})
    errors = []
    tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(page_url + path)
    tab.locator("#examples img[src*=eileen_collins]").click(timeout=60_000)
    tab.wait_for_selector(RESTS["compare"], timeout=60_000)
    yield request.param, tab, width, load_words(language), errors
    tab.close()


def test_the_document_has_the_pages_title_and_language(way):
    _, tab, _, words, _ = way
    assert tab.title() == words("page.title")
    assert tab.evaluate("document.documentElement.lang") == words.language


@pytest.mark.parametrize("name", RESTS)
def test_a_tab_opens_fits_and_logs_no_error(way, name):
    kind, tab, width, words, errors = way
    errors.clear()
    tab.set_viewport_size({"width": WIDE, "height": 844})  # where no tab hides in the row's menu
    tab.get_by_role("tab", name=words(f"page.{name}"), exact=True).first.click()
    tab.wait_for_selector(RESTS[name], timeout=60_000)
    tab.set_viewport_size({"width": width, "height": 844})
    tab.wait_for_timeout(400)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    SCREENSHOTS.mkdir(exist_ok=True)
    tab.screenshot(path=SCREENSHOTS / f"every-{name}-{kind}.png", full_page=True)
    assert errors == []
