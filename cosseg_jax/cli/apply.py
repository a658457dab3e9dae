"""`cosseg apply`: finds concepts in any number of photos, one after the other.

DIR/photos.jsonl is the run's record: a first line that says what is done, then a line for each
photo that is done. A run that was killed goes on behind its last line. Memory does not grow with
the number of photos: what the record holds is read again, line by line, for segmentation.json.
"""

import argparse
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosseg_jax.cli import options as shared
from cosseg_jax.cli.inputs import ListedPhoto, check_apart, one_group
from cosseg_jax.cli.learn import CONCEPT_SUFFIX
from cosseg_jax.cli.looks import add_looks_options
from cosseg_jax.cli.watch import Arrivals, check_folders, watch
from cosseg_jax.errors import UserError

if TYPE_CHECKING:  # what is heavy is imported when the input is checked
    from cosseg_jax.cli.apply_run import ApplyRun
    from cosseg_jax.predict.predictor import Predictor

APPLIED_KINDS = ("masks", "labels", "cutouts", "overlays", "json")


def _run_apply(options: argparse.Namespace) -> None:
    concepts = [path for path in options.arguments if path.suffix == CONCEPT_SUFFIX]
    photos = [path for path in options.arguments if path.suffix != CONCEPT_SUFFIX]
    if not concepts or not photos:
        missing = "photos" if concepts else f"a concept, a file that ends in {CONCEPT_SUFFIX}"
        raise UserError(f"{missing} to apply is not given; see cosseg apply --help")
    if options.watch:
        check_folders(photos)
        listed: Sequence[ListedPhoto] = ()
    else:
        listed = one_group(photos, options.recursive, options.out).photos
    from cosseg_jax.cli import network
    from cosseg_jax.cli.apply_run import ApplyRun
    from cosseg_jax.files import check_all_writable
    from cosseg_jax.predict.concept import check_network, joined, load_concept

    concept = joined([load_concept(path) for path in concepts])
    run = ApplyRun(concept, options)
    planned = run.destination(listed).files
    check_apart(listed, planned)
    if not options.resume:
        check_all_writable([*planned, run.record.path], "files", force=options.force)
    predictor = network.load_predictor(options)
    check_network(concept, predictor.network.digest)
    if not options.resume:
        run.record.begin()
    if options.watch:
        _watch(run, predictor, photos, options)
    else:
        run.add(predictor, [photo for photo in listed if not run.is_done(photo.path)])
    summary = run.finish()
    print(json.dumps(summary, indent=2) if options.json else _table(summary, options.out))


def _watch(
    run: "ApplyRun", predictor: "Predictor", folders: Sequence[Path], options: argparse.Namespace
) -> None:
    from cosseg_jax.files import check_all_writable

    arrivals = Arrivals(folders, options.recursive, options.out, run.is_found)

    def add(photos: Sequence[ListedPhoto], stop: threading.Event) -> None:
        of_all = set(run.destination([]).files)  # they exist once they were written
        planned = [file for file in run.destination(photos).files if file not in of_all]
        check_apart(photos, planned)
        check_all_writable(planned, "files", force=options.force or options.resume)
        run.add(predictor, photos, stop)

    watch(arrivals, add, run.finish)


def _table(summary: dict[str, Any], out: Path) -> str:
    found = ", ".join(f"{name} in {count}" for name, count in summary["found"].items())
    lines = [f"{summary['photos']} photos, written to {out}: {found}"]
    if summary["skipped"]:
        lines.append(f"left out, since they cannot be read: {summary['skipped']}")
    return "\n".join(lines)


def _add_apply_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arguments",
        nargs="+",
        type=shared.path,
        metavar="CONCEPT... PHOTOS",
        help="concepts, files that end in .concept; then photos and folders of photos",
    )
    shared.add_output_options(parser, APPLIED_KINDS)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with a run that was stopped; photos that are done are not read again",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="wait for new photos in the folders, and do each when it is whole; Ctrl-C ends it",
    )
    shared.add_recursive_option(parser)
    add_looks_options(parser)
    shared.add_network_options(parser)


APPLY = shared.Command(
    name="apply",
    summary="find a concept in photos, each by itself",
    description="""\
Finds what cosseg learn has learnt in any number of photos, each by itself, and writes into DIR,
each at its photo's own size:

  masks/<name>.png      where any of the concepts is, 0 and 255
  labels/<name>.png     which one: 0 none, 1 the first, in colours
  cutouts/<name>.png    what was found on a transparent ground
  overlays/<name>.jpg   the photo with the mask in green
  segmentation.json     COCO's format, a category for each concept
  photos.jsonl          a line for each photo: how probable each concept is in it, and its score
""",
    examples="""\
examples:
  cosseg apply teapot.concept photos/ --out found
  cosseg apply teapot.concept cup.concept photos/ --out found --kinds labels,json
  cosseg apply teapot.concept cup.concept photos/ --out found --annotations yolo,label-studio
  cosseg apply teapot.concept photos/ --out found --resume
  cosseg apply teapot.concept incoming/ --out found --watch --resume
""",
    add_options=_add_apply_options,
    run=_run_apply,
)
