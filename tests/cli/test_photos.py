"""What `cosseg segment` takes as a photo: formats, names, broken files, files beside photos."""

import io
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from golden_network import shapes, write_shapes
from PIL import Image
from test_segment import pixels, segment, written

from cosseg_jax.data import opening

ORIENTATION = 0x0112
MASKS = ["masks/a.png", "masks/b.png", "masks/c.png"]


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=file_format, **options)
    return buffer.getvalue()


def of_every_kind() -> dict[str, bytes]:
    """The same image in many formats, 48 wide and 96 high unless the name says otherwise."""
    photo = Image.fromarray(shapes()[0][:, :48])
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    sixteen = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    return {
        "01_rotated.jpg": encoded(photo.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif),
        "02_cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "03_grey.jpg": encoded(photo.convert("L"), "JPEG"),
        "04_sixteen.png": encoded(sixteen, "PNG"),
        "05_palette.png": encoded(photo.quantize(64), "PNG"),
        "06_alpha.png": encoded(photo.convert("RGBA"), "PNG"),
        "07_animated.gif": encoded(
            photo, "GIF", save_all=True, append_images=[Image.new("RGB", photo.size)]
        ),
        "08_two_levels.png": encoded(photo.convert("1"), "PNG"),
        "09_webp.webp": encoded(photo, "WEBP"),
        "10_tiff.tif": encoded(photo, "TIFF"),
        "11_jpeg_called.png": encoded(photo, "JPEG"),
        "12_pixel.png": encoded(photo.crop((0, 0, 1, 1)), "PNG"),
    }


@pytest.mark.slow
def test_files_have_the_upright_size_of_photos_of_every_kind(golden, tmp_path: Path):
    contents = of_every_kind()
    (tmp_path / "photos").mkdir()
    for name, content in contents.items():
        (tmp_path / "photos" / name).write_bytes(content)
    out = tmp_path / "out"
    assert segment(tmp_path / "photos", "--out", out) == 0
    sizes = {
        image["file_name"]: image
        for image in json.loads((out / "segmentation.json").read_text())["images"]
    }
    assert list(sizes) == list(contents)
    for name, image in sizes.items():
        size = (1, 1) if "pixel" in name else (96, 48)
        assert (image["height"], image["width"]) == size
        for kind, suffix in (("masks", "png"), ("cutouts", "png"), ("overlays", "jpg")):
            assert pixels(out / kind / f"{Path(name).stem}.{suffix}").shape[:2] == size


def test_a_named_file_that_is_no_image_is_an_error(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "photos")
    half = (photos / "a.png").read_bytes()[:2000]
    for name, content in (("text.jpg", b"hello"), ("nothing.jpg", b""), ("half.png", half)):
        (tmp_path / name).write_bytes(content)
        assert segment(photos, tmp_path / name, "--out", tmp_path / "out") == 2
        printed = capsys.readouterr()
        assert f"error: {tmp_path / name} does not decode as an image" in printed.err
        assert "BytesIO" not in printed.err
        assert printed.out == ""
    assert written(tmp_path / "out") == []


def test_files_of_a_folder_that_are_no_images_are_left_out(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "photos")
    for name in ("b_text.jpg", "b_zero.jpg"):
        (photos / name).write_bytes(b"hello" if "text" in name else b"")
    assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks") == 0
    printed = capsys.readouterr()
    assert f"warning: left out: {photos / 'b_text.jpg'} does not decode" in printed.err
    assert f"warning: left out: {photos / 'b_zero.jpg'} does not decode" in printed.err
    assert "left out, since they cannot be read: 2" in printed.out
    assert written(tmp_path / "out") == MASKS


def test_a_link_that_leads_nowhere_is_left_out_with_a_warning(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "photos")
    (photos / "b_link.jpg").symlink_to("gone.jpg")
    assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks") == 0
    assert f"left out: {photos / 'b_link.jpg'} is a link that leads" in capsys.readouterr().err
    assert written(tmp_path / "out") == MASKS


