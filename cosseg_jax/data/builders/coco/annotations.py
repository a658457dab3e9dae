"""COCO's annotation files, read piece by piece: their size in memory does not grow with the file.

instances_train2017.json has 450 MB, and several times that as Python's objects. An object of JSON
whose members are arrays is enough of a structure to read it an element at a time.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from tqdm import tqdm

SPACE = re.compile(r"\s*")
CHUNK = 2**22  # characters read at once
LARGEST = 2**27  # characters of one element, beyond which the file is taken for broken


class NamedImage(NamedTuple):
    """An element of `images`; height and width in pixels."""

    id: int
    file_name: str
    height: int
    width: int


class Instance(NamedTuple):
    """An element of `annotations`.

    area: in pixels, as the file says.
    crowd: whether it is a region of several objects, not one object.
    segmentation: polygons or run lengths, as the file has them.
    """

    id: int
    image_id: int
    category_id: int
    area: float
    crowd: bool
    segmentation: Any


class Index(NamedTuple):
    """What is kept of an annotation file, all but the outlines.

    photographs: by id.
    categories: their names by id.
    members: for each photograph that has any, the ids of the categories that it belongs to.
    """

    photographs: dict[int, NamedImage]
    categories: dict[int, str]
    members: dict[int, set[int]]


def read_index(file: Path, min_area: float) -> Index:
    """Reads an annotation file but for its outlines.

    Raises ValueError, naming the file and the element, where one is not as COCO has it.
    """
    index = Index({}, {}, {})
    used: dict[tuple[str, int], tuple[int, int]] = {}  # each image's and category's first user
    for key, element in tqdm(elements(file), f"reading {file.name}", unit=" entries"):
        if key == "images":
            photograph = _photograph(file, element)
            _add(file, "image", index.photographs, photograph.id, photograph)
        elif key == "categories":
            fields = _fields(file, "category", element, {"id": int, "name": str})
            _add(file, "category", index.categories, fields["id"], fields["name"])
        elif key == "annotations":
            instance = _instance(file, element)
            used.setdefault(("image", instance.image_id), instance[:2])
            used.setdefault(("category", instance.category_id), instance[:2])
            if not instance.crowd and instance.area > min_area:
                index.members.setdefault(instance.image_id, set()).add(instance.category_id)
    _check_references(file, index, used)
    return index


def read_instances(file: Path) -> Iterator[Instance]:
    """The annotations of a file, in its order. Raises ValueError as `read_index` does."""
    annotations = (element for key, element in elements(file) if key == "annotations")
    for element in tqdm(annotations, f"sorting {file.name}", unit=" annotations"):
        yield _instance(file, element)


def elements(file: Path) -> Iterator[tuple[str, Any]]:
    """Every element of every array in a file's outermost object, with the array's key.

    Raises ValueError, naming the file, when it is no object of JSON or ends early.
    """
    with file.open(encoding="utf-8") as handle:
        window = _Window(file, handle)
        window.take("{")
        while window.next() != "}":
            key = window.value()
            window.take(":")
            if window.next() != "[":
                window.value()
            else:
                window.take("[")
                while window.next() != "]":
                    yield key, window.value()
                    window.separator("]")
                window.take("]")
            window.separator("}")


class _Window:
    """The part of a file of JSON that is being decoded."""

    def __init__(self, file: Path, handle: TextIO) -> None:
        self._file = file
        self._handle = handle
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0  # within the text
        self._before = 0  # characters of the file before the text
        self._ended = False

    def next(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            found = SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._read_on()

    def take(self, character: str) -> None:
        if self.next() != character:
            raise self._broken(f"{character!r} is missing")
        self._at += 1

    def separator(self, closing: str) -> None:
        """Passes a comma, which only the last element goes without."""
        if self.next() != closing:
            self.take(",")

    def value(self) -> Any:
        """Decodes the next value."""
        self.next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:  # perhaps it goes on beyond the text
                if self._ended or len(self._text) - self._at > LARGEST:
                    raise self._broken(error.msg) from error
            else:
                cut = isinstance(value, int | float) and end + len("e-") >= len(self._text)
                if not cut or self._ended:  # what looks like a number may go on beyond the text
                    self._at = end
                    return value
            self._read_on()

    def _read_on(self) -> None:
        self._before += self._at
        try:
            more = self._handle.read(CHUNK)
        except UnicodeDecodeError as error:
            raise self._broken(str(error)) from error
        self._text, self._at, self._ended = self._text[self._at :] + more, 0, not more

    def _broken(self, reason: str) -> ValueError:
        return ValueError(
            f"{self._file} is not an annotation file of COCO: {reason} at character "
            f"{self._before + self._at}; replace it by an intact copy"
        )


def _photograph(file: Path, element: Any) -> NamedImage:
    kinds = {"id": int, "file_name": str, "height": int, "width": int}
    photograph = NamedImage(**_fields(file, "image", element, kinds))
    if min(photograph.height, photograph.width) < 1:
        raise ValueError(
            f"{file}: image {photograph.id} is {photograph.width} x {photograph.height} pixels"
        )
    return photograph


def _instance(file: Path, element: Any) -> Instance:
    kinds = {"id": int, "image_id": int, "category_id": int, "area": (int, float), "iscrowd": int}
    fields = _fields(file, "annotation", element, kinds | {"segmentation": (list, dict)})
    crowd = fields.pop("iscrowd")
    if crowd not in (0, 1):
        raise ValueError(f"{_called(file, 'annotation', element)} has iscrowd {crowd}, not 0 or 1")
    return Instance(**fields, crowd=bool(crowd))


def _fields(file: Path, kind: str, element: Any, kinds: dict[str, Any]) -> dict[str, Any]:
    """An element's fields of the given names, which must be of the given types."""
    if not isinstance(element, dict):
        raise ValueError(f"{file}: expected an object for each {kind}, not {element!r:.80}")
    for name, wanted in kinds.items():
        if not isinstance(element.get(name), wanted):
            found = f"{element[name]!r:.80}" if name in element else "none"
            names = getattr(wanted, "__name__", None) or " or ".join(w.__name__ for w in wanted)
            raise ValueError(
                f"{_called(file, kind, element)} needs {name!r} ({names}); found {found}"
            )
    return {name: element[name] for name in kinds}


def _called(file: Path, kind: str, element: dict[str, Any]) -> str:
    of_image = f" of image {element.get('image_id')}" if kind == "annotation" else ""
    return f"{file}: {kind} {element.get('id')}{of_image}"


def _add(file: Path, kind: str, table: dict[int, Any], key: int, value: Any) -> None:
    if key in table:
        raise ValueError(f"{file}: there are two of {kind} {key}; remove one")
    table[key] = value


def _check_references(
    file: Path, index: Index, used: dict[tuple[str, int], tuple[int, int]]
) -> None:
    tables = {"image": index.photographs, "category": index.categories}
    for (kind, key), (annotation, image) in used.items():
        if key not in tables[kind]:
            raise ValueError(
                f"{file}: annotation {annotation} of image {image} is of {kind} {key}, which the "
                "file does not list"
            )
    if not index.photographs or not index.categories:
        raise ValueError(
            f"{file} lists {len(index.photographs)} images and {len(index.categories)} categories; "
            "expected an annotation file of COCO, with images, annotations and categories"
        )
