"""The page without a mouse, without sight of pictures, and for weaker eyes."""

from pathlib import Path

import pytest

from tests.browser.test_deployment_page import opened
from tests.browser.test_page import wait_for_results
from tests.browser.waiting import wait_for_file
from tests.conftest import EXAMPLE, SHIPPED

CONTRAST = Path(__file__).with_name("contrast.js").read_text()
# A colour on its way to another one is neither.
AT_REST = "* { transition: none !important; animation: none !important; }"
ENOUGH, ENOUGH_LARGE = 4.5, 3  # WCAG 2, success criterion 1.4.3 (AA)
WIDTHS = (1440, 390)
TABS = ("Compare", "Heads", "Trust", "Play", "Live", "Lab", "Figure 1", "Models", "Batch")
# Gives every visible control that can be used a number; those of one radio group share it.
NUMBER_CONTROLS = """() => {
  const groups = {};
  const controls = 'a[href], button, input, select, textarea, summary, [tabindex="0"]';
  let count = 0;
  for (const e of document.querySelectorAll(controls)) {
    delete e.dataset.control;
    const shown = e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length;
    if (!shown || e.matches(':disabled, [tabindex="-1"], [type=file]')) continue;
    const group = e.type === 'radio' && e.name;
    e.dataset.control = group ? (groups[group] ??= count++) : count++;
  }
  return count;
}"""
FOCUSED = """() => {
  const e = document.activeElement, style = getComputedStyle(e);
  const marked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  return [Number(e.dataset?.control ?? -1), marked, e.outerHTML.slice(0, 120)];
}"""
UNNAMED = """own => [...document.images].filter(i => i.src.startsWith('data:') === own)
  .filter(i => !i.alt.trim()).map(i => i.outerHTML.slice(0, 150))"""


def open_tab(tab, name: str) -> None:
    """Open a tab, after the example's results, and wait for what comes by itself."""
    tab.evaluate("document.body.classList.remove('dark')")
    tab.set_viewport_size({"width": WIDTHS[0], "height": 1000})
    tab.get_by_role("tab", name=name, exact=True).click()
    places = {
        "Heads": "#heads-off .fer-bar",
        "Trust": "#trust-run:enabled",
        "Play": "#play-mfn .fer-bar",
        "Live": "#live-camera button",
        "Lab": "#lab-card-mfn .fer-bar",
        "Figure 1": "#figure1-anger img",
        "Models": "#models-cards .models-card >> nth=2",
    }
    if name in places:
        tab.wait_for_selector(places[name], timeout=60_000)
    tab.wait_for_timeout(500)


def run_tab(tab, name: str) -> None:
    """Let a tab show what it shows only when it is asked to."""
    match name:
        case "Trust":
            tab.click("#trust-run")
            tab.wait_for_selector("#trust-stability .fer-notice", timeout=300_000)
        case "Figure 1":
            tab.click("#figure1-draw")
            tab.wait_for_selector("#figure1-image img", timeout=180_000)
        case "Batch":
            files = [EXAMPLE.with_name("surprise.png"), Path(__file__)]
            tab.set_input_files("#batch-files input[type=file]", [str(file) for file in files])
            wait_for_file(tab, "#batch-files", Path(__file__).stem)
            tab.wait_for_selector("#batch-line >> text=Press Analyse.")
            tab.click("#batch-start")
            tab.wait_for_selector("#batch-line >> text=Done", timeout=120_000)


@pytest.fixture(scope="module")
def example(chromium, page_url):
    """The page with the example photograph's results, one for all tests."""
    with opened(chromium, page_url) as tab:
        tab.locator("#examples img[src*=eileen_collins]").click()
        wait_for_results(tab)
        tab.wait_for_selector("#attention img")
        tab.add_style_tag(content=AT_REST)
        yield tab


