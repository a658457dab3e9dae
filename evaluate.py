"""Evaluates a network: python evaluate.py --dataset pascal --data_dir DIR [--checkpoint DIR]

Without --checkpoint it evaluates the network that comes with the package. It prints pixel accuracy
P and IoU (Jaccard) J of every class beside the paper's own, and the group-dependence metrics. --out
writes them as JSON, --save_masks every mask, --report a page to look at. `--dataset all` prints the
paper's tables 1 to 4 with this network in them, `--ablation DIR` its table 5. Progress goes to
stderr, results to stdout. Wrong input exits with status 2.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from cosseg_jax import program

if __name__ == "__main__":
    program.exit_on_interrupt()  # before JAX is imported, which takes seconds

from cosseg_jax import files
from cosseg_jax.data.eval_groups import parse_grouping, partitions
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source, only_categories
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation import ablation, benchmark, metrics, saved_masks
from cosseg_jax.evaluation.evaluator import OnImage
from cosseg_jax.evaluation.report.writer import Report
from cosseg_jax.evaluation.results import Result, as_json
from cosseg_jax.evaluation.saliency import SaliencyMeasures
from cosseg_jax.evaluation.tables import contents
from cosseg_jax.evaluation.tables.grid import Grid, records
from cosseg_jax.evaluation.tables.styles import STYLES, draw
from cosseg_jax.predict.exported import load_config
from cosseg_jax.predict.predictor import MODES

ALL = "all"
HELD_OUT = "held_out"

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, f"One of: {', '.join((*SOURCES, ALL))} (the paper's four).")
flags.DEFINE_string("data_dir", None, "Folder of the data sets. Default: $COSSEG_DATA_DIR.")
flags.DEFINE_string("split", None, "Split to evaluate. Default: the data set's last.")
flags.DEFINE_string("checkpoint", None, "Folder that train.py --export wrote. Default: ours.")
flags.DEFINE_string(
    "ablation", None, f"Folder of four checkpoints: {', '.join(ablation.VARIANTS)}."
)
flags.DEFINE_list(
    "categories",
    [],
    f"Categories to evaluate; {HELD_OUT}: those that training left out. Default: all.",
)
flags.DEFINE_string("grouping", "fives", "fives (the paper's), whole (classes), or random:K.")
flags.DEFINE_integer("group_size", 5, "Images in a group, for fives and random:K.")
flags.DEFINE_integer("seed", 0, "Seed of random groups, and of groups of another category.")
flags.DEFINE_list("protocols", list(metrics.PROTOCOLS), "Besides original and ssnm: ufo, pooled.")
flags.DEFINE_bool("group_metrics", True, "Also compute foreign_* and gain_alone.")
flags.DEFINE_bool("measures", False, "Also S-measure, F-beta, E-measure and MAE.")
flags.DEFINE_string(
    "unmodulated_checkpoint", None, "The same network with its modulators off: gain_unmodulated."
)
flags.DEFINE_enum("table", "terminal", [*STYLES, "json"], "How the tables are printed.")
flags.DEFINE_string("out", None, "JSON file for the results.")
flags.DEFINE_enum(
    "refine", None, ["guided", "sam", "none"], "Refines masks. Default: as the config says."
)
flags.DEFINE_enum(
    "mode", "network", MODES, "open: masks of any category, chosen among MobileSAM's proposals."
)
flags.DEFINE_string(
    "sam_weights", None, "MobileSAM's weights, for --refine sam and --mode open. Default: download."
)
flags.DEFINE_string("save_masks", None, "Folder for the masks: <class>/<image>.png, 0 or 255.")
flags.DEFINE_string("report", None, "Folder for a page and sheets that show every image.")
flags.DEFINE_bool("force", False, "Overwrite the files of --out, --save_masks and --report.")
flags.DEFINE_float(
    "cache_gigabytes",
    benchmark.CACHE_GIGABYTES,
    "Memory for encodings of images, which group metrics use again.",
    lower_bound=0.0,
)


class Outcome(NamedTuple):
    """What is printed, and what is written as JSON."""

    grids: list[Grid]
    content: dict[str, Any]


def main(argv: Sequence[str]) -> None:
    del argv
    settings = check_flags()
    if FLAGS.ablation:
        outcome = evaluate_ablation(settings)
    elif FLAGS.dataset == ALL:
        outcome = evaluate_benchmarks(settings)
    else:
        outcome = evaluate_data_set(settings)
    content = json.dumps(outcome.content, indent=2, allow_nan=False)
    print(content if FLAGS.table == "json" else draw(outcome.grids, FLAGS.table))
    if FLAGS.out:
        files.write_whole(Path(FLAGS.out), f"{content}\n".encode())


def check_flags() -> benchmark.Settings:
    """Checks the flags before anything takes long; returns the settings of the evaluation."""
    if FLAGS.dataset is None:
        raise UserError("--dataset is missing; see --help")
    if FLAGS.ablation:
        alone = (
            "checkpoint",
            "unmodulated_checkpoint",
            "save_masks",
            "report",
            "refine",
            "measures",
        )
        for name in alone:
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
        FLAGS.group_metrics,
    )


def evaluate_data_set(settings: benchmark.Settings) -> Outcome:
    """Evaluates one data set: its classes, the paper's table for it, group-dependence metrics."""
    source = load_data_set()
    listeners = callbacks(source, settings)
    result = score_all({source.name: source}, {source.name: listeners}, settings)[source.name]
    grids, content = measured({source.name: listeners})
    return Outcome([*contents.report(result), *grids], as_json(result) | content)


