"""Concepts: what was learnt of a kind of object from some images, kept in a small file.

A concept holds what the network aggregates from a group, for each class: gamma, pooled under the
masks of the images from which it was learnt; the direction of descriptors along which S is the
projection; and mean descriptors of the object and of what lies around it, one of each for every
image. Applied to an image it gives the same mask whatever other images come along.

The file is in the safetensors format, which holds arrays behind a header of text and runs no code.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Float
from safetensors.numpy import save

from cosseg_jax.errors import UserError
from cosseg_jax.files import write_whole
from cosseg_jax.models.pretrained.safetensors_files import (
    parse_safetensors,
    read_header,
    read_safetensors,
)
from cosseg_jax.types import Ndarray

CONCEPT_FORMAT = "cosseg_jax concept 2"
SUFFIX = ".concept"
MOST_CLASSES = 254  # in a label map of 8 bits: 0 is none, 255 marks what counts as no class in VOC
LARGEST = 1e6  # of the numbers in a concept, far above what networks make


class LearntClass(NamedTuple):
    """One kind of object.

    gamma: the channels' factors.
    direction, offset: S of a cell is its unit descriptor times the direction, plus the offset.
    centre: the mean descriptor of the cells of the images from which it was learnt.
    foreground, background: mean descriptors, less the centre, of length 1, of the object and of the
        rest in each of those images.
    trust: how well the network finds the object in those images by gamma and S alone, 0..1; where
        it does not, the prototypes decide.
    middle, prototype: of the backbone's map at stride 16, the mean descriptor of those images and
        that of the object less the former, of length 1, by which the second head finds the class
        (`predict.agnostic_learning`); both without elements where the network finds it better.
    """

    gamma: Float[Ndarray, " d"]
    direction: Float[Ndarray, " d"]
    offset: Float[Ndarray, ""]
    centre: Float[Ndarray, " C"]
    foreground: Float[Ndarray, "P C"]
    background: Float[Ndarray, "Q C"]
    trust: Float[Ndarray, ""]
    middle: Float[Ndarray, " C2"]
    prototype: Float[Ndarray, " C2"]

    @property
    def by_second_head(self) -> bool:
        """Whether the second head finds it."""
        return len(self.prototype) > 0


ARRAYS = LearntClass._fields


class Concept(NamedTuple):
    """One class or several, learnt with one network.

    classes: by name.
    network: the digest of that network, see `network_digest`.
    """

    classes: dict[str, LearntClass]
    network: str

    @classmethod
    def load(cls, path: str | Path) -> "Concept":
        """Reads a concept from a file; see `load_concept`."""
        return load_concept(path)

    def save(self, path: str | Path) -> None:
        """Writes the concept to a file, whole or not at all; a file that exists is replaced.

        Raises OSError where it cannot be written.
        """
        write_whole(Path(path), self.as_bytes())

    def as_bytes(self) -> bytes:
        """The content of the concept's file."""
        arrays = {
            f"{number}/{field}": np.ascontiguousarray(value, np.float32).reshape(value.shape)
            for number, learnt in enumerate(self.classes.values())
            for field, value in zip(ARRAYS, learnt, strict=True)
        }
        metadata = {
            "format": CONCEPT_FORMAT,
            "network": self.network,
            "classes": json.dumps(list(self.classes)),
        }
        return save(arrays, metadata)


def load_concept(path: str | Path) -> Concept:
    """Reads a concept.

    Raises UserError, naming the file, for one that is missing, damaged, of another version or no
    concept.
    """
    path = Path(path)
    return _concept(str(path), read_header(path).metadata, lambda: read_safetensors(path))


def concept_of(content: bytes, name: str) -> Concept:
    """The concept of a file's content; raises as `load_concept`, naming `name`."""
    metadata, arrays = parse_safetensors(content, name)
    return _concept(name, metadata, lambda: arrays)


