"""The formats of other tools, by hand and as those tools read them.

The tools are large, so they are no part of the test extra: supervision reads YOLO, Datumaro CVAT
and VOC, label-studio-sdk the run lengths of Label Studio.
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from found_images import CLASSES, drawn_masks, images, two_classes
from PIL import Image

from cosseg_jax.cli.options import ANNOTATION_FORMATS
from cosseg_jax.predict.annotations.formats import FORMATS
from cosseg_jax.predict.annotations.images import AnnotatedImage, found_class
from cosseg_jax.predict.annotations.label_studio import brush_run_lengths
from cosseg_jax.predict.annotations.palette import voc_palette
from cosseg_jax.predict.annotations.run_lengths import counts_to_mask


def written(name: str, folder: Path) -> list[str]:
    FORMATS[name].write(folder, images, CLASSES)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files]


def write_photos(folder: Path) -> None:
    """Writes black photos of the images' names and sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in images():
        size = (image.width, image.height)
        Image.new("RGB", size).save(folder / Path(image.file_name).name)


def test_the_command_line_knows_all_formats():
    assert tuple(FORMATS) == ANNOTATION_FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_files_are_those_that_were_announced(name: str, tmp_path: Path):
    announced = sorted(path.as_posix() for path in FORMATS[name].files(["a", "b"]))
    assert written(name, tmp_path) == announced


def test_yolo_has_a_line_for_each_part_and_none_for_none(tmp_path: Path):
    written("yolo", tmp_path)
    lines = (tmp_path / "labels/a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "0", "1"]
    corners = np.asarray(lines[2].split()[1:], float).reshape(-1, 2) * (80, 60)
    np.testing.assert_allclose(corners.min(axis=0), (50.25, 2.25), atol=1e-4)
    np.testing.assert_allclose(corners.max(axis=0), (69.25, 29.25), atol=1e-4)
    assert (tmp_path / "labels/b.txt").read_text() == ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_supervision_reads_yolo(tmp_path: Path):
    supervision = pytest.importorskip("supervision")
    written("yolo", tmp_path)
    write_photos(tmp_path / "images")
    found = supervision.DetectionDataset.from_yolo(
        str(tmp_path / "images"),
        str(tmp_path / "labels"),
        str(tmp_path / "data.yaml"),
        force_masks=True,
    )
    assert found.classes == list(CLASSES)
    read = {Path(path).name: each for path, each in found.annotations.items()}
    assert len(read["b.png"]) == 0
    for number, mask in enumerate(two_classes()):
        parts = read["a.png"].mask[read["a.png"].class_id == number]
        np.testing.assert_array_equal(parts.any(axis=0), mask)


def test_cvat_has_runs_along_the_rows_of_a_box(tmp_path: Path):
    written("cvat", tmp_path)
    root = ElementTree.parse(tmp_path / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [each.text for each in root.iterfind("meta/task/labels/label/name")] == list(CLASSES)
    first, second = root.findall("image")
    assert (second.get("name"), second.get("width"), len(second)) == ("photos/b.png", "30", 0)
    for element, name, mask in zip(first, CLASSES, two_classes(), strict=True):
        assert element.get("label") == name
        left, top, width, height = (
            int(element.get(key, "")) for key in ("left", "top", "width", "height")
        )
        runs = [int(run) for run in element.get("rle", "").split(",")]
        part = counts_to_mask(runs, width, height).T
        np.testing.assert_array_equal(mask[top : top + height, left : left + width], part)
        assert part.sum() == mask.sum()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "theirs"), [("cvat", "cvat"), ("voc", "voc_segmentation")])