def evaluate_benchmarks(settings: benchmark.Settings) -> Outcome:
    """Evaluates the data sets of the paper's tables 1 to 4 that are in the data directory."""
    sources, missing = benchmark.find_benchmarks(FLAGS.data_dir)
    listeners = {name: callbacks(source, settings, name) for name, source in sources.items()}
    results = score_all(sources, listeners, settings)
    measures, content_of_measures = measured(listeners)
    grids = [*contents.benchmarks(list(results.values()), missing), *measures]
    found = {name: as_json(result) for name, result in results.items()}
    content = {"results": found, "missing": missing, "tables": [records(grid) for grid in grids]}
    return Outcome(grids, content | content_of_measures)


def measured(listeners: dict[str, list[OnImage]]) -> tuple[list[Grid], dict[str, Any]]:
    """The table and the JSON of --measures; nothing without it."""
    scores = {
        name: listener.scores()
        for name, each in listeners.items()
        for listener in each
        if isinstance(listener, SaliencyMeasures)
    }
    if not scores:
        return [], {}
    by_name = {name: found._asdict() for name, found in scores.items()}
    return [contents.saliency(scores)], {"measures": by_name}


def evaluate_ablation(settings: benchmark.Settings) -> Outcome:
    """Evaluates the four networks of the paper's table 5, which configs/ablation.py trains."""
    exports = ablation.find_exports(Path(FLAGS.ablation))
    results = benchmark.score_variants(exports, load_data_set(), settings)
    grid = contents.ablation(results, ablation.differing_fields(exports))
    found = {name: as_json(result) for name, result in results.items()}
    return Outcome([grid], {"results": found, "tables": [records(grid)]})


def load_data_set() -> Source:
    """The data set that the flags name, restricted to the categories that they name."""
    source = load_source(FLAGS.dataset, split_of(FLAGS.dataset), FLAGS.data_dir)
    if not FLAGS.categories:
        return source
    return only_categories(source, held_out_categories() or FLAGS.categories)


def held_out_categories() -> Sequence[str]:
    """The categories that the checkpoint was trained without, if --categories asks for them."""
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
    """The split that the flags name; if none, the last split of the data set."""
    splits = SOURCES[dataset].splits if dataset in SOURCES else ("",)
    return FLAGS.split or splits[-1]


def callbacks(source: Source, settings: benchmark.Settings, folder: str = "") -> list[OnImage]:
    """What is called for every scored image: it writes the files that the flags ask for."""
    groups = partitions(source, settings.grouping)[0]
    found: list[OnImage] = []
    if FLAGS.save_masks:
        masks = Path(FLAGS.save_masks) / folder
        saved_masks.check_mask_paths(masks, source, groups, force=FLAGS.force)
        found.append(saved_masks.mask_writer(masks))
    if FLAGS.measures:
        found.append(SaliencyMeasures())
    if FLAGS.report:
        found.append(Report(Path(FLAGS.report) / folder, source, groups, force=FLAGS.force))
    return found


def score_all(
    sources: dict[str, Source],
    listeners: dict[str, list[OnImage]],
    settings: benchmark.Settings,
) -> dict[str, Result]:
    """Scores the checkpoint, and the one without modulators if there is one, on data sets.

    A report is written as soon as its data set is scored.
    """
    network = benchmark.load_network(
        FLAGS.checkpoint,
        cache_gigabytes=FLAGS.cache_gigabytes,
        mode=FLAGS.mode,
        refine="" if FLAGS.refine == "none" else FLAGS.refine,
        sam_weights=FLAGS.sam_weights,
    )
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
