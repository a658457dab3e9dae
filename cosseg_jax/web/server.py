"""The server behind `cosseg app`: one page, and what its script asks for.

    GET    /                                      the page; its files below /static/
    GET    /examples/<group>.png                  the first image of a built-in group
    POST   /api/sessions                          a new session: {"id"}
    GET    /api/sessions/<id>                     photos, progress and results
    DELETE /api/sessions/<id>
    POST   /api/sessions/<id>/leave               the page was closed; it may come back soon
    POST   /api/sessions/<id>/photos?name=        an encoded file; {"number", "name", ...}
    POST   /api/sessions/<id>/examples/<group>    adds a built-in group
    GET    /api/sessions/<id>/photos/<number>     a JPEG to be shown
    POST   /api/sessions/<id>/segment             {"left_out", "prompts"}, as in prompts.py
    GET    /api/sessions/<id>/maps/<version>      probabilities as bytes, 0..255: [N, S, S]
    GET    /api/sessions/<id>/archive/<version>?threshold=  masks and cut-outs as a zip file

Programs use /v1, see v1.py. Errors are {"error": a sentence for the user}. Everything is kept in
memory; nothing is written to disk.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cosseg_jax.errors import UserError
from cosseg_jax.predict.predictor import load
from cosseg_jax.web.api import NO_STORE, Decode
from cosseg_jax.web.connections import BoundedProtocol
from cosseg_jax.web.decoding import DecodingPool
from cosseg_jax.web.examples import EXAMPLE_GROUPS, example_files
from cosseg_jax.web.faults import FaultBarrier
from cosseg_jax.web.guard import Guard, checked_host_name, is_loopback
from cosseg_jax.web.limits import Limits
from cosseg_jax.web.sessions import Clock, NoSession, ServerFull, UserSessions
from cosseg_jax.web.uploads import read_upload
from cosseg_jax.web.v1 import V1Api
from cosseg_jax.web.work import WARM_UP, GroupJob, Worker

SWEEP_S = 5.0
RETRY_S = 10  # after which a client may try again when the server is full
STATIC = Path(__file__).parent / "static"


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    checkpoint: str | Path | None = None,
    limits: Limits | None = None,
    allow_hosts: Collection[str] = (),
    **options: Any,
) -> None:
    """Serves the page until it is interrupted; prints its address.

    Args:
        host: "127.0.0.1" for this machine alone, "0.0.0.0" for its network.
        port: 0 for any free one.
        checkpoint: as for `cosseg_jax.load`.
        limits: by default those of `Limits`.
        allow_hosts: further host names under which browsers reach the page.
        options: further ones of `cosseg_jax.load`.

    Raises:
        UserError: where the port cannot be had, or for a bad checkpoint or host name.
    """
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(contextlib.closing(listen(host, port)))
        decode = stack.enter_context(contextlib.closing(DecodingPool()))
        decode.start()
        app = create_app(
            load(checkpoint, **options),
            limits or Limits(),
            decode,
            host=host,
            allow_hosts=allow_hosts,
            warm_up=True,
        )
        print(f"cosseg app: {address_of(listening, host)} (end it with Ctrl-C)", flush=True)
        if not is_loopback(host):
            print("Everyone in this network can use it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(server_config(app)).run(sockets=[listening])


def server_config(app: Starlette, log_level: str = "warning") -> uvicorn.Config:
    """How Uvicorn serves the page."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        log_level=log_level,
        timeout_graceful_shutdown=3,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to host and port. Raises UserError where that cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        raise UserError(
            f"cannot listen at port {port} of {host} ({error}); give another --port, 0 for any "
            "free one, or another --host"
        ) from error


def address_of(listening: socket.socket, host: str) -> str:
    """What to open in a browser."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"


def create_app(
    predictor: Any,
    limits: Limits,
    decode: Decode,
    *,
    host: str = "127.0.0.1",
    allow_hosts: Collection[str] = (),
    clock: Clock = time.monotonic,
    warm_up: bool = False,
) -> Starlette:
    """The server as an ASGI application.

    Args:
        predictor: a `Predictor`.
        decode: reads uploaded files, as `uploads.read_upload`.
        host: the address it is bound to, which tells its own requests from other sites'.
        allow_hosts: further host names under which browsers reach it.
        clock: seconds, for the age of sessions.
        warm_up: whether a built-in group is segmented first, so that the network is compiled.

    Raises UserError for a bad host name.
    """
    allowed = frozenset(map(checked_host_name, allow_hosts))
    worker = Worker(predictor)
    sessions = UserSessions(limits, worker, clock)
    if warm_up:
        worker.put(_warm_up_job(limits))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep_regularly(sessions))
        yield
        sweeping.cancel()
        worker.close()

    return Starlette(
        routes=_routes(V1Api(limits, worker, sessions, decode)),
        middleware=[
            Middleware(Guard, host=host, allowed=allowed),  # type: ignore[arg-type]
            Middleware(FaultBarrier),  # type: ignore[arg-type]
        ],
        exception_handlers={
            HTTPException: _answer_of(lambda error: (error.status_code, error.detail)),
            UserError: _answer_of(lambda error: (400, str(error))),
            NoSession: _answer_of(lambda _: (404, _dropped(limits))),
            ServerFull: _answer_of(lambda _: (503, "The server is full; try again soon.")),
            ClientDisconnect: _answer_of(lambda _: (400, "the request broke off")),
        },
        lifespan=lifespan,
    )


def _routes(api: V1Api) -> list[Route | Mount]:
    one = "/api/sessions/{id}"
    return [
        Route("/", api.page),
        Route("/examples/{group}.png", api.example_image),
        Route("/api/sessions", api.create, methods=["POST"]),
        Route(one, api.state, methods=["GET"]),
        Route(one, api.delete, methods=["DELETE"]),
        Route(f"{one}/leave", api.leave, methods=["POST"]),
        Route(f"{one}/photos", api.add_photo, methods=["POST"]),
        Route(f"{one}/examples/{{group}}", api.add_example, methods=["POST"]),
        Route(f"{one}/photos/{{number}}", api.photo),
        Route(f"{one}/segment", api.segment, methods=["POST"]),
        Route(f"{one}/maps/{{version}}", api.maps),
        Route(f"{one}/archive/{{version}}", api.archive),
        Route("/v1/openapi.json", api.v1_document),
        Route("/v1/segment", api.v1_segment, methods=["POST"]),
        Route("/v1/concepts", api.v1_concepts, methods=["POST"]),
        Route("/v1/apply", api.v1_apply, methods=["POST"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


def _warm_up_job(limits: Limits) -> GroupJob:
    files = example_files(next(iter(EXAMPLE_GROUPS)))
    images = tuple(read_upload(content, name, limits) for name, content in files.items())
    return GroupJob(WARM_UP, images, tuple(range(len(images))))


async def _sweep_regularly(sessions: UserSessions) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        sessions.sweep()


def _answer_of(status_and_message: Callable[[Any], tuple[int, str]]) -> Callable[..., Response]:
    def answer(request: Request, error: Exception) -> Response:
        status, message = status_and_message(error)
        retry = {"Retry-After": str(RETRY_S)} if status == 503 else {}
        return JSONResponse({"error": message}, status, NO_STORE | retry)

    return answer


def _dropped(limits: Limits) -> str:
    minutes = limits.idle_s / 60
    return f"The server no longer has this group (kept for {minutes:.0f} minutes without use)."
