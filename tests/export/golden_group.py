"""Groups of built-in pictures at the golden network's size, and what the predictor says of them."""

from pathlib import Path

import numpy as np
from PIL import Image

import cosseg_jax
from cosseg_jax.data.registry import load_source
from cosseg_jax.data.resizing import resize_image

GOLDEN = Path(__file__).parents[1] / "goldens" / "quickstart"
SIDE = 96


def pictures(count: int) -> np.ndarray:
    """uint8 [N, S, S, 3], of one unseen category."""
    source = load_source("shapes", "unseen")
    return np.stack([resize_image(source[int(i)].image, SIDE) for i in source.members[0][:count]])


def save_pictures(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{place}.png" for place in range(count)]
    for path, picture in zip(paths, pictures(count), strict=True):
        Image.fromarray(picture).save(path)
    return paths


def predicted(predictor: cosseg_jax.Predictor, images: np.ndarray) -> dict[str, np.ndarray]:
    result = predictor(list(images))
    return dict(
        probabilities=np.stack([photo.probability_map for photo in result.images]),
        prior=np.stack([photo.prior for photo in result.images]),
        presence=np.array([photo.presence for photo in result.images]),
        categories=np.array(list(result.categories.values())),
    )
