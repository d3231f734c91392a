"""The page: title, tabs, and the words that every page of this kind owes its readers."""

import gradio as gr

from fer_models.analysis import Analyzer
from fer_models.ui.compare import build_compare_tab
from fer_models.ui.figure1 import build_figure1_tab
from fer_models.ui.lab import build_lab_tab, connect_lab

TITLE = "What does a facial-expression network look at?"
INTRODUCTION = (
    f"# {TITLE}\n"
    "One face, three networks: what each answers, and which regions its answer rests on."
)
RESPONSIBLE_USE = (
    "**Before you believe it.** These networks name the expression that people would give a "
    "picture of a face. A posed face is not a feeling, and no picture shows what somebody feels. "
    "Inferring emotions of people at work or at school is prohibited in the European Union except "
    "for medical or safety reasons (AI Act, Art. 5(1)(f)) and regulated in other places. The "
    "networks learned from small grey web images and err more often on rare expressions and on "
    "people unlike those in them. A picture is kept on this server for at most about two "
    "hours, to show and download its results, and is used for nothing else."
)
KEEP_UPLOADS_S = 3600


def page_theme() -> gr.themes.Base:
    """Gradio's soft theme in the system's own typeface: nothing is fetched from elsewhere."""
    return gr.themes.Soft(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def build_page(analyzer: Analyzer | None = None) -> gr.Blocks:
    """The page; no weights are loaded before the first picture."""
    analyzer = analyzer or Analyzer()
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(600, KEEP_UPLOADS_S), fill_width=True
    ) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Tabs() as tabs:
            with gr.Tab("Compare", id="compare"):
                picture = build_compare_tab(analyzer)
            with gr.Tab("Lab", id="lab") as lab_tab:
                lab = build_lab_tab(analyzer, lab_tab)
            with gr.Tab("Figure 1", id="figure1"):
                figure1_files = build_figure1_tab(analyzer)
        connect_lab(lab, tabs, picture, figure1_files)
        gr.Markdown(RESPONSIBLE_USE)
    return page
