"""What tabs share: the picture input, buttons, files to download, errors in words.

The picture input is an image component that leaves reading the file to `load_image`.
"""

import functools
import tempfile
from abc import ABCMeta
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

import gradio as gr
import numpy as np
from gradio import processing_utils

from fer_models.analysis import Analyzer
from fer_models.checkpoints import CheckpointError
from fer_models.choice import UploadError
from fer_models.images import ImageError, load_image
from fer_models.words import Words, load_words

MAX_SIDE_PX = 1600


def own_kind(component: type, **methods: Callable) -> type:
    """A kind of component with methods of its own.

    They must be the class's: gradio makes a visitor's component anew from its class whenever an
    event updates it, and what was set on the first one alone is lost. The class is made without
    gradio's metaclass, which would write a .pyi file beside this one.
    """
    names = {"is_template": True, "__module__": component.__module__}
    return ABCMeta.__new__(type(component), component.__name__, (component,), names | methods)


_Image = own_kind(
    gr.Image, preprocess=lambda self, payload: None if payload is None else payload.path
)
_Slider = own_kind(
    gr.Slider,
    preprocess=lambda self, value: None if value is None else gr.Slider.preprocess(self, value),
)


def picture_input(words: Words, **settings) -> gr.Image:
    """A `gr.Image` that hands on the uploaded file's path, unopened.

    Gradio's own component opens the file first, and where it can't, the visitor sees no reason. Its
    own invitation is in the browser's language, not in the page's.
    """
    camera = gr.WebcamOptions(mirror=False)  # gradio would mirror the pixels, not the preview alone
    return _Image(
        type="filepath",
        image_mode=None,
        webcam_options=camera,
        placeholder=words("page.drop_picture"),
        **settings,
    )


def slider(*range_and_value, **settings) -> gr.Slider:
    """A `gr.Slider` whose number field may be emptied: None is handed on, where gradio fails."""
    return _Slider(*range_and_value, **settings)


def read_controls(kind: type, values: Iterable):
    """A dataclass from its fields' controls; an emptied number field leaves the default."""
    given = zip(fields(kind), values, strict=True)
    return kind(**{field.name: value for field, value in given if value is not None})


def refuse_links(message: str) -> None:
    """Let gradio fetch nothing, in the whole process: only uploads are taken.

    Its components download an address that a client sends in place of an upload, all of them by
    these functions.
    """

    async def refuse(*_, **__):
        raise gr.Error(message, print_exception=False)

    for name in ("async_ssrf_protected_get", "async_ssrf_protected_download"):
        getattr(processing_utils, name)  # a release that calls them otherwise must not go unnoticed
        setattr(processing_utils, name, refuse)


def read_picture(file: str) -> np.ndarray:
    """A picture file as (H,W,3) RGB uint8, at most 1600 pixels long.

    Raises:
        ImageError: if it cannot be used; the message is meant for the page.
    """
    return load_image(file, MAX_SIDE_PX)


def explain_error(error: ValueError, words: Words) -> str:
    """An error's message in the page's language, or where it has none there, in its frame."""
    if isinstance(error, ImageError | UploadError):
        return words(error.key, **error.values)
    return words("page.error", error=error)


def explain_missing(
    analyzer: Analyzer, networks: Iterable[str], words: Words | None = None
) -> dict[str, str]:
    """Which networks cannot be loaded, and why; English unless told."""
    missing = {}
    for name in networks:
        try:
            analyzer.checkpoint(name)
        except CheckpointError as error:
            missing[name] = explain_error(error, words or load_words())
    return missing


def example_button(words: Words, elem_id: str) -> gr.Button:
    """The way out of a tab's empty state."""
    return gr.Button(
        words("page.example"), variant="primary", elem_id=elem_id, elem_classes="fer-example"
    )


def download_button(
    label: str,
    write: Callable,
    inputs: list,
    elem_id: str,
    words: Words,
    interactive: bool = True,
) -> gr.Button:
    """A button that writes its file when it is clicked, and then has the browser fetch it.

    Args:
        write: takes the inputs' values and returns the file's path; not asked where the first is
            None, as of a picture that was deleted.
        interactive: whether it can be clicked from the start.
    """

    @functools.wraps(write)
    def write_or_say(*values):
        if values[0] is None:
            raise gr.Error(words("page.gone"), print_exception=False)
        return write(*values)

    button = gr.Button(label, size="sm", interactive=interactive, elem_id=elem_id)
    hidden = gr.DownloadButton(label, elem_id=f"{elem_id}-file", elem_classes="fer-hidden-file")
    # The link comes with the event, and not from the hidden button, which learns of it later.
    fetch = (
        "file => { const link = document.createElement('a'); link.href = file.url;"
        " link.download = file.orig_name; link.click(); }"
    )
    private = {"api_visibility": "private", "show_progress": "hidden"}
    button.click(write_or_say, inputs, hidden, **private).success(None, hidden, js=fetch, **private)
    return button


def follow(picture: gr.State, elem_id: str, show: Callable, inputs: list, outputs: list) -> None:
    """Let a tab show another picture while it is looked at, as when one is found late.

    Args:
        elem_id: of a part that is visible whenever the tab is.
        show: a generator of the outputs' values.
    """
    seen = gr.Checkbox(visible=False)  # the browser's word for it

    def show_if_seen(seen, *values):
        if seen:
            yield from show(*values)
        else:
            yield [gr.skip()] * len(outputs)

    picture.change(
        show_if_seen,
        [seen, *inputs],
        outputs,
        js=f"(_, ...rest) => [!!document.querySelector('#{elem_id}')?.offsetParent, ...rest]",
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )


def make_download_folder() -> Path:
    """A fresh folder below gradio's own, whose files gradio serves, and deletes in time."""
    uploads = Path(gr.utils.get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="fer_", dir=uploads))
