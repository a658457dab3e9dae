"""`cosseg app`: a web page on this machine, for people with a folder of photos."""

import argparse

from cosseg_jax.cli import options as shared
from cosseg_jax.errors import MissingPackageError

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
EXTRA_PACKAGES = ("starlette", "uvicorn", "anyio", "python_multipart")  # of the extra `app`


def _run_app(options: argparse.Namespace) -> None:
    """Serves until it is interrupted."""
    try:
        from cosseg_jax.web.limits import MEGA, Limits
        from cosseg_jax.web.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA_PACKAGES:
            raise
        raise MissingPackageError(
            f"the web page needs {error.name}, which is not installed; "
            "pip install 'cosseg_jax[app]'"
        ) from error
    in_mega = {
        "file_bytes": options.max_megabytes,
        "session_bytes": options.max_total_megabytes,
        "pixels": options.max_megapixels,
    }
    given = {name: int(value * MEGA) for name, value in in_mega.items() if value is not None}
    if options.max_photos is not None:
        given["photos"] = options.max_photos
    serve(
        options.host,
        options.port,
        options.checkpoint,
        Limits(**given),
        options.allow_host,
        mode=options.mode,
        sam_weights=options.sam_weights,
        **shared.refine_option(options),
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def _add_app_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        default=DEFAULT_HOST,
        help="address to listen at; 0.0.0.0 opens the page to the network (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="0: any free one, which is printed (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further host name in the page's address, as of a container; may be repeated",
    )
    shared.add_checkpoint_option(parser)
    shared.add_mode_options(parser)
    number = shared.positive_number
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-photos", type=shared.positive_integer, metavar="N", help="photos in a group"
    )
    limits.add_argument("--max-megabytes", type=number, metavar="N", help="of one photo's file")
    limits.add_argument(
        "--max-total-megabytes", type=number, metavar="N", help="of all files of a group"
    )
    limits.add_argument("--max-megapixels", type=number, metavar="N", help="of one photo")


APP = shared.Command(
    name="app",
    summary="open a web page to segment photos with",
    description="Serves a web page to segment groups of photos with. Photos stay on this machine, "
    "in memory.",
    examples="""\
examples:
  cosseg app
  cosseg app --port 0 --max-photos 100
  cosseg app --mode open --sam-weights mobile_sam.pt
""",
    add_options=_add_app_options,
    run=_run_app,
)
