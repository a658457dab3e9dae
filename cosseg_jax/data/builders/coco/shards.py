"""The shards of coco_seg, written by several processes, each of them whole or not at all.

A shard gets its name when it is whole, so that a build goes on where it was killed. A process holds
one image at a time, and the annotations of its shard.
"""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tqdm import tqdm

from cosseg_jax.data.builders.coco.annotations import Instance
from cosseg_jax.data.builders.coco.masks import masks_and_void
from cosseg_jax.data.builders.coco.plan import (
    Member,
    annotations_of,
    images_of,
    read_part,
    record_name,
)
from cosseg_jax.data.builders.layouts.layout import stored_file
from cosseg_jax.data.builders.processes import completed
from cosseg_jax.data.images import decode_image
from cosseg_jax.data.prepared import Record
from cosseg_jax.errors import UserError


class ShardJob(NamedTuple):
    """A shard to write: COCO's folder, the part's file, the shard's own, its number of records."""

    root: Path
    part: Path
    shard: Path
    records: int


def record_features() -> tfds.features.FeaturesDict:
    """What a record holds."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(),
            "label": tfds.features.Image(
                shape=(None, None, 1), doc="the K masks and the void, one below the other"
            ),
            "name": tfds.features.Text(),
        }
    )


def part_records(root: Path, file: Path) -> Iterator[Record]:
    """The records of a part, given COCO's folder and the part's file.

    Raises UserError where an image or an annotation is bad.
    """
    part, instances = read_part(file)
    for member in part.members:
        yield _record(root, part.split, member, instances.pop(member.image.id))


def write_shards(jobs: Sequence[ShardJob], processes: int) -> None:
    """Writes the shards that are not there yet, with a progress bar.

    Args:
      jobs: all shards of the data set.
      processes: how many processes write them; 1 is this process itself.

    Raises UserError where an image or an annotation is bad, ChildProcessError when a process was
    killed. What is finished by then is kept.
    """
    waiting = [job for job in jobs if not job.shard.exists()]
    total, left = (sum(job.records for job in some) for some in (jobs, waiting))
    with tqdm(total=total, initial=total - left, desc="preparing coco_seg", unit=" images") as bar:
        for job in completed(_write_shard, waiting, processes):
            bar.update(job.records)


def _record(root: Path, split: str, member: Member, instances: Sequence[Instance]) -> Record:
    image, annotations = member.image, annotations_of(root, split)
    file = stored_file(images_of(root, split), image.file_name)
    encoded = file.read_bytes()
    height, width = decode_image(encoded, str(file)).shape[:2]
    if (height, width) != (image.height, image.width):
        raise UserError(
            f"{file} is {width} x {height} pixels (upright), where {annotations} has "
            f"{image.width} x {image.height} for image {image.id}; expected the same"
        )
    try:
        masks, void = masks_and_void(image, member.categories, instances)
    except UserError as error:
        raise UserError(f"{annotations}: {error}") from error
    planes = Image.fromarray(np.concatenate([*masks, void]))  # [(K + 1) * H, W], one bit a pixel
    label = io.BytesIO()
    planes.save(label, format="PNG")
    return {"image": encoded, "label": label.getvalue(), "name": record_name(member)}


def _write_shard(job: ShardJob) -> ShardJob:
    features = record_features()
    serializer = tfds.core.ExampleSerializer(features.get_serialized_info())
    records = map(features.encode_example, part_records(job.root, job.part))
    examples = (  # by themselves, different processes put the fields into different orders
        (number, serializer.get_tf_example(record).SerializeToString(deterministic=True))
        for number, record in enumerate(records)
    )
    partial = job.shard.with_name(f"{job.shard.name}.partial-{os.getpid()}")
    try:
        tfds.core.ExampleWriter(tfds.core.FileFormat.ARRAY_RECORD).write(partial, examples)
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())  # before it gets its name
        partial.rename(job.shard)
    finally:
        partial.unlink(missing_ok=True)
    return job
