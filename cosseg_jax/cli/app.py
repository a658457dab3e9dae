"""`cosseg app`: a web page on this machine, for people with a folder of photographs."""

import argparse

from cosseg_jax.cli import options as shared

HOST, PORT = "127.0.0.1", 8765
EXTRA = ("starlette", "uvicorn", "anyio")


def add_to(commands: shared.Subparsers) -> None:
    """Adds the subcommand."""
    parser = commands.add_parser(
        "app",
        help="open a web page to segment photographs with",
        description="Serves a web page to segment groups of photographs with. Photographs stay on "
        "this machine, in memory.",
    )
    parser.add_argument(
        "--host", default=HOST, help="address to listen at; 0.0.0.0 opens it to the network"
    )
    parser.add_argument("--port", type=int, default=PORT, help="0: any free one, which is printed")
    shared.add_checkpoint_option(parser)
    parser.add_argument("--max-photos", type=int, help="in a group")
    parser.add_argument("--max-megabytes", type=float, help="of one photograph's file")
    parser.add_argument("--max-total-megabytes", type=float, help="of a group's files")
    parser.add_argument("--max-megapixels", type=float, help="of one photograph")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Serves until it is interrupted. Raises ImportError where the extra is missing."""
    try:
        from cosseg_jax.web.limits import MEGA, Limits
        from cosseg_jax.web.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise ImportError(
            f"the web page needs {error.name}, which is not installed; "
            "pip install 'cosseg_jax[app]'"
        ) from error
    given = dict(
        photos=arguments.max_photos,
        file_bytes=arguments.max_megabytes and int(arguments.max_megabytes * MEGA),
        session_bytes=arguments.max_total_megabytes and int(arguments.max_total_megabytes * MEGA),
        pixels=arguments.max_megapixels and int(arguments.max_megapixels * MEGA),
    )
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    serve(arguments.host, arguments.port, arguments.checkpoint, limits)
