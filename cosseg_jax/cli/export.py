"""`cosseg export`: a trained network as one file, for use without this package."""

import argparse
from pathlib import Path

from cosseg_jax.cli import options as shared

FORMATS = ("stablehlo", "onnx")
ANY = "any"


def add_to(commands: shared.Subparsers) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "export",
        help="write a network as one file, for use without this package",
        description="Writes a trained network, weights included, as one file that JAX alone "
        "(StableHLO) or an ONNX run time can call. docs/export.md shows how.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="to write")
    parser.add_argument("--format", choices=FORMATS, required=True)
    shared.add_checkpoint_option(parser)
    parser.add_argument(
        "--group_size",
        type=_group_size,
        default=ANY,
        metavar="N",
        help='photographs in a group, or "any" (the default)',
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the file, whole or not at all.

    Raises UserError if it exists already, ImportError where the extra is missing, and what
    `exports.load_exported` raises.
    """
    from cosseg_jax.files import check_writable, write_whole

    check_writable(arguments.file, force=arguments.force)
    from cosseg_jax.predict.exported import load_exported

    config, variables = load_exported(arguments.checkpoint)
    if arguments.format == "stablehlo":
        from cosseg_jax.export.stablehlo import stablehlo as encode
    else:
        from cosseg_jax.export.onnx_file import onnx_file as encode
    group_size = None if arguments.group_size == ANY else arguments.group_size
    content = encode(config, variables, group_size)
    write_whole(arguments.file, content)
    print(f"{arguments.file}: {len(content) / 1e6:.1f} MB, groups of {arguments.group_size}")


def _group_size(text: str) -> int | str:
    if text == ANY:
        return ANY
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {ANY!r} nor a number from 1 on")
    return int(text)
