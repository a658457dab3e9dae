"""Pascal VOC's folders of segmentation: a palette image of the classes for each image.

SegmentationClass/<stem>.png            0 none, 1 the first class
ImageSets/Segmentation/default.txt      the stems
labelmap.txt                            the classes with their colours, as CVAT and Datumaro read it
"""

from collections.abc import Sequence
from pathlib import Path

from cosseg_jax.errors import one_line
from cosseg_jax.files import write_whole, written_whole
from cosseg_jax.predict.annotations.images import Images, label_map, numbers_of
from cosseg_jax.predict.annotations.palette import palette_png, voc_palette

LABEL_FILE, LIST_FILE = Path("labelmap.txt"), Path("ImageSets/Segmentation/default.txt")
LABEL_MAPS = Path("SegmentationClass")


def voc_files(stems: Sequence[str]) -> list[Path]:
    """The files, relative to their folder."""
    return [LABEL_FILE, LIST_FILE, *(LABEL_MAPS / f"{stem}.png" for stem in stems)]


def write_voc(folder: Path, images: Images, classes: Sequence[str]) -> None:
    """Writes the files of all images; one image is in memory at a time."""
    with written_whole(folder / LIST_FILE) as listed:
        for image in images():
            labels = label_map(image, numbers_of(classes))
            write_whole(folder / LABEL_MAPS / f"{image.stem}.png", palette_png(labels))
            listed.write(f"{image.stem}\n")
    write_whole(folder / LABEL_FILE, label_text(classes).encode(errors="replace"))


def label_text(classes: Sequence[str]) -> str:
    """Names and colours, a line for each number of a label map; colons in names become "_"."""
    plain = [one_line(name).replace(":", "_") for name in classes]
    named = zip(["background", *plain], voc_palette().tolist(), strict=False)
    lines = [f"{name}:{','.join(map(str, colour))}::" for name, colour in named]
    return "\n".join(["# label:color_rgb:parts:actions", *lines, ""])
