"""`cosseg export`: a trained network as one file, for this package or for use without it."""

import argparse
from typing import Any

from cosseg_jax.cli import options as shared
from cosseg_jax.errors import UserError

EXPORT_FORMATS = ("safetensors", "stablehlo", "onnx")
ANY_SIZE = "any"


def _run_export(options: argparse.Namespace) -> None:
    """Writes the file, whole or not at all."""
    from cosseg_jax.files import check_writable, write_whole

    _check_options(options)
    check_writable(options.file, force=options.force)
    from cosseg_jax.predict.exported import load_exported

    config, variables = load_exported(options.checkpoint)
    content = _encoded(options, config, variables)
    write_whole(options.file, content)
    print(f"{options.file}: {len(content) / 1e6:.1f} MB, groups of {options.group_size}")


def _check_options(options: argparse.Namespace) -> None:
    single = options.format == "safetensors"
    if single and options.group_size != ANY_SIZE:
        raise UserError(
            "--group_size does not go with --format safetensors, whose network takes "
            "groups of any size"
        )
    if single and options.file.suffix != ".safetensors":
        raise UserError(f"{options.file} must end in .safetensors, by which it is read again")
    if options.half and not single:
        raise UserError(f"--half goes with --format safetensors, not with {options.format}")


def _encoded(options: argparse.Namespace, config: Any, variables: Any) -> bytes:
    if options.format == "safetensors":
        from cosseg_jax.predict.exported import as_single_file

        return as_single_file(config, variables, half=options.half)
    if options.format == "stablehlo":
        from cosseg_jax.export.stablehlo import stablehlo as encode
    else:
        from cosseg_jax.export.onnx_file import onnx_file as encode
    group_size = None if options.group_size == ANY_SIZE else options.group_size
    try:
        return encode(config, variables, group_size)
    except NotImplementedError as error:
        raise UserError(f"{error}; use --format stablehlo for this network") from error


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
    parser.add_argument(
        "--half",
        action="store_true",
        help="with safetensors: kernels in half precision, which takes half the room",
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


EXPORT = shared.Command(
    name="export",
    summary="write a network as one file, for this package or for use without it",
    description="Writes a trained network, weights included, as one file: as safetensors, which "
    "--checkpoint and cosseg_jax.load() take, or as a function that JAX alone (StableHLO) or an "
    "ONNX run time can call. docs/export.md shows how.",
    examples="""\
examples:
  cosseg export network.safetensors --format safetensors --half
  cosseg export network.stablehlo --format stablehlo
  cosseg export network.onnx --format onnx --group_size 5 --checkpoint DIR
""",
    add_options=_add_export_options,
    run=_run_export,
)
