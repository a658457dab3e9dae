"""`cosseg learn` and `cosseg apply`: from photos and masks to a concept, and to other photos."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from golden_network import never, write_shapes
from PIL import Image
from pycocotools.coco import COCO

from cosseg_jax.cli import network
from cosseg_jax.cli.main import main
from cosseg_jax.data.registry import load_source
from cosseg_jax.predict.concept import Concept, LearntClass

SHAPES = [(4,), (4,), (), (3,), (1, 3), (1, 3), (), (0,), (0,)]  # of a small class

pytestmark = pytest.mark.usefixtures("golden")


def write_masks(folder: Path, names: tuple[str, ...] = ("a.png", "b.png", "c.png")) -> Path:
    """Writes the true masks of the photos of `write_shapes`."""
    source = load_source("shapes", "unseen")
    folder.mkdir()
    for name, index in zip(names, source.members[0], strict=False):
        example = source[int(index)]
        mask = example.masks[list(example.categories).index(0)]
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / name)
    return folder


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def concept(tmp_path: Path) -> Path:
    photos, masks = write_shapes(tmp_path / "photos"), write_masks(tmp_path / "masks")
    assert run("learn", photos, "--masks", masks, "--out", tmp_path / "triangle.concept") == 0
    return tmp_path / "triangle.concept"


@pytest.mark.slow
def test_what_was_learnt_is_found(concept: Path, tmp_path: Path, capsys):
    assert run("apply", concept, tmp_path / "photos", "--out", tmp_path / "out") == 0
    assert "3 photos, written to" in capsys.readouterr().out
    out = tmp_path / "out"
    coco = COCO(str(out / "segmentation.json"))
    assert [each["name"] for each in coco.cats.values()] == ["triangle"]
    lines = [json.loads(line) for line in (out / "photos.jsonl").read_text().splitlines()[1:]]
    assert [line["stem"] for line in lines] == ["a", "b", "c"]
    for number, stem in enumerate("abc", start=1):
        mask = np.asarray(Image.open(out / f"masks/{stem}.png")) == 255
        labels = Image.open(out / f"labels/{stem}.png")
        np.testing.assert_array_equal(np.asarray(labels), mask)
        assert labels.mode == "P"
        found = coco.getAnnIds(imgIds=[number])
        assert len(found) == mask.any()
        for annotation in found:
            with warnings.catch_warnings():  # pycocotools has not followed NumPy 2
                warnings.simplefilter("ignore", DeprecationWarning)
                decoded = coco.annToMask(coco.anns[annotation])
            np.testing.assert_array_equal(decoded, mask)
        assert 0 <= lines[number - 1]["classes"]["triangle"]["presence"] <= 1
    assert (out / "cutouts/a.png").is_file()
    assert (out / "overlays/a.jpg").is_file()


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_without_doing_a_photo_twice(
    concept: Path, tmp_path: Path, monkeypatch
):
    photos, out = tmp_path / "photos", tmp_path / "out"
    apply = ("apply", concept, photos, "--out", out)
    assert run(*apply) == 0
    whole = (out / "segmentation.json").read_text()
    record = out / "photos.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # killed while it wrote the last line
    (out / "masks/c.png").unlink()
    asked = []
    given = network.load_predictor(None).apply  # type: ignore[arg-type]

    def noted(concept, images, **options):
        images = list(images)
        asked.extend(images)
        return given(concept, images, **options)

    monkeypatch.setattr(network.load_predictor(None), "apply", noted)  # type: ignore[arg-type]
    assert run(*apply) == 2
    assert asked == []
    assert run(*apply, "--resume") == 0
    assert asked == [photos / "c.png"]
    assert (out / "segmentation.json").read_text() == whole
    assert (out / "masks/c.png").is_file()
    assert run(*apply, "--resume", "--threshold", "0.7") == 2


DAMAGES = {
    "no text": lambda line: b"\xa5" + json.dumps(line).encode(),
    "no photo": lambda line: json.dumps({k: line[k] for k in line if k != "photo"}).encode(),
    "photo is an object": lambda line: json.dumps(line | {"photo": {}}).encode(),
    "stem outside": lambda line: json.dumps(line | {"stem": "../../a"}).encode(),
    "not done": lambda line: json.dumps({k: line[k] for k in line if k != "classes"}).encode(),
    "other class": lambda line: json.dumps(line | {"classes": {}}).encode(),
    "height": lambda line: json.dumps(line | {"height": 10**9}).encode(),
    "presence": lambda line: json.dumps(line).replace('"presence": ', '"presence": 1').encode(),
    "runs": lambda line: json.dumps(line).replace('"counts": "', '"counts": "01').encode(),
    "nested": lambda line: b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_named_with_its_line(
    damage: str, concept: Path, tmp_path: Path, capsys
):
    apply = ("apply", concept, tmp_path / "photos", "--out", tmp_path / "out", "--kinds", "json")
    assert run(*apply) == 0
    record = tmp_path / "out/photos.jsonl"
    lines = record.read_bytes().splitlines()
    record.write_bytes(
        b"\n".join([*lines[:2], DAMAGES[damage](json.loads(lines[2])), *lines[3:], b""])
    )
    capsys.readouterr()
    assert run(*apply, "--resume") == 2
    assert "photos.jsonl, line 3 is damaged; begin again with --force" in capsys.readouterr().err


def test_unreadable_photos_are_left_out_and_not_tried_again(concept: Path, tmp_path: Path, capsys):
    (tmp_path / "photos/b.png").write_bytes(b"text")
    apply = ("apply", concept, tmp_path / "photos", "--out", tmp_path / "out", "--kinds", "json")
    assert run(*apply, "--json") == 0
    told = capsys.readouterr()
    assert "warning: left out:" in told.err
    summary = json.loads(told.out)
    assert (summary["photos"], summary["skipped"]) == (2, 1)
    assert [file.name for file in (tmp_path / "out").iterdir() if file.is_dir()] == []
    assert run(*apply, "--resume") == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.slow
def test_several_concepts_share_a_label_map(concept: Path, tmp_path: Path):
    other = tmp_path / "other.concept"
    point = ("--prompt", "a.png", "--point", "20,20", "--negative", "70,70")
    assert run("learn", tmp_path / "photos", *point, "--out", other, "--name", "corner") == 0
    photo, out = tmp_path / "photos/a.png", tmp_path / "out"
    assert run("apply", concept, other, photo, "--out", out, "--kinds", "labels,json") == 0
    assert set(np.unique(np.asarray(Image.open(out / "labels/a.png")))) <= {0, 1, 2}
    coco = json.loads((out / "segmentation.json").read_text())
    assert [each["name"] for each in coco["categories"]] == ["triangle", "corner"]


def test_annotations_of_a_resumed_run_hold_all_photos(concept: Path, tmp_path: Path):
    out = tmp_path / "out"
    apply = ("apply", concept, tmp_path / "photos", "--out", out, "--annotations", "voc,yolo")
    assert run(*apply) == 0
    record = out / "photos.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(lines[:3]))
    (out / "annotations/voc/SegmentationClass/a.png").unlink()
    assert run(*apply, "--resume") == 0
    for stem in "abc":
        labels = np.asarray(Image.open(out / f"labels/{stem}.png"))
        annotated = Image.open(out / f"annotations/voc/SegmentationClass/{stem}.png")
        np.testing.assert_array_equal(np.asarray(annotated), labels)
        lines = (out / f"annotations/yolo/labels/{stem}.txt").read_text().splitlines()
        assert bool(lines) == labels.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["learn", "photos", "--out", "x.con"], "'x.con' does not end in .concept"),
        (["learn", "photos", "--masks", "no", "--out", "x.concept"], "no is not a folder"),
        (["learn", "photos", "--masks", "empty", "--out", "x.concept"], "has no mask of a.png"),
        (
            ["learn", "photos", "--masks=empty", "--out=x.concept", "--prompt=a.png", "--absent"],
            "--masks does not go with prompts",
        ),
        (["learn", "photos", "--out", "old.concept"], "old.concept exists already"),
        (["apply", "photos", "--out", "out"], "a concept, a file that ends in .concept"),
        (["apply", "a.concept", "--out", "out"], "photos to apply is not given"),
        (["apply", "a.concept", "photos", "--out", "out"], "there is no file a.concept"),
        (["apply", "old.concept", "photos", "--out", "out"], "old.concept cannot be read"),
        (["apply", "w.concept", "photos", "--out", "out", "--resume"], "no run to go on with"),
        (["apply", "w.concept", "photos", "--out", "out"], "learnt with another network"),
    ],
)
def test_wrong_input_is_named(arguments, message, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_shapes(Path("photos"))
    Path("empty").mkdir()
    Path("old.concept").touch()
    learnt = [np.zeros(shape, np.float32) for shape in SHAPES]
    Concept({"x": LearntClass(*learnt)}, "another").save("w.concept")
    monkeypatch.setattr(network.load_predictor(None), "encode", never)  # type: ignore[arg-type]
    try:
        code = run(*arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert message in capsys.readouterr().err
