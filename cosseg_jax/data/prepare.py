"""Prepares a data set: python -m cosseg_jax.data.prepare NAME --source DIR --data_dir DIR

Reads the distribution in --source and writes the data set into --data_dir, where `train.py` and
`evaluate.py` find it. What is there already is replaced with --force only, and an interrupted
preparation leaves it as it was. Ends with a summary. docs/data.md shows the accepted layouts.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from absl import flags

from cosseg_jax import program
from cosseg_jax.data.builders import cosegmentation, voc
from cosseg_jax.data.builders.build import prepare_into
from cosseg_jax.data.builders.coco import builder, plan
from cosseg_jax.data.builders.coco.rule import PAPER_RULE
from cosseg_jax.data.builders.expected import EXPECTED
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.errors import UserError


class Order(NamedTuple):
    """What is to be prepared, from where and into which folder.

    force: replace what is there.
    processes: of large data.
    min_area, min_images: of coco_seg, see `coco_seg.rule`.
    """

    source: Path
    data_dir: Path
    force: bool = False
    processes: int = 1
    min_area: float = PAPER_RULE.min_area
    min_images: int = PAPER_RULE.min_images


def prepare(name: str, order: Order) -> str:
    """Prepares a data set; returns a summary of what it has become.

    Raises UserError for a name that is not a key of PREPARERS, or for a data set that is there
    already; FileNotFoundError or ValueError where the source is missing or bad.
    """
    check_name(name)
    if not order.source.is_dir():
        raise FileNotFoundError(f"--source {order.source} is not a folder; expected {name!r} there")
    directory = PREPARERS[name](order)
    return summary(name, order.data_dir, directory)


def check_name(name: str) -> None:
    """Raises UserError for the name of a data set that cannot be prepared."""
    if name not in PREPARERS:
        fault = f"{name!r} is built in" if name in SOURCES else f"unknown data set {name!r}"
        raise UserError(f"{fault}; expected one of {sorted(PREPARERS)}")


def summary(name: str, data_dir: Path, directory: Path) -> str:
    """The counts of a prepared data set, how it differs from the paper's, and where it lies."""
    lines: list[str] = []
    unit = "entries" if name in cosegmentation.LAYOUTS else "photographs"
    there: Any = tfds.builder_from_directory(directory)  # decorators hide its signature
    splits = [split for split in SOURCES[name].splits if split in there.info.splits]
    sources = [load_source(name, split, data_dir) for split in splits]
    for split, source in zip(splits, sources, strict=True):
        counts = {c: len(m) for c, m in zip(source.categories, source.members, strict=True)}
        width = max(map(len, counts))
        lines.append(f"{name} {split}: {len(source)} {unit}, {len(counts)} classes")
        lines += [f"  {category:<{width}} {number:>7}" for category, number in counts.items()]
    checksum, differences = (getattr(sources[0], part) for part in ("checksum", "differences"))
    lines += [f"checksum {checksum}"] * bool(checksum)
    lines += [f"differs from the paper's: {line}" for line in differences]
    if name in EXPECTED and not differences:
        lines.append("agrees with what is known of the paper's")
    return "\n".join([*lines, f"in {directory}"])


def _voc(order: Order) -> Path:
    root = voc.find_devkit(order.source)
    _check_apart(root, order.data_dir)
    return prepare_into(voc.VocSegmentation, root, order.data_dir, force=order.force)


def _coco_seg(order: Order) -> Path:
    _check_apart(plan.find_coco(order.source), order.data_dir)
    return builder.prepare(
        order.source,
        order.data_dir,
        processes=order.processes,
        force=order.force,
        min_area=order.min_area,
        min_images=order.min_images,
    )


def _cosegmentation(name: str) -> Callable[[Order], Path]:
    def prepare(order: Order) -> Path:
        _, root = cosegmentation.locate(name, order.source)
        _check_apart(root, order.data_dir)
        builder = cosegmentation.Cosegmentation
        return prepare_into(builder, root, order.data_dir, name, force=order.force)

    return prepare


PREPARERS: dict[str, Callable[[Order], Path]] = {
    "voc": _voc,
    "coco_seg": _coco_seg,
    **{name: _cosegmentation(name) for name in cosegmentation.LAYOUTS},
}


def _check_apart(root: Path, data_dir: Path) -> None:
    """Raises UserError where the result would lie among the files that it is made of."""
    if data_dir.resolve().is_relative_to(root.resolve()):
        raise UserError(f"--data_dir {data_dir} lies in {root}, which is only read; give another")


def main(argv: Sequence[str]) -> None:
    if len(argv) != 2:
        raise UserError(f"which data set? Give one of {sorted(PREPARERS)} as the first argument")
    check_name(argv[1])
    given = {"source": flags.FLAGS.source, "data_dir": flags.FLAGS.data_dir}
    missing = [f"--{name}" for name, folder in given.items() if not folder]
    if missing:
        raise UserError(f"{' and '.join(missing)} must be given, to prepare {argv[1]!r}")
    folders = {name: Path(folder).expanduser() for name, folder in given.items()}
    names = ("force", "processes", "min_area", "min_images")
    options: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
    order = Order(**folders, **options)
    print(prepare(argv[1], order))


def define_flags() -> None:
    """Defines the program's flags; not on import, since `evaluate.py` has some of the same name."""
    flags.DEFINE_string("source", None, "Folder of the distribution, or the one above; only read.")
    flags.DEFINE_string(
        "data_dir", os.environ.get("COSSEG_DATA_DIR"), "Where to. Default: $COSSEG_DATA_DIR."
    )
    flags.DEFINE_bool("force", False, "Replace the data set if it is there already.")
    flags.DEFINE_integer(
        "processes", os.cpu_count() or 1, "At most so many at once, for large data.", lower_bound=1
    )
    flags.DEFINE_float(
        "min_area", PAPER_RULE.min_area, "coco_seg: pixels that an instance must exceed."
    )
    flags.DEFINE_integer(
        "min_images",
        PAPER_RULE.min_images,
        "coco_seg: photographs that a category needs.",
        lower_bound=1,
    )


if __name__ == "__main__":
    define_flags()
    program.run(main, positionals=1)
