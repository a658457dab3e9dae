"""cosseg segment: its files, what it accepts as a photograph, and what it never does."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from golden_network import EXPORT, never, predictor, shapes, write_shapes
from PIL import Image

from cosseg_jax.cli import network, outputs
from cosseg_jax.cli.main import main, make_parser
from cosseg_jax.data import images
from cosseg_jax.predict.predictor import Predictor

ORIENTATION = 0x0112


def segment(*arguments: object) -> int:
    return main(["segment", *map(str, arguments)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """The folders of photographs and of all that is written of them."""
    folder = tmp_path_factory.mktemp("segment")
    photos = write_shapes(folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "load_network", lambda options: predictor())
        assert segment(photos, "--out", folder / "out") == 0
    return photos, folder / "out"


def written(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_every_photograph_has_its_files(finished):
    assert written(finished[1]) == [
        *(f"cutouts/{name}.png" for name in "abc"),
        *(f"masks/{name}.png" for name in "abc"),
        *(f"overlays/{name}.jpg" for name in "abc"),
        "segmentation.json",
    ]


def test_masks_are_those_of_the_predictor(finished):
    photos, out = finished
    expected = predictor()(sorted(photos.iterdir())).photos
    for photo in expected:
        found = pixels(out / "masks" / f"{photo.name}.png")
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, 255 * photo.mask.astype(np.uint8))
    assert any(photo.mask.any() for photo in expected)


def test_cutouts_are_opaque_on_the_object_and_hold_nothing_else(finished):
    photos, out = finished
    photo, mask = pixels(photos / "a.png"), pixels(out / "masks/a.png")
    found = pixels(out / "cutouts/a.png")
    np.testing.assert_array_equal(found[..., 3], mask)
    np.testing.assert_array_equal(found[mask > 0, :3], photo[mask > 0])
    assert not found[mask == 0].any()


def test_overlays_are_bright_and_green_on_the_object(finished):
    _, out = finished
    found, mask = pixels(out / "overlays/a.jpg"), pixels(out / "masks/a.png") > 0
    assert found.shape == (96, 96, 3)
    green = found[..., 1].astype(int) - found[..., 0]
    assert green[mask].mean() > green[~mask].mean() + 30


def test_large_overlays_are_tinted_in_strips_without_seams():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (2 * outputs.ROWS + 3, 2, 3), dtype=np.uint8)
    mask = rng.random(photo.shape[:2]) > 0.5
    np.testing.assert_array_equal(outputs.overlay(photo, mask), outputs.tinted(photo, mask))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_json_is_read_by_pycocotools_and_gives_the_masks(finished, capsys):
    coco_api = pytest.importorskip("pycocotools.coco")
    _, out = finished
    coco = coco_api.COCO(out / "segmentation.json")
    assert [image["file_name"] for image in coco.loadImgs([1, 2, 3])] == ["a.png", "b.png", "c.png"]
    for annotation in coco.loadAnns(coco.getAnnIds()):
        name = coco.imgs[annotation["image_id"]]["file_name"]
        mask = pixels(out / "masks" / name)
        np.testing.assert_array_equal(255 * coco.annToMask(annotation), mask)
        assert 0.5 < annotation["score"] <= 1
    assert len(coco.dataset["info"]["group_categories"]) == 12


def test_a_summary_is_printed_for_people(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "photos")
    assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["photograph", "presence", "pixels"]
    assert printed[1].split()[0] == "a.png"
    assert printed[-2] == f"3 photographs, written to {tmp_path / 'out'}"
    assert printed[-1].count("%") == 3


def test_json_on_stdout_is_nothing_but_json(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "photos")
    (photos / "broken.jpg").write_text("no picture")
    out = tmp_path / "out"
    assert segment(photos, "--out", out, "--kinds", "masks,json", "--json") == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert [photo["name"] for photo in group["photos"]] == ["a.png", "b.png", "c.png"]
    first = group["photos"][0]
    assert first["files"] == {"masks": str(out / "masks/a.png")}
    assert first["share"] == (pixels(out / "masks/a.png") > 0).mean()
    assert 0 <= first["presence"] <= 1
    assert group["skipped"][0]["photo"] == str(photos / "broken.jpg")
    assert written(out) == [*(f"masks/{name}.png" for name in "abc"), "segmentation.json"]


def test_a_threshold_of_one_finds_nothing(golden, tmp_path: Path):
    photos = write_shapes(tmp_path / "photos")
    assert segment(photos, "--out", tmp_path, "--threshold", 1, "--kinds", "masks,json") == 0
    assert not pixels(tmp_path / "masks/a.png").any()
    content = json.loads((tmp_path / "segmentation.json").read_text())
    assert (len(content["images"]), content["annotations"]) == (3, [])


def test_subfolders_are_segmented_apart(golden, tmp_path: Path, capsys):
    photos = tmp_path / "photos"
    write_shapes(photos / "one", ("a.png", "b.png"))
    write_shapes(photos / "two", ("a.png",))
    (photos / "three").mkdir()
    (photos / "three" / "broken.png").touch()
    out = photos / "out"
    for _ in range(2):  # what was written is no group the second time
        assert (
            segment(photos, "--groups", "--out", out, "--kinds=masks,json", "--json", "--force")
            == 0
        )
        groups = json.loads(capsys.readouterr().out)["groups"]
        assert [(group["name"], len(group["photos"])) for group in groups] == [
            ("one", 2),
            ("three", 0),
            ("two", 1),
        ]
    assert written(out) == [
        "one/masks/a.png",
        "one/masks/b.png",
        "one/segmentation.json",
        "two/masks/a.png",
        "two/segmentation.json",
    ]
    alone = predictor()([photos / "two" / "a.png"]).photos[0]
    np.testing.assert_array_equal(pixels(out / "two/masks/a.png") > 0, alone.mask)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a.jpg", "b.jpg"], ["a", "b"]),
        (["a.jpg", "a.png", "x/A.jpg"], ["a", "a_2", "A_3"]),
        (["a.jpg", "a.png", "a_2.jpg"], ["a", "a_3", "a_2"]),
        (["a.tar.jpg"], ["a.tar"]),
    ],
)
def test_files_of_photographs_with_the_same_name_are_numbered(paths, expected):
    assert outputs.names_of([Path(path) for path in paths]) == expected


def test_photographs_with_the_same_name_keep_both_masks(golden, tmp_path: Path, capsys):
    one, two = (tmp_path / name for name in ("one", "two"))
    write_shapes(one, ("a.png",))
    Image.fromarray(shapes(2)[1][:, :48]).save(write_shapes(two, ("b.png",)) / "a.png")
    out = tmp_path / "out"
    assert segment(one, two, "--out", out, "--kinds", "masks,json", "--json") == 0
    assert pixels(out / "masks/a.png").shape == (96, 96)
    assert pixels(out / "masks/a_2.png").shape == (96, 48)
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert [(photo["name"], Path(photo["files"]["masks"]).name) for photo in group["photos"]] == [
        ("one/a.png", "a.png"),
        ("two/a.png", "a_2.png"),
        ("two/b.png", "b.png"),
    ]


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=file_format, **options)
    return buffer.getvalue()


def of_every_kind() -> dict[str, bytes]:
    """The same picture, 48 wide and 96 high where nothing else is said, in many formats."""
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


def test_photographs_of_every_kind_get_files_of_their_own_upright_size(golden, tmp_path: Path):
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
        for kind in ("masks", "cutouts", "overlays"):
            assert pixels(outputs.file_of(out, kind, Path(name).stem)).shape[:2] == size


def test_what_is_no_photograph_is_an_error_if_named_itself(golden, tmp_path: Path, capsys):
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


def test_what_is_no_photograph_is_left_out_of_a_folder(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "photos")
    for name in ("b_text.jpg", "b_zero.jpg"):
        (photos / name).write_bytes(b"hello" if "text" in name else b"")
    assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks") == 0
    printed = capsys.readouterr()
    assert f"warning: left out: {photos / 'b_text.jpg'} does not decode" in printed.err
    assert f"warning: left out: {photos / 'b_zero.jpg'} does not decode" in printed.err
    assert "left out, since they cannot be read: 2" in printed.out
    assert written(tmp_path / "out") == ["masks/a.png", "masks/b.png", "masks/c.png"]


def test_a_link_that_leads_nowhere_is_told_of(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "photos")
    (photos / "b_link.jpg").symlink_to("gone.jpg")
    assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks") == 0
    assert f"left out: {photos / 'b_link.jpg'} is a link that leads" in capsys.readouterr().err
    assert written(tmp_path / "out") == ["masks/a.png", "masks/b.png", "masks/c.png"]


ODD_NAMES = ("two  spaces", "new\nline", "写真 ü", os.fsdecode(b"latin \xe9"), "y" * 251)


def test_photographs_of_any_name_are_segmented_and_told_on_one_line(
    golden, tmp_path: Path, monkeypatch
):
    photos = write_shapes(tmp_path / "photos", tuple(f"{name}.png" for name in ODD_NAMES))
    (photos / "bad\nname.jpg").touch()
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict") for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks") == 0
    for stream in (out, err):
        stream.seek(0)
    lines = out.read().splitlines()
    assert lines[-3].startswith("5 photographs, written to")
    told = [line.partition(".png")[0] for line in lines[1:-3]]
    assert sorted(told) == sorted(["two  spaces", "new line", "写真 ü", r"latin \udce9", "y" * 251])
    assert f"warning: left out: {photos}/bad name.jpg does not decode as an image (it is" in (
        err.read()
    )
    assert written(tmp_path / "out") == sorted(f"masks/{name}.png" for name in ODD_NAMES)


def test_a_folder_in_which_nothing_decodes_is_an_error(golden, tmp_path: Path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    assert segment(tmp_path / "photos", "--out", tmp_path / "out", "--json") == 2
    printed = capsys.readouterr()
    assert "error: none of the photographs decodes" in printed.err
    assert printed.out == ""


def test_heic_says_what_to_install(golden, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(images, "LIBRARY", "no_such_library")
    photo = tmp_path / "phone.HEIC"
    photo.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert segment(photo, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.endswith(
        f"error: {photo}: to read HEIC photographs, pip install pillow-heif\n"
    )


def test_heic_is_read_by_the_library_if_it_is_there(tmp_path: Path, monkeypatch):
    (tmp_path / "toy_heif.py").write_text(
        "count = 0\ndef register_heif_opener():\n    global count\n    count += 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(images, "LIBRARY", "toy_heif")
    assert images.register_heic()
    import toy_heif  # type: ignore

    assert toy_heif.count == 1
    assert images.heic_advice(Path("a.heic")) == ""


def test_heic_photographs_of_phones_are_upright(golden, tmp_path: Path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    photo, exif = Image.fromarray(shapes()[0][:, :48]), Image.Exif()
    exif[ORIENTATION] = 6
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    turned.info["exif"] = exif.tobytes()  # from there the library writes how the picture is turned
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "phone.HEIC").write_bytes(encoded(turned, "HEIF"))
    assert segment(tmp_path / "photos", "--out", tmp_path / "out") == 0
    assert pixels(tmp_path / "out/masks/phone.png").shape == (96, 48)
    shown = pixels(tmp_path / "out/overlays/phone.jpg").astype(float).mean(axis=2)
    expected = np.asarray(photo.convert("L"), float)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg", "--out", "out"], "nowhere.jpg does not exist"),
        (["empty", "--out", "out"], "empty holds no photographs"),
        (["photos", "--out", "photos/a.png"], "cannot create the folder photos/a.png"),
        (["photos", "--groups", "--out", "out"], "photos has no subfolders with photographs"),
        (
            [".", "--groups", "--out", "out", "--prompt", "a.png", "--point=1,1"],
            "--prompt does not go with --groups",
        ),
        (["photos", "--out", "out", "--prompt", "a.png"], "--prompt a.png needs a mark: --point"),
        (["photos", "--out", "out", "--point", "1,1"], "a mark needs --prompt IMAGE"),
        (["photos", "--out", "out", "--prompt", "z.png", "--point=1,1"], "--prompt z.png: no such"),
        (["photos", "--out", "out", "--checkpoint", "nowhere"], "no checkpoint in nowhere"),
    ],
)
def test_wrong_input_is_named_before_photographs_are_read(
    arguments: list[str], message: str, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cosseg_jax.cli.reading.check", never)
    monkeypatch.setattr(network, "keep_compilations", lambda: None)
    write_shapes(tmp_path / "photos")
    (tmp_path / "empty").mkdir()
    assert segment(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {message}")
    assert (printed.err.count("\n"), printed.out) == (1, "")


def test_existing_files_are_overwritten_with_force_only(
    golden, tmp_path: Path, capsys, monkeypatch
):
    photos = write_shapes(tmp_path / "photos")
    mine = tmp_path / "out" / "masks" / "b.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(network, "load_network", never)
        assert segment(photos, "--out", tmp_path / "out") == 2
    assert f"1 of the files exist already, {mine} the first" in capsys.readouterr().err
    assert written(tmp_path / "out") == ["masks/b.png"]
    assert mine.read_text() == "mine"
    assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks", "--force") == 0
    assert pixels(mine).shape == (96, 96)


def test_photographs_are_not_overwritten_even_with_force(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "masks")
    before = (photos / "a.png").read_bytes()
    assert segment(photos, "--out", tmp_path, "--force") == 2
    assert "is one of the photographs" in capsys.readouterr().err
    assert (photos / "a.png").read_bytes() == before


class Asked(Predictor):
    """Notes what it is called with."""

    def __init__(self) -> None: ...

    def __call__(self, photos, **options):
        self.photos, self.options = photos, options
        options.pop("progress")
        return predictor()(photos)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    stand_in = Asked()
    monkeypatch.setattr(network, "load_network", lambda options: stand_in)
    return stand_in


def test_a_point_marks_the_photograph_of_the_prompt(asked: Asked, tmp_path: Path):
    photos = write_shapes(tmp_path / "photos")
    (photos / "a_broken.png").touch()
    point = ["--prompt", photos / "c.png", "--point", "30,40.5", "--chunk", 2]
    assert segment(photos, "--out", tmp_path / "out", *point) == 0
    prompt = asked.options["prompt"]
    assert (prompt.image, prompt.point) == (2, (30.0, 40.5))
    assert asked.options["chunk"] == 2


def test_a_box_may_mark_a_photograph_that_joins_the_group(asked: Asked, tmp_path: Path):
    photos = write_shapes(tmp_path / "photos")
    other = write_shapes(tmp_path / "other", ("d.png",)) / "d.png"
    box = ["--prompt", other, "--box", "1,2,30,40"]
    assert segment(photos, "--out", tmp_path / "out", *box) == 0
    assert asked.photos[-1] == other
    prompt = asked.options["prompt"]
    assert (prompt.image, prompt.box) == (3, (1.0, 2.0, 30.0, 40.0))
    assert (tmp_path / "out/masks/d.png").is_file()


def test_a_mask_is_read_from_its_file(asked: Asked, tmp_path: Path):
    photos = write_shapes(tmp_path / "photos")
    mask = np.zeros((96, 96), np.uint8)
    mask[10:40, 20:30] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    marked = ["--prompt", "b.png", "--mask", tmp_path / "mask.png"]
    assert segment(photos, "--out", tmp_path / "out", *marked) == 0
    np.testing.assert_array_equal(asked.options["prompt"].mask, mask == 1)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (["--point", "200,3"], "point 200,3 is outside the photograph of 96 x 96"),
        (["--box", "50,50,20,20"], "box 50,50,20,20 holds no pixel"),
        (["--mask", "small.png"], "the prompt's mask is 5 x 4, the photograph 96 x 96"),
        (["--mask", "black.png"], "the prompt's mask is empty"),
        (["--mask", "nowhere.png"], "[Errno 2] No such file or directory: 'nowhere.png'"),
    ],
)
def test_marks_that_cannot_be_meant_are_named(
    mark: list[str], message: str, asked: Asked, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    photos = write_shapes(tmp_path / "photos")
    Image.new("L", (5, 4), 255).save("small.png")
    Image.new("L", (96, 96)).save("black.png")
    assert segment(photos, "--out", "out", "--prompt", "a.png", *mark) == 2
    assert f"error: {message}" in capsys.readouterr().err
    assert not hasattr(asked, "photos")


def test_photographs_of_200_million_pixels_are_not_feared(monkeypatch):
    monkeypatch.setattr(network, "keep_compilations", lambda: None)
    monkeypatch.setattr(network, "load", lambda checkpoint: predictor())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    network.load_network(make_parser().parse_args(["segment", "x", "--out", "y"]))
    assert Image.MAX_IMAGE_PIXELS > 200_000_000


def test_the_checkpoint_is_loaded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(network, "keep_compilations", lambda: None)
    loaded = []

    def load(checkpoint):
        loaded.append(checkpoint)
        return predictor()

    monkeypatch.setattr(network, "load", load)
    photos = write_shapes(tmp_path / "photos")
    assert segment(photos, "--out", tmp_path / "out", "--checkpoint", EXPORT) == 0
    assert loaded == [str(EXPORT)]
