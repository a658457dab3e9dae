"""`cosseg apply`: finds concepts in any number of photos, one after the other.

DIR/photos.jsonl is the run's record: a first line that says what is done, then a line for each
photo that is done. A run that was killed goes on behind its last line. Memory does not grow with
the number of photos: what the record holds is read again, line by line, for segmentation.json.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cosseg_jax.cli import options as shared
from cosseg_jax.cli.inputs import PhotoGroup, check_apart, one_group
from cosseg_jax.cli.learn import CONCEPT_SUFFIX
from cosseg_jax.cli.looks import add_looks_options, looks_of
from cosseg_jax.errors import UserError, one_line

if TYPE_CHECKING:  # what is heavy is imported when the input is checked
    from cosseg_jax.cli.outputs import Destination
    from cosseg_jax.cli.record import RunRecord
    from cosseg_jax.predict.concept import Concept
    from cosseg_jax.predict.predictor import Predictor

APPLIED_KINDS = ("masks", "labels", "cutouts", "overlays", "json")


def _run_apply(options: argparse.Namespace) -> None:
    concepts = [path for path in options.arguments if path.suffix == CONCEPT_SUFFIX]
    photos = [path for path in options.arguments if path.suffix != CONCEPT_SUFFIX]
    if not concepts or not photos:
        missing = "photos" if concepts else f"a concept, a file that ends in {CONCEPT_SUFFIX}"
        raise UserError(f"{missing} to apply is not given; see cosseg apply --help")
    group = one_group(photos, options.recursive, options.out)
    from cosseg_jax.cli import network, outputs
    from cosseg_jax.cli.record import RunRecord
    from cosseg_jax.files import check_all_writable
    from cosseg_jax.predict.concept import check_network, joined, load_concept

    concept = joined([load_concept(path) for path in concepts])
    paths = [photo.path for photo in group.photos]
    to = outputs.destination_of(options.out, paths, options.kinds, options.annotations)
    check_apart(group.photos, to.files)
    record = RunRecord(options.out, _settings(concept, options))
    done = record.resume() if options.resume else set()
    if not options.resume:
        check_all_writable([*to.files, record.path], "files", force=options.force)
    predictor = network.load_predictor(options)
    check_network(concept, predictor.network.digest)
    if not options.resume:
        record.begin()
    _apply(predictor, concept, group, to, record, done, options)
    summary = _finish(record, to, list(concept.classes), options.threshold)
    print(json.dumps(summary, indent=2) if options.json else _table(summary, to))


def _apply(
    predictor: "Predictor",
    concept: "Concept",
    group: PhotoGroup,
    to: "Destination",
    record: "RunRecord",
    done: set[str],
    options: argparse.Namespace,
) -> None:
    """Writes the files and the line of every photo that is not done."""
    from tqdm import tqdm

    from cosseg_jax.annotations.images import AnnotatedImage, numbers_of
    from cosseg_jax.cli.outputs import write_photo

    paths = [photo.path for photo in group.photos]
    left = [n for n, path in enumerate(paths) if to.stems[path] not in done]

    def leave_out(position: int, reason: str) -> None:
        photo = group.photos[left[position]]
        if photo.explicit:
            raise UserError(f"{one_line(str(photo.path))}: {reason}")
        print(f"warning: left out: {one_line(str(photo.path))}: {reason}", file=sys.stderr)
        record.add({"stem": to.stems[photo.path], "photo": str(photo.path), "skipped": reason})

    results = predictor.apply(
        concept,
        (paths[n] for n in left),
        names=(str(n) for n in left),
        on_unreadable=leave_out,
    )
    for found in tqdm(results, total=len(paths), initial=len(done), unit="photo"):
        path = paths[int(found.name)]
        stem = to.stems[path]
        written = write_photo(
            to.files_of(stem),
            found,
            options.threshold,
            numbers=numbers_of(concept.classes),
            instances=options.instances,
            looks=looks_of(options),
        )
        size = written.height, written.width
        record.add(AnnotatedImage(stem, str(path), *size, written.classes).as_json())


def _finish(
    record: "RunRecord", to: "Destination", classes: Sequence[str], threshold: float
) -> dict[str, Any]:
    """Writes the annotations from the record, line by line; returns what the summary says."""
    from cosseg_jax.annotations.images import AnnotatedImage
    from cosseg_jax.cli.outputs import write_annotations

    def images() -> Iterator[AnnotatedImage]:
        done = (line for line in record.lines() if "classes" in line)
        return map(AnnotatedImage.from_json, done)

    info = {"description": "concepts found by cosseg-jax", "threshold": threshold}
    write_annotations(to, images, classes, info)
    summary: dict[str, Any] = {"photos": 0, "skipped": 0, "found": dict.fromkeys(classes, 0)}
    for line in record.lines():
        summary["skipped" if "skipped" in line else "photos"] += 1
        for name, each in line.get("classes", {}).items():
            summary["found"][name] += bool(each["annotations"])
    return summary


def _settings(concept: "Concept", options: argparse.Namespace) -> dict[str, Any]:
    """What has to be the same for a run to go on."""
    from cosseg_jax.predict.concept import concept_digest

    return {
        "concept": concept_digest(concept),
        "classes": list(concept.classes),
        "threshold": options.threshold,
        "kinds": list(options.kinds),
        "refine": options.refine or "",
        "instances": options.instances,
        "looks": list(looks_of(options)),
    }


def _table(summary: dict[str, Any], to: "Destination") -> str:
    found = ", ".join(f"{name} in {count}" for name, count in summary["found"].items())
    lines = [f"{summary['photos']} photos, written to {to.folder}: {found}"]
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
""",
    add_options=_add_apply_options,
    run=_run_apply,
)
