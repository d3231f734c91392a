"""Pictures without their metadata: the same pixels, upright, nothing else for Pillow to read."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from fer_models import containers
from fer_models.containers import MAX_SCANS, bare_picture, read_orientation
from fer_models.images import load_image

pytestmark = pytest.mark.hostile

EXIF_HEADER = b"Exif\0\0"


def picture(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((93, 60)).convert("RGB")
    return image if mode == "RGB" else image.convert(mode)


def content(kind: str, image: Image.Image | None = None, **settings) -> bytes:
    buffer = io.BytesIO()
    (image or picture()).save(buffer, kind, **settings)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA"))


def transparent_palette() -> bytes:
    return content("PNG", picture("P"), transparency=3)


def animation(kind: str) -> bytes:
    frames = [picture(), ImageOps.invert(picture())]
    return content(kind, frames[0], save_all=True, append_images=frames[1:], duration=100)


PICTURES = {
    "JPEG": content("JPEG"),
    "grey JPEG": content("JPEG", picture("L")),
    "CMYK JPEG": content("JPEG", picture("CMYK")),
    "progressive JPEG": content("JPEG", progressive=True),
    "JPEG with restarts": content("JPEG", restart_marker_blocks=2),
    "PNG": content("PNG"),
    "PNG with a palette": transparent_palette(),
    "16-bit PNG": content("PNG", Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30))),
    "RGBA PNG": content("PNG", picture("RGBA")),
    "animated PNG": animation("PNG"),
    "GIF": content("GIF", picture("P"), transparency=3, comment=b"hello"),
    "animated GIF": animation("GIF"),
    "WebP": content("WEBP"),
    "lossless WebP": content("WEBP", picture("RGBA"), lossless=True, icc_profile=b"p", xmp=b"x"),
    "animated WebP": animation("WEBP"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_pixels_stay_as_they_are(name):
    assert np.array_equal(pixels(bare_picture(PICTURES[name])[0]), pixels(PICTURES[name]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_as_pillow_would_turn_it(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    settings = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / "a").write_bytes(content(kind, exif=exif, **settings))
    with Image.open(tmp_path / "a") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(load_image(tmp_path / "a"), expected)


@pytest.mark.parametrize(("order", "mark"), [("<", b"II*\0"), (">", b"MM\0*")])
def test_the_orientation_is_read_in_both_byte_orders(order, mark):
    tag = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 6, 0)
    assert read_orientation(mark + struct.pack(f"{order}IH", 8, 1) + tag) == 6
    for nonsense in (b"", b"II", mark, mark + b"\xff" * 20, b"??*\0" + bytes(20)):
        assert read_orientation(nonsense) == 1


def test_no_metadata_are_left():
    secrets = {"exif": EXIF_HEADER + b"MM\0*secret", "icc_profile": b"secret", "xmp": b"secret"}
    for kind in ("JPEG", "PNG", "WEBP"):
        data = content(kind, **secrets, comment=b"secret")
        assert b"secret" in data or kind == "PNG"  # a PNG's profile is compressed
        bare = bare_picture(data)[0]
        with Image.open(io.BytesIO(bare)) as image:
            image.load()
            assert b"secret" not in bare and not {*image.info} & {"exif", "icc_profile", "xmp"}
    assert b"hello" in PICTURES["GIF"] and b"hello" not in bare_picture(PICTURES["GIF"])[0]


@pytest.mark.hostile
def test_what_pillow_12_takes_minutes_for_is_left_out_or_refused(monkeypatch):
    jpeg, png, gif = PICTURES["progressive JPEG"], PICTURES["PNG"], PICTURES["GIF"]
    block = b"\xff\xe1\x00\x0e" + 2 * EXIF_HEADER
    frames = b"\xff\xe2\x00\x0eMPF\0" + bytes(8)
    hidden = b"\xff\xf0\x00\x0d\xff\xc0\x00\x0b\x08" + bytes(
        8
    )  # a frame where Pillow looks for one
    for each in (block, frames, hidden):
        long = jpeg[:2] + 1000 * each + jpeg[2:]
        assert bare_picture(long) == bare_picture(jpeg)
    chunk = struct.pack(">I4s", 4, b"iCCP") + bytes(8)
    assert bare_picture(png[:33] + 1000 * chunk + png[33:]) == bare_picture(png)
    place = gif.index(b"!\xfe")
    comment = b"!\xfe" + 1000 * (b"\xff" + 255 * b"a") + b"\0"
    assert bare_picture(gif[:place] + comment + gif[place:]) == bare_picture(gif)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    with pytest.raises(ValueError, match="parts"):
        bare_picture(jpeg[:-2] + MAX_SCANS * scan + jpeg[-2:])
    frame = jpeg[jpeg.index(b"\xff\xc2") : jpeg.index(b"\xff\xc4")]
    with pytest.raises(ValueError, match="parts"):
        bare_picture(jpeg.replace(frame, 2 * frame))
    monkeypatch.setattr(containers, "MAX_PARTS", 900)
    for long in (jpeg[:2] + 1000 * block + jpeg[2:], png[:33] + 1000 * chunk + png[33:]):
        with pytest.raises(ValueError, match="parts"):
            bare_picture(long)


@pytest.mark.hostile
def test_a_file_that_is_cut_or_damaged_anywhere_is_followed_as_far_as_it_goes():
    random, refused = np.random.default_rng(1), 0
    for data in PICTURES.values():
        for _ in range(40):
            damaged = bytearray(data[: random.integers(len(data))])
            for place in random.integers(0, max(1, len(damaged)), size=min(4, len(damaged))):
                damaged[place] = random.integers(256)
            try:
                bare, orientation = bare_picture(bytes(damaged))
            except ValueError as error:
                assert str(error) == "too many parts"
                refused += 1
                continue
            assert len(bare) <= len(damaged) + 16 and 1 <= orientation <= 8
    assert refused < 10
