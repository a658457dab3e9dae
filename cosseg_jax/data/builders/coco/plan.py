"""What a build of coco_seg will write, planned before it begins: a file for each shard.

The plan takes the annotation files apart, so that whoever writes a shard reads what belongs to it
and nothing else. A shard's file has JSON on each line: its `ShardPart`, then lists of annotations.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from cosseg_jax.data.builders.coco.annotations import (
    AnnotatedImage,
    Index,
    Instance,
    read_index,
    read_instances,
)
from cosseg_jax.data.builders.coco.rule import Rule, differences_from_rule, kept_categories
from cosseg_jax.data.builders.layouts.layout import stored_file
from cosseg_jax.data.source import members_of
from cosseg_jax.errors import MissingFileError, UserError

COCO_SPLITS = ("train", "val")
SORTED_AT_ONCE = 20_000  # annotations in memory while they are sorted into parts
MOST_MASK_PIXELS = 178_956_970  # of all masks of an image together: what Pillow reads by default

COCO_TREE = """expected COCO 2017, in data_dir or in its folder coco, COCO or coco2017:
  annotations/instances_train2017.json and the images in train2017/
  annotations/instances_val2017.json and the images in val2017/, for the split val
Get 2017 Train images, Val images and Train/Val annotations from https://cocodataset.org/#download"""


class Member(NamedTuple):
    """An image to write, with the ids of its categories, ascending."""

    image: AnnotatedImage
    categories: tuple[int, ...]


class ShardPart(NamedTuple):
    """What goes into one shard: images of one split, in the order of the records."""

    split: str
    members: list[Member]


def find_coco(data_dir: Path) -> Path:
    """The folder of COCO 2017 at or below data_dir; raises MissingFileError where there is none."""
    for folder in (data_dir, *(data_dir / name for name in ("coco", "COCO", "coco2017"))):
        if annotations_of(folder, "train").is_file():
            for split in splits_of(folder):
                for needed in (annotations_of(folder, split), images_of(folder, split)):
                    if not needed.exists():
                        raise MissingFileError(f"{needed} is missing: {COCO_TREE}")
            return folder
    raise MissingFileError(f"no COCO data set in {data_dir}: {COCO_TREE}")


def splits_of(root: Path) -> tuple[str, ...]:
    """The splits that a folder of COCO has: train, and val where there is anything of it."""
    has_val = annotations_of(root, "val").exists() or images_of(root, "val").exists()
    return COCO_SPLITS if has_val else COCO_SPLITS[:1]


def annotations_of(root: Path, split: str) -> Path:
    """A split's annotation file."""
    return root / "annotations" / f"instances_{split}2017.json"


def images_of(root: Path, split: str) -> Path:
    """The folder of a split's images."""
    return root / f"{split}2017"


def files_of(root: Path) -> list[Path]:
    """All files that may be read: the annotation files and everything in the images' folders."""
    files = [annotations_of(root, split) for split in splits_of(root)]
    for split in splits_of(root):
        for folder, _, names in os.walk(images_of(root, split)):
            files += [Path(folder, name) for name in names]
    return files


def write_plan(root: Path, directory: Path, rule: Rule, records_per_shard: int) -> dict[str, Any]:
    """Writes a file for each shard, and returns the data set's metadata.

    Raises UserError where an annotation file is bad, an image is missing or no category has enough
    images.
    """
    metadata: dict[str, Any] = {"splits": {}}
    train = index = read_index(annotations_of(root, "train"), rule.min_area)
    kept = kept_categories(train.members, train.categories, rule)
    numbers = {category: number for number, category in enumerate(kept)}
    for split in splits_of(root):
        if split != "train":
            index = read_index(annotations_of(root, split), rule.min_area)
            _check_same_names(root, split, {c: train.categories[c] for c in kept}, index)
        members = _members(index, numbers.keys())
        if not members:
            raise UserError(
                f"{annotations_of(root, split)} has no image of the {len(kept)} categories with an "
                f"instance above {rule.min_area:g} pixels; use the whole of val2017, or a smaller "
                "min_area"
            )
        _check_members(images_of(root, split), members)
        metadata["splits"][split] = {
            "names": [record_name(member) for member in members],
            "categories": [[numbers[c] for c in member.categories] for member in members],
        }
        starts = range(0, len(members), records_per_shard)
        parts = [members[start : start + records_per_shard] for start in starts]
        _write_parts(root, split, parts, directory)
    metadata["categories"] = [train.categories[c] for c in kept]
    metadata["differences"] = differences_from_rule(len(train.images), _counts(metadata), rule)
    (directory / "metadata.json").write_text(json.dumps(metadata))
    return metadata


