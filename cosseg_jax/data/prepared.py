"""Data sets prepared by a TFDS builder: made once from a raw distribution, read at random.

A raw distribution is prepared into a cache under the fingerprint of its files, in a folder of its
own that gets its final name only when it is whole. So an interrupted preparation counts for
nothing, and of two at once the first to end wins. Builders put into their metadata, for every
split, the names and categories of all records, so that loading reads no photograph.
"""

import contextlib
import hashlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int

from cosseg_jax.data.source import members_of
from cosseg_jax.folders import cache_dir
from cosseg_jax.types import Example, Ndarray

Record = dict[str, Any]  # the features of a record, images still encoded
STALE_SECONDS = 24 * 3600  # after which a folder without a writer is taken for a dead one


class PreparedSource:
    """A `Source` that reads a prepared data set; it can be pickled, and read by many threads.

    Args:
      name: the data set's name, as on the command line.
      directory: the folder with its dataset_info.json.
      split: one of the data set's splits.
      decode: turns a record and its categories into an Example.

    Raises ValueError when the prepared data set lacks the split or its list of records.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        split: str,
        decode: Callable[[Record, Int[Ndarray, " K"]], Example],
    ) -> None:
        builder: Any = tfds.builder_from_directory(directory)  # decorators hide its signature
        index = _index_of(builder, directory, split)
        self.name = name
        self.categories: tuple[str, ...] = tuple(metadata_of(builder)["categories"])
        self.names: Sequence[str] = index["names"]
        self.members: Sequence[Int[Ndarray, " _"]] = members_of(
            index["categories"], len(self.categories)
        )
        self._categories_of = index["categories"]
        self._decode = decode
        encoded = {feature: tfds.decode.SkipDecoding() for feature in ("image", "label")}
        self._records = builder.as_data_source(split=split, decoders=encoded)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has photographs 0 to {len(self) - 1}, not {index}")
        categories = np.asarray(self._categories_of[index], dtype=np.int64)
        example = self._decode(self._records[index], categories)
        if example.name != self.names[index]:
            raise ValueError(
                f"{self.name}: record {index} is {example.name!r} where the list of records has "
                f"{self.names[index]!r}; delete the prepared data set and prepare it anew"
            )
        return example


def find_prepared(data_dir: Path, dataset: str) -> Path | None:
    """The folder of a prepared data set, such as "voc_segmentation/1.0.0", or None.

    `data_dir` may be the TFDS folder that holds it, or the data set's own.
    """
    name, *config, version = dataset.split("/")
    wanted = {"name": name, "configName": "".join(config), "version": version}
    for folder in (data_dir / dataset, data_dir):
        file = folder / "dataset_info.json"
        if file.is_file():
            info = json.loads(file.read_text())
            if all(info.get(key, "") == value for key, value in wanted.items()):
                return folder
    return None


def prepare_once(
    builder_class: type[tfds.core.GeneratorBasedBuilder],
    root: Path,
    files: Iterable[Path],
    config: str | None = None,
) -> Path:
    """The folder of a raw distribution in its prepared form, which is made if there is none yet.

    Args:
      builder_class: the builder, which finds the distribution in its `manual_dir`.
      root: the raw distribution, only ever read.
      files: all of its files that the builder reads; a change in them means a new preparation.
      config: the builder's config, where it has several.

    Raises ValueError or FileNotFoundError from the builder, where a file is bad.
    """
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    _remove_stale(cache)
    version = "/".join(filter(None, (builder_class.name, config, str(builder_class.VERSION))))
    final = cache / f"{builder_class.name}-{_fingerprint(root, files, version)}"
    if not final.is_dir():
        partial = Path(tempfile.mkdtemp(prefix=f"{final.name}.partial-", dir=cache))
        try:
            builder = builder_class(data_dir=partial, config=config, file_format="array_record")
            _prepare(builder, root)
            _move_unless_there(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final / version


def metadata_of(builder: tfds.core.DatasetBuilder) -> Record:
    """What a builder of this package keeps beside its records.

    `categories` are the names of the L categories; `splits` has for each split the `names` of its
    records and their `categories`, in their order.

    Raises ValueError for a data set that another builder has made.
    """
    metadata = dict(builder.info.metadata or {})
    if not {"categories", "splits"} <= metadata.keys():
        raise ValueError(
            f"{builder.data_path} has no list of its records; prepare it with this package"
        )
    return metadata


def _prepare(builder: tfds.core.DatasetBuilder, root: Path) -> None:
    config = tfds.download.DownloadConfig(manual_dir=root, try_download_gcs=False)
    tfds.disable_progress_bar()  # the builders show their own, which knows the total
    try:
        with contextlib.redirect_stdout(
            io.StringIO()
        ):  # TFDS speaks of a download and of `partial`
            builder.download_and_prepare(download_config=config)
    finally:
        tfds.enable_progress_bar()


def _fingerprint(root: Path, files: Iterable[Path], version: str) -> str:
    """Changes with the builder's version and with any file's name, size or time."""
    digest = hashlib.sha256(f"{version}\n".encode())
    for file in sorted(files):
        status = file.stat()
        line = f"{file.relative_to(root)}\t{status.st_size}\t{status.st_mtime_ns}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def _move_unless_there(partial: Path, final: Path) -> None:
    try:
        partial.rename(final)
    except OSError:
        if not final.is_dir():  # else another process was faster, with the same result
            raise


def _remove_stale(cache: Path) -> None:
    """Removes what preparations that were killed have left."""
    for folder in cache.glob("*.partial-*"):
        times = [path.stat().st_mtime for path in (folder, *folder.rglob("*"))]
        if time.time() - max(times) > STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _index_of(builder: tfds.core.DatasetBuilder, directory: Path, split: str) -> Record:
    """The names and categories of a split's records."""
    if split not in builder.info.splits:
        raise ValueError(
            f"{directory} has no split {split!r}, only {sorted(builder.info.splits)}; delete it "
            "and prepare it anew"
        )
    return metadata_of(builder)["splits"][split]
