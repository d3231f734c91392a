"""The page. Only this package imports gradio; each tab is one file."""

from pathlib import Path

CSS_FILE = Path(__file__).with_name("page.css")