def test_a_folder_in_which_nothing_can_be_read_is_an_error(golden, tmp_path: Path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    assert segment(tmp_path / "photos", "--out", tmp_path / "out", "--json") == 2
    printed = capsys.readouterr()
    assert "error: none of the photos can be read" in printed.err
    assert printed.out == ""


def test_files_beside_photos_are_no_photos(golden, tmp_path: Path, capsys):
    """As of `holiday/*`, where phones, a NAS and archives have left files of their own."""
    photos = write_shapes(tmp_path / "photos")
    for name in ("IMG_1.AAE", "a.xmp", "a.png.json", "._a.png", ".DS_Store", "Thumbs.db"):
        (photos / name).write_bytes(b"\0\5\26\7")
    for name in ("@eaDir", "__MACOSX"):
        write_shapes(photos / name, ("a.png",))
    assert segment(*sorted(photos.iterdir()), "--out", tmp_path / "out", "--kinds", "masks") == 0
    assert capsys.readouterr().err.count("warning: left out: ") == 8
    assert written(tmp_path / "out") == MASKS
    assert segment(photos, "--out", tmp_path / "again", "--kinds", "masks") == 0
    assert "warning" not in capsys.readouterr().err
    assert written(tmp_path / "again") == MASKS


ODD_NAMES = {  # and what their files are called
    "two  spaces": "two  spaces",
    "new\nline": "new_line",
    "写真 ü": "写真 ü",
    os.fsdecode(b"latin \xe9"): "latin _",
    "y" * 251: "y" * 251,
    "CON": "_CON",
    unicodedata.normalize("NFD", "été"): unicodedata.normalize("NFD", "été"),  # comes first
    unicodedata.normalize("NFC", "été"): unicodedata.normalize("NFC", "été") + "_2",
}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_photos_of_any_name_are_segmented_and_told_on_one_line(
    golden, tmp_path: Path, monkeypatch, encoding: str
):
    names = sorted(ODD_NAMES)
    photos = write_shapes(tmp_path / "photos", tuple(f"{name}.png" for name in names))
    (photos / "bad\nname.jpg").touch()
    out = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict")
    err = io.TextIOWrapper(io.BytesIO(), encoding, errors="backslashreplace")  # as Python opens it
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks") == 0
    for stream in (out, err):
        stream.seek(0)
    lines = out.read().splitlines()
    assert lines[-3].startswith(f"{len(names)} photos, written to")
    told = [line.partition(".png")[0] for line in lines[1:-3]]
    shown = [" ".join(name.splitlines()) for name in names]
    assert sorted(told) == sorted(
        name.encode(encoding, "backslashreplace").decode(encoding) for name in shown
    )
    assert f"warning: left out: {photos}/bad name.jpg does not decode as an image" in err.read()
    assert written(tmp_path / "out") == sorted(f"masks/{name}.png" for name in ODD_NAMES.values())


def test_heic_says_what_to_install(golden, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(opening, "HEIC_LIBRARY", "no_such_library")
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    photo = tmp_path / "phone.HEIC"
    photo.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert segment(photo, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.endswith(
        f"error: {photo} is a HEIC file; to read it, pip install pillow-heif, or export it as "
        "JPEG\n"
    )


def test_heic_photos_of_phones_are_upright(golden, tmp_path: Path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    photo, exif = Image.fromarray(shapes()[0][:, :48]), Image.Exif()
    exif[ORIENTATION] = 6
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    turned.info["exif"] = exif.tobytes()  # from there the library writes how the photo is turned
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "phone.HEIC").write_bytes(encoded(turned, "HEIF"))
    assert segment(tmp_path / "photos", "--out", tmp_path / "out") == 0
    assert pixels(tmp_path / "out/masks/phone.png").shape == (96, 48)
    shown = pixels(tmp_path / "out/overlays/phone.jpg").astype(float).mean(axis=2)
    expected = np.asarray(photo.convert("L"), float)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.5
