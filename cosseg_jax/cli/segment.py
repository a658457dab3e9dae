"""`cosseg segment`: masks, cut-outs, overlays and COCO's JSON of what photos share."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosseg_jax.cli import options as shared
from cosseg_jax.cli.inputs import PhotoGroup, check_apart, group_of, groups_in
from cosseg_jax.cli.looks import add_looks_options
from cosseg_jax.cli.prompts import PhotoPrompt, add_prompt_options, prompts_of
from cosseg_jax.errors import UserError, one_line

if TYPE_CHECKING:  # what is heavy is imported when the input is checked
    from cosseg_jax.cli.network import Segmented

FILE_KINDS = ("masks", "labels", "cutouts", "overlays", "json")
SHOWN_CATEGORIES = 3
WIDEST_NAME = 50  # characters; a longer one shifts its own line alone


def _run_segment(options: argparse.Namespace) -> None:
    if options.groups:
        if prompts_of(options):
            raise UserError("--prompt does not go with --groups; segment its group on its own")
        if options.recursive:
            raise UserError("--recursive does not go with --groups, whose subfolders are groups")
        _segment_groups(groups_in(options.photos, options.out), options)
    else:
        group, prompts = group_of(options)
        _segment_groups([group], options, prompts)


def _segment_groups(
    groups: Sequence[PhotoGroup],
    options: argparse.Namespace,
    prompts: Sequence[PhotoPrompt] = (),
) -> None:
    """Segments groups, writes their files, and prints a summary."""
    from cosseg_jax.cli import network
    from cosseg_jax.cli.group_files import GroupFiles
    from cosseg_jax.files import check_all_writable

    files = GroupFiles(groups, options, options.kinds or _default_kinds(options))
    check_apart([photo for group in groups for photo in group.photos], files.planned)
    check_all_writable(files.planned, "files", force=options.force)
    predictor = network.load_predictor(options, cold=not options.groups)
    found = []
    for number, group in enumerate(groups):
        found.append(network.segment_group(predictor, group, prompts))
        if found[-1].result is not None:
            files.add(number, found[-1].photos, found[-1].result)
    if all(each.result is None for each in found):
        network.no_photo_was_read()
    files.finish()
    summaries = [
        _summary(group, folder, each, said)
        for group, folder, each, said in zip(groups, files.folders, found, files.said, strict=True)
    ]
    if options.json:
        print(json.dumps({"groups": summaries}, indent=2))
    else:
        print("\n\n".join(_table(summary) for summary in summaries))


def _default_kinds(options: argparse.Namespace) -> tuple[str, ...]:
    """All kinds; label maps where there are several classes."""
    return tuple(kind for kind in FILE_KINDS if options.groups or kind != "labels")


def _summary(
    group: PhotoGroup, folder: Path, found: "Segmented", said: Mapping[Path, dict[str, Any]]
) -> dict[str, Any]:
    from cosseg_jax.predict.result import rounded

    return {
        "name": group.name,
        "out": str(folder),
        "categories": {} if found.result is None else found.result.categories,
        "confidence": None if found.result is None else rounded(found.result.confidence),
        "photos": [said[photo] for photo in found.photos],
        "skipped": [{"photo": str(path), "reason": reason} for path, reason in found.skipped],
    }


def _table(summary: dict[str, Any]) -> str:
    """A group's summary for people."""
    names = [one_line(photo["name"]) for photo in summary["photos"]]
    width = min(max(len(name) for name in [*names, "photo"]), WIDEST_NAME)
    lines = [f"{'photo':{width}}  presence  pixels"]
    lines += [
        f"{name:{width}}  {photo['presence']:8.2f}  {100 * photo['share']:5.1f}%"
        for name, photo in zip(names, summary["photos"], strict=True)
    ]
    title = f"{summary['name']}: " if summary["name"] else ""
    counted = "1 photo" if len(names) == 1 else f"{len(names)} photos"
    lines.append(f"{title}{counted}, written to {summary['out']}")
    if summary["skipped"]:
        lines.append(f"left out, since they cannot be read: {len(summary['skipped'])}")
    if summary["categories"]:
        lines.append(_verdict(summary["categories"], summary["confidence"]))
    return "\n".join(lines)


def _verdict(categories: Mapping[str, float], confidence: float | None) -> str:
    """What the photos probably share, and how far to trust their masks if that is known."""
    from cosseg_jax.predict.result import is_doubtful, likely

    shared = ", ".join(
        f"{name} {100 * p:.0f}%" for name, p in likely(categories)[:SHOWN_CATEGORIES]
    )
    doubtful = is_doubtful(confidence)
    if shared:
        said = f"categories of the training set that they most probably share: {shared}"
    elif doubtful:
        said = "they do not look like any category of the training set"
    else:
        said = "they share no category of the training set that the network is sure of"
    if confidence is None:
        return said
    if doubtful:
        return f"{said}; check the masks (confidence {confidence:.2f})"
    return f"{said}; confidence in the masks: {confidence:.2f}"


def _add_segment_options(parser: argparse.ArgumentParser) -> None:
    shared.add_photos(parser)
    shared.add_output_options(parser, FILE_KINDS, default="all, but labels only with --groups")
    parser.set_defaults(kinds=None)
    parser.add_argument(
        "--groups",
        action="store_true",
        help="PHOTOS are folders whose subfolders are groups, a class each, whose files are "
        "written to DIR/<subfolder>",
    )
    add_looks_options(parser)
    shared.add_network_options(parser)
    add_prompt_options(parser)


SEGMENT = shared.Command(
    name="segment",
    summary="segment the object that photos share, and write masks",
    description="""\
Segments the object that the photos share, and writes into DIR, each at its photo's own size:

  masks/<name>.png      the mask, 0 and 255
  cutouts/<name>.png    the object on a transparent ground
  overlays/<name>.jpg   the photo with its mask in green
  labels/<name>.png     with --groups: which group's object it is, 0 none, 1 the first, in colours
  segmentation.json     all masks in COCO's format, and how probable it is that the object is there

A file in a folder that cannot be read is left out with a warning; one whose own path was given is
an error. Nothing is overwritten without --force.
""",
    examples="""\
examples:
  cosseg segment holiday/ --out found
  cosseg segment a.jpg b.jpg c.jpg --out found --kinds masks,json
  cosseg segment animals/ --groups --out found         animals/cats, animals/dogs: a group each
  cosseg segment animals/ --groups --out found --annotations yolo,cvat
  cosseg segment holiday/ --out found --prompt a.jpg --point 320,240
  cosseg segment holiday/ --out found --prompt a.jpg --point 320,240 --negative 90,60 \\
      --prompt b.jpg --box 20,30,200,180 --prompt c.jpg --absent
  cosseg segment holiday/ --out found --prompts prompts.json
  cosseg segment holiday/ --out found --json > summary.json
""",
    add_options=_add_segment_options,
    run=_run_segment,
)
