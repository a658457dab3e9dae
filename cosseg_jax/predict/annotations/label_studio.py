"""Label Studio's JSON of tasks with brush labels, as predictions that people can correct.

Its run lengths are those of RGBA images, bit by bit: 32 bits for the number of values, 5 for the
bits of a value less one, four times 4 for the bits of a length less one. Then, for each run, a 1,
two bits for the kind of length, the length less one and the value.
"""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from jaxtyping import Bool

from cosseg_jax.files import write_whole, written_whole
from cosseg_jax.predict.annotations.images import AnnotatedImage, Images
from cosseg_jax.predict.annotations.palette import class_colours
from cosseg_jax.predict.annotations.xml_text import xml_text
from cosseg_jax.types import Ndarray

TASK_FILE, CONFIG_FILE = Path("tasks.json"), Path("labels.xml")
LENGTH_BITS = (2, 4, 8, 16)  # of the four kinds of lengths
CHANNELS = 4


def label_studio_files(stems: Sequence[str]) -> list[Path]:
    """The files, relative to their folder."""
    return [TASK_FILE, CONFIG_FILE]


def write_label_studio(folder: Path, images: Images, classes: Sequence[str]) -> None:
    """Writes the tasks, one after the other, and the configuration of a project for them.

    The configuration is XML; characters in classes' names that XML cannot hold become "_".
    """
    with written_whole(folder / TASK_FILE) as file:
        file.write("[")
        for number, image in enumerate(images()):
            file.write((",\n" if number else "\n") + json.dumps(_task(image)))
        file.write("\n]\n")
    write_whole(folder / CONFIG_FILE, _config(classes).encode(errors="replace"))


def brush_run_lengths(mask: Bool[Ndarray, "H W"]) -> list[int]:
    """A mask in Label Studio's run lengths, as bytes."""
    values = mask.ravel()
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    lengths = CHANNELS * np.diff(starts, append=values.size)
    header = [f"{CHANNELS * values.size:032b}", f"{8 - 1:05b}"]
    header += [f"{bits - 1:04b}" for bits in LENGTH_BITS]
    runs = [
        _run(length, 255 * int(values[start]))
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]
    bits = "".join([*header, *runs])
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def _run(length: int, value: int) -> str:
    """One run as bits; a long one as several."""
    longest = 2 ** LENGTH_BITS[-1]
    whole, rest = divmod(length, longest)
    return whole * _bits(longest, value) + (_bits(rest, value) if rest else "")


def _bits(length: int, value: int) -> str:
    kind = next(k for k, bits in enumerate(LENGTH_BITS) if length <= 2**bits)
    return f"1{kind:02b}{length - 1:0{LENGTH_BITS[kind]}b}{value:08b}"


def _task(image: AnnotatedImage) -> dict[str, Any]:
    results = [
        {
            "id": f"{label}-{number}",
            "from_name": "label",
            "to_name": "image",
            "type": "brushlabels",
            "original_width": image.width,
            "original_height": image.height,
            "image_rotation": 0,
            "score": found.score,
            "value": {"format": "rle", "rle": brush_run_lengths(mask), "brushlabels": [label]},
        }
        for name, found in image.classes.items()
        for label in [xml_text(name)]
        for number, mask in enumerate(found.masks(), start=1)
    ]
    made = {"model_version": f"cosseg-jax {version('cosseg-jax')}", "result": results}
    return {"data": {"image": image.file_name}, "predictions": [made]}


def _config(classes: Sequence[str]) -> str:
    """The labelling interface."""
    labels = "".join(
        f'    <Label value={quoteattr(xml_text(name))} background="{colour}"/>\n'
        for name, colour in zip(classes, class_colours(), strict=False)
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="label" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
    )
