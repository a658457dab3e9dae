"""COCO's annotation files: their images, categories and annotations, checked one by one."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tqdm import tqdm

from cosseg_jax.data.builders.coco.json_stream import elements
from cosseg_jax.data.builders.layouts.layout import composed
from cosseg_jax.errors import UserError


class AnnotatedImage(NamedTuple):
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
    """What is kept of an annotation file: everything but the outlines.

    images: by id.
    categories: their names by id.
    members: the ids of the categories that each image belongs to, by the image's id; without
        images that belong to none.
    """

    images: dict[int, AnnotatedImage]
    categories: dict[int, str]
    members: dict[int, set[int]]


def read_index(file: Path, min_area: float) -> Index:
    """Reads an annotation file but for its outlines.

    Raises UserError, naming the file and the element, where one is not as COCO has it or two
    categories have one name.
    """
    index = Index({}, {}, {})
    used: dict[tuple[str, int], tuple[int, int]] = {}  # each image's and category's first user
    for key, element in tqdm(elements(file), f"reading {file.name}", unit=" elements"):
        if key == "images":
            image = _image(file, element)
            _add(file, "image", index.images, image.id, image)
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
    _check_category_names(file, index.categories)
    return index


def read_instances(file: Path) -> Iterator[Instance]:
    """The annotations of a file, in its order. Raises UserError as `read_index` does."""
    annotations = (element for key, element in elements(file) if key == "annotations")
    for element in tqdm(annotations, f"sorting {file.name}", unit=" annotations"):
        yield _instance(file, element)


def _image(file: Path, element: Any) -> AnnotatedImage:
    kinds = {"id": int, "file_name": str, "height": int, "width": int}
    image = AnnotatedImage(**_fields(file, "image", element, kinds))
    if min(image.height, image.width) < 1:
        raise UserError(f"{file}: image {image.id} is {image.width} x {image.height} pixels")
    if not PurePosixPath(image.file_name).name:
        raise UserError(f"{file}: image {image.id} has the file_name {image.file_name!r}")
    return image


def _instance(file: Path, element: Any) -> Instance:
    kinds = {"id": int, "image_id": int, "category_id": int, "area": (int, float), "iscrowd": int}
    fields = _fields(file, "annotation", element, kinds | {"segmentation": (list, dict)})
    crowd = fields.pop("iscrowd")
    if crowd not in (0, 1):
        raise UserError(f"{_place(file, 'annotation', element)} has iscrowd {crowd}, not 0 or 1")
    return Instance(**fields, crowd=bool(crowd))


def _fields(file: Path, kind: str, element: Any, kinds: dict[str, Any]) -> dict[str, Any]:
    """An element's fields of the given names, which must be of the given types."""
    if not isinstance(element, dict):
        raise UserError(f"{file}: expected an object for each {kind}, not {element!r:.80}")
    for name, wanted in kinds.items():
        if not isinstance(element.get(name), wanted):
            found = f"{element[name]!r:.80}" if name in element else "none"
            names = getattr(wanted, "__name__", None) or " or ".join(w.__name__ for w in wanted)
            raise UserError(
                f"{_place(file, kind, element)} needs {name!r} ({names}); found {found}"
            )
    return {name: element[name] for name in kinds}


def _place(file: Path, kind: str, element: dict[str, Any]) -> str:
    of_image = f" of image {element.get('image_id')!r:.80}" if kind == "annotation" else ""
    return f"{file}: {kind} {element.get('id')!r:.80}{of_image}"


def _add(file: Path, kind: str, table: dict[int, Any], key: int, value: Any) -> None:
    if key in table:
        raise UserError(f"{file}: there are two of {kind} {key}; remove one")
    table[key] = value


def _check_references(
    file: Path, index: Index, used: dict[tuple[str, int], tuple[int, int]]
) -> None:
    tables = {"image": index.images, "category": index.categories}
    for (kind, key), (annotation, image) in used.items():
        if key not in tables[kind]:
            raise UserError(
                f"{file}: annotation {annotation} of image {image} is of {kind} {key}, which the "
                "file does not list"
            )
    if not index.images or not index.categories:
        raise UserError(
            f"{file} lists {len(index.images)} images and {len(index.categories)} categories; "
            "expected an annotation file of COCO, with images, annotations and categories"
        )


def _check_category_names(file: Path, categories: dict[int, str]) -> None:
    """Raises UserError for two categories of one name: each would be background to the other."""
    ids: dict[str, int] = {}
    for category, name in categories.items():
        key = composed(name).strip().casefold()
        if key in ids:
            raise UserError(
                f"{file}: categories {ids[key]} and {category} are both called {name!r}; give "
                "their annotations one category_id, or give them different names"
            )
        ids[key] = category
