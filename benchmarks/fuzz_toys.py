"""A tiny network and a concept that it has learnt, for the kinds of fuzz.py that predict."""

import functools
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mutations import VALUES, changed_bytes, changed_json
from safetensors.numpy import save

TESTS = Path(__file__).parents[1] / "tests"
ODD_NUMBERS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e38, 3e38, 1e-40)


@functools.cache
def toy_network() -> tuple[Any, dict[str, Any]]:
    """The config and the variables of a network of images of 32 pixels, with two categories."""
    sys.path.insert(0, str(TESTS))
    from toy_networks import drawn_variables
    from toy_runs import add_toy_backbone, tiny_config

    from cosseg_jax.models.ssnm import from_config

    add_toy_backbone()
    config = tiny_config()
    with config.unlocked():
        config.categories = ["disc", "square"]
    images = np.zeros((1, 2, 32, 32, 3), np.float32)
    return config, drawn_variables(from_config(config.model, 2), images)


@functools.cache
def toy_predictor() -> Any:
    """The predictor of that network."""
    from cosseg_jax.predict.predictor import Predictor

    return Predictor(*toy_network())


def toy_photo(seed: int, size: tuple[int, int] = (40, 30)) -> np.ndarray:
    """A photo of noise with a bright rectangle, uint8 [H, W, 3]; size is width, height."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 120, (height, width, 3), np.uint8)
    pixels[5:20, 8:25] += 130
    return pixels


def toy_mask(size: tuple[int, int] = (40, 30)) -> np.ndarray:
    """Where the rectangle is."""
    width, height = size
    mask = np.zeros((height, width), bool)
    mask[5:20, 8:25] = True
    return mask


@functools.cache
def toy_concept() -> Any:
    """A concept of two classes that the network has learnt."""
    from cosseg_jax.predict.concept import joined

    predictor = toy_predictor()
    session = predictor.encode([toy_photo(0), toy_photo(1)])
    return joined([session.learn(name, masks=[toy_mask()] * 2) for name in ("cat", "dog")])


def changed_concept(rng: random.Random) -> bytes:
    """The file of that concept, changed: as bytes, in its header, or in one of its arrays."""
    concept, draw = toy_concept(), rng.random()
    if draw < 0.4:
        return changed_bytes(concept.as_bytes(), rng)
    if draw < 0.7:
        return _with_changed_array(concept, rng)
    names = changed_json(["cat", "dog"], rng)
    text = json.dumps(names) if rng.random() < 0.9 else rng.choice(("", "[" * 100_000, "{}"))
    return _as_file(concept, rng, classes=text)


def _with_changed_array(concept: Any, rng: random.Random) -> bytes:
    """One array has another shape, or numbers that no network has made."""
    name = rng.choice(list(concept.classes))
    learnt, field = concept.classes[name], rng.choice(concept.classes[name]._fields)
    array = np.array(getattr(learnt, field))
    act = rng.randrange(5)
    if act == 4:
        return _of_other_sizes(concept, name, rng)
    if act == 0:
        array.flat[rng.randrange(max(1, array.size)) if array.size else slice(0)] = rng.choice(
            ODD_NUMBERS
        )
    elif act == 1:
        array = array * np.float32(rng.choice(ODD_NUMBERS))
    elif act == 2:
        array = np.resize(array, [max(0, n + rng.choice((-1, 0, 1, 7))) for n in array.shape])
    else:
        array = array[None] if rng.random() < 0.5 else array.ravel()
    other = learnt._replace(**{field: array.astype(np.float32)})
    return _as_file(concept._replace(classes=concept.classes | {name: other}), rng)


def _of_other_sizes(concept: Any, name: str, rng: random.Random) -> bytes:
    """All arrays of a class fit each other, and no longer the network."""
    learnt, more = concept.classes[name], rng.choice((-1, 1, 5))
    paired = rng.choice((("gamma", "direction"), ("centre", "foreground", "background")))
    changed = {}
    for field in paired:
        array = getattr(learnt, field)
        changed[field] = np.resize(array, (*array.shape[:-1], array.shape[-1] + more))
    other = learnt._replace(**changed)
    return _as_file(concept._replace(classes=concept.classes | {name: other}), rng)


def _as_file(concept: Any, rng: random.Random, **changed: str) -> bytes:
    arrays = {
        f"{number}/{field}": np.ascontiguousarray(array).reshape(array.shape)
        for number, learnt in enumerate(concept.classes.values())
        for field, array in learnt._asdict().items()
    }
    if rng.random() < 0.1:
        kind = rng.choice((np.float16, np.float64, np.int32, np.uint8, np.bool_))
        name = rng.choice(list(arrays))
        with np.errstate(all="ignore"):
            arrays[name] = arrays[name].astype(kind)
    names = json.dumps(list(concept.classes))
    metadata = {"format": "cosseg_jax concept 1", "network": concept.network, "classes": names}
    if rng.random() < 0.1:
        metadata[rng.choice(list(metadata))] = str(rng.choice(VALUES)).replace("\ud800", "")
    return save(arrays, metadata | changed)
