"""COCO-SEG, the paper's training set: images of COCO 2017 with the masks of their categories.

`rule` says which images and categories. A record holds an image's JPEG as it is, and its label: the
masks of its K categories and the void, one below the other in a PNG of one bit a pixel. `plan` and
`shards` prepare it; the shards take most of the time.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from jaxtyping import Int

from cosseg_jax.data.builders.build import build_once, cached, fingerprint, target_in, version_of
from cosseg_jax.data.builders.coco.masks import mask_api
from cosseg_jax.data.builders.coco.plan import (
    COCO_TREE,
    files_of,
    find_coco,
    part_files,
    splits_of,
    write_plan,
)
from cosseg_jax.data.builders.coco.rule import PAPER_RULE, Rule
from cosseg_jax.data.builders.coco.shards import (
    ShardJob,
    part_records,
    record_features,
    write_shards,
)
from cosseg_jax.data.images import decode_image
from cosseg_jax.data.masks import decode_labels
from cosseg_jax.data.prepared import PreparedSource, Record, find_prepared, metadata_of
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.types import Example, Ndarray

RECORDS_PER_SHARD = 1000  # about 170 MB; a process that is killed loses so much


class CocoSeg(tfds.core.GeneratorBasedBuilder):
    """The data set for TFDS. `prepare_coco_seg` makes the same by several processes, and can go on.

    Args:
      rule: which images and categories.
      options: those of every builder of TFDS.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = COCO_TREE

    def __init__(self, *, rule: Rule = PAPER_RULE, **options: Any) -> None:
        self._rule = rule
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="COCO 2017 images with the masks of the paper's categories.",
            features=record_features(),
            metadata=tfds.core.MetadataDict(categories=[], splits={}),
            homepage="https://cocodataset.org",
            disable_shuffling=True,  # the metadata lists the records in their order
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        root = find_coco(Path(dl_manager.manual_dir))
        self._plan = tempfile.TemporaryDirectory()  # until the builder is gone
        plan = Path(self._plan.name)
        self.info.metadata.update(write_plan(root, plan, self._rule, RECORDS_PER_SHARD))
        splits = metadata_of(self)["splits"]
        return {split: self._generate_examples(root, part_files(plan, split)) for split in splits}

    def _generate_examples(self, root: Path, parts: Sequence[Path]) -> Iterator[tuple[int, Record]]:
        return enumerate(record for part in parts for record in part_records(root, part))


class CocoBuild(NamedTuple):
    """What is built: from which folder of COCO, by which rule, in which shards, by how many."""

    root: Path
    rule: Rule = PAPER_RULE
    records_per_shard: int = RECORDS_PER_SHARD
    processes: int = 0

    @property
    def digest(self) -> str:
        """The fingerprint of all that the result depends on."""
        options = (version_of(CocoSeg), str(self.rule), str(self.records_per_shard))
        return fingerprint(self.root, files_of(self.root), options)


def load_coco_seg(split: str, data_dir: Path) -> PreparedSource:
    """The split as a `Source`, from a prepared data set or a folder of COCO 2017 in data_dir.

    A folder of COCO is prepared into the cache on its first use, which takes long: see
    `prepare_coco_seg`.

    Raises MissingFileError when there is neither, UserError when a file is bad.
    """
    directory = find_prepared(data_dir, version_of(CocoSeg))
    if directory is None:
        root = find_coco(data_dir)
        if split not in splits_of(root):
            raise MissingFileError(f"{root} has no split {split!r}: {COCO_TREE}")
        build = CocoBuild(root)
        digest = build.digest
        directory = cached(
            version_of(CocoSeg), digest, partial(_build_in, build, digest), resumable=True
        )
    return PreparedSource("coco_seg", directory, split, coco_example)