def test_datumaro_reads_cvat_and_voc(name: str, theirs: str, tmp_path: Path):
    datumaro = pytest.importorskip("datumaro")
    written(name, tmp_path)
    if name == "cvat":
        write_photos(tmp_path / "images/photos")
    found = datumaro.Dataset.import_from(str(tmp_path), theirs)
    labels = found.categories()[datumaro.AnnotationType.label]
    read = {Path(item.id).name: item for item in found}
    assert sorted(read) == ["a", "b"]
    assert {each.label for each in read["b"].annotations} <= {labels.find("background")[0]}
    for class_name, mask in zip(CLASSES, two_classes(), strict=True):
        number = labels.find(class_name)[0]
        of_class = [each.image for each in read["a"].annotations if each.label == number]
        np.testing.assert_array_equal(np.any(of_class, axis=0), mask)


def test_names_that_xml_cannot_hold_are_changed(tmp_path: Path):
    image = next(images())._replace(file_name="a\x01\udc80<&.png")
    FORMATS["cvat"].write(tmp_path, lambda: iter([image]), ["cat", "hot dog"])
    root = ElementTree.parse(tmp_path / "annotations.xml").getroot()
    assert [each.get("name") for each in root.findall("image")] == ["a__<&.png"]


def test_voc_has_palette_images_and_their_names(tmp_path: Path):
    written("voc", tmp_path)
    assert (tmp_path / "ImageSets/Segmentation/default.txt").read_text() == "a\nb\n"
    lines = (tmp_path / "labelmap.txt").read_text().splitlines()
    assert lines[1:] == ["background:0,0,0::", "cat:128,0,0::", "hot dog:0,128,0::"]
    with Image.open(tmp_path / "SegmentationClass/a.png") as image:
        assert image.mode == "P"
        colours = np.asarray(image.convert("RGB"))
    first, second = two_classes()
    np.testing.assert_array_equal(colours, voc_palette()[np.where(first, 1, 2 * second)])


def bits_of(run_lengths: list[int]) -> str:
    return "".join(f"{byte:08b}" for byte in run_lengths)


def test_label_studio_has_runs_of_rgba_values():
    bits = bits_of(brush_run_lengths(np.array([[False, True, True]])))
    header = f"{12:032b}" + f"{7:05b}" + "0001" + "0011" + "0111" + "1111"
    runs = "1" + "00" + "11" + "00000000" + "1" + "01" + "0111" + "11111111"
    assert bits == header + runs + "0" * (-len(header + runs) % 8)


def test_label_studio_has_a_prediction_and_the_labels(tmp_path: Path):
    written("label-studio", tmp_path)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == ["photos/a.png", "photos/b.png"]
    results = [task["predictions"][0]["result"] for task in tasks]
    assert [each["value"]["brushlabels"] for each in results[0]] == [["cat"], ["hot dog"]]
    assert results[1] == []
    config = (tmp_path / "labels.xml").read_text()
    assert re.findall('Label value="(.*?)"', config) == list(CLASSES)
    root = ElementTree.fromstring(config)
    assert {root[0].get("name"), root[1].get("name")} == {
        results[0][0]["to_name"],
        results[0][0]["from_name"],
    }


@pytest.mark.parametrize("name", ["label-studio", "cvat"])
def test_what_xml_cannot_hold_is_replaced_in_names(name: str, tmp_path: Path):
    first, _ = two_classes()
    found = AnnotatedImage("a", "a\0.png", *first.shape, {"c\0t": found_class(first, 0.9, 0.8)})
    FORMATS[name].write(tmp_path, lambda: iter([found]), ["c\0t"])
    file = next(tmp_path.glob("*.xml"))
    elements = list(ElementTree.parse(file).iter())
    labels = [each.get("value") or each.get("label") or each.text for each in elements]
    assert "c_t" in labels
    if name == "label-studio":
        (task,) = json.loads((tmp_path / "tasks.json").read_text())
        (result,) = task["predictions"][0]["result"]
        assert result["value"]["brushlabels"] == ["c_t"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*drawn_masks(), "long"])
def test_label_studio_decodes_the_run_lengths(name: str):
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    mask = np.ones((130, 130), bool) if name == "long" else drawn_masks()[name]
    decoded = brush.decode_rle(brush_run_lengths(mask)).reshape(*mask.shape, 4)
    np.testing.assert_array_equal(decoded, np.repeat(255 * mask[..., None], 4, axis=2))
