"""Reading a picture from a file, whatever its format, safely and upright."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fer_models.containers import bare_picture
from fer_models.words import load_words

# Pillow before 13 reads others, BMP and TIFF among them, at the risk of the whole process's memory.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MAX_PIXELS = 50_000_000
MAX_BYTES = 50_000_000
ROWS_AT_ONCE = 256
# Modes that are reduced before they are converted, so that a large picture costs little memory.
REDUCIBLE_MODES = ("RGB", "L", "RGBA", "LA", "CMYK", "YCbCr")
UPRIGHT = {  # what undoes an Exif orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A picture that cannot be used; the message says why and what to do.

    Args:
        key: the message's entry in the words' section `[images]`, so that a page can say it in
            its own language.
        values: what fills the message.
    """

    def __init__(self, key: str, **values):
        self.key = f"images.{key}"
        self.values = values
        super().__init__(load_words()(self.key, **values))


def load_image(file: str | Path, max_side_px: int | None = None) -> np.ndarray:
    """A picture as (H,W,3) RGB uint8, turned as its EXIF orientation says.

    Of an animation the first frame is taken; transparency is laid on white; 16 bits become 8.

    Args:
        max_side_px: a larger picture is reduced to this longer side.

    Raises:
        ImageError: if the file is missing, no picture, damaged, or too large to open safely.
    """
    file = Path(file)
    if not file.is_file():
        raise ImageError("missing_file", file=file.name)
    if file.stat().st_size > MAX_BYTES:
        raise ImageError("too_many_bytes", file=file.name, limit=MAX_BYTES // 10**6)
    try:
        data, orientation = bare_picture(file.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError("too_large_to_open", file=file.name, limit=MAX_PIXELS // 10**6) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, MemoryError):
        raise ImageError("unreadable", file=file.name) from None
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(
                "too_many_pixels",
                file=file.name,
                size=f"{image.width}x{image.height}",
                limit=MAX_PIXELS // 10**6,
            )
        try:
            if max_side_px is not None:
                image.draft("RGB", (max_side_px, max_side_px))  # JPEG only: decodes fewer pixels
            upright = image.transpose(UPRIGHT[orientation]) if orientation > 1 else image
            if max_side_px is not None and upright.mode in REDUCIBLE_MODES:
                upright.thumbnail((max_side_px,) * 2, Image.Resampling.BICUBIC, reducing_gap=2.0)
            rgb = to_rgb(upright)
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
            raise ImageError("damaged", file=file.name, error=error) from None
    if max_side_px is not None and max(rgb.size) > max_side_px:
        rgb.thumbnail((max_side_px, max_side_px), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(rgb)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB."""
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit and wider grey
        values = np.asarray(image)
        # A 16-bit file uses its full range; a float one is taken to reach from 0 to its maximum.
        full = 65535.0 if image.mode.startswith("I") and values.max() > 255 else values.max()
        scaled = np.empty(values.shape, np.uint8)
        for start in range(0, len(values), ROWS_AT_ONCE):  # float32 of a whole picture is large
            rows = slice(start, start + ROWS_AT_ONCE)
            block = values[rows].astype(np.float32) / max(float(full), 1e-9) * 255
            scaled[rows] = np.clip(block, 0, 255)
        return Image.fromarray(scaled).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
