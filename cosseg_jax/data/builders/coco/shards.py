"""The shards of coco_seg, written by several processes, each of them whole or not at all.

A shard gets its name when it is whole, so that a build which was killed goes on where it was. A
process holds one photograph at a time, and of the annotations those of its shard.
"""

import contextlib
import fcntl
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
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
from cosseg_jax.data.builders.processes import completed
from cosseg_jax.data.images import decode_image
from cosseg_jax.data.prepared import Record


class Job(NamedTuple):
    """A shard to write: COCO's folder, the part's file, the shard's own, its number of records."""

    root: Path
    part: Path
    shard: Path
    records: int


def features() -> tfds.features.FeaturesDict:
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

    Raises ValueError where a photograph or an annotation is bad.
    """
    part, instances = read_part(file)
    for member in part.members:
        yield _record(root, part.split, member, instances.pop(member.photograph.id))


def write_shards(jobs: Sequence[Job], processes: int) -> None:
    """Writes the shards that are not there yet, with a progress bar.

    Args:
      jobs: all shards of the data set.
      processes: that write them; 1 is this process itself.

    Raises ValueError where a photograph or an annotation is bad, ChildProcessError when a process
    was killed. What is finished by then is kept.
    """
    waiting = [job for job in jobs if not job.shard.exists()]
    total, left = (sum(job.records for job in some) for some in (jobs, waiting))
    with tqdm(
        total=total, initial=total - left, desc="preparing coco_seg", unit=" photographs"
    ) as bar:
        for job in completed(_write_shard, waiting, processes):
            bar.update(job.records)


@contextlib.contextmanager
def locked(directory: Path, *, wait: bool = True) -> Iterator[None]:
    """Makes a folder and keeps it to this process.

    While another process has it this one waits or, without `wait`, raises BlockingIOError.
    """
    lock, mine = directory / "lock", False
    while not mine:
        directory.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as handle:  # the lock ends with the process, in whatever way
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            mine = lock.exists() and os.path.samestat(os.fstat(handle.fileno()), lock.stat())
            if mine:  # else the folder was removed meanwhile
                yield


def remove_abandoned(folders: Iterable[Path]) -> None:
    """Removes those of the folders that no process keeps to itself."""
    for folder in folders:
        with contextlib.suppress(BlockingIOError), locked(folder, wait=False):
            shutil.rmtree(folder)


def _record(root: Path, split: str, member: Member, instances: Sequence[Instance]) -> Record:
    photograph, annotations = member.photograph, annotations_of(root, split)
    file = images_of(root, split) / photograph.file_name
    encoded = file.read_bytes()
    height, width = decode_image(encoded, str(file)).shape[:2]
    if (height, width) != (photograph.height, photograph.width):
        raise ValueError(
            f"{file} is {width} x {height} pixels (upright), where {annotations} has "
            f"{photograph.width} x {photograph.height} for image {photograph.id}; expected the same"
        )
    try:
        masks, void = masks_and_void(photograph, member.categories, instances)
    except ValueError as error:
        raise ValueError(f"{annotations}: {error}") from error
    planes = Image.fromarray(np.concatenate([*masks, void]))  # [(K + 1) * H, W], one bit a pixel
    label = io.BytesIO()
    planes.save(label, format="PNG")
    return {"image": encoded, "label": label.getvalue(), "name": record_name(member)}


def _write_shard(job: Job) -> Job:
    serializer = tfds.core.ExampleSerializer(features().get_serialized_info())
    records = map(features().encode_example, part_records(job.root, job.part))
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