def too_pale(tab) -> list[str]:
    texts = tab.evaluate(CONTRAST)
    assert len(texts) > 20
    return [
        f"{text['contrast']:.2f} {text['text']!r} in {text['place']!r}"
        for text in texts
        if text["contrast"] < (ENOUGH_LARGE if text["large"] else ENOUGH)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", TABS)
def test_every_text_has_contrast_in_light_and_dark_on_a_screen_and_a_phone(example, name):
    open_tab(example, name)
    run_tab(example, name)
    found = {}
    for is_dark in (False, True):
        example.evaluate("dark => document.body.classList.toggle('dark', dark)", is_dark)
        for width in WIDTHS:
            example.set_viewport_size({"width": width, "height": 1000})
            example.mouse.move(0, 0)
            example.wait_for_timeout(300)
            if pale := too_pale(example):
                found[f"{'dark' if is_dark else 'light'}, {width} px"] = pale
    assert found == {}


def test_pale_text_is_found(tab):
    """Otherwise the test above could not fail."""
    tab.add_style_tag(content="#agreement .fer-notice { color: #999 !important; opacity: 0.9; }")
    (pale,) = [text for text in too_pale(tab) if "'agreement'" in text]
    assert float(pale.split()[0]) < 2.7


def tab_through(page, count: int) -> tuple[set[int], list[str]]:
    """The numbers of the controls that the Tab key reaches, and those that show no focus."""
    reached, unmarked = set(), []
    page.evaluate("document.activeElement.blur()")
    for _ in range(2 * count + 20):
        page.keyboard.press("Tab")
        number, marked, text = page.evaluate(FOCUSED)
        if number in reached and len(reached) == count:
            break
        if number >= 0:
            reached.add(number)
            if not marked:
                unmarked.append(text)
    return reached, unmarked


@pytest.mark.parametrize("name", TABS)
def test_the_tab_key_reaches_every_control_and_shows_where_it_is(example, name):
    open_tab(example, name)
    count = example.evaluate(NUMBER_CONTROLS)
    assert count > len(TABS) + 4
    reached, unmarked = tab_through(example, count)
    missed = [
        example.locator(f"[data-control='{number}']").first.evaluate(
            "e => e.outerHTML.slice(0, 200)"
        )
        for number in set(range(count)) - reached
        if example.locator(f"[data-control='{number}']").first.is_enabled()  # still
    ]
    assert missed == []
    assert unmarked == []


def press_tab_until(tab, selector: str) -> None:
    for _ in range(80):
        tab.keyboard.press("Tab")
        if tab.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"the Tab key never reached {selector}")


def test_an_example_can_be_run_and_a_choice_changed_without_a_mouse(tab):
    press_tab_until(tab, "#examples button")
    tab.keyboard.press("Enter")
    wait_for_results(tab)
    assert "happiness" in tab.locator("#agreement").inner_text()
    press_tab_until(tab, "#target input")
    tab.keyboard.press("Control+A")
    tab.keyboard.type("surprise")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#card-mfn .fer-caption:has-text('surprise')", timeout=60_000)
    press_tab_until(tab, "#view input[value=beside]")
    tab.keyboard.press("Space")
    tab.wait_for_selector("#card-mfn .fer-beside img", timeout=60_000)
    press_tab_until(tab, "[role=tab]")
    while tab.evaluate("document.activeElement.innerText.trim()") != "Heads":
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#heads-off .fer-bar", timeout=60_000)


@pytest.mark.parametrize("name", TABS)
def test_every_picture_that_is_drawn_here_has_a_text_in_its_place(example, name):
    open_tab(example, name)
    run_tab(example, name)
    assert example.locator("img[src^='data:']").count() >= len(SHIPPED)
    assert example.evaluate(UNNAMED, True) == []


def test_every_picture_that_gradio_shows_has_a_text_in_its_place(example):
    open_tab(example, "Compare")
    assert example.locator("#examples img").count() > len(SHIPPED)
    assert example.locator("#examples img[alt='Example picture: eileen collins']").count() == 1
    assert example.locator("#picture img[alt^='Your picture']").count() == 1
    assert example.evaluate(UNNAMED, False) == []
