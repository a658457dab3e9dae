"""Small sources, devkits and packs for the tests of data."""

from pathlib import Path

import numpy as np
from PIL import Image

from cosseg_jax.data.source import members_of
from cosseg_jax.types import Example


class ToySource:
    """Images with given categories; every pixel and mask depends on the index alone."""

    name = "toy"

    def __init__(self, categories_of: list[list[int]], num_categories: int, size=(12, 16)):
        self.categories = tuple(f"category{c}" for c in range(num_categories))
        self.categories_of = categories_of
        self.members = members_of(categories_of, num_categories)
        self.names = [f"photo{index:03d}" for index in range(len(categories_of))]
        self.size = size

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng(index)
        height, width = self.size
        categories = np.asarray(self.categories_of[index], dtype=np.int64)
        return Example(
            image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            masks=rng.random((len(categories), height, width)) < 0.3,
            void=rng.random((height, width)) < 0.1,
            categories=categories,
            name=self.names[index],
        )


def palette_png(path: Path, values: np.ndarray) -> None:
    """Writes indices as a PNG with a palette like VOC's, in which no colour equals its index."""
    grey = Image.fromarray(values.astype(np.uint8))
    label = Image.frombytes("P", grey.size, grey.tobytes())
    label.putpalette([channel for i in range(256) for channel in (i, 255 - i, (7 * i) % 256)])
    label.save(path)


def write_noise(path: Path, width: int, height: int) -> None:
    """Writes noise as an image of the suffix's format."""
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_devkit(parent: Path, splits: dict[str, dict[str, np.ndarray]]) -> Path:
    """Writes VOCdevkit/VOC2012 with the label values of every image of every split."""
    devkit = parent / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (devkit / folder).mkdir(parents=True)
    for split, labels in splits.items():
        (devkit / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(labels) + "\n")
        for name, values in labels.items():
            write_noise(devkit / f"JPEGImages/{name}.jpg", values.shape[1], values.shape[0])
            palette_png(devkit / f"SegmentationClass/{name}.png", values)
    return devkit


def write_pack(pack: Path, entries: dict[str, np.ndarray], suffix: str = ".jpg") -> Path:
    """Writes image/ and groundtruth/ with a binary mask for each "class/stem"."""
    for name, mask in entries.items():
        for folder in ("image", "groundtruth"):
            (pack / folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_noise(pack / "image" / f"{name}{suffix}", mask.shape[1], mask.shape[0])
        Image.fromarray(mask).save(pack / "groundtruth" / f"{name}.png")
    return pack
