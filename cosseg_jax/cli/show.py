"""`cosseg show`: a sheet that shows what the network sees in photos."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cosseg_jax.cli import options as shared
from cosseg_jax.cli.inputs import check_apart, group_of
from cosseg_jax.cli.prompts import add_prompt_options

if TYPE_CHECKING:  # what is heavy is imported when the input is checked
    from jaxtyping import UInt8

    from cosseg_jax.predict.result import ImageResult
    from cosseg_jax.types import Ndarray

SHEET_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
WIDEST_TILE = 3.0  # width by height


def _run_show(options: argparse.Namespace) -> None:
    group, prompts = group_of(options)
    check_apart(group.photos, [options.out])
    from cosseg_jax import files
    from cosseg_jax.cli import network, outputs
    from cosseg_jax.predict.drawing import wrapped

    files.check_writable(options.out, force=options.force)
    predictor = network.load_predictor(options)
    result = network.segment_group(predictor, group, prompts).result
    if result is None:
        network.no_photo_was_read()
    columns = [_column(image, options.side, options.threshold) for image in result.images]
    file_format = SHEET_FORMATS[options.out.suffix.casefold()]
    content = outputs.encode_image(wrapped(columns, options.columns), file_format)
    files.write_whole(options.out, content)
    print(f"{len(columns)} photos drawn in {options.out}")


def _column(image: "ImageResult", side: int, threshold: float) -> 'UInt8[Ndarray, "H W 3"]':
    """The tiles of one photo, whose proportions they have unless it is very wide or high."""
    import dataclasses

    from cosseg_jax.data.images import reopenable
    from cosseg_jax.data.resizing import resized, resized_mask
    from cosseg_jax.predict.drawing import Row, tiles_of

    pixels = image.image
    image = dataclasses.replace(image, source=reopenable(pixels, image.name))  # read once
    proportion = min(max(image.width / image.height, 1 / WIDEST_TILE), WIDEST_TILE)
    size = (side, max(1, round(side * proportion)))
    mask = resized_mask(image.mask_at(threshold), size)
    small = resized(pixels, size)
    row = Row(small, image.prior, image.probability_map, mask)
    return tiles_of(row, size)


def _sheet(text: str) -> Path:
    path = shared.path(text)
    if path.suffix.casefold() not in SHEET_FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {', '.join(SHEET_FORMATS)}")
    return path


def _add_show_options(parser: argparse.ArgumentParser) -> None:
    shared.add_photos(parser)
    parser.add_argument(
        "--out", type=_sheet, required=True, metavar="FILE", help=", ".join(SHEET_FORMATS)
    )
    parser.add_argument(
        "--columns",
        type=shared.positive_integer,
        default=8,
        metavar="N",
        help="photos beside each other, at most (default: %(default)s)",
    )
    parser.add_argument(
        "--side",
        type=shared.positive_integer,
        default=160,
        metavar="PIXELS",
        help="height of a tile (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    shared.add_network_options(parser)
    add_prompt_options(parser)


SHOW = shared.Command(
    name="show",
    summary="draw a sheet of photos, spatial priors, probabilities and masks",
    description="""\
Draws a contact sheet. Every photo is a column of four tiles: the photo; the spatial prior, red
where the network expects the object and blue where it does not; the probability of each pixel,
white for 1; and the mask in green over the photo.
""",
    examples="""\
examples:
  cosseg show holiday/ --out sheet.png
  cosseg show a.jpg b.jpg c.jpg --out sheet.jpg --side 240 --columns 3
""",
    add_options=_add_show_options,
    run=_run_show,
)
