"""`cosseg convert`: weights that others released as a network of this package."""

import argparse

from cosseg_jax.cli import options as shared
from cosseg_jax.errors import UserError


def _run_convert(options: argparse.Namespace) -> None:
    """Writes the network, whole or not at all, after all of the file was checked."""
    from cosseg_jax.predict.exported import check_export_folder, export

    if not options.file.is_file():
        raise UserError(f"{options.file} is not a file; give the .pth file of the weights")
    check_export_folder(options.out)
    from cosseg_jax.models.pretrained.released_files import released_variables
    from cosseg_jax.models.released.network import GROUP_SIZE, released_config

    config = released_config()
    export(options.out, config, released_variables(options.file))
    print(
        f"{options.out}: the authors' released network, images at {config.image_size} x "
        f"{config.image_size}, groups of {GROUP_SIZE}"
    )


def _add_convert_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("ssnm",), help="whose network: ssnm, the paper's authors'")
    parser.add_argument("file", type=shared.path, metavar="FILE", help="SSNM-Coseg_best.pth")
    parser.add_argument(
        "--out", type=shared.path, required=True, metavar="DIR", help="a new folder to write"
    )


CONVERT = shared.Command(
    name="convert",
    summary="make a network of the weights that the paper's authors released",
    description="Converts the file of weights of the paper's authors (github.com/cj4L/SSNM-Coseg) "
    "to a folder that --checkpoint and cosseg_jax.load() take. No code in the file is run.",
    examples="""\
examples:
  cosseg convert ssnm SSNM-Coseg_best.pth --out ssnm
  cosseg segment PHOTOS --checkpoint ssnm --out found
""",
    add_options=_add_convert_options,
    run=_run_convert,
)
