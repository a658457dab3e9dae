"""Evaluates a network: python evaluate.py --dataset pascal --data_dir DIR [--checkpoint DIR]

Without --checkpoint it is the network that comes with the package. Prints P and J of every class
beside the paper's own, and what the network owes to its groups; --out writes them as JSON,
--save_masks every mask, --report a page to look at. `--dataset all` prints the paper's tables 1 to
4 with this network in them, `--ablation DIR` its table 5. Progress goes to stderr, figures to
stdout. Wrong input exits with status 2.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from cosseg_jax import files, program
from cosseg_jax.data.eval_groups import parse_grouping, partitions
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source, only_categories
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation import ablation, benchmark, metrics, saved_masks
from cosseg_jax.evaluation.evaluator import IMAGES_PER_BATCH, OnImage
from cosseg_jax.evaluation.report.writer import Report
from cosseg_jax.evaluation.results import Result, as_json
from cosseg_jax.evaluation.tables import contents
from cosseg_jax.evaluation.tables.grid import Grid, records
from cosseg_jax.evaluation.tables.styles import STYLES, draw
from cosseg_jax.predict.exported import load_config

ALL = "all"
HELD_OUT = "held_out"

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, f"One of: {', '.join((*SOURCES, ALL))} (the paper's four).")
flags.DEFINE_string("data_dir", None, "Folder of the data sets. Default: $COSSEG_DATA_DIR.")
flags.DEFINE_string("split", None, "Default: the one that the data set is evaluated on.")
flags.DEFINE_string("checkpoint", None, "Folder that train.py --export wrote. Default: ours.")
flags.DEFINE_string(
    "ablation", None, f"Folder of four checkpoints: {', '.join(ablation.VARIANTS)}."
)
flags.DEFINE_list(
    "categories",
    [],
    f"Of the data set, those evaluated, or {HELD_OUT}: that the network never saw. Default: all.",
)
flags.DEFINE_string("grouping", "fives", "fives (the paper's), whole (classes), or random:K.")
flags.DEFINE_integer("group_size", 5, "Images in a group, of fives and random:K.")
flags.DEFINE_integer("seed", 0, "Of random groups, and of groups of strangers.")
flags.DEFINE_list("protocols", list(metrics.PROTOCOLS), "Beside original and ssnm: ufo, pooled.")
flags.DEFINE_bool("group_figures", True, "Also foreign_*, gain_alone: about 6 times the time.")
flags.DEFINE_string("unmodulated_checkpoint", None, "Same, modulators off: gain_unmodulated.")
flags.DEFINE_enum("table", "terminal", [*STYLES, "json"], "How the tables are printed.")
flags.DEFINE_string("out", None, "JSON file for the figures.")
flags.DEFINE_string("save_masks", None, "Folder for the masks: <class>/<photograph>.png, 0 or 255.")
flags.DEFINE_string("report", None, "Folder for a page and sheets to look at every photograph.")
flags.DEFINE_bool("force", False, "Overwrite the files of --out, --save_masks and --report.")
flags.DEFINE_integer("groups_per_batch", 4, "Groups that the network sees at once.", lower_bound=1)
flags.DEFINE_integer(
    "images_per_batch",
    IMAGES_PER_BATCH,
    "Their images at most, if they are several.",
    lower_bound=1,
)


class Outcome(NamedTuple):
    """What is printed, and what is written as JSON."""

    grids: list[Grid]
    content: dict[str, Any]


def main(argv: Sequence[str]) -> None:
    del argv
    settings = check_flags()
    if FLAGS.ablation:
        outcome = of_ablation(settings)
    elif FLAGS.dataset == ALL:
        outcome = of_benchmarks(settings)
    else:
        outcome = of_data_set(settings)
    content = json.dumps(outcome.content, indent=2, allow_nan=False)
    print(content if FLAGS.table == "json" else draw(outcome.grids, FLAGS.table))
    if FLAGS.out:
        files.write_whole(Path(FLAGS.out), f"{content}\n".encode())


def check_flags() -> benchmark.Settings:
    """Finds what is wrong on the command line before anything takes long."""
    if FLAGS.dataset is None:
        raise UserError("--dataset is missing; see --help")
    if FLAGS.ablation:
        for name in ("checkpoint", "unmodulated_checkpoint", "save_masks", "report"):
            if getattr(FLAGS, name):
                raise UserError(f"--{name} does not go with --ablation, which takes four networks")
    if FLAGS.dataset == ALL and (FLAGS.ablation or FLAGS.split or FLAGS.categories):
        raise UserError(
            f"--dataset {ALL} goes with no --ablation, --split or --categories; name one of it"
        )
    if FLAGS.ablation and HELD_OUT in FLAGS.categories:
        raise UserError(
            f"--categories {HELD_OUT} asks one network; --ablation takes four: name the categories"
        )
    for name in FLAGS.protocols:
        metrics.protocol_named(name)
    if FLAGS.out:
        files.check_writable(Path(FLAGS.out), force=FLAGS.force)
    return benchmark.Settings(
        parse_grouping(FLAGS.grouping, FLAGS.group_size, FLAGS.seed),
        benchmark.ordered(FLAGS.protocols),
        FLAGS.group_figures,
        FLAGS.groups_per_batch,
        FLAGS.images_per_batch,
    )


def of_data_set(settings: benchmark.Settings) -> Outcome:
    """One data set: its classes, the paper's table for it, what is owed to groups."""
    source = the_source()
    listeners = callbacks(source, settings)
    result = score_all({source.name: source}, {source.name: listeners}, settings)[source.name]
    return Outcome(contents.report(result), as_json(result))


