"""The files that `cosseg apply` writes: of each photo by itself, and COCO's JSON of all of them."""

import contextlib
import dataclasses
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

import cosseg_jax
from cosseg_jax.cli.cutouts import with_looks
from cosseg_jax.cli.looks import PLAIN, Looks
from cosseg_jax.cli.outputs import JSON_FILE, Destination, coco_annotations, write_kinds
from cosseg_jax.cli.record import RunRecord
from cosseg_jax.data.images import reopenable
from cosseg_jax.files import write_whole
from cosseg_jax.predict.result import ConceptResult
from cosseg_jax.types import Ndarray

Lines = Callable[[], Iterator[dict[str, Any]]]


def write_concepts(
    files: Mapping[str, Path],
    found: ConceptResult,
    threshold: float,
    *,
    instances: bool = False,
    looks: Looks = PLAIN,
) -> dict[str, Any]:
    """Writes one photo's files; returns its size and, for each class, what was found.

    Reads the photo once, if at all.
    """
    first = next(iter(found.classes.values()))
    pixels = None
    refined = first.refine is not None
    if refined or files.keys() & {"cutouts", "overlays"}:
        pixels = first.image
        source = reopenable(pixels, first.name)
        classes = {k: dataclasses.replace(v, source=source) for k, v in found.classes.items()}
        found = found._replace(classes=classes)
    labels = _with_looks(found.labels_at(threshold), looks)
    if "labels" in files:
        write_whole(files["labels"], palette_png(labels))
    write_kinds(files, pixels, labels > 0, looks)
    height, width = labels.shape
    return {
        "height": height,
        "width": width,
        "classes": {
            name: {
                "presence": image.presence,
                "score": image.score,
                "annotations": coco_annotations(labels == number, image.score, instances=instances),
            }
            for number, (name, image) in enumerate(found.classes.items(), start=1)
        },
    }


def _with_looks(labels: UInt8[Ndarray, "H W"], looks: Looks) -> UInt8[Ndarray, "H W"]:
    """The label map whose classes look as asked for; a hole that is filled had no class."""
    found = np.zeros_like(labels)
    for number in np.unique(labels[labels > 0]):
        mask = with_looks(labels == number, looks)
        found[mask & (found == 0) & ((labels == 0) | (labels == number))] = number
    return found


def finish_concepts(
    record: RunRecord, to: Destination, classes: Sequence[str], threshold: float
) -> dict[str, Any]:
    """Writes COCO's JSON from the record, line by line; returns what the summary says."""
    if "json" in to.kinds:
        info = {
            "description": "concepts found by cosseg-jax",
            "version": cosseg_jax.__version__,
            "threshold": threshold,
        }
        write_coco(to.folder / JSON_FILE, record.lines, info, classes)
    summary: dict[str, Any] = {"photos": 0, "skipped": 0, "found": dict.fromkeys(classes, 0)}
    for line in record.lines():
        summary["skipped" if "skipped" in line else "photos"] += 1
        for name, each in line.get("classes", {}).items():
            summary["found"][name] += bool(each["annotations"])
    return summary


def write_coco(path: Path, lines: Lines, info: Mapping[str, Any], classes: Sequence[str]) -> None:
    """Writes COCO's JSON of a run's lines, of which one is in memory at a time.

    lines: gives those of the photos that are done, each time from the first one. Photos are
        numbered in this order, classes from 1.
    """
    categories = [{"id": k, "name": name} for k, name in enumerate(classes, start=1)]
    with _written_whole(path) as file:
        file.write(f'{{"info": {json.dumps(info)}, "categories": {json.dumps(categories)}')
        _write_list(file, "images", _images(lines()))
        _write_list(file, "annotations", _annotations(lines(), classes))
        file.write("}\n")


def palette_png(labels: UInt8[Ndarray, "H W"]) -> bytes:
    """A label map as a palette PNG in VOC's colours, whose pixels are the labels."""
    image = Image.fromarray(labels)
    image.putpalette(voc_palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def voc_palette() -> UInt8[Ndarray, "256 3"]:
    """VOC's colours: bit 3k + c of a label is bit 7 - k of channel c."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for k in range(3):
        for channel in range(3):
            palette[:, channel] |= ((labels >> (3 * k + channel) & 1) << (7 - k)).astype(np.uint8)
    return palette


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[TextIO]:
    """A file to be written piece by piece, which gets its name when it is whole."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _write_list(file: TextIO, name: str, items: Iterator[dict[str, Any]]) -> None:
    file.write(f', "{name}": [')
    for number, item in enumerate(items):
        file.write((", " if number else "") + json.dumps(item))
    file.write("]")


def _images(lines: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if "classes" in line:
            presence = {name: each["presence"] for name, each in line["classes"].items()}
            yield {
                "id": number,
                "file_name": line["photo"],
                "width": line["width"],
                "height": line["height"],
                "presence": presence,
            }


def _annotations(
    lines: Iterator[dict[str, Any]], classes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    count = 0
    for number, line in enumerate(lines, start=1):
        for name, each in line.get("classes", {}).items():
            for annotation in each["annotations"]:
                count += 1
                ids = {"id": count, "image_id": number, "category_id": classes.index(name) + 1}
                yield {**ids, **annotation}
