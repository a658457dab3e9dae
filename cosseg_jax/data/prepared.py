"""Data sets that a TFDS builder has prepared, read in any order (`builders.build` makes them).

Builders put into their metadata, for every split, the names and categories of all records, so that
loading decodes no image; beside them, if they know, a checksum, what they found remarkable, and how
the data differ from what the paper says.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int

from cosseg_jax.data.source import members_of
from cosseg_jax.errors import UserError
from cosseg_jax.types import Example, Ndarray

Record = dict[str, Any]  # the features of a record, images still encoded

FEATURES = "tensorflow_datasets.core.features."  # modules that features.json may name
CLASS_KEYS = ("pythonClassName", "python_class_name", "type")


class PreparedSource:
    """A `Source` that reads a prepared data set; it can be pickled, and read by many threads.

    Args:
      name: the data set's name, as on the command line.
      directory: the folder with its dataset_info.json.
      split: one of the data set's splits.
      decode: turns a record and its categories into an Example.

    Beside what every `Source` has, `notes` are lines on what was remarkable in the files,
    `differences` are lines on how the data differ from the paper's, and `checksum` is that of the
    whole, "" where there is none.

    Raises UserError when the prepared data set is damaged or lacks the split.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        split: str,
        decode: Callable[[Record, Int[Ndarray, " K"]], Example],
    ) -> None:
        builder = opened_builder(directory)
        metadata = metadata_of(builder)
        if split not in builder.info.splits:
            raise UserError(
                f"{directory} has no split {split!r}, only {sorted(builder.info.splits)}; delete "
                "it and prepare it again"
            )
        index = metadata["splits"][split]
        self.name = name
        self.directory = directory
        self.categories: tuple[str, ...] = tuple(metadata["categories"])
        self.notes: tuple[str, ...] = tuple(metadata.get("notes", ()))
        self.differences: tuple[str, ...] = tuple(metadata.get("differences", ()))
        self.checksum: str = metadata.get("checksum", "")
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
            raise IndexError(f"{self.name} has images 0 to {len(self) - 1}, not {index}")
        categories = np.asarray(self._categories_of[index], dtype=np.int64)
        example = self._decode(self._record(index), categories)
        if example.name != self.names[index]:
            raise UserError(
                f"{self.directory}: record {index} is {example.name!r} where the list of records "
                f"has {self.names[index]!r}; delete the prepared data set and prepare it again"
            )
        return example

    def _record(self, index: int) -> Record:
        try:
            return self._records[index]
        except Exception as error:  # the libraries raise anything on damaged files
            raise UserError(_damaged(self.directory, error)) from error


def find_prepared(data_dir: Path, dataset: str) -> Path | None:
    """The folder of a prepared data set, such as "voc_segmentation/1.0.0", or None.

    `data_dir` may be the TFDS folder that holds it, or the data set's own.
    """
    name, *config, version = dataset.split("/")
    wanted = {"name": name, "configName": "".join(config), "version": version}
    for folder in (data_dir / dataset, data_dir):
        file = folder / "dataset_info.json"
        if file.is_file():
            info = _info_in(file)
            if all(info.get(key, "") == value for key, value in wanted.items()):
                return folder
    return None


def opened_builder(directory: Path) -> Any:
    """The TFDS builder of a prepared data set. Raises UserError where its files are damaged."""
    _info_in(directory / "dataset_info.json")
    _check_features(directory / "features.json")
    try:
        builder: Any = tfds.builder_from_directory(directory)
        _ = builder.info.metadata  # is only read now
    except Exception as error:  # TFDS raises anything on damaged files
        raise UserError(_damaged(directory, error)) from error
    return builder


def metadata_of(builder: tfds.core.DatasetBuilder) -> Record:
    """What a builder of this package keeps beside its records.

    `categories` are the names of the L categories; `splits` has for each split the `names` of its
    records and their `categories`, in their order. It may be changed while the builder runs.

    Raises UserError for a data set that another builder has made.
    """
    metadata: Any = builder.info.metadata
    if not {"categories", "splits"} <= (metadata or {}).keys():
        raise UserError(
            f"{builder.data_path} has no list of its records; prepare it with this package"
        )
    return metadata


def _info_in(file: Path) -> Record:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(_damaged(file.parent, error)) from error


def _check_features(file: Path) -> None:
    """Raises UserError where a class is none of TFDS, which would import whatever is named."""
    if not file.is_file():
        return
    try:
        classes = list(_class_names([json.loads(file.read_text(encoding="utf-8"))]))
    except (ValueError, RecursionError) as error:
        raise UserError(_damaged(file.parent, error)) from error
    for name in classes:
        if not str(name).startswith(FEATURES):
            raise UserError(
                f"{file} names the class {name!r:.200}; expected those of {FEATURES[:-1]}, as this "
                "package writes them"
            )


def _class_names(part: Any) -> Iterator[Any]:
    """Every class that a part of features.json names."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if key in CLASS_KEYS:
            yield value
        if isinstance(value, dict | list):
            yield from _class_names(value)


def _damaged(directory: Path, error: Exception) -> str:
    return f"{directory} is damaged ({error}); delete it and prepare it again"
