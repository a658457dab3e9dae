"""The tiny trained network for tests of commands, and photos of what it was trained on."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from cosseg_jax.data.registry import load_source
from cosseg_jax.predict.predictor import Predictor, load

EXPORT = Path(__file__).parents[1] / "goldens" / "quickstart"


@functools.cache
def predictor() -> Predictor:
    """The network, loaded and compiled once for all tests."""
    return load(EXPORT)


@functools.cache
def shapes(count: int = 3) -> tuple[np.ndarray, ...]:
    """Built-in images that share a category, uint8 [96, 96, 3] each."""
    source = load_source("shapes", "unseen")
    return tuple(source[int(index)].image for index in source.members[0][:count])


def write_shapes(folder: Path, names: tuple[str, ...] = ("a.png", "b.png", "c.png")) -> Path:
    """Writes the images as files; returns their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, shapes(len(names)), strict=True):
        Image.fromarray(image).save(folder / name)
    return folder


def never(*_: object, **__: object) -> Callable:
    """Replaces a function that must not be called."""
    raise AssertionError("it was called")
