"""The command line `cosseg`, which its subcommands make up.

Exit codes: 0 success, 2 wrong input (one line on stderr), 130 interrupted. A bug keeps its
traceback and exits with 1. Nothing heavy is imported before a subcommand needs it.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn

from cosseg_jax import program
from cosseg_jax.cli.app import APP
from cosseg_jax.cli.apply import APPLY
from cosseg_jax.cli.convert import CONVERT
from cosseg_jax.cli.export import EXPORT
from cosseg_jax.cli.info import INFO
from cosseg_jax.cli.learn import LEARN
from cosseg_jax.cli.options import Parser
from cosseg_jax.cli.segment import SEGMENT
from cosseg_jax.cli.show import SHOW

COMMANDS = (SEGMENT, SHOW, LEARN, APPLY, APP, EXPORT, CONVERT, INFO)
HELP_EXAMPLES = """\
examples:
  cosseg segment holiday/ --out found      masks, cut-outs and overlays of a folder of photos
  cosseg show holiday/ --out sheet.png     a sheet that shows what the network sees in them
  cosseg learn holiday/ --out dog.concept  keep what they share; find it in other photos by
  cosseg apply dog.concept more/ --out found
  cosseg app                               a web page on this machine to do it with
  cosseg info                              versions, devices and the network in use

`cosseg COMMAND --help` explains a command. Exit codes: 0 success, 2 wrong input, 1 a bug, 130
interrupted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns the exit code.

    argv: without the program's name; by default that of this process.
    Raises SystemExit after --help and for a malformed command line, and whatever is a bug.
    """
    if argv is None:
        program.exit_on_interrupt()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file may have a name that cannot be printed
        sys.stdout.reconfigure(errors="backslashreplace")
    options = make_parser().parse_args(argv)

    def command() -> None:
        program.keep_compilations()
        options.run(options)

    return program.exit_code_of(command)


def make_parser() -> argparse.ArgumentParser:
    """The parser of every subcommand; parsed options hold the command's function as `run`."""
    parser = Parser(
        "cosseg",
        description="Segments the object that a group of photos shares.",
        epilog=HELP_EXAMPLES,
    )
    parser.add_argument(
        "--version", action=_PrintVersion, nargs=0, help="print the version and exit"
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.description,
            epilog=command.examples,
        )
        command.add_options(subparser)
        subparser.set_defaults(run=command.run)
    return parser


class _PrintVersion(argparse.Action):
    """Looks the version up when it is asked for; argparse's own action takes it beforehand."""

    def __call__(self, *_: Any) -> NoReturn:
        print(f"cosseg {version('cosseg-jax')}")
        raise SystemExit(0)
