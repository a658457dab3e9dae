"""COCO's JSON, with compressed run lengths or with polygons; one image is in memory at a time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from cosseg_jax.files import written_whole
from cosseg_jax.predict.annotations.images import AnnotatedImage, FoundClass, Images, numbers_of
from cosseg_jax.predict.annotations.polygons import edge_polygons


def write_coco(
    path: Path,
    images: Images,
    classes: Sequence[str],
    info: Mapping[str, Any] | None = None,
    *,
    polygons: bool = False,
) -> None:
    """Writes COCO's JSON; images and annotations are numbered from 1, classes in their order.

    An image has a further field, `presence`: the probability, 0..1, that it has an object of each
    class that was looked for. An image without one has no annotation.

    info: goes into the file. polygons: instead of run lengths.
    """
    info = {"version": version("cosseg-jax"), **(info or {})}
    categories = [{"id": number, "name": name} for name, number in numbers_of(classes).items()]
    with written_whole(path) as file:
        file.write(f'{{"info": {json.dumps(info)}, "categories": {json.dumps(categories)}')
        _write_list(file, "images", map(_image, images(), count(1)))
        _write_list(file, "annotations", _annotations(images(), classes, polygons))
        file.write("}\n")


def _write_list(file: TextIO, name: str, items: Iterator[dict[str, Any]]) -> None:
    file.write(f', "{name}": [')
    for number, item in enumerate(items):
        file.write((", " if number else "") + json.dumps(item))
    file.write("]")


def _image(image: AnnotatedImage, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": image.file_name,
        "width": image.width,
        "height": image.height,
        "presence": {name: found.presence for name, found in image.classes.items()},
    }


def _annotations(
    images: Iterator[AnnotatedImage], classes: Sequence[str], polygons: bool
) -> Iterator[dict[str, Any]]:
    numbers, ids = numbers_of(classes), count(1)
    for image_id, image in enumerate(images, start=1):
        for name, found in image.classes.items():
            for annotation in _with_polygons(found) if polygons else found.annotations:
                owner = {"image_id": image_id, "category_id": numbers[name]}
                yield {"id": next(ids), **owner, **annotation}


def _with_polygons(found: FoundClass) -> Iterator[dict[str, Any]]:
    for annotation, mask in zip(found.annotations, found.masks(), strict=True):
        yield {**annotation, "segmentation": [p.ravel().tolist() for p in edge_polygons(mask)]}
