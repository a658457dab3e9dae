"""Parsers and options that subcommands share; imports nothing heavy."""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from cosseg_jax.errors import UserError

DEFAULT_THRESHOLD = 0.5
DEFAULT_CHUNK = 5

Subparsers = Any  # argparse has no public name for it


class Parser(argparse.ArgumentParser):
    """One whose errors are a single line, and whose help keeps its line breaks."""

    def __init__(self, *arguments: Any, **settings: Any):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(*arguments, **settings)

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Adds what chooses the network and how it is run."""
    group = parser.add_argument_group("network")
    add_checkpoint_option(group)
    group.add_argument(
        "--threshold",
        type=share,
        default=DEFAULT_THRESHOLD,
        metavar="P",
        help="probability above which a pixel is of the object, 0..1 (default: %(default)s)",
    )
    group.add_argument(
        "--chunk",
        type=positive,
        default=DEFAULT_CHUNK,
        metavar="N",
        help="photographs that the network sees at once; less memory with fewer, the same result "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--refine",
        action=argparse.BooleanOptionalAction,
        help="draw the masks' edges to those of the photographs (default: as in the network's "
        "recipe)",
    )


def add_checkpoint_option(parser: argparse._ActionsContainer) -> None:
    """Adds the choice of the network alone."""
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="an exported network (default: the one that comes with the package)",
    )


def share(text: str) -> float:
    """A number from 0 to 1."""
    (number,) = numbers(text, "one number from 0 to 1", 1)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return number


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def numbers(text: str, expected: str, count: int) -> tuple[float, ...]:
    """`count` numbers with commas between them."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count:
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return found


def add_photo_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the photographs."""
    parser.add_argument(
        "photos",
        nargs="+",
        type=Path,
        metavar="PHOTOS",
        help="files, and folders: of a folder its image files in the order of their names",
    )


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Adds the user's mark in one of the photographs."""
    group = parser.add_argument_group("to mark the object in one photograph")
    group.add_argument(
        "--prompt",
        type=Path,
        metavar="IMAGE",
        help="the photograph that is marked; it joins the group if it is not in it",
    )
    marks = group.add_mutually_exclusive_group()
    marks.add_argument(
        "--point", type=_point, metavar="X,Y", help="a pixel on the object, from the upper left"
    )
    marks.add_argument("--box", type=_box, metavar="L,T,R,B", help="a box around the object")
    marks.add_argument(
        "--mask", type=Path, metavar="FILE", help="an image, bright on the object, dark elsewhere"
    )


def check_prompt_options(options: argparse.Namespace) -> None:
    """Raises UserError for a mark without its photograph, or the other way round."""
    marks = ("point", "box", "mask")
    marked = any(getattr(options, mark) is not None for mark in marks)
    if options.prompt is not None and not marked:
        raise UserError(f"--prompt {options.prompt} needs a mark: --point, --box or --mask")
    if options.prompt is None and marked:
        raise UserError("a mark needs --prompt IMAGE, the photograph that it is in")


def _point(text: str) -> tuple[float, ...]:
    return numbers(text, "a point X,Y in pixels, like 120,80", 2)


def _box(text: str) -> tuple[float, ...]:
    return numbers(text, "a box LEFT,TOP,RIGHT,BOTTOM in pixels, like 20,10,200,160", 4)
