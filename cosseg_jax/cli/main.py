"""The command line `cosseg`, put together of its subcommands.

Exit codes: 0 success, 2 wrong input (one line on stderr), 130 interrupted; a fault of the program
keeps its traceback and exits with 1. Nothing heavy is imported before a subcommand needs it.
"""

import argparse
import io
import sys
from collections.abc import Sequence

from cosseg_jax.cli import app, export, info, segment, show
from cosseg_jax.cli.options import Parser
from cosseg_jax.errors import is_user_error, message_of

COMMANDS = (segment, show, app, export, info)
INTERRUPTED = 130

DESCRIPTION = "Segments the object that a group of photographs shares."
EXAMPLES = """\
examples:
  cosseg segment holiday/ --out found      masks, cut-outs and overlays of a folder of photographs
  cosseg show holiday/ --out sheet.png     a sheet to look at what the network sees in them
  cosseg app                               a web page on this machine to do it with
  cosseg info                              versions, devices and the network in use

`cosseg COMMAND --help` explains a command. Exit codes: 0 success, 2 wrong input, 1 a fault of the
program, 130 interrupted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; `argv` is without the program's name, by default sys.argv's.

    Returns the exit code. Raises SystemExit after --help and for a malformed command line, and
    whatever is a fault of the program.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file may have a name that cannot be printed
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = make_parser().parse_args(argv)
        options.run(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if not is_user_error(error):
            raise
        print(f"error: {message_of(error)}", file=sys.stderr)
        return 2
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of every subcommand; the parsed options hold its function as `run`."""
    parser = Parser("cosseg", description=DESCRIPTION, epilog=EXAMPLES)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser
