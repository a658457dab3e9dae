"""Evaluates a checkpoint: python evaluate.py --dataset pascal --data_dir DIR --checkpoint DIR

Prints P and J of every class beside the paper's own; --out writes them as JSON, --save_masks writes
every mask. The progress bar goes to stderr, the figures to stdout. Wrong input exits with status 2.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from absl import flags

from cosseg_jax import cli, group_figures, mask_files, metrics, tables
from cosseg_jax.checkpoints import load_exported
from cosseg_jax.data.partition import EvalGroup, fives
from cosseg_jax.data.source import Source
from cosseg_jax.data.sources import SOURCES, load_source
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation import Evaluation, OnImage, ScoredImage, evaluate
from cosseg_jax.predict import make_predictor

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, f"One of: {', '.join(SOURCES)}.")
flags.DEFINE_string("data_dir", None, "Folder of the data sets. Default: $COSSEG_DATA_DIR.")
flags.DEFINE_string("split", None, "Default: the one that the data set is evaluated on.")
flags.DEFINE_string("checkpoint", None, "Folder that train.py --export wrote.")
flags.DEFINE_string("out", None, "JSON file for the figures.")
flags.DEFINE_string("save_masks", None, "Folder for the masks: <class>/<photograph>.png, 0 or 255.")
flags.DEFINE_bool("force", False, "Overwrite the files of --out and --save_masks.")
flags.DEFINE_integer("groups_per_batch", 4, "Groups that the network sees at once.", lower_bound=1)
flags.DEFINE_list("also", [], "Protocols beside original and ssnm: ufo, pooled.")
flags.DEFINE_enum("table", "terminal", list(tables.STYLES), "How the tables are drawn.")
flags.DEFINE_bool("group_figures", False, "Also foreign_* and gain_alone: about 3 times the time.")
flags.DEFINE_string("unmodulated_checkpoint", None, "Same, modulators off: gain_unmodulated.")


def main(argv: Sequence[str]) -> None:
    del argv
    check_flags()
    dataset, split = FLAGS.dataset, FLAGS.split or last_split(FLAGS.dataset)
    source = load_source(dataset, split, FLAGS.data_dir)
    groups = fives(source)
    run = runner(FLAGS.checkpoint, source)
    unmodulated = FLAGS.unmodulated_checkpoint and runner(FLAGS.unmodulated_checkpoint, source)
    if FLAGS.save_masks:
        folder = Path(FLAGS.save_masks)
        mask_files.check_mask_paths(folder, source, groups, force=FLAGS.force)
    shared = group_figures.SharedImages()

    def on_image(image: ScoredImage) -> None:
        shared(image)
        if FLAGS.save_masks:
            path = mask_files.mask_path(Path(FLAGS.save_masks), image.category, image.example.name)
            mask_files.save_mask(path, image.probability > metrics.THRESHOLD)

    evaluation = run(groups, on_image, "evaluate")
    print(tables.report(evaluation, dataset, FLAGS.table))
    figures = shared.result()
    if FLAGS.group_figures:
        figures = group_figures.with_more_passes(figures, run, source, groups, evaluation)
    if unmodulated:
        without = unmodulated(groups, None, "unmodulated")
        figures = figures._replace(gain_unmodulated=group_figures.gain(evaluation, without))
    print(tables.group_report(figures, FLAGS.table))
    if FLAGS.out:
        results = tables.as_json(evaluation, figures, dataset, FLAGS.checkpoint)
        content = json.dumps(results, indent=2, allow_nan=False)
        mask_files.write_whole(Path(FLAGS.out), f"{content}\n".encode())


def check_flags() -> None:
    """Finds what is wrong on the command line before anything takes long."""
    for name in ("dataset", "checkpoint"):
        if getattr(FLAGS, name) is None:
            raise UserError(f"--{name} is missing; see evaluate.py --help")
    for name in FLAGS.also:
        metrics.protocol_named(name)
    if FLAGS.out:
        mask_files.check_writable(Path(FLAGS.out), force=FLAGS.force)


def last_split(dataset: str) -> str:
    """The split that a data set is evaluated on: its last."""
    return SOURCES[dataset].splits[-1] if dataset in SOURCES else ""


def runner(checkpoint: str, source: Source) -> group_figures.Run:
    """Restores a network; the result evaluates it on groups of the data set."""
    config, variables = load_exported(checkpoint)
    predict = make_predictor(config, variables)

    def run(groups: Sequence[EvalGroup], on_image: OnImage | None, label: str) -> Evaluation:
        return evaluate(
            predict,
            source,
            groups,
            image_size=cast(int, config.image_size),
            groups_per_batch=FLAGS.groups_per_batch,
            protocols=tuple(dict.fromkeys(("original", "ssnm", *FLAGS.also))),
            on_image=on_image,
            progress=label,
        )

    return run


if __name__ == "__main__":
    cli.run(main)
