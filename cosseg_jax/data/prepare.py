"""Prepares a data set: python -m cosseg_jax.data.prepare NAME --source DIR --data_dir DIR

Reads the distribution in --source and writes the data set into --data_dir, where `train.py` and
`evaluate.py` find it. A data set of other files is replaced with --force only. An interrupted
preparation leaves what was there; the same command goes on. Ends with a summary. docs/data.md shows
the accepted layouts.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from cosseg_jax import program

if __name__ == "__main__":
    program.exit_on_interrupt()  # before JAX is imported, which takes seconds

from cosseg_jax.data.builders.build import prepare_into
from cosseg_jax.data.builders.coco.builder import prepare_coco_seg
from cosseg_jax.data.builders.coco.plan import find_coco
from cosseg_jax.data.builders.coco.rule import PAPER_RULE
from cosseg_jax.data.builders.cosegmentation import LAYOUTS, cosegmentation_distribution, locate
from cosseg_jax.data.builders.expected import BENCHMARKS
from cosseg_jax.data.builders.voc import find_devkit, voc_distribution
from cosseg_jax.data.prepared import opened_builder
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.errors import MissingFileError, UserError


class PrepareOptions(NamedTuple):
    """From where a data set is prepared, into which folder, and how.

    force: replace what is there.
    processes: how many processes prepare coco_seg.
    min_area, min_images: for coco_seg, see `coco.rule`.
    """

    source: Path
    data_dir: Path
    force: bool = False
    processes: int = 1
    min_area: float = PAPER_RULE.min_area
    min_images: int = PAPER_RULE.min_images


def prepare_dataset(name: str, options: PrepareOptions) -> str:
    """Prepares a data set; returns a summary of the result.

    Raises UserError for a name that is not a key of PREPARERS, for a bad source, or where another
    data set of the name is there already; MissingFileError without a source; OSError, naming a
    path, on a full disk.
    """
    check_name(name)
    if not options.source.is_dir():
        raise MissingFileError(
            f"--source {options.source} is not a folder; expected {name!r} there"
        )
    directory = PREPARERS[name](options)
    return summary(name, options.data_dir, directory)


def check_name(name: str) -> None:
    """Raises UserError for the name of a data set that cannot be prepared."""
    if name not in PREPARERS:
        fault = f"{name!r} is built in" if name in SOURCES else f"unknown data set {name!r}"
        raise UserError(f"{fault}; expected one of {sorted(PREPARERS)}")


def summary(name: str, data_dir: Path, directory: Path) -> str:
    """The counts of a prepared data set, how it differs from the paper's, and where it lies."""
    lines: list[str] = []
    there = opened_builder(directory).info.splits
    splits = [split for split in SOURCES[name].splits if split in there]
    sources: list[Any] = [load_source(name, split, data_dir) for split in splits]
    for split, source in zip(splits, sources, strict=True):
        counts = {c: len(m) for c, m in zip(source.categories, source.members, strict=True)}
        width = max(map(len, counts))
        lines.append(f"{name} {split}: {len(source)} images, {len(counts)} classes")
        lines += [f"  {category:<{width}} {number:>7}" for category, number in counts.items()]
    whole = sources[0]
    lines += [f"checksum {whole.checksum}"] * bool(whole.checksum)
    lines += [f"note: {line}" for line in whole.notes]
    lines += [f"differs from the paper's: {line}" for line in whole.differences]
    if name in BENCHMARKS and not whole.differences:
        lines.append("agrees with what is known of the paper's")
    return "\n".join([*lines, f"in {directory}"])


def _prepare_voc(options: PrepareOptions) -> Path:
    _check_apart(find_devkit(options.source), options.data_dir)
    return prepare_into(voc_distribution(options.source), options.data_dir, force=options.force)


def _prepare_coco_seg(options: PrepareOptions) -> Path:
    _check_apart(find_coco(options.source), options.data_dir)
    return prepare_coco_seg(**options._asdict())


def _prepare_cosegmentation(name: str, options: PrepareOptions) -> Path:
    _, root = locate(name, options.source)
    _check_apart(root, options.data_dir)
    distribution = cosegmentation_distribution(name, options.source)
    return prepare_into(distribution, options.data_dir, force=options.force)


PREPARERS: dict[str, Callable[[PrepareOptions], Path]] = {
    "voc": _prepare_voc,
    "coco_seg": _prepare_coco_seg,
    **{name: partial(_prepare_cosegmentation, name) for name in LAYOUTS},
}


def _check_apart(root: Path, data_dir: Path) -> None:
    """Raises UserError where the result would lie among the files that it is made of."""
    if data_dir.resolve().is_relative_to(root.resolve()):
        raise UserError(f"--data_dir {data_dir} lies in {root}, which is only read; give another")


def run_prepare(argv: Sequence[str]) -> None:
    """The command: prepares what the flags say, and prints the summary."""
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
    print(prepare_dataset(argv[1], PrepareOptions(**folders, **options)))


def define_flags() -> None:
    """Defines the program's flags; not on import, since `evaluate.py` has some of the same name."""
    flags.DEFINE_string("source", None, "Folder of the distribution, or the one above; only read.")
    flags.DEFINE_string(
        "data_dir",
        os.environ.get("COSSEG_DATA_DIR"),
        "Folder of the prepared data sets. Default: $COSSEG_DATA_DIR.",
    )
    flags.DEFINE_bool("force", False, "Replace the data set if another one is there already.")
    flags.DEFINE_integer(
        "processes", os.cpu_count() or 1, "How many processes prepare coco_seg.", lower_bound=1
    )
    flags.DEFINE_float(
        "min_area", PAPER_RULE.min_area, "For coco_seg: an instance must have more pixels."
    )
    flags.DEFINE_integer(
        "min_images",
        PAPER_RULE.min_images,
        "For coco_seg: how many images a category needs.",
        lower_bound=1,
    )


if __name__ == "__main__":
    define_flags()
    program.run(run_prepare, positionals=1)
