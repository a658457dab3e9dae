"""CVAT for images 1.1: an XML file with the masks' run lengths."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
from jaxtyping import Bool

from cosseg_jax.files import written_whole
from cosseg_jax.predict.annotations.images import AnnotatedImage, Images
from cosseg_jax.predict.annotations.palette import class_colours
from cosseg_jax.predict.annotations.run_lengths import bounding_box, mask_to_counts
from cosseg_jax.predict.annotations.xml_text import xml_text
from cosseg_jax.types import Ndarray

CVAT_FILE = Path("annotations.xml")


def cvat_files(stems: Sequence[str]) -> list[Path]:
    """The files, relative to their folder."""
    return [CVAT_FILE]


def write_cvat(folder: Path, images: Images, classes: Sequence[str]) -> None:
    """Writes the file of all images; one image is in memory at a time.

    Characters in names that XML cannot hold become "_".
    """
    with written_whole(folder / CVAT_FILE) as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        file.write("<version>1.1</version>\n")
        file.write(tostring(_meta(classes), encoding="unicode") + "\n")
        for number, image in enumerate(images()):
            file.write(tostring(_image(image, number), encoding="unicode") + "\n")
        file.write("</annotations>\n")


def _meta(classes: Sequence[str]) -> Element:
    meta = Element("meta")
    labels = SubElement(SubElement(meta, "task"), "labels")
    for name, colour in zip(classes, class_colours(), strict=False):
        label = SubElement(labels, "label")
        SubElement(label, "name").text = xml_text(name)
        SubElement(label, "color").text = colour
        SubElement(label, "type").text = "mask"
        SubElement(label, "attributes")
    return meta


def _image(image: AnnotatedImage, number: int) -> Element:
    sides = {"width": str(image.width), "height": str(image.height)}
    element = Element("image", {"id": str(number), "name": xml_text(image.file_name), **sides})
    for name, found in image.classes.items():
        for mask in found.masks():
            element.append(_mask(name, mask))
    return element


def _mask(name: str, mask: Bool[Ndarray, "H W"]) -> Element:
    """A mask that is not empty, within its box; its runs go along the rows."""
    left, top, width, height = bounding_box(mask)
    part = mask[top : top + height, left : left + width]
    numbers = {"left": left, "top": top, "width": width, "height": height, "z_order": 0}
    runs = ", ".join(map(str, mask_to_counts(np.ascontiguousarray(part.T))))
    given = {"label": xml_text(name), "source": "auto", "occluded": "0", "rle": runs}
    return Element("mask", given | {key: str(value) for key, value in numbers.items()})
