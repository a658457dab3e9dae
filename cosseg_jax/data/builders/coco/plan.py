"""What a build of coco_seg is to write, laid down before it begins: a file for each shard.

The plan takes the annotation files apart, so that who writes a shard reads what belongs to it and
nothing else. A shard's file is a row of pickles: first its `Part`, then lists of annotations.
"""

import hashlib
import json
import os
import pickle
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from cosseg_jax.data.builders.coco.annotations import (
    Index,
    Instance,
    NamedImage,
    read_index,
    read_instances,
)
from cosseg_jax.data.builders.coco.rule import Rule, differences, kept_categories
from cosseg_jax.data.source import members_of

SPLITS = ("train", "val")
SORTED_AT_ONCE = 20_000  # annotations in memory while they are sorted into parts

LAYOUT = """expected COCO 2017, in data_dir or in its folder coco, COCO or coco2017:
  annotations/instances_train2017.json and the photographs in train2017/
  annotations/instances_val2017.json and the photographs in val2017/, for the split val
Get 2017 Train images, Val images and Train/Val annotations from https://cocodataset.org/#download"""


class Member(NamedTuple):
    """A photograph to write, with the ids of its categories, ascending."""

    photograph: NamedImage
    categories: tuple[int, ...]


class Part(NamedTuple):
    """What goes into one shard: of one split, the photographs in the order of the records."""

    split: str
    members: list[Member]


def find_coco(data_dir: Path) -> Path:
    """The folder of COCO 2017 at or below data_dir. Raises FileNotFoundError when there is none."""
    for folder in (data_dir, *(data_dir / name for name in ("coco", "COCO", "coco2017"))):
        if annotations_of(folder, "train").is_file():
            for split in splits_of(folder):
                for needed in (annotations_of(folder, split), images_of(folder, split)):
                    if not needed.exists():
                        raise FileNotFoundError(f"{needed} is missing: {LAYOUT}")
            return folder
    raise FileNotFoundError(f"no COCO data set in {data_dir}: {LAYOUT}")


def splits_of(root: Path) -> tuple[str, ...]:
    """The splits that a folder of COCO has: train, and val where there is anything of it."""
    has_val = annotations_of(root, "val").exists() or images_of(root, "val").exists()
    return SPLITS if has_val else SPLITS[:1]


def annotations_of(root: Path, split: str) -> Path:
    """A split's annotation file."""
    return root / "annotations" / f"instances_{split}2017.json"


def images_of(root: Path, split: str) -> Path:
    """The folder of a split's photographs."""
    return root / f"{split}2017"


def fingerprint(root: Path, rule: Rule, records_per_shard: int, version: str) -> str:
    """Changes with the arguments and with the name, size or time of any file that is read."""
    digest = hashlib.sha256(f"{version}\n{rule}\n{records_per_shard}\n".encode())
    files = [annotations_of(root, split) for split in splits_of(root)]
    for split in splits_of(root):
        for folder, _, names in os.walk(images_of(root, split)):
            files += [Path(folder, name) for name in names]
    for file in sorted(map(os.fspath, files)):
        status = Path(file).stat()
        line = f"{os.path.relpath(file, root)}\t{status.st_size}\t{status.st_mtime_ns}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def write_plan(root: Path, directory: Path, rule: Rule, records_per_shard: int) -> dict[str, Any]:
    """Writes a file for each shard, and returns the data set's metadata.

    Raises ValueError or FileNotFoundError where an annotation file is bad, a photograph is missing
    or no category has enough.
    """
    metadata: dict[str, Any] = {"splits": {}}
    train = index = read_index(annotations_of(root, "train"), rule.min_area)
    kept = kept_categories(train.members, train.categories, rule)
    for split in splits_of(root):
        if split != "train":
            index = read_index(annotations_of(root, split), rule.min_area)
            _check_same_names(root, split, {c: train.categories[c] for c in kept}, index)
        members = _members(index, kept)
        if not members:
            raise ValueError(
                f"{annotations_of(root, split)} has no photograph of the {len(kept)} categories "
                f"with an instance above {rule.min_area:g} pixels; use the whole of val2017, or a "
                "smaller min_area"
            )
        _check_photographs(images_of(root, split), members)
        metadata["splits"][split] = {
            "names": [record_name(member) for member in members],
            "categories": [[kept.index(c) for c in member.categories] for member in members],
        }
        starts = range(0, len(members), records_per_shard)
        parts = [members[start : start + records_per_shard] for start in starts]
        _write_parts(root, split, parts, directory)
    metadata["categories"] = [train.categories[c] for c in kept]
    metadata["differences"] = differences(len(train.photographs), _counts(metadata), rule)
    (directory / "metadata.json").write_text(json.dumps(metadata))
    return metadata


