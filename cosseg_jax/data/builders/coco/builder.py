"""COCO-SEG, the paper's training set: photographs of COCO 2017 with the masks of their categories.

Which photographs and categories: `rule`. A record holds a photograph's JPEG as it is, and
its label: the masks of its K categories and the void, one below the other in a PNG of one bit.
Preparing it goes through `plan` and `shards`, of which the latter takes the time.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from jaxtyping import Int

from cosseg_jax.data.builders.coco.masks import mask_api
from cosseg_jax.data.builders.coco.plan import (
    LAYOUT,
    find_coco,
    fingerprint,
    part_files,
    splits_of,
    write_plan,
)
from cosseg_jax.data.builders.coco.rule import PAPER_RULE, Rule
from cosseg_jax.data.builders.coco.shards import (
    Job,
    features,
    locked,
    part_records,
    remove_abandoned,
    write_shards,
)
from cosseg_jax.data.images import decode_image, decode_labels
from cosseg_jax.data.prepared import PreparedSource, Record, find_prepared, metadata_of
from cosseg_jax.files import cache_dir
from cosseg_jax.types import Example, Ndarray

RECORDS_PER_SHARD = 1000  # about 170 MB; what a process that is killed loses


class CocoSeg(tfds.core.GeneratorBasedBuilder):
    """The data set to TFDS. `prepare` makes the same by several processes, and can go on.

    Args:
      rule: which photographs and categories.
      options: those of every builder of TFDS.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = LAYOUT

    def __init__(self, *, rule: Rule = PAPER_RULE, **options: Any) -> None:
        self._rule = rule
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="COCO 2017 photographs with the masks of the paper's categories.",
            features=features(),
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


def load(split: str, data_dir: Path) -> PreparedSource:
    """The split as a `Source`, from a prepared data set or a folder of COCO 2017 in data_dir.

    A folder of COCO is prepared into the cache on its first use, which takes long: see `prepare`.

    Raises FileNotFoundError when there is neither, ValueError when a file is bad.
    """
    directory = find_prepared(data_dir, f"coco_seg/{CocoSeg.VERSION}")
    if directory is None:
        root = find_coco(data_dir)
        if split not in splits_of(root):
            raise FileNotFoundError(f"{root} has no split {split!r}: {LAYOUT}")
        mark = _fingerprint(root, PAPER_RULE, RECORDS_PER_SHARD)
        directory = prepare(data_dir, cache_dir() / f"coco_seg-{mark}")
    return PreparedSource("coco_seg", directory, split, example_of)


def prepare(
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
    arguments are the same. Of two at once, the second waits for the first.

    Args:
      source: the folder of COCO 2017 or one that holds it; only ever read.
      data_dir: where the data set and, until it is whole, its parts lie.
      processes: that write it; 0: one for each core.
      force: to replace what is there, which counts as made already otherwise.
      min_area, min_images: see `Rule`.
      records_per_shard: photographs in a file of the result.

    Raises FileNotFoundError where there is no COCO or a photograph is missing, ValueError for a bad
    file, or where data_dir has the data set of other files or thresholds, ImportError without
    pycocotools.
    """
    if processes < 0 or records_per_shard < 1:
        raise ValueError(
            f"processes is {processes}, expected a number from 0, and records_per_shard is "
            f"{records_per_shard}, expected one from 1"
        )
    mask_api()
    root, rule = find_coco(source), Rule(min_area, min_images)
    mark = _fingerprint(root, rule, records_per_shard)
    final = data_dir / CocoSeg.name / str(CocoSeg.VERSION)
    if not force and _is_there(final, mark):
        return final
    work = final.with_name(f"{final.name}.building-{mark}")
    builds = final.parent.glob(f"{final.name}.building-*")
    remove_abandoned(build for build in builds if build != work)  # from other files or arguments
    with locked(work):
        if force or not _is_there(final, mark):  # by another process, meanwhile
            metadata = _plan(root, work / "plan", rule, records_per_shard) | {"fingerprint": mark}
            jobs = _jobs(root, work, metadata, records_per_shard)
            every = [job for of_split in jobs.values() for job in of_split]
            write_shards(every, processes or os.cpu_count() or 1)
            built = _completed(work, jobs, metadata)
            if final.is_dir():
                final.rename(work / "replaced")
            built.rename(final)
        shutil.rmtree(work)
    return final


def example_of(record: Record, categories: Int[Ndarray, " K"]) -> Example:
    """Decodes a record."""
    name = record["name"].decode()
    image = decode_image(record["image"], name)
    planes = decode_labels(record["label"], name).astype(bool)
    planes = planes.reshape(len(categories) + 1, *image.shape[:2])  # [K + 1, H, W]
    return Example(image, planes[:-1], planes[-1], categories, name)


def _fingerprint(root: Path, rule: Rule, records_per_shard: int) -> str:
    return fingerprint(root, rule, records_per_shard, str(CocoSeg.VERSION))


def _is_there(final: Path, mark: str) -> bool:
    """Whether the data set is there. Raises ValueError when it was made from something else."""
    if not final.is_dir():
        return False
    if metadata_of(tfds.builder_from_directory(final)).get("fingerprint") != mark:
        raise ValueError(
            f"{final} was made from other files or thresholds; replace it (force), or prepare into "
            "another data_dir"
        )
    return True


def _plan(root: Path, plan: Path, rule: Rule, records_per_shard: int) -> dict[str, Any]:
    """The data set's metadata, from its plan, which is made if there is none yet."""
    if not plan.is_dir():
        partial = plan.with_name("plan.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        write_plan(root, partial, rule, records_per_shard)
        partial.rename(plan)
    return json.loads((plan / "metadata.json").read_text())


def _jobs(
    root: Path, work: Path, metadata: dict[str, Any], records_per_shard: int
) -> dict[str, list[Job]]:
    """The shards of each split; they have the same number of records, but for the last."""
    folder = Path(_builder(work).data_path)
    folder.mkdir(parents=True, exist_ok=True)
    for leaving in folder.glob("*.partial-*"):
        leaving.unlink()
    jobs = {}
    for split, index in metadata["splits"].items():
        parts = part_files(work / "plan", split)
        shards = _template(folder, split).sharded_filepaths(len(parts))
        starts = range(0, len(index["names"]), records_per_shard)
        sizes = [len(index["names"][start : start + records_per_shard]) for start in starts]
        jobs[split] = [
            Job(root, part, Path(shard), size)
            for part, shard, size in zip(parts, shards, sizes, strict=True)
        ]
    return jobs


def _completed(work: Path, jobs: dict[str, list[Job]], metadata: dict[str, Any]) -> Path:
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
    for line in metadata["differences"]:
        logging.warning("coco_seg is not the paper's: %s", line)
    return folder


def _builder(work: Path) -> CocoSeg:
    return CocoSeg(data_dir=work / "built", file_format="array_record")


def _template(folder: Path, split: str) -> tfds.core.ShardedFileTemplate:
    return tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name=CocoSeg.name, split=split, filetype_suffix="array_record"
    )
