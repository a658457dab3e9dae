"""The data sets by name: where the command line's `--dataset` and the config's `dataset` lead."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from cosseg_jax.data.source import Source


class Entry(NamedTuple):
    """A data set: its splits, whether it lies on disk, and how a split of it is loaded."""

    splits: tuple[str, ...]
    needs_data_dir: bool
    load: Callable[[str, Path], Source]


def _load_shapes(split: str, data_dir: Path) -> Source:
    from cosseg_jax.data.builders.shapes import Shapes

    return cast(Source, Shapes(split=split))  # pyright takes no cached_property for an attribute


def _load_voc(split: str, data_dir: Path) -> Source:
    from cosseg_jax.data.builders import voc

    return voc.load(split, data_dir)


def _load_coco_seg(split: str, data_dir: Path) -> Source:
    from cosseg_jax.data.builders.coco import builder

    return builder.load(split, data_dir)


def _load_cosegmentation(name: str) -> Callable[[str, Path], Source]:
    def load(split: str, data_dir: Path) -> Source:
        from cosseg_jax.data.builders import cosegmentation

        return cosegmentation.load(name, data_dir)

    return load


def _load_folder(split: str, data_dir: Path) -> Source:
    from cosseg_jax.data.builders import cosegmentation
    from cosseg_jax.data.source import drawn_split

    source = cosegmentation.load("folder", data_dir)
    if split == "test":
        return source
    if source[0].void.all():
        raise ValueError(
            f"the photographs in {data_dir} have no masks, of which training learns; add a tree "
            "masks/<class>/<name>.png"
        )
    return drawn_split(source, split)


SOURCES = {
    "shapes": Entry(("train", "val", "unseen"), False, _load_shapes),
    "voc": Entry(("train", "val"), True, _load_voc),
    "coco_seg": Entry(("train", "val"), True, _load_coco_seg),
    "pascal": Entry(("test",), True, _load_cosegmentation("pascal")),
    "msrc": Entry(("test",), True, _load_cosegmentation("msrc")),
    "internet": Entry(("test",), True, _load_cosegmentation("internet")),
    "icoseg": Entry(("test",), True, _load_cosegmentation("icoseg")),
    "folder": Entry(("train", "val", "test"), True, _load_folder),  # test: all of it
}


def load_source(name: str, split: str, data_dir: str | Path | None = None) -> Source:
    """Loads a split of a data set, which is prepared on its first use.

    Args:
      name: a key of SOURCES.
      split: one of the data set's splits.
      data_dir: the folder of its download or of its prepared form, or one that holds either;
        by default the environment variable COSSEG_DATA_DIR. The built-in data needs none.

    Raises ValueError for an unknown name or split or a bad file, FileNotFoundError where the data
    set is not in data_dir.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; expected one of {sorted(SOURCES)}")
    entry = SOURCES[name]
    if split not in entry.splits:
        raise ValueError(f"{name} has no split {split!r}; expected one of {list(entry.splits)}")
    if not entry.needs_data_dir:
        return entry.load(split, Path())
    return entry.load(split, _existing(data_dir or os.environ.get("COSSEG_DATA_DIR"), name))


def _existing(data_dir: str | Path | None, name: str) -> Path:
    if not data_dir:
        raise ValueError(
            f"data set {name!r} needs the folder of its files: give data_dir (--data_dir) or set "
            "the environment variable COSSEG_DATA_DIR"
        )
    folder = Path(data_dir).expanduser().resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"data_dir {folder} is not a folder; expected one holding {name!r}")
    return folder