def part_files(directory: Path, split: str) -> list[Path]:
    """The files of a split's parts, in the order of its shards."""
    return sorted(directory.glob(f"{split}-*.pickle"))


def read_part(file: Path) -> tuple[Part, dict[int, list[Instance]]]:
    """A shard's part and, by photograph, the annotations of its categories."""
    instances: defaultdict[int, list[Instance]] = defaultdict(list)
    with file.open("rb") as handle:
        part = pickle.load(handle)
        while handle.peek(1):
            for instance in pickle.load(handle):
                instances[instance.image_id].append(instance)
    return part, instances


def record_name(member: Member) -> str:
    """A photograph's file name without its suffix."""
    return str(PurePosixPath(member.photograph.file_name).with_suffix(""))


def _members(index: Index, kept: tuple[int, ...]) -> list[Member]:
    """The photographs with at least one of the kept categories, by name."""
    members = [
        Member(index.photographs[image], tuple(sorted(of_one.intersection(kept))))
        for image, of_one in index.members.items()
        if not of_one.isdisjoint(kept)
    ]
    return sorted(members, key=record_name)


def _write_parts(root: Path, split: str, parts: list[list[Member]], directory: Path) -> None:
    part_of: dict[int, int] = {}
    categories_of: dict[int, tuple[int, ...]] = {}
    files = [directory / f"{split}-{number:05d}.pickle" for number in range(len(parts))]
    for number, (file, members) in enumerate(zip(files, parts, strict=True)):
        with file.open("wb") as handle:
            pickle.dump(Part(split, members), handle)
        for photograph, categories in members:
            part_of[photograph.id] = number
            categories_of[photograph.id] = categories
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
            with files[number].open("ab") as handle:
                pickle.dump(of_part, handle)


def _batches(instances: Iterable[Instance]) -> Iterator[list[Instance]]:
    batch = []
    for instance in instances:
        batch.append(instance)
        if len(batch) == SORTED_AT_ONCE:
            yield batch
            batch = []
    yield batch


def _counts(metadata: Mapping[str, Any]) -> dict[str, int]:
    """The number of training photographs of each category."""
    categories = metadata["categories"]
    members = members_of(metadata["splits"]["train"]["categories"], len(categories))
    return {name: len(of_one) for name, of_one in zip(categories, members, strict=True)}


def _check_same_names(root: Path, split: str, names: Mapping[int, str], index: Index) -> None:
    for category, name in names.items():
        if index.categories.get(category) != name:
            raise ValueError(
                f"{annotations_of(root, split)} calls category {category} "
                f"{index.categories.get(category)!r}, {annotations_of(root, 'train')} {name!r}; "
                "expected two files of one release"
            )


def _check_photographs(images: Path, members: list[Member]) -> None:
    for before, member in zip([None, *members], members, strict=False):
        if before is not None and record_name(before) == record_name(member):
            ids = f"{before.photograph.id} and {member.photograph.id}"
            raise ValueError(f"images {ids} are both called {record_name(member)}; rename one")
        if not (images / member.photograph.file_name).is_file():
            raise FileNotFoundError(
                f"{images / member.photograph.file_name} is missing, though image "
                f"{member.photograph.id} of the annotation file is to be in the set; {LAYOUT}"
            )