def prepare_coco_seg(
    source: Path,
    data_dir: Path,
    *,
    processes: int = 0,
    force: bool = False,
    min_area: float = PAPER_RULE.min_area,
    min_images: int = PAPER_RULE.min_images,
    records_per_shard: int = RECORDS_PER_SHARD,
) -> Path:
    """Prepares COCO 2017 as `data_dir/coco_seg/<version>`, which is returned.

    A call after one that was killed goes on with what is left, as long as the files and the
    arguments are the same. If there are two at once, the second waits for the first.

    Args:
      source: the folder of COCO 2017 or one that holds it; it is only read.
      data_dir: where the data set and, until it is whole, its parts lie.
      processes: how many write it; 0: one for each core.
      force: replace what is there, instead of taking it as done already.
      min_area, min_images: see `Rule`.
      records_per_shard: how many images a file of the result has.

    Raises MissingFileError where there is no COCO or an image is missing, UserError for a bad file
    or where data_dir has the data set of other files or thresholds, MissingPackageError without
    pycocotools, OSError, naming a path, on a full disk.
    """
    if processes < 0 or records_per_shard < 1:
        raise UserError(
            f"processes is {processes}, expected a number from 0, and records_per_shard is "
            f"{records_per_shard}, expected one from 1"
        )
    build = CocoBuild(find_coco(source), Rule(min_area, min_images), records_per_shard, processes)
    digest = build.digest
    target = target_in(data_dir, version_of(CocoSeg), digest)
    return build_once(target, partial(_build_in, build, digest), force=force, resumable=True)


def coco_example(record: Record, categories: Int[Ndarray, " K"]) -> Example:
    """Decodes a record."""
    name = record["name"].decode()
    image = decode_image(record["image"], name)
    planes = decode_labels(record["label"], name).astype(bool)
    planes = planes.reshape(len(categories) + 1, *image.shape[:2])  # [K + 1, H, W]
    return Example(image, planes[:-1], planes[-1], categories, name)


def _build_in(build: CocoBuild, digest: str, work: Path) -> Path:
    """Makes the data set in a working folder, with what is there of it, and returns its folder."""
    mask_api()  # told before the work begins, if it is missing
    metadata = _planned(build, work / "plan") | {"fingerprint": digest}
    jobs = _jobs(build, work, metadata)
    every = [job for of_split in jobs.values() for job in of_split]
    write_shards(every, build.processes or os.cpu_count() or 1)
    return _completed(work, jobs, metadata)


def _planned(build: CocoBuild, plan: Path) -> dict[str, Any]:
    """The data set's metadata, from its plan, which is made if there is none yet."""
    if not plan.is_dir():
        unfinished = plan.with_name("plan.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        write_plan(build.root, unfinished, build.rule, build.records_per_shard)
        unfinished.rename(plan)
    return json.loads((plan / "metadata.json").read_text())


def _jobs(build: CocoBuild, work: Path, metadata: dict[str, Any]) -> dict[str, list[ShardJob]]:
    """The shards of each split; they have the same number of records, but for the last."""
    folder = Path(_builder(work).data_path)
    folder.mkdir(parents=True, exist_ok=True)
    for leaving in folder.glob("*.partial-*"):
        leaving.unlink()
    jobs = {}
    for split, index in metadata["splits"].items():
        parts = part_files(work / "plan", split)
        shards = _template(folder, split).sharded_filepaths(len(parts))
        starts = range(0, len(index["names"]), build.records_per_shard)
        sizes = [len(index["names"][start : start + build.records_per_shard]) for start in starts]
        jobs[split] = [
            ShardJob(build.root, part, Path(shard), size)
            for part, shard, size in zip(parts, shards, sizes, strict=True)
        ]
    return jobs


def _completed(work: Path, jobs: dict[str, list[ShardJob]], metadata: dict[str, Any]) -> Path:
    """Adds to the shards what TFDS reads them by, and returns their folder."""
    builder = _builder(work)
    folder = Path(builder.data_path)
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[job.records for job in of_split],
            num_bytes=sum(job.shard.stat().st_size for job in of_split),
            filename_template=_template(folder, split),
        )
        for split, of_split in jobs.items()
    ]
    builder.info.set_splits(tfds.core.SplitDict(infos))
    builder.info.metadata.update(metadata)
    builder.info.write_to_directory(folder)
    return folder


def _builder(work: Path) -> CocoSeg:
    return CocoSeg(data_dir=work / "built", file_format="array_record")


def _template(folder: Path, split: str) -> tfds.core.ShardedFileTemplate:
    return tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=CocoSeg.name, split=split, filetype_suffix="array_record"
    )
