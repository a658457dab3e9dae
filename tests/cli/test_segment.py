"""`cosseg segment`: the files it writes, its summary, and what it never does."""

import json
import resource
from pathlib import Path

import numpy as np
import pytest
from golden_network import EXPORT, never, predictor, shapes, write_shapes
from PIL import Image

from cosseg_jax.cli import network
from cosseg_jax.cli.main import main, make_parser
from cosseg_jax.cli.segment import _table
from cosseg_jax.data import images


def segment(*arguments: object) -> int:
    return main(["segment", *map(str, arguments)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """The folder of the photos, and the folder of all files that were written."""
    folder = tmp_path_factory.mktemp("segment")
    photos = write_shapes(folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "load_predictor", lambda options, cold=True: predictor())
        assert segment(photos, "--out", folder / "out") == 0
    return photos, folder / "out"


def written(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_every_photo_has_its_files(finished):
    assert written(finished[1]) == [
        *(f"cutouts/{name}.png" for name in "abc"),
        *(f"masks/{name}.png" for name in "abc"),
        *(f"overlays/{name}.jpg" for name in "abc"),
        "segmentation.json",
    ]


def test_masks_are_those_of_the_predictor(finished):
    photos, out = finished
    expected = predictor()(sorted(photos.iterdir())).images
    for image in expected:
        found = pixels(out / "masks" / f"{image.name}.png")
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, 255 * image.mask.astype(np.uint8))
    assert any(image.mask.any() for image in expected)


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


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_masks_from_the_json(finished, capsys):
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
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["shared object"]


def test_a_summary_is_printed_for_people(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "photos")
    assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["photo", "presence", "pixels"]
    assert printed[1].split()[0] == "a.png"
    assert printed[-2] == f"3 photos, written to {tmp_path / 'out'}"


SHARED = "categories of the training set that they most probably share: cat 90%, cow 60%"
UNSURE = "they share no category of the training set that the network is sure of"
UNLIKE = "they do not look like any category of the training set"


@pytest.mark.parametrize(
    ("categories", "confidence", "said"),
    [
        ({"cat": 0.9, "dog": 0.4, "cow": 0.6}, None, SHARED),
        (
            {"cat": 0.9, "dog": 0.4, "cow": 0.6},
            0.9312,
            f"{SHARED}; confidence in the masks: 0.93",
        ),
        (
            {"cat": 0.9, "dog": 0.4, "cow": 0.6},
            0.41,
            f"{SHARED}; check the masks (confidence 0.41)",
        ),
        ({"cat": 0.4, "dog": 0.1}, None, UNSURE),
        ({"cat": 0.4, "dog": 0.1}, 0.5, f"{UNSURE}; confidence in the masks: 0.50"),
        ({"cat": 0.0, "dog": 0.0}, 0.3366, f"{UNLIKE}; check the masks (confidence 0.34)"),
        ({}, None, "1 photo, written to out"),
    ],
)
def test_only_likely_categories_are_named_and_doubt_is_told(categories, confidence, said):
    photo = {"name": "a.png", "presence": 0.9, "share": 0.2}
    summary = {"name": "", "out": "out", "categories": categories, "confidence": confidence}
    printed = _table(summary | {"photos": [photo], "skipped": []})
    assert printed.splitlines()[-1] == said


@pytest.mark.parametrize("confidence", [0.33339, None])
def test_confidence_is_in_the_summary_and_in_the_json(
    golden, monkeypatch, tmp_path: Path, capsys, confidence
):
    segment_group = network.segment_group

    def confident(*arguments):
        found = segment_group(*arguments)
        assert found.result is not None
        return found._replace(result=found.result._replace(confidence=confidence))

    monkeypatch.setattr(network, "segment_group", confident)
    photos, out = write_shapes(tmp_path / "photos"), tmp_path / "out"
    assert segment(photos, "--out", out, "--kinds", "json", "--json") == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert list(group)[2:4] == ["categories", "confidence"]
    assert group["confidence"] == (confidence and 0.3334)
    info = json.loads((out / "segmentation.json").read_text())["info"]
    assert info["group_confidence"] == confidence


def test_nothing_but_json_is_on_stdout_with_json(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "photos")
    (photos / "broken.jpg").write_text("no image")
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


@pytest.mark.parametrize(
    ("kinds", "refine", "most"),
    [
        ("masks,json", "", 1),
        ("masks,json", "guided", 2),
        ("masks,cutouts,overlays,json", "guided", 2),
    ],
)
def test_each_photo_is_decoded_once_and_once_more_for_its_files(
    golden, tmp_path: Path, monkeypatch, kinds: str, refine: str, most: int
):
    photos = write_shapes(tmp_path / "photos")
    options = predictor().options
    monkeypatch.setattr(predictor(), "options", options._replace(refine=refine))
    decode, decoded = images.decode_image, []
    monkeypatch.setattr(
        images, "decode_image", lambda file, *rest: decoded.append(file) or decode(file, *rest)
    )
    assert segment(photos, "--out", tmp_path / "out", "--kinds", kinds) == 0
    counts = {path.name: [file.name for file in decoded].count(path.name) for path in decoded}
    assert counts == dict.fromkeys(["a.png", "b.png", "c.png"], most)


@pytest.mark.slow
def test_subfolders_are_segmented_separately(golden, tmp_path: Path, capsys):
    photos = tmp_path / "photos"
    write_shapes(photos / "one", ("a.png", "b.png"))
    write_shapes(photos / "con", ("a.png",))
    (photos / "three").mkdir()
    (photos / "three" / "broken.png").touch()
    out = photos / "out"
    for _ in range(2):  # what was written is no group the second time
        arguments = ["--groups", "--out", out, "--kinds=masks,json", "--json", "--force"]
        assert segment(photos, *arguments) == 0
        groups = json.loads(capsys.readouterr().out)["groups"]
        assert [(group["name"], len(group["photos"])) for group in groups] == [
            ("con", 1),
            ("one", 2),
            ("three", 0),
        ]
    assert written(out) == [  # Windows has no folder "con"
        "_con/masks/a.png",
        "one/masks/a.png",
        "one/masks/b.png",
        "segmentation.json",
    ]
    content = json.loads((out / "segmentation.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["con", "one", "three"]
    assert [image["file_name"] for image in content["images"]] == [
        *("con/a.png", "one/a.png", "one/b.png")
    ]
    assert list(content["info"]["group_categories"]) == ["con", "one"]
    assert content["info"]["group_confidence"] == {"con": None, "one": None}


@pytest.mark.slow
def test_groups_without_common_photos_have_the_masks_that_they_have_alone(golden, tmp_path: Path):
    photos = tmp_path / "photos"
    write_shapes(photos / "one", ("a.png", "b.png"))
    Image.fromarray(shapes(3)[2]).save(write_shapes(photos / "two", ()) / "a.png")
    out = tmp_path / "out"
    assert segment(photos, "--groups", "--out", out, "--kinds", "masks,labels,overlays") == 0
    for number, (folder, name) in enumerate((("one", "a"), ("two", "a")), start=1):
        group = predictor()(sorted((photos / folder).iterdir()))
        mask = group.images[0].mask
        np.testing.assert_array_equal(pixels(out / folder / f"masks/{name}.png") > 0, mask)
        np.testing.assert_array_equal(pixels(out / folder / f"labels/{name}.png"), number * mask)


def test_a_pixel_of_a_photo_in_two_groups_belongs_to_the_likelier_one(golden, tmp_path: Path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    write_shapes(photos / "one", ("a.png", "b.png"))
    other = photos / "two"
    other.mkdir()
    (other / "copy.png").write_bytes((photos / "one" / "a.png").read_bytes())
    Image.fromarray(shapes(3)[2][::-1]).save(other / "z.png")
    assert segment(photos, "--groups", "--out", out, "--kinds", "masks,labels,json") == 0
    groups = [predictor()(sorted((photos / name).iterdir())) for name in ("one", "two")]
    found = [group.images[0] for group in groups]
    first, second = (image.probability for image in found)
    assert not np.array_equal(first, second)
    expected = np.where(np.maximum(first, second) > 0.5, np.where(second > first, 2, 1), 0)
    assert all(image.presence > 0.5 for image in found)
    for file in ("one/labels/a.png", "two/labels/copy.png"):
        np.testing.assert_array_equal(pixels(out / file), expected)
    np.testing.assert_array_equal(pixels(out / "two/masks/copy.png") > 0, expected == 2)
    content = json.loads((out / "segmentation.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [
        *("one/a.png", "one/b.png", "two/copy.png", "two/z.png")
    ]
    assert [list(image["presence"]) for image in content["images"]] == [
        *(["one", "two"], ["one"], ["one", "two"], ["two"])
    ]


@pytest.mark.parametrize("groups", [False, True])
def test_annotations_are_written_for_other_tools(golden, tmp_path: Path, groups: bool):
    photos, out = tmp_path / "photos", tmp_path / "out"
    write_shapes(photos / "one", ("a.png", "b.png"))
    arguments = [photos, "--groups"] if groups else [photos / "one"]
    formats = ("--kinds", "masks", "--annotations", "yolo,voc,cvat,label-studio,coco-polygons")
    assert segment(*arguments, "--out", out, *formats) == 0
    name, folder = ("one", "one/") if groups else ("shared object", "")
    assert written(out / "annotations") == [
        "coco-polygons/annotations.json",
        "cvat/annotations.xml",
        "label-studio/labels.xml",
        "label-studio/tasks.json",
        "voc/ImageSets/Segmentation/default.txt",
        *(f"voc/SegmentationClass/{folder}{stem}.png" for stem in "ab"),
        "voc/labelmap.txt",
        "yolo/data.yaml",
        *(f"yolo/labels/{folder}{stem}.txt" for stem in "ab"),
    ]
    mask = pixels(out / f"{folder}masks/a.png") > 0
    labels = pixels(out / f"annotations/voc/SegmentationClass/{folder}a.png")
    np.testing.assert_array_equal(labels, mask)
    assert name in (out / "annotations/yolo/data.yaml").read_text()
    assert segment(*arguments, "--out", out, "--kinds", "json", "--annotations", "voc") == 2


def test_photos_with_the_same_name_keep_both_masks(golden, tmp_path: Path, capsys):
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg", "--out", "out"], "nowhere.jpg does not exist"),
        (["https://host/a.jpg", "--out", "out"], "https:/host/a.jpg is a URL, and nothing is"),
        (["empty", "--out", "out"], "empty holds no photos; files count that end in .apng"),
        (["raw", "--out", "out"], "raw holds no photos; camera raw files are not read: export"),
        (["photos", "--out", "photos/a.png"], "cannot create the folder photos/a.png"),
        (["photos", "--groups", "--out", "out"], "photos has no subfolders with photos"),
        (
            [".", "--groups", "--out", "out", "--prompt", "a.png", "--point=1,1"],
            "--prompt does not go with --groups",
        ),
        (
            ["photos", "--out", "out", "--prompt", "a.png"],
            "--prompt a.png needs one or more of --point",
        ),
        (
            ["photos", "--out", "out", "--prompt", "a.png", "--prompt", "b.png", "--absent"],
            "--prompt a.png needs one or more of --point, --negative, --box, --mask and --absent",
        ),
        (["many", "--groups", "--out", "out"], "300 groups; a label map holds 254 at most"),
        ([".", "--groups", "--recursive", "--out", "out"], "--recursive does not go with --groups"),
        (["photos", "--out", "out", "--prompts", "no.json"], "no.json does not exist; give a JSON"),
        (["photos", "--out", "out", "--prompt", "z.png", "--point=1,1"], "--prompt z.png: no such"),
        (["photos", "--out", "out", "--checkpoint", "nowhere"], "no checkpoint in nowhere"),
    ],
)
def test_wrong_input_is_named_before_photos_are_read(
    arguments: list[str], message: str, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(images, "decode_image", never)
    write_shapes(tmp_path / "photos")
    for folder in ("empty", "raw"):
        (tmp_path / folder).mkdir()
    (tmp_path / "raw" / "DSC_1.NEF").touch()
    if arguments[0] == "many":
        for number in range(300):
            (tmp_path / "many" / str(number)).mkdir(parents=True)
            (tmp_path / "many" / str(number) / "a.png").touch()
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
        patch.setattr(network, "load_predictor", never)
        assert segment(photos, "--out", tmp_path / "out") == 2
    assert f"1 of the files exist already, {mine} the first" in capsys.readouterr().err
    assert written(tmp_path / "out") == ["masks/b.png"]
    assert mine.read_text() == "mine"
    assert segment(photos, "--out", tmp_path / "out", "--kinds", "masks", "--force") == 0
    assert pixels(mine).shape == (96, 96)


def test_photos_are_not_overwritten_even_with_force(golden, tmp_path: Path, capsys):
    photos = write_shapes(tmp_path / "masks")
    before = (photos / "a.png").read_bytes()
    assert segment(photos, "--out", tmp_path, "--force") == 2
    assert "is one of the photos" in capsys.readouterr().err
    assert (photos / "a.png").read_bytes() == before


def test_a_file_that_cannot_be_written_is_named_and_others_are_whole(
    golden, tmp_path: Path, capsys
):
    """The limit on files' sizes stands for a full disk, which a test cannot make."""
    photos, out = write_shapes(tmp_path / "photos"), tmp_path / "out"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        assert segment(photos, "--out", out) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"error: [Errno 27] File too large: '{out / 'cutouts/a.png'}'"
    assert written(out) == ["masks/a.png"]
    assert pixels(out / "masks/a.png").shape == (96, 96)


def test_photos_of_200_million_pixels_are_read(monkeypatch):
    monkeypatch.setattr("cosseg_jax.cli.network.load", lambda checkpoint, **options: predictor())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    network.load_predictor(make_parser().parse_args(["segment", "x", "--out", "y"]))
    assert 2 * Image.MAX_IMAGE_PIXELS > 200_000_000


def test_the_network_is_loaded_as_the_options_say(tmp_path: Path, monkeypatch):
    loaded = []

    def load(checkpoint, **options):
        loaded.append((checkpoint, options))
        return predictor()

    monkeypatch.setattr(network, "load", load)
    photos = write_shapes(tmp_path / "photos")
    assert segment(photos, "--out", tmp_path / "out", "--checkpoint", EXPORT, "--chunk", 2) == 0
    expected = {"mode": "network", "cold": True, "chunk_size": 2, "sam_weights": None}
    assert loaded == [(EXPORT, expected)]
