"""What a data set's files must be: readable, whole, and as many as were published."""

import csv
import io
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fer_models.images import to_rgb

logger = logging.getLogger(__name__)

# At the end of KIND:PATH#subset: fewer images than were published are meant.
SUBSET = "#subset"


def data_name(data: str) -> str:
    """What a card or a record says of "KIND:PATH": the kind, with "#subset" where that is there."""
    return data.partition(":")[0] + (SUBSET if data.endswith(SUBSET) else "")


def bad_source(
    where: Path | str, problem: str, layout: str, fix: str = "Fetch it anew."
) -> ValueError:
    """The error that stops before any training.

    Args:
        where: the file or folder, with the line or the row's name where there is one.
        problem: what is wrong there.
        layout: what the data set's owners ship.
        fix: what to do.
    """
    return ValueError(f"{where}: {problem}. Expected {layout}. {fix}")


def require_count(
    count: int, published: Collection[int], source: Path | str, layout: str, is_part: bool
) -> None:
    """Check that `source` holds as many images as were published; where `is_part`, only tell.

    Raises:
        ValueError: at another number, unless `is_part`.
    """
    if count in published:
        return
    problem = f"{count} images, but {' or '.join(map(str, published))} were published"
    if not is_part:
        fix = f"Fetch what is missing, or write {SUBSET} behind the path if a part is meant."
        raise bad_source(source, problem, layout, fix)
    logger.warning("%s: %s; compare no published number with these.", source, problem)


def require_files(files: Sequence[Path], named_in: Path, layout: str) -> None:
    """Check that all files are there, before any of them is read.

    Raises:
        ValueError: naming the first that is missing, and how many are.
    """
    missing = [file for file in files if not file.is_file()]
    if missing:
        share = f"{len(missing)} of {len(files)} files are missing"
        problem = f"missing, though {named_in} names it ({share})"
        raise bad_source(missing[0], problem, layout, "Unpack the images anew.")


def read_rows(file: Path, layout: str) -> list[tuple[str, list[str]]]:
    """The rows of a CSV file that are not empty, each with its place ("FILE: line 3").

    Raises:
        ValueError: if the file is no text, or no CSV.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            reader = csv.reader(stream)
            return [(f"{file}: line {reader.line_num}", row) for row in reader if row]
    except (OSError, csv.Error) as error:
        raise bad_source(file, f"not a readable CSV file ({error})", layout) from error


def read_image(
    source: Path | bytes,
    where: Path | str,
    layout: str,
    mode: str = "RGB",
    as_on_page: bool = False,
) -> np.ndarray:
    """An image file, or its content, as (H,W,3) uint8; with the mode "L", grey, as (H,W).

    Args:
        as_on_page: turned as its EXIF orientation says, with transparency laid on white; otherwise
            the pixels are those that are stored.

    Raises:
        ValueError: if it is no whole image.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            read = to_rgb(ImageOps.exif_transpose(image)) if as_on_page else image
            return np.asarray(read.convert(mode))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise bad_source(where, f"not a readable image ({error})", layout) from error
