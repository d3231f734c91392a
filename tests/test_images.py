"""Bad and odd picture files: each gives a right picture or a message that names the fix."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fer_models.images import ImageError, load_image

pytestmark = pytest.mark.hostile


def test_a_plain_picture_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(load_image(tmp_path / "a.png"), pixels)


def test_a_text_file_named_jpg_is_refused_with_the_formats(tmp_path):
    (tmp_path / "a.jpg").write_text("I am no picture")
    with pytest.raises(ImageError, match=r"a\.jpg.*JPEG, PNG"):
        load_image(tmp_path / "a.jpg")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"nothing\.png: no such file"):
        load_image(tmp_path / "nothing.png")


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif")[4, 4].tolist() == [255, 0, 0]


def test_transparency_is_laid_on_white(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert (load_image(tmp_path / "a.png") == 255).all()


def test_sixteen_bits_become_eight(tmp_path):
    values = np.array([[0, 65535], [32768, 16384]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png")[..., 0].tolist() == [[0, 255], [127, 63]]


def test_sixteen_bits_become_eight_in_every_block_of_rows(tmp_path):
    values = np.repeat(np.arange(600, dtype=np.uint16)[:, None] * 100, 3, axis=1)
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = (values / 65535 * 255).astype(int)
    loaded = load_image(tmp_path / "a.png").astype(int)
    assert np.abs(loaded - expected[..., None]).max() <= 1


def test_a_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = load_image(tmp_path / "a.jpg")[8, 8]
    assert red > 200 and green < 60 and blue < 60


def test_exif_orientation_turns_the_picture_upright(tmp_path):
    image = Image.new("RGB", (20, 10), "black")
    image.paste("white", (0, 0, 10, 10))
    exif = image.getexif()
    exif[274] = 6  # shown after a quarter turn clockwise: the left half is the top
    image.save(tmp_path / "a.png", exif=exif)
    loaded = load_image(tmp_path / "a.png")
    assert loaded.shape == (20, 10, 3)
    assert loaded[2, 5, 0] == 255 and loaded[17, 5, 0] == 0


def test_one_pixel_is_a_picture(tmp_path):
    Image.new("RGB", (1, 1), "red").save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").shape == (1, 1, 3)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0"))


@pytest.mark.parametrize("side", [10_000, 50_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(ImageError, match="50 megapixels"):
        load_image(tmp_path / "bomb.png")


def test_a_cut_off_file_is_called_damaged(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="damaged"):
        load_image(tmp_path / "half.png")


def test_a_large_picture_is_reduced_to_the_longest_side(tmp_path):
    Image.new("RGB", (400, 200)).save(tmp_path / "a.jpg")
    assert load_image(tmp_path / "a.jpg", max_side_px=100).shape == (50, 100, 3)


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_formats_that_pillow_reads_at_a_risk_are_refused(tmp_path, kind):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", kind)
    with pytest.raises(ImageError, match="JPEG, PNG, WebP or GIF"):
        load_image(tmp_path / "a.png")