def _concept(
    path: str, metadata: Mapping[str, str], read: Callable[[], dict[str, Ndarray]]
) -> Concept:
    """A concept from its parts; arrays are read when the format is known."""
    found = metadata.get("format", "")
    if found != CONCEPT_FORMAT:
        version = f"of the format {found!r}" if found.startswith("cosseg_jax concept") else "none"
        raise UserError(f"{path} is no concept that this version reads: it is {version}")
    names, arrays = _class_names(path, metadata), read()
    wanted = {f"{number}/{field}" for number in range(len(names)) for field in ARRAYS}
    if arrays.keys() != wanted:
        raise UserError(f"{path} is damaged: {min(arrays.keys() ^ wanted)} is not as expected")
    classes = {
        name: LearntClass(*(arrays[f"{number}/{field}"] for field in ARRAYS))
        for number, name in enumerate(names)
    }
    for learnt in classes.values():
        _check_shapes(path, learnt)
    return Concept(classes, metadata.get("network", ""))


def joined(concepts: Sequence[Concept]) -> Concept:
    """The classes of several concepts in one.

    Raises UserError where two classes have one name, the concepts are of several networks, or there
    are more classes than MOST_CLASSES.
    """
    classes: dict[str, LearntClass] = {}
    for concept in concepts:
        if twice := sorted(classes.keys() & concept.classes.keys()):
            raise UserError(f"two concepts have a class {twice[0]!r}; learn one by another --name")
        if concept.network != concepts[0].network:
            raise UserError("the concepts were learnt with different networks; learn them again")
        classes |= concept.classes
    if len(classes) > MOST_CLASSES:
        raise UserError(f"{len(classes)} classes; a label map holds {MOST_CLASSES} at most")
    return Concept(classes, concepts[0].network)


def network_digest(variables: Mapping[str, Any]) -> str:
    """A digest of a network's variables, which tells it from every other one."""
    digest = hashlib.blake2b(digest_size=16)
    flat: dict[str, Any] = flatten_dict(dict(variables), sep="/")
    for name in sorted(flat):
        array = np.ascontiguousarray(jax.device_get(flat[name]), np.float32)
        digest.update(f"{name} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def concept_digest(concept: Concept) -> str:
    """A digest of a concept's classes and of its network."""
    digest = hashlib.blake2b(concept.network.encode(), digest_size=16)
    for name, learnt in concept.classes.items():
        digest.update(name.encode())
        for array in learnt:
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()


def check_network(concept: Concept, digest: str) -> None:
    """Raises UserError unless the concept was learnt with the network of this digest."""
    if concept.network != digest:
        raise UserError(
            f"the concept was learnt with another network ({concept.network[:8]}, this one is "
            f"{digest[:8]}): load that network, or learn the concept again with this one"
        )


def _class_names(path: str, metadata: Mapping[str, str]) -> list[str]:
    try:
        names = json.loads(metadata.get("classes", ""))
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
        raise UserError(f"{path} is damaged: its header names no classes")
    if not all(isinstance(name, str) and is_text(name) for name in names):
        raise UserError(f"{path} is damaged: its header names no classes")
    return names


def is_text(name: str) -> bool:
    """Whether a name can be written: it has no half of a surrogate pair, as broken names have."""
    return name.encode(errors="ignore").decode() == name


def _check_shapes(path: str, learnt: LearntClass) -> None:
    d, channels = learnt.gamma.shape[:1], learnt.centre.shape[:1]
    images, others = learnt.foreground.shape[:1], learnt.background.shape[:1]
    finer = learnt.prototype.shape[:1]
    vectors = (d, channels, images, others, finer)
    found = [array.shape for array in learnt]
    expected = [d, d, (), channels, (*images, *channels), (*others, *channels), (), finer, finer]
    if found != expected or any(len(shape) != 1 for shape in vectors):
        raise UserError(f"{path} is damaged: its arrays have the shapes {found}")
    if any(array.dtype != np.float32 for array in learnt):
        raise UserError(f"{path} is damaged: its arrays are no numbers of 32 bits")
    trusted = 0 <= learnt.trust <= 1
    if not trusted or not all((np.abs(array) <= LARGEST).all() for array in learnt):
        raise UserError(f"{path} is damaged: it has a number that no network has learnt")
