"""What a subcommand is, and the options that subcommands share; imports nothing heavy."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from cosseg_jax.errors import UserError

DEFAULT_THRESHOLD = 0.5
DEFAULT_CHUNK = 5
PROMPTS = ("point", "box", "mask")
REFINEMENTS = ("guided", "sam", "none")


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


class Once(argparse.Action):
    """Stores a value and refuses a second one, where argparse would keep the last in silence."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        if getattr(namespace, self.dest) is not None:
            raise argparse.ArgumentError(self, "given twice; a group takes one prompt")
        setattr(namespace, self.dest, values)


def add_photos(parser: argparse.ArgumentParser) -> None:
    """Adds the photos."""
    parser.add_argument(
        "photos",
        nargs="+",
        type=path,
        metavar="PHOTOS",
        help="files, and folders whose image files are taken in the order of their names",
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
    group.add_argument(
        "--refine",
        choices=REFINEMENTS,
        help="guided: move the edges of masks to those of the photos; sam: let MobileSAM redraw "
        "each part of a mask; none (default: as the network's config says)",
    )
    group.add_argument(
        "--sam-weights",
        type=path,
        metavar="FILE",
        help="MobileSAM's weights, mobile_sam.pt (default: --refine sam downloads them once)",
    )


def add_checkpoint_option(parser: argparse._ActionsContainer) -> None:
    """Adds the option that chooses the network."""
    parser.add_argument(
        "--checkpoint",
        type=path,
        metavar="DIR",
        help="an exported network, a folder or a .safetensors file (default: the one that comes "
        "with the package)",
    )


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a prompt."""
    group = parser.add_argument_group("prompt: shows the object in one photo, for the whole group")
    group.add_argument(
        "--prompt",
        type=path,
        action=Once,
        metavar="PHOTO",
        help="the photo with the prompt; it joins the group if it is not in it",
    )
    prompts = group.add_mutually_exclusive_group()
    prompts.add_argument(
        "--point",
        type=_point,
        action=Once,
        metavar="X,Y",
        help="a pixel on the object, counted from the upper left corner",
    )
    prompts.add_argument(
        "--box", type=_box, action=Once, metavar="L,T,R,B", help="a box around the object"
    )
    prompts.add_argument(
        "--mask",
        type=path,
        action=Once,
        metavar="FILE",
        help="a mask of the object as an image: bright on the object and dark elsewhere, or "
        "transparent elsewhere",
    )


def check_prompt_options(options: argparse.Namespace) -> None:
    """Raises UserError for a prompt without its photo, and for a photo without a prompt."""
    given = any(getattr(options, kind) is not None for kind in PROMPTS)
    if options.prompt is not None and not given:
        raise UserError(f"--prompt {options.prompt} needs one of --point, --box and --mask")
    if options.prompt is None and given:
        raise UserError("--point, --box and --mask need --prompt PHOTO, the photo that they are in")


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


def _point(text: str) -> tuple[float, ...]:
    return numbers(text, "a point X,Y in pixels, like 120,80", 2)


def _box(text: str) -> tuple[float, ...]:
    return numbers(text, "a box LEFT,TOP,RIGHT,BOTTOM in pixels, like 20,10,200,160", 4)
