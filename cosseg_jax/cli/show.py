"""cosseg show: a sheet to look at what the network sees in photographs."""

import argparse
from pathlib import Path

from cosseg_jax.cli import options as shared
from cosseg_jax.cli.inputs import Group, check_apart, one_group, with_prompted

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
WIDEST = 3.0  # of a tile, as width by height

DESCRIPTION = """\
Draws a contact sheet. Every photograph is a column of four tiles: the photograph; the spatial
prior, red where the network expects the object and blue where it does not; the probability of each
pixel, white for certain; and the mask in green over the photograph.
"""
EXAMPLES = """\
examples:
  cosseg show holiday/ --out sheet.png
  cosseg show a.jpg b.jpg c.jpg --out sheet.jpg --side 240 --columns 3
"""


def add_to(commands: shared.Subparsers) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "show",
        help="draw a sheet of photographs, priors, probabilities and masks",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    shared.add_photo_arguments(parser)
    parser.add_argument(
        "--out", type=_picture, required=True, metavar="FILE", help=f"{', '.join(SUFFIXES)}"
    )
    parser.add_argument(
        "--columns",
        type=shared.positive,
        default=8,
        metavar="N",
        help="photographs beside each other, at most (default: %(default)s)",
    )
    parser.add_argument(
        "--side",
        type=shared.positive,
        default=160,
        metavar="PIXELS",
        help="height of a tile (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    shared.add_network_options(parser)
    shared.add_prompt_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Draws the sheet; raises UserError, OSError or ValueError for wrong input."""
    shared.check_prompt_options(options)
    group, marked = one_group(options.photos), None
    if options.prompt is not None:
        group, marked = with_prompted(group, options.prompt)
    check_apart(group.photos, [options.out])
    _draw(group, options, marked)


def _draw(group: Group, options: argparse.Namespace, marked: Path | None) -> None:
    from cosseg_jax import drawing, files
    from cosseg_jax.cli import batch, network, outputs
    from cosseg_jax.data.images import read_image

    files.check_writable(options.out, force=options.force)
    predictor = network.load_network(options)
    photos, _ = batch.check(group.photos)
    batch.check_any(photos)
    prompt = batch.prompt_of(options, photos, marked)
    result = network.segment(predictor, [photo.path for photo in photos], options, prompt=prompt)
    columns = []
    for photo, found in zip(photos, result.photos, strict=True):
        size = (options.side, _tile_width(options.side, photo.height, photo.width))
        image = drawing.resized(read_image(photo.path, found.name).image, size)
        mask = drawing.resized_mask(found.mask_at(options.threshold), size)
        row = drawing.Row(image, found.prior, found.map, mask)
        columns.append(drawing.tiles_of(row, size))
    sheet = drawing.wrapped(columns, options.columns)
    file_format = {".jpg": "JPEG", ".jpeg": "JPEG"}.get(options.out.suffix.casefold())
    file_format = file_format or options.out.suffix[1:].upper()
    files.write_whole(options.out, outputs.encoded(sheet, file_format))
    print(f"{len(photos)} photographs drawn in {options.out}")


def _tile_width(side: int, height: int, width: int) -> int:
    """A photograph's own proportions, but for the very wide and the very high."""
    return max(1, round(side * min(max(width / height, 1 / WIDEST), WIDEST)))


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.casefold() not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {', '.join(SUFFIXES)}")
    return path
