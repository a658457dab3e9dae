"""The formats of other tools, by the names that users give them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cosseg_jax.predict.annotations.coco import write_coco
from cosseg_jax.predict.annotations.cvat import cvat_files, write_cvat
from cosseg_jax.predict.annotations.images import Images
from cosseg_jax.predict.annotations.label_studio import label_studio_files, write_label_studio
from cosseg_jax.predict.annotations.voc import voc_files, write_voc
from cosseg_jax.predict.annotations.yolo import write_yolo, yolo_files

COCO_FILE = Path("annotations.json")


class Format(NamedTuple):
    """A format of annotations.

    files: those that are written for images of some stems, relative to the format's folder.
    write: writes them into the folder, for images of classes.
    """

    files: Callable[[Sequence[str]], list[Path]]
    write: Callable[[Path, Images, Sequence[str]], None]


def _coco_files(stems: Sequence[str]) -> list[Path]:
    return [COCO_FILE]


def _write_coco_polygons(folder: Path, images: Images, classes: Sequence[str]) -> None:
    write_coco(folder / COCO_FILE, images, classes, polygons=True)


FORMATS = {
    "coco-polygons": Format(_coco_files, _write_coco_polygons),
    "yolo": Format(yolo_files, write_yolo),
    "label-studio": Format(label_studio_files, write_label_studio),
    "cvat": Format(cvat_files, write_cvat),
    "voc": Format(voc_files, write_voc),
}
