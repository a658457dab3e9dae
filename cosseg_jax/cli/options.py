"""What a subcommand is, and the options that subcommands share; imports nothing heavy."""

import argparse
import functools
import math
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

DEFAULT_THRESHOLD = 0.5
DEFAULT_CHUNK = 5
REFINEMENTS = ("guided", "sam", "none")
ANNOTATION_FORMATS = ("coco-polygons", "yolo", "label-studio", "cvat", "voc")


class Command(NamedTuple):
    """A subcommand of `cosseg`.

    summary: its line in `cosseg --help`.
    description, examples: what its own help says before and after the options.
    add_options: adds its options to a parser.
    run: does the work for parsed options; raises UserError or OSError for wrong input.
    """

    name: str
    summary: str
    description: str
    examples: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and whose help keeps its line breaks."""

    def __init__(self, *arguments: Any, **settings: Any):
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(*arguments, **settings)

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def add_photos(parser: argparse.ArgumentParser) -> None:
    """Adds the photos."""
    parser.add_argument(
        "photos",
        nargs="+",
        type=path,
        metavar="PHOTOS",
        help="files, and folders whose image files are taken in the order of their names",
    )
    add_recursive_option(parser)


def add_recursive_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option that searches folders in folders."""
    parser.add_argument(
        "--recursive", action="store_true", help="search the folders in folders as well"
    )


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose the network and how it is run."""
    group = parser.add_argument_group("network")
    add_checkpoint_option(group)
    group.add_argument(
        "--threshold",
        type=probability,
        default=DEFAULT_THRESHOLD,
        metavar="P",
        help="a pixel belongs to the object if its probability, 0..1, exceeds P (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--chunk",
        type=positive_integer,
        default=DEFAULT_CHUNK,
        metavar="N",
        help="how many photos the network sees at once; fewer need less memory and give the same "
        "result (default: %(default)s)",
    )
    add_mode_options(group)


def add_mode_options(parser: argparse._ActionsContainer) -> None:
    """Adds the options that say how masks are found and refined."""
    parser.add_argument(
        "--mode",
        choices=("network", "open"),
        default="network",
        help="network: the trained network; open: objects of any category, chosen among the "
        "segments that MobileSAM proposes (default: %(default)s)",
    )
    parser.add_argument(
        "--refine",
        choices=REFINEMENTS,
        help="guided: move the edges of masks to those of the photos; sam: let MobileSAM redraw "
        "each part of a mask; none (default: as the network's config says)",
    )
    parser.add_argument(
        "--sam-weights",
        type=path,
        metavar="FILE",
        help="MobileSAM's weights, mobile_sam.pt (default: they are downloaded once, for --mode "
        "open and --refine sam)",
    )


def refine_option(options: argparse.Namespace) -> dict[str, str]:
    """The keyword argument of `cosseg_jax.load` that --refine stands for, if it was given."""
    if options.refine is None:
        return {}
    return {"refine": "" if options.refine == "none" else options.refine}


def add_output_options(
    parser: argparse.ArgumentParser, known: Sequence[str], default: str = "all"
) -> None:
    """Adds the options that say what is written for each photo, and where.

    known: the kinds of files to choose from. default: which ones are written without --kinds;
        parsed options then hold `known`.
    """
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--kinds",
        type=functools.partial(kinds, known=known),
        default=tuple(known),
        metavar="KINDS",
        help=f"what to write, with commas between: {','.join(known)} (default: {default})",
    )
    parser.add_argument(
        "--instances",
        action="store_true",
        help="in segmentation.json, an annotation for each connected part of a mask",
    )
    parser.add_argument(
        "--annotations",
        type=functools.partial(kinds, known=ANNOTATION_FORMATS, what="format of annotations"),
        default=(),
        metavar="FORMATS",
        help="also write the masks into DIR/annotations for other tools, with commas between: "
        f"{','.join(ANNOTATION_FORMATS)}",
    )
    parser.add_argument("--force", action="store_true", help="overwrite files in DIR")
    parser.add_argument(
        "--json", action="store_true", help="print the summary as JSON, and nothing else to stdout"
    )


def add_checkpoint_option(parser: argparse._ActionsContainer) -> None:
    """Adds the option that chooses the network."""
    parser.add_argument(
        "--checkpoint",
        "--network",
        type=path,
        metavar="DIR",
        help="an exported network, a folder or a .safetensors file; or a backbone that was trained "
        "without masks, such as dinov3-small, for objects of any category (default: the network "
        "that comes with the package)",
    )


def kinds(text: str, known: Collection[str], what: str = "kind of file") -> tuple[str, ...]:
    """Some of the known kinds, with commas between them; `what` names them in the error."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [kind for kind in found if kind not in known]
    if unknown or not found:
        said = f"{unknown[0]!r} is no {what}" if unknown else f"no {what} is named"
        raise argparse.ArgumentTypeError(f"{said}; choose among {', '.join(known)}")
    return found


def path(text: str) -> Path:
    """A path, which is neither empty nor holds a character that no path can hold."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a path")
    return Path(text)


def probability(text: str) -> float:
    """A number from 0 to 1."""
    (number,) = numbers(text, "one number from 0 to 1", 1)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return number


def positive_integer(text: str) -> int:
    """A whole number, 1 or more."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def positive_number(text: str) -> float:
    """A finite number above 0."""
    (number,) = numbers(text, "a number above 0", 1)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above 0")
    return number


def numbers(text: str, expected: str, count: int) -> tuple[float, ...]:
    """`count` numbers with commas between them; `expected` describes them in the error."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count:
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return found
