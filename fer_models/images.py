"""Reading a picture from a file, whatever its format, safely and upright."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_models.words import load_words

# Pillow before 13 reads others, BMP and TIFF among them, at the risk of the whole process's memory.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MAX_PIXELS = 50_000_000
MAX_BYTES = 50_000_000
# Before 13, too, a GIF's comments take time with the square of their length, and Exif data can name
# one piece of themselves thousands of times, each of which is copied. A camera writes one block.
MAX_GIF_BYTES = 4_000_000
MAX_EXIF_BLOCKS = 3
MAX_EXIF_BYTES = 65_536
EXIF_HEADER = b"Exif\x00\x00"
EXIF_KEYS = ("exif", "Raw profile type exif")  # where Pillow keeps the data of a PNG or WebP
# Modes that are reduced before they are converted, so that a large picture costs little memory.
REDUCIBLE_MODES = ("RGB", "L", "RGBA", "LA", "CMYK", "YCbCr")


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
    data = _read_bytes(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError("too_large_to_open", file=file.name, limit=MAX_PIXELS // 10**6) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
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
            image.load()  # a PNG's Exif data may stand behind its pixels
            for key in EXIF_KEYS:
                if len(image.info.get(key, "")) > MAX_EXIF_BYTES:
                    del image.info[key]
            upright = ImageOps.exif_transpose(image)
            if max_side_px is not None and upright.mode in REDUCIBLE_MODES:
                upright.thumbnail((max_side_px,) * 2, Image.Resampling.BICUBIC, reducing_gap=2.0)
            rgb = to_rgb(upright)
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
            raise ImageError("damaged", file=file.name, error=error) from None
    if max_side_px is not None and max(rgb.size) > max_side_px:
        rgb.thumbnail((max_side_px, max_side_px), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(rgb)


def _read_bytes(file: Path) -> bytes:
    if not file.is_file():
        raise ImageError("missing_file", file=file.name)
    if file.stat().st_size > MAX_BYTES:
        raise ImageError("too_many_bytes", file=file.name, limit=MAX_BYTES // 10**6)
    data = file.read_bytes()
    if data.startswith(b"GIF8") and len(data) > MAX_GIF_BYTES:
        raise ImageError("too_many_bytes", file=file.name, limit=MAX_GIF_BYTES // 10**6)
    if has_excessive_metadata(data):
        raise ImageError("too_much_metadata", file=file.name)
    return data


def has_excessive_metadata(data: bytes) -> bool:
    """Whether a picture's bytes hold more blocks of Exif data than any camera writes.

    Pillow parses those of a JPEG while it opens it, so this has to be asked before.
    """
    return data.count(EXIF_HEADER) > MAX_EXIF_BLOCKS


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB."""
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit and wider grey
        values = np.asarray(image).astype(np.float32)
        # A 16-bit file uses its full range; a float one is taken to reach from 0 to its maximum.
        full = 65535.0 if image.mode.startswith("I") and values.max() > 255 else values.max()
        scaled = np.clip(values / max(full, 1e-9) * 255, 0, 255).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
