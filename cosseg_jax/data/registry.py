"""The data sets by name, as in the command line's `--dataset` and the config's `dataset`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from cosseg_jax.data.source import Source
from cosseg_jax.errors import MissingFileError, UserError


class DatasetSpec(NamedTuple):
    """A data set: its splits, whether it is read from disk, and how a split of it is loaded."""

    splits: tuple[str, ...]
    needs_data_dir: bool
    load: Callable[[str, Path], Source]


def _load_shapes(split: str, data_dir: Path) -> Source:
    from cosseg_jax.data.builders.shapes import Shapes

    return cast(Source, Shapes(split=split))  # pyright wants no cached_property in a protocol


def _load_voc(split: str, data_dir: Path) -> Source:
    from cosseg_jax.data.builders.voc import load_voc

    return load_voc(split, data_dir)


def _load_coco_seg(split: str, data_dir: Path) -> Source:
    from cosseg_jax.data.builders.coco.builder import load_coco_seg

    return load_coco_seg(split, data_dir)


def _load_cosegmentation(name: str) -> Callable[[str, Path], Source]:
    def load(split: str, data_dir: Path) -> Source:
        from cosseg_jax.data.builders.cosegmentation import load_cosegmentation

        return load_cosegmentation(name, data_dir)

    return load


def _load_folder(split: str, data_dir: Path) -> Source:
    from cosseg_jax.data.builders.cosegmentation import load_cosegmentation
    from cosseg_jax.data.source import split_by_name

    source = load_cosegmentation("folder", data_dir)
    if split == "test":
        return source
    if source[0].void.all():
        raise UserError(
            f"the images in {data_dir} have no masks, which training needs; add a tree "
            "masks/<class>/<name>.png"
        )
    return split_by_name(source, split)


SOURCES = {
    "shapes": DatasetSpec(("train", "val", "unseen"), False, _load_shapes),
    "voc": DatasetSpec(("train", "val"), True, _load_voc),
    "coco_seg": DatasetSpec(("train", "val"), True, _load_coco_seg),
    "pascal": DatasetSpec(("test",), True, _load_cosegmentation("pascal")),
    "msrc": DatasetSpec(("test",), True, _load_cosegmentation("msrc")),
    "internet": DatasetSpec(("test",), True, _load_cosegmentation("internet")),
    "icoseg": DatasetSpec(("test",), True, _load_cosegmentation("icoseg")),
    **{
        name: DatasetSpec(("test",), True, _load_cosegmentation(name))
        for name in ("coca", "cosal2015", "cosod3k", "fss1000")
    },
    "folder": DatasetSpec(("train", "val", "test"), True, _load_folder),  # test: all images
}


def load_source(name: str, split: str, data_dir: str | Path | None = None) -> Source:
    """Loads a split of a data set, which is prepared on its first use.

    Args:
      name: a key of SOURCES.
      split: one of the data set's splits.
      data_dir: the folder of its download or of its prepared form, or the folder above; by default
        the environment variable COSSEG_DATA_DIR. The built-in data needs none.

    Raises UserError for an unknown name or split or a bad file, MissingFileError where the data set
    is not in data_dir.
    """
    if name not in SOURCES:
        raise UserError(f"unknown data set {name!r}; expected one of {sorted(SOURCES)}")
    spec = SOURCES[name]
    if split not in spec.splits:
        raise UserError(f"{name} has no split {split!r}; expected one of {list(spec.splits)}")
    if not spec.needs_data_dir:
        return spec.load(split, Path())
    return spec.load(split, _data_folder(data_dir or os.environ.get("COSSEG_DATA_DIR"), name))


def _data_folder(data_dir: str | Path | None, name: str) -> Path:
    if not data_dir:
        raise UserError(
            f"data set {name!r} needs the folder of its files: give data_dir (--data_dir) or set "
            "the environment variable COSSEG_DATA_DIR"
        )
    folder = Path(data_dir).expanduser().resolve()
    if not folder.is_dir():
        raise MissingFileError(f"data_dir {folder} is not a folder; expected one holding {name!r}")
    return folder