def of_benchmarks(settings: benchmark.Settings) -> Outcome:
    """The paper's tables 1 to 4, of the data sets that are there."""
    sources, missing = benchmark.find_benchmarks(FLAGS.data_dir)
    listeners = {name: callbacks(source, settings, name) for name, source in sources.items()}
    results = score_all(sources, listeners, settings)
    grids = contents.benchmarks(list(results.values()), missing)
    found = {name: as_json(result) for name, result in results.items()}
    content = {"results": found, "missing": missing, "tables": [records(grid) for grid in grids]}
    return Outcome(grids, content)


def of_ablation(settings: benchmark.Settings) -> Outcome:
    """The paper's table 5, of four networks that configs/ablation.py has made."""
    exports = ablation.find_exports(Path(FLAGS.ablation))
    results = benchmark.score_variants(exports, the_source(), settings)
    grid = contents.ablation(results, ablation.differing_fields(exports))
    found = {name: as_json(result) for name, result in results.items()}
    return Outcome([grid], {"results": found, "tables": [records(grid)]})


def the_source() -> Source:
    """The data set of the flags, or the categories of it that they name."""
    source = load_source(FLAGS.dataset, split_of(FLAGS.dataset), FLAGS.data_dir)
    if not FLAGS.categories:
        return source
    return only_categories(source, categories_never_seen() or FLAGS.categories)


def categories_never_seen() -> Sequence[str]:
    """The categories that the flags' network was trained without, if they ask for them."""
    if list(FLAGS.categories) != [HELD_OUT]:
        return ()
    names = load_config(Path(FLAGS.checkpoint)).get("held_out", ()) if FLAGS.checkpoint else ()
    if not names:
        raise UserError(
            f"--categories is {HELD_OUT}, but --checkpoint {FLAGS.checkpoint or 'ours'} has seen "
            "all; name the categories, or a checkpoint of configs/folds.py"
        )
    return names


def split_of(dataset: str) -> str:
    """The split of the flags; if they name none, the last that the data set has."""
    splits = SOURCES[dataset].splits if dataset in SOURCES else ("",)
    return FLAGS.split or splits[-1]


def callbacks(source: Source, settings: benchmark.Settings, folder: str = "") -> list[OnImage]:
    """What is done with every scored photograph: files in `folder` of those that flags name."""
    groups = partitions(source, settings.grouping)[0]
    found: list[OnImage] = []
    if FLAGS.save_masks:
        masks = Path(FLAGS.save_masks) / folder
        saved_masks.check_mask_paths(masks, source, groups, force=FLAGS.force)
        found.append(saved_masks.mask_writer(masks))
    if FLAGS.report:
        found.append(Report(Path(FLAGS.report) / folder, source, groups, force=FLAGS.force))
    return found


def score_all(
    sources: dict[str, Source],
    listeners: dict[str, list[OnImage]],
    settings: benchmark.Settings,
) -> dict[str, Result]:
    """Scores the checkpoint on data sets, beside the one without modulators if there is one.

    Reports among the listeners are written as soon as their data set is scored.
    """
    network = benchmark.load_network(FLAGS.checkpoint)
    folder = FLAGS.unmodulated_checkpoint
    unmodulated = benchmark.load_unmodulated(folder) if folder else None
    results: dict[str, Result] = {}
    for name, source in sources.items():
        results[name] = benchmark.score(
            network, source, settings, unmodulated=unmodulated, on_image=listeners[name]
        )
        for listener in listeners[name]:
            if isinstance(listener, Report):
                listener.write(results[name], split=split_of(name))
    return results


if __name__ == "__main__":
    program.run(main)
