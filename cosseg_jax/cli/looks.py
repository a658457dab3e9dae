"""The options of how masks and cut-outs look; imports nothing heavy."""

import argparse
from typing import NamedTuple

BACKGROUNDS = ("transparent", "blur")


class Looks(NamedTuple):
    """How masks and cut-outs look.

    keep_largest: only the largest connected part of a mask is kept.
    fill_holes: what a mask surrounds belongs to it.
    crop: a cut-out has the size of its object instead of the photo's.
    background: of cut-outs: one of BACKGROUNDS, or a colour as Pillow names it.
    """

    keep_largest: bool = False
    fill_holes: bool = False
    crop: bool = False
    background: str = "transparent"


PLAIN = Looks()


def add_looks_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options; `looks_of` reads them."""
    group = parser.add_argument_group("masks and cut-outs")
    group.add_argument(
        "--keep-largest", action="store_true", help="keep the largest part of each mask alone"
    )
    group.add_argument(
        "--fill-holes", action="store_true", help="what a mask surrounds belongs to it"
    )
    group.add_argument(
        "--crop", action="store_true", help="cut-outs have the size of the object, not the photo's"
    )
    group.add_argument(
        "--background",
        type=_background,
        default=BACKGROUNDS[0],
        metavar="COLOUR",
        help="of cut-outs: transparent, blur (the photo itself, blurred), or a colour, like white "
        "or #20c040 (default: %(default)s)",
    )


def looks_of(options: argparse.Namespace) -> Looks:
    """The options as they were parsed."""
    return Looks(options.keep_largest, options.fill_holes, options.crop, options.background)


def _background(text: str) -> str:
    from PIL import ImageColor

    if text in BACKGROUNDS:
        return text
    try:
        ImageColor.getrgb(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no background; give transparent, blur, or a colour like white or #20c040"
        ) from error
    return text
