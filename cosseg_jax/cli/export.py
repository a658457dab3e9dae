"""`cosseg export`: a trained network as one file, for use without this package."""

import argparse

from cosseg_jax.cli import options as shared

EXPORT_FORMATS = ("stablehlo", "onnx")
ANY_SIZE = "any"


def _run_export(options: argparse.Namespace) -> None:
    """Writes the file, whole or not at all."""
    from cosseg_jax.files import check_writable, write_whole

    check_writable(options.file, force=options.force)
    from cosseg_jax.predict.exported import load_exported

    config, variables = load_exported(options.checkpoint)
    if options.format == "stablehlo":
        from cosseg_jax.export.stablehlo import stablehlo as encode
    else:
        from cosseg_jax.export.onnx_file import onnx_file as encode
    group_size = None if options.group_size == ANY_SIZE else options.group_size
    content = encode(config, variables, group_size)
    write_whole(options.file, content)
    print(f"{options.file}: {len(content) / 1e6:.1f} MB, groups of {options.group_size}")


def _group_size(text: str) -> int | str:
    try:
        return ANY_SIZE if text == ANY_SIZE else shared.positive_integer(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor {ANY_SIZE!r}") from error


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=shared.path, metavar="FILE", help="to write")
    parser.add_argument("--format", choices=EXPORT_FORMATS, required=True)
    shared.add_checkpoint_option(parser)
    parser.add_argument(
        "--group_size",
        type=_group_size,
        default=ANY_SIZE,
        metavar="N",
        help='photos in a group, or "any" (the default)',
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


EXPORT = shared.Command(
    name="export",
    summary="write a network as one file, for use without this package",
    description="Writes a trained network, weights included, as one file that JAX alone "
    "(StableHLO) or an ONNX run time can call. docs/export.md shows how.",
    examples="""\
examples:
  cosseg export network.stablehlo --format stablehlo
  cosseg export network.onnx --format onnx --group_size 5 --checkpoint DIR
""",
    add_options=_add_export_options,
    run=_run_export,
)
