"""Which files are opened, and what is said of the others."""

import io
import struct
import sys

import numpy as np
import pytest
from made_images import GREY, deep_png, encoded, png_header
from PIL import Image, PngImagePlugin

from cosseg_jax.data import opening
from cosseg_jax.data.opening import limit_pixels, open_header, open_image
from cosseg_jax.errors import MissingFileError, MissingPackageError, UserError

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "PPM"])
def test_the_usual_formats_are_opened(form):
    assert open_image(encoded(NOISE, form)).size == (64, 64)


def test_postscript_is_not_opened_although_pillow_would():
    assert Image.open(io.BytesIO(POSTSCRIPT)).format == "EPS"
    with pytest.raises(UserError, match=r"a\.jpg does not decode as an image \(it is none of JPEG"):
        open_image(POSTSCRIPT, "a.jpg")


def test_a_truncated_file_is_named(tmp_path):
    (tmp_path / "half.png").write_bytes(encoded(NOISE)[:2000])
    with pytest.raises(UserError, match=r"half\.png does not decode"):
        open_image(tmp_path / "half.png")


def test_bytes_that_are_no_image_are_named():
    with pytest.raises(UserError, match="cat/one does not decode"):
        open_image(b"not an image", "cat/one")


def test_an_empty_file_is_said_to_be_empty():
    with pytest.raises(UserError, match=r"cat/one does not decode as an image \(it is empty\)"):
        open_image(b"", "cat/one")


def test_any_exception_of_a_reader_names_the_file(monkeypatch):
    def broken(*_, **__):
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(UserError, match=r"cat/one does not decode as an image \(unpack requires"):
        open_image(b"bytes", "cat/one")


def test_a_path_without_a_file_or_to_a_folder(tmp_path):
    with pytest.raises(MissingFileError, match=r"absent\.png does not exist"):
        open_image(tmp_path / "absent.png")
    with pytest.raises(UserError, match=f"{tmp_path} cannot be read: Is a directory"):
        open_image(tmp_path)


def test_too_many_pixels_are_refused_by_the_header_alone():
    with pytest.raises(UserError, match=r"bomb\.png has more pixels than are read .* smaller"):
        open_header(png_header(40_000, 40_000), "bomb.png")


def test_the_limit_on_pixels_can_be_set(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    limit_pixels(200)
    assert open_header(png_header(19_000, 10_000), "a.png").size == (19_000, 10_000)
    with pytest.raises(UserError, match=r"a\.png has more pixels than are read"):
        open_header(png_header(21_000, 10_000), "a.png")


def with_scans(count: int) -> bytes:
    """A JPEG file whose last scan is repeated."""
    content = encoded(NOISE, "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    missing = count - content.count(b"\xff\xda")
    return content[:-2] + missing * content[last:-2] + content[-2:]


def test_a_jpeg_of_a_thousand_scans_is_refused():
    with pytest.raises(UserError, match=r"slow\.jpg is a JPEG file of 1000 scans"):
        open_image(with_scans(1000), "slow.jpg")


def test_progressive_jpegs_are_opened():
    assert open_image(with_scans(20)).size == (64, 64)


@pytest.mark.parametrize("suffix", ["dng", "NEF", "cr2", "CR3", "arw", "raf"])
def test_camera_raw_files_are_refused_by_their_names(suffix, tmp_path):
    path = tmp_path / f"DSC_1.{suffix}"
    path.write_bytes(encoded(GREY, "TIFF"))
    with pytest.raises(
        UserError, match=rf"DSC_1\.{suffix} is a camera raw file; export it as JPEG"
    ):
        open_image(path)
    with pytest.raises(UserError, match="is a camera raw file"):
        open_image(path.read_bytes(), path.name)


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\1\4\0\0"}], ids=["thumbnail", "DNG"])
def test_camera_raw_files_are_refused_by_their_content(tags):
    content = encoded(GREY, "TIFF", tiffinfo=tags)
    with pytest.raises(UserError, match=r"a\.tif begins with a thumbnail.* export it as JP"):
        open_image(content, "a.tif")


def test_pages_of_a_tiff_are_no_thumbnails():
    assert open_image(encoded(GREY, "TIFF", tiffinfo={254: 2})).size == (2, 2)


def test_a_png_with_much_text_is_opened():
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x/>" * 350_000, zip=True)  # 1.4 MB
    opened = open_image(encoded(GREY, pnginfo=text))
    np.testing.assert_array_equal(np.asarray(opened), GREY)


def test_deep_colours_of_which_pillow_would_keep_too_little_are_refused():
    """12 bits a channel in a 16-bit file: Pillow reads its high bytes, 0 to 15."""
    values = np.array([[[4095, 100, 0], [7, 2000, 300]]])
    with pytest.raises(UserError, match=r"a\.png has 16 bits a channel, .* the lowest 12 at most"):
        open_image(deep_png(values), "a.png")
    opened = open_image(deep_png(16 * values), "a.png")
    np.testing.assert_array_equal(np.asarray(opened)[0, 0], [255, 6, 0])


def test_bits_that_a_file_states():
    assert open_image(deep_png(16 * GREY.astype(int), 12)).info["significant_bits"] == 12
    tiff = encoded(GREY.astype(np.uint16), "TIFF", tiffinfo={281: 4095})
    assert open_image(tiff).info["significant_bits"] == 12
    assert "significant_bits" not in open_image(deep_png(GREY)).info


@pytest.fixture
def without_heic(monkeypatch):
    """As in a process that has not registered the reader of HEIC yet."""
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)


def heic() -> bytes:
    pytest.importorskip("pillow_heif").register_heif_opener()
    return encoded(NOISE, "HEIF", quality=90)


def test_heic_is_opened_under_any_name_and_in_a_new_process(tmp_path, request):
    content = heic()
    (tmp_path / "IMG_1.jpg").write_bytes(content)
    request.getfixturevalue("without_heic")
    assert open_image(content).size == (64, 64)
    assert open_image(tmp_path / "IMG_1.jpg").size == (64, 64)


def test_heic_without_its_library_says_what_to_install(monkeypatch, without_heic):
    monkeypatch.setattr(opening, "HEIC_LIBRARY", "no_such_library")
    content = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40)
    with pytest.raises(
        MissingPackageError, match=r"IMG_1\.jpg is a HEIC .* pip install pillow-heif"
    ):
        open_image(content, "IMG_1.jpg")


def test_the_library_of_heic_is_registered(tmp_path, monkeypatch, without_heic):
    (tmp_path / "toy_heif.py").write_text(
        "calls = []\nregister_heif_opener = lambda: calls.append(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(opening, "HEIC_LIBRARY", "toy_heif")
    assert opening.register_heic()
    assert sys.modules["toy_heif"].calls == [1]
