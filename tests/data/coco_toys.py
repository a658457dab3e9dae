"""Small folders of COCO's layout, made by the tests."""

import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

from toys import write_noise

from cosseg_jax.data.builders.coco import builder

CATEGORIES = {2: "cat", 5: "dog", 9: "kite"}
CAT, DOG, KITE = CATEGORIES
WIDTH, HEIGHT = 12, 10
IDS = itertools.count(1)

# A rule that small folders can meet, in place of the paper's.
LOW = {"min_area": 8.0, "min_images": 2}
prepare = partial(builder.prepare_coco_seg, **LOW, processes=1, records_per_shard=2)


def box(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    """A rectangle as a polygon, which is filled from left and top up to right and bottom."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(image: int, category: int, segmentation: Any = None, **fields: Any) -> dict:
    """An annotation, by default of a rectangle of 12 pixels."""
    described = {"id": next(IDS), "image_id": image, "category_id": category, "iscrowd": 0}
    segmentation = box(1, 2, 5, 5) if segmentation is None else segmentation
    return described | {"area": 12.0, "segmentation": segmentation} | fields


def lists(images: list[int], annotations: list[dict]) -> dict[str, Any]:
    """The content of an annotation file, for images of 12 x 10 pixels named after their ids."""
    size = {"width": WIDTH, "height": HEIGHT}
    return {
        "info": {"version": "1.0"},
        "images": [{"id": i, "file_name": f"{i:012d}.jpg", **size} for i in images],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in CATEGORIES.items()],
    }


def write_coco(root: Path, train: dict[str, Any], val: dict[str, Any] | None = None) -> Path:
    """Writes COCO's folder with the images that the two contents name."""
    val = val or lists([900], [annotation(900, CAT), annotation(900, DOG)])
    (root / "annotations").mkdir(parents=True)
    for split, content in (("train", train), ("val", val)):
        (root / f"{split}2017").mkdir()
        (root / f"annotations/instances_{split}2017.json").write_text(json.dumps(content))
        for image in content["images"]:
            write_noise(root / f"{split}2017" / image["file_name"], image["width"], image["height"])
    return root


def small_train() -> dict:
    """Two images of cats, three of dogs, one of a kite; images 5 and 8 have nothing."""
    crowd = {"size": [HEIGHT, WIDTH], "counts": [0, 20, 100]}  # the two columns on the left
    return lists(
        [3, 1, 4, 5, 8, 2],
        [
            annotation(1, CAT, box(1, 2, 5, 5)),
            annotation(1, CAT, box(8, 8, 9, 9), area=1.0),  # small, but of the mask
            annotation(1, CAT, crowd, iscrowd=1),
            annotation(2, DOG),
            annotation(3, CAT),
            annotation(3, DOG, box(4, 2, 9, 5)),
            annotation(3, KITE),
            annotation(4, DOG),
            annotation(5, DOG, area=8.0),
        ],
    )