def part_files(directory: Path, split: str) -> list[Path]:
    """The files of a split's parts, in the order of its shards."""
    return sorted(directory.glob(f"{split}-*.jsonl"))


def read_part(file: Path) -> tuple[ShardPart, dict[int, list[Instance]]]:
    """A shard's part and, by image, the annotations of its categories."""
    instances: defaultdict[int, list[Instance]] = defaultdict(list)
    with file.open() as handle:
        split, members = json.loads(next(handle))
        for line in handle:
            for instance in (Instance(*fields) for fields in json.loads(line)):
                instances[instance.image_id].append(instance)
    return ShardPart(
        split, [Member(AnnotatedImage(*image), tuple(c)) for image, c in members]
    ), instances


def record_name(member: Member) -> str:
    """An image's file name without its suffix."""
    return str(PurePosixPath(member.image.file_name).with_suffix(""))


def _members(index: Index, kept: Iterable[int]) -> list[Member]:
    """The images with at least one of the kept categories, by name."""
    members = [
        Member(index.images[image], tuple(sorted(of_one.intersection(kept))))
        for image, of_one in index.members.items()
        if not of_one.isdisjoint(kept)
    ]
    return sorted(members, key=record_name)


def _write_parts(root: Path, split: str, parts: list[list[Member]], directory: Path) -> None:
    part_of: dict[int, int] = {}
    categories_of: dict[int, tuple[int, ...]] = {}
    files = [directory / f"{split}-{number:05d}.jsonl" for number in range(len(parts))]
    for number, (file, members) in enumerate(zip(files, parts, strict=True)):
        _append_line(file, ShardPart(split, members))
        for image, categories in members:
            part_of[image.id] = number
            categories_of[image.id] = categories
    instances = (
        instance
        for instance in read_instances(annotations_of(root, split))
        if instance.category_id in categories_of.get(instance.image_id, ())
    )
    for batch in _batches(instances):
        by_part: defaultdict[int, list[Instance]] = defaultdict(list)
        for instance in batch:
            by_part[part_of[instance.image_id]].append(instance)
        for number, of_part in by_part.items():
            _append_line(files[number], of_part)


def _append_line(file: Path, content: Any) -> None:
    with file.open("a") as handle:
        handle.write(f"{json.dumps(content)}\n")


def _batches(instances: Iterable[Instance]) -> Iterator[list[Instance]]:
    batch = []
    for instance in instances:
        batch.append(instance)
        if len(batch) == SORTED_AT_ONCE:
            yield batch
            batch = []
    yield batch


def _counts(metadata: Mapping[str, Any]) -> dict[str, int]:
    """The number of training images of each category."""
    categories = metadata["categories"]
    members = members_of(metadata["splits"]["train"]["categories"], len(categories))
    return {name: len(of_one) for name, of_one in zip(categories, members, strict=True)}


def _check_same_names(root: Path, split: str, names: Mapping[int, str], index: Index) -> None:
    for category, name in names.items():
        if index.categories.get(category) != name:
            raise UserError(
                f"{annotations_of(root, split)} calls category {category} "
                f"{index.categories.get(category)!r}, {annotations_of(root, 'train')} {name!r}; "
                "expected two files of one release"
            )


def _check_members(folder: Path, members: list[Member]) -> None:
    """Raises UserError for an image that is missing, named twice, or of too many mask pixels."""
    for before, member in zip([None, *members], members, strict=False):
        image, name = member.image, record_name(member)
        if before is not None and record_name(before) == name:
            ids = f"{before.image.id} and {image.id}"
            raise UserError(f"images {ids} are both called {name}; rename one")
        if (len(member.categories) + 1) * image.height * image.width > MOST_MASK_PIXELS:
            raise UserError(
                f"image {image.id} has {image.width} x {image.height} pixels and masks of "
                f"{len(member.categories)} categories; all masks together may have "
                f"{MOST_MASK_PIXELS // 10**6} megapixels. Make the image smaller, or correct it"
            )
        if not stored_file(folder, image.file_name).is_file():
            raise MissingFileError(
                f"{folder / image.file_name} is missing, though image {image.id} of the "
                f"annotation file is to be in the set; {COCO_TREE}"
            )
