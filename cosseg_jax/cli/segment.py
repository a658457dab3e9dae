"""cosseg segment: masks, cut-outs, overlays and COCO's JSON of what photographs share."""

import argparse
from pathlib import Path

from cosseg_jax.cli import options as shared
from cosseg_jax.cli.inputs import groups_in, one_group, with_prompted
from cosseg_jax.errors import UserError

KINDS = ("masks", "cutouts", "overlays", "json")

DESCRIPTION = """\
Segments the object that the photographs share, and writes into DIR, each at its photograph's size:

  masks/<name>.png      the mask, 0 and 255
  cutouts/<name>.png    the object on a transparent ground
  overlays/<name>.jpg   the photograph with its mask in green
  segmentation.json     all masks in COCO's format, and how probable it is that the object is there

A file in a folder that does not decode is left out with a warning; one that is named itself is an
error. Nothing is overwritten without --force.
"""
EXAMPLES = """\
examples:
  cosseg segment holiday/ --out found
  cosseg segment a.jpg b.jpg c.jpg --out found --kinds masks,json
  cosseg segment animals/ --groups --out found         animals/cats, animals/dogs: a group each
  cosseg segment holiday/ --out found --prompt a.jpg --point 320,240
  cosseg segment holiday/ --out found --json > summary.json
"""


def add_to(commands: shared.Subparsers) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "segment",
        help="segment what photographs share, and write masks",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    shared.add_photo_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--kinds",
        type=_kinds,
        default=KINDS,
        metavar="KINDS",
        help=f"what to write, with commas between: {','.join(KINDS)} (default: all)",
    )
    parser.add_argument(
        "--groups",
        action="store_true",
        help="PHOTOS are folders whose subfolders are groups, each written to DIR/<subfolder>",
    )
    parser.add_argument("--force", action="store_true", help="overwrite files in DIR")
    parser.add_argument(
        "--json", action="store_true", help="print the summary as JSON, and nothing else to stdout"
    )
    shared.add_network_options(parser)
    shared.add_prompt_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Segments as the options say.

    Raises UserError, OSError or ValueError for wrong input, nearly always before the network runs.
    """
    shared.check_prompt_options(options)
    if options.groups and options.prompt is not None:
        raise UserError("--prompt does not go with --groups; segment the group that it is in alone")
    marked = None
    if options.groups:
        groups = groups_in(options.photos, options.out)
    else:
        group = one_group(options.photos)
        if options.prompt is not None:
            group, marked = with_prompted(group, options.prompt)
        groups = [group]
    from cosseg_jax.cli import batch

    batch.segment_groups(groups, options, marked)


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        found = f"{unknown[0]!r} is no kind of file" if unknown else "no kind of file is named"
        raise argparse.ArgumentTypeError(f"{found}; choose among {', '.join(KINDS)}")
    return kinds
