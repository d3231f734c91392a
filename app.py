"""python app.py: the page in a browser, and the entry of a Hugging Face Space."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from fer_models.ui import CSS_FILE
from fer_models.ui.uploads import own_folder, start_sweeper

ENDINGS = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", help="address to listen on; this machine alone by default")
    parser.add_argument("--port", type=int, help="7860 or the next free one by default")
    parser.add_argument(
        "--share", action="store_true", help="a public link through gradio's server"
    )
    arguments = parser.parse_args()
    for number in ENDINGS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as after nohup
            signal.signal(number, end)
    with own_folder() as folder:
        serve(arguments, folder)


def end(*_) -> None:
    """Leave nothing of the visitors' behind, however often one says so: a terminal that is closed
    says it twice, and the second time must not break off the deletion."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit()


def serve(arguments: argparse.Namespace, uploads: Path) -> None:
    """Show the page until the process is told to end."""
    from fer_models.analysis import Analyzer
    from fer_models.choice import Choices
    from fer_models.ui.compare import EXAMPLES_FOLDER
    from fer_models.ui.page import build_page, page_theme

    analyzer = Analyzer()
    choices = Choices(analyzer)
    page = build_page(choices=choices).queue(max_size=64)
    page.launch(
        prevent_thread_lock=True,
        server_name=arguments.host,
        server_port=arguments.port,
        share=arguments.share,
        max_file_size="50mb",
        run_history=False,
        enable_monitoring=False,
        state_session_capacity=200,
        footer_links=["api", "settings"],
        allowed_paths=[str(EXAMPLES_FOLDER)],  # so that the page may be started from any folder
        theme=page_theme(),
        css_paths=CSS_FILE,
    )
    shown = {file for block in page.blocks.values() for file in block.keep_in_cache}
    start_sweeper(uploads, shown, choices.forget_deleted)
    # The page can be read meanwhile, and its first visitor's picture need not wait for the weights.
    threading.Thread(target=analyzer.warm_up, daemon=True).start()
    page.block_thread()


if __name__ == "__main__":
    main()
