"""Draws docs/edges.png: two drawn photos, their masks, and the masks refined by MobileSAM.

cosseg segment examples/aeroplanes --out plain --kinds masks --refine none
cosseg segment examples/aeroplanes --out sam --kinds masks --refine sam
python docs/draw_edges.py plain sam
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from cosseg_jax.predict.drawing import tinted

HERE = Path(__file__).parent
PHOTOS = ("1", "4")
MARGIN = 12  # pixels around the masks
TILE = (320, 200)  # width and height


def row(name: str, folders: list[Path]) -> np.ndarray:
    """The photo and its masks, cut out around the first mask."""
    with Image.open(HERE.parent / "examples" / "aeroplanes" / f"{name}.jpg") as opened:
        photo = np.asarray(opened.convert("RGB"))
    masks = [np.asarray(Image.open(folder / "masks" / f"{name}.png")) > 127 for folder in folders]
    rows, columns = np.nonzero(masks[0])
    top, left = max(rows.min() - MARGIN, 0), max(columns.min() - MARGIN, 0)
    cut = np.s_[top : rows.max() + MARGIN, left : columns.max() + MARGIN]
    tiles = [photo, *(tinted(photo, mask) for mask in masks)]
    return np.concatenate(
        [np.asarray(Image.fromarray(tile[cut]).resize(TILE)) for tile in tiles], 1
    )


if __name__ == "__main__":
    folders = [Path(folder) for folder in sys.argv[1:]]
    picture = np.concatenate([row(name, folders) for name in PHOTOS])
    Image.fromarray(picture).quantize(128).save(HERE / "edges.png", optimize=True)
