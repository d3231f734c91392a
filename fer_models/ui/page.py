"""The page, once in each language: title, tabs, and the words that it owes its readers."""

import json
from pathlib import Path

import gradio as gr
from gradio.state_holder import SessionState

from fer_models.analysis import Analyzer
from fer_models.choice import Choices
from fer_models.lab import FaceParameters
from fer_models.ui.batch import build_batch_tab
from fer_models.ui.compare import CompareTab, build_compare_tab
from fer_models.ui.figure1 import Figure1Tab, build_figure1_tab, receive_face
from fer_models.ui.guide import build_guide, connect_guide
from fer_models.ui.heads import build_heads_tab
from fer_models.ui.lab import LabTab, build_lab_tab, shown_expression, write_png
from fer_models.ui.live import build_live_tab
from fer_models.ui.models import build_models_tab
from fer_models.ui.picture import refuse_links
from fer_models.ui.play import build_play_tab
from fer_models.ui.trust import build_trust_tab
from fer_models.ui.uploads import KEEP_UPLOADS_S, SWEEP_EVERY_S
from fer_models.words import LANGUAGES, Words, load_words

# A browser is sent to the page in its language, unless the visitor chose the other one.
CHOOSE_LANGUAGE = Path(__file__).with_name("language.js").read_text()
NAME_PICTURES = Path(__file__).with_name("alt.js").read_text()


def page_theme() -> gr.themes.Base:
    """Gradio's soft theme in the system's own typeface: nothing is fetched from elsewhere."""
    return gr.themes.Soft(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def build_page(choices: Choices | None = None) -> gr.Blocks:
    """The page, English at `/` and Chinese at `/zh`; no weights are loaded before a picture."""
    choices = choices or Choices(Analyzer())
    with gr.Blocks(
        title=load_words("en")("page.title"),
        analytics_enabled=False,
        delete_cache=(SWEEP_EVERY_S, KEEP_UPLOADS_S),
        fill_width=True,
    ) as page:
        build_tabs(choices, load_words("en"))
        page.load(None, js=CHOOSE_LANGUAGE)
        page.load(None, js=name_document(load_words("en")))
        page.load(None, js=name_pictures(load_words("en")))
    for language, name in list(LANGUAGES.items())[1:]:
        with page.route(name, language, show_in_navbar=False):
            build_tabs(choices, load_words(language))
            page.load(None, js=name_document(load_words(language)))
            page.load(None, js=name_pictures(load_words(language)))
    refuse_links(load_words("en")("page.no_links"))
    keep_no_values()
    return page


def keep_no_values() -> None:
    """Let gradio keep no copy of what a visitor's components show, in the whole process.

    It would stay, faces included, until 200 others came, and could be had as a file. Nothing but
    gradio's links to a page's state reads it, and this page has none.
    """
    _ = SessionState._update_value_in_config  # an error where a release has another name for it
    SessionState.config_values = property(lambda self: {}, lambda self, values: None)
    SessionState._update_value_in_config = lambda self, key, value: None


def name_document(words: Words) -> str:
    """JavaScript that gives a page its own title and language: gradio has one title for all.

    Gradio takes the language from the browser, and with it the texts of its own upload fields.
    """
    title = json.dumps(words("page.title"), ensure_ascii=False)
    return (
        f"() => {{ document.title = {title}; document.documentElement.lang = '{words.language}'; }}"
    )


def name_pictures(words: Words) -> str:
    """JavaScript that gives pictures without a text in their place one, now and later."""
    texts = [words("page.example_alt"), words("page.picture_alt")]
    return f"() => ({NAME_PICTURES.strip()})(...{json.dumps(texts, ensure_ascii=False)})"


def build_tabs(choices: Choices, words: Words) -> None:
    """Everything between the title and the words about responsible use, in one language."""
    choice = gr.State({})  # the visitor's own checkpoints, network by network
    other = next(language for language in LANGUAGES if language != words.language)
    remember = f"localStorage.setItem('fer-language', '{other}')"
    gr.HTML(
        f'<header class="fer-header"><h1>{words("page.title")}</h1>'
        f'<a id="language" href="./{"" if other == "en" else other}" onclick="{remember}">'
        f"{words('page.other_language')}</a><p>{words('page.introduction')}</p></header>"
    )
    guide = build_guide(words)
    with gr.Tabs() as tabs:
        with gr.Tab(words("page.compare"), id="compare"):
            compare = build_compare_tab(choices, choice, words)
        with gr.Tab(words("page.heads"), id="heads") as heads_tab:
            build_heads_tab(choices, choice, words, heads_tab, compare)
        with gr.Tab(words("page.trust"), id="trust"):
            build_trust_tab(choices, choice, words, compare)
        with gr.Tab(words("page.play"), id="play") as play_tab:
            build_play_tab(choices, choice, words, play_tab, compare)
        with gr.Tab(words("page.live"), id="live"):
            build_live_tab(choices, choice, words)
        with gr.Tab(words("page.lab"), id="lab") as lab_tab:
            lab = build_lab_tab(choices, choice, words, lab_tab)
        with gr.Tab(words("page.figure1"), id="figure1"):
            figure1 = build_figure1_tab(choices, choice, words)
        with gr.Tab(words("page.models"), id="models") as models_tab:
            build_models_tab(choices, choice, models_tab, words)
        with gr.Tab(words("page.batch"), id="batch"):
            build_batch_tab(choices, choice, words)
    connect_guide(guide, words, tabs, compare)
    connect_lab(lab, tabs, compare, figure1, words)
    gr.Markdown(words("page.responsible_use"))


def connect_lab(
    lab: LabTab, tabs: gr.Tabs, compare: CompareTab, figure1: Figure1Tab, words: Words
) -> None:
    """Let the Lab's buttons send its face to the tabs with the ids "compare" and "figure1"."""

    def send_to_compare(text, expression):
        return write_png(FaceParameters.from_json(text), expression), gr.Tabs(selected="compare")

    def send_to_figure1(text, expression, files, ticket):
        ticket[0] += 1
        parameters = FaceParameters.from_json(text)
        file = write_png(parameters, expression)
        shown = shown_expression(parameters, expression)
        return [*receive_face(file, shown, files, words), gr.Tabs(selected="figure1")]

    sent = [lab.face, lab.expression]
    lab.to_compare.click(send_to_compare, sent, [compare.input, tabs], api_visibility="private")
    lab.to_figure1.click(
        send_to_figure1,
        [*sent, figure1.files, figure1.ticket],
        [*figure1.slots.values(), figure1.files, *figure1.shown, tabs],
        api_visibility="private",
    )
