"""The picture input: an image component that leaves reading the file to `load_image`."""

import gradio as gr

from fer_models.images import ImageError, load_image

MAX_SIDE_PX = 1600

class PictureInput(gr.Image):
    """`gr.Image` opens what it is given itself, and fails on it without a word to the user."""

    is_template = True

    def preprocess(self, payload):
        """The uploaded file's path, unopened."""
        return None if payload is None else payload.path
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, Any, Literal

    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def read_picture(file: str):
    """A picture file as (H,W,3) RGB uint8, at most 1600 pixels long.

    Raises:
        ImageError: if it cannot be used; the message is meant for the page.
    """
    return load_image(file, MAX_SIDE_PX)

__all__ = ["ImageError", "PictureInput", "read_picture"]
