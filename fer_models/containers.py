"""Picture files reduced to what their pixels are decoded from.

Pillow before 13 takes minutes or gigabytes to read metadata that are made for it, some of them
while it opens the file. So a picture's metadata never reach it; its orientation is read here.
"""

import re
import struct
from collections.abc import Iterator

MAX_SCANS = 100  # of a progressive JPEG; ten are usual, and each is decoded for the whole picture
MAX_PARTS = 100_000  # segments or chunks of a file
MAX_TAGS = 1000
ORIENTATION_TAG, SHORT = 0x0112, 3
EXIF_HEADER = b"Exif\x00\x00"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
WEBP_METADATA = (b"EXIF", b"XMP ", b"ICCP")
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # no stuffed byte, filling or restart
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
FRAME_HEADERS = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # a second one could give Pillow another width
# Tables, scans, and the two APP segments that say what the numbers mean: JFIF and Adobe.
KEPT_SEGMENTS = (*FRAME_HEADERS, 0xC4, 0xCC, START_OF_SCAN, 0xDB, 0xDD, 0xE0, 0xEE)


def bare_picture(data: bytes) -> tuple[bytes, int]:
    """A JPEG, PNG, WebP or GIF without its metadata, and its Exif orientation, 1..8 (1: upright).

    Anything else comes back as it is. A JPEG or GIF ends with its first picture, and a damaged file
    where it cannot be followed any more.

    Raises:
        ValueError: if the file has more parts, or a JPEG more scans or frame headers, than any
            program writes.
    """
    if data.startswith(b"\xff\xd8"):
        return _bare_jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        return _bare_png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _bare_webp(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _bare_gif(data), 1
    return data, 1


def read_orientation(exif: bytes) -> int:
    """The orientation 1..8 in Exif data (a TIFF's first directory); 1 where there is none."""
    exif = exif.removeprefix(EXIF_HEADER)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * min(count, MAX_TAGS), 12):
            tag, kind, number, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if (tag, kind, number) == (ORIENTATION_TAG, SHORT, 1) and 1 <= value <= 8:
                return value
    except struct.error:  # no byte order, or cut off
        pass
    return 1


def _bare_jpeg(data: bytes) -> tuple[bytes, int]:
    kept, orientation, place = [data[:2]], 1, 2
    parts = scans = frames = 0
    while marker := MARKER.search(data, place):
        kind, start = data[marker.start() + 1], marker.end()
        if scans:
            kept.append(data[place : marker.start()])  # what was coded before the marker
        if kind == END_OF_IMAGE:
            kept.append(data[marker.start() : start])
            break
        length = int.from_bytes(data[start : start + 2], "big")
        place = start + max(length, 2)
        segment = data[start + 2 : place]
        if kind == 0xE1 and segment.startswith(EXIF_HEADER) and orientation == 1:
            orientation = read_orientation(segment)
        if kind in KEPT_SEGMENTS:
            kept.append(data[marker.start() : place])
        parts += 1
        scans += kind == START_OF_SCAN
        frames += kind in FRAME_HEADERS
        if parts > MAX_PARTS or scans > MAX_SCANS or frames > 1:
            raise ValueError("too many parts")
    else:  # cut off, maybe within a scan
        kept.append(data[place:] if scans else b"")
    return b"".join(kept), orientation


def _chunks(data: bytes, start: int, form: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """A PNG's (form ">I4s") or WebP's ("<4sI") chunks: name, content, and all bytes of each."""
    for _ in range(MAX_PARTS):
        if start + 8 > len(data):
            return
        if form == ">I4s":
            length, name = struct.unpack_from(form, data, start)
            stop = start + 8 + length + 4  # a checksum
        else:
            name, length = struct.unpack_from(form, data, start)
            stop = start + 8 + length + length % 2
        yield name, data[start + 8 : start + 8 + length], data[start:stop]
        start = stop
    raise ValueError("too many parts")


def _bare_png(data: bytes) -> tuple[bytes, int]:
    kept, orientation = [PNG_SIGNATURE], 1
    for name, content, whole in _chunks(data, len(PNG_SIGNATURE), ">I4s"):
        if name in PNG_CHUNKS:
            kept.append(whole)
        elif name == b"eXIf":
            orientation = read_orientation(content)
    return b"".join(kept), orientation


def _bare_webp(data: bytes) -> tuple[bytes, int]:
    kept, orientation = [], 1
    for name, content, whole in _chunks(data, 12, "<4sI"):
        if name not in WEBP_METADATA:
            kept.append(whole)
        elif name == b"EXIF":
            orientation = read_orientation(content)
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body, orientation


def _bare_gif(data: bytes) -> bytes:
    """A GIF's header, its first picture with its graphic control, and the end."""
    place = 13 + _color_table_bytes(data[10:11])
    kept = [data[:place]]
    while place < len(data):
        kind, start = data[place : place + 1], place
        if kind == b"!":
            place = _after_blocks(data, place + 2)
            if data[start + 1 : start + 2] == b"\xf9":
                kept.append(data[start:place])
        elif kind == b",":
            table = _color_table_bytes(data[place + 9 : place + 10])
            place = _after_blocks(data, place + 10 + table + 1)
            kept.append(data[start:place])
            break
        else:
            break
    return b"".join([*kept, b";"])


def _color_table_bytes(flags: bytes) -> int:
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    """Where the blocks that begin at `place`, each behind its length, have ended."""
    while place < len(data) and data[place]:
        place += 1 + data[place]
    return place + 1
