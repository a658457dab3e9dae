"""The server behind `cosseg app`: one page, and what its script asks for.

    GET    /                                      the page; its files below /static/
    GET    /examples/<category>.png               the first picture of a built-in group
    POST   /api/sessions                          a new session: {"id"}
    GET    /api/sessions/<id>                     photographs, progress and figures
    DELETE /api/sessions/<id>
    POST   /api/sessions/<id>/photos?name=        a file as it is; {"number", "name", ...}
    POST   /api/sessions/<id>/examples/<category> adds a built-in group
    GET    /api/sessions/<id>/photos/<number>     a JPEG to be shown
    POST   /api/sessions/<id>/segment             {"left_out", "mark"}, as in marks.py
    GET    /api/sessions/<id>/maps/<version>      probabilities as bytes, 0..255: [N, S, S]
    GET    /api/sessions/<id>/archive?threshold=  masks and cut-outs as a zip

Errors are {"error": a sentence for the user}. All is kept in memory; nothing is written to disk.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import jinja2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cosseg_jax.errors import UserError
from cosseg_jax.predict.predictor import load
from cosseg_jax.web.archive import archive
from cosseg_jax.web.examples import EXAMPLES, example, first_picture
from cosseg_jax.web.guard import Guard, is_loopback
from cosseg_jax.web.limits import MEGA, Limits, megabytes
from cosseg_jax.web.prompts import asked_for, mark_as_json, threshold_of
from cosseg_jax.web.sessions import Clock, Full, NoSession, Session, Sessions
from cosseg_jax.web.uploads import accepted_types, keep, named, too_heavy
from cosseg_jax.web.work import WARM_UP, Job, Predict, Worker

DECODERS = 2  # photographs that are decoded or encoded at once
SMALL = 100_000  # bytes of a request without a photograph
SWEEP_S = 60.0
CONNECTIONS = 64
LIKELY = 0.5  # probability from which a category is worth saying
NO_STORE = {"Cache-Control": "no-store"}

_HERE = Path(__file__).parent


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    checkpoint: str | Path | None = None,
    limits: Limits | None = None,
) -> None:
    """Serves the page until it is interrupted; prints its address.

    Args:
        host: "127.0.0.1" for this machine alone, "0.0.0.0" for its network.
        port: 0 for any free one.
        checkpoint: as of `cosseg_jax.load`.
        limits: by default those of `Limits`.

    Raises:
        UserError: where the port cannot be had.
        FileNotFoundError, ValueError: for a bad checkpoint, as `load`.
    """
    listening = pool(host, port)
    with contextlib.closing(listening):
        app = create_app(load(checkpoint), limits or Limits(), host=host, warm_up=True)
        print(f"cosseg app: {address_of(listening, host)} (end it with Ctrl-C)", flush=True)
        if not is_loopback(host):
            print("Everyone in this network can use it.", flush=True)
        config = uvicorn.Config(
            app, log_level="warning", limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=3
        )
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def pool(host: str, port: int) -> socket.socket:
    """A socket bound to host and port. Raises UserError where that cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"cannot listen at port {port} of {host} ({error}); give another --port, 0 for any "
            "free one, or another --host"
        ) from error


def address_of(listening: socket.socket, host: str) -> str:
    """What to open in a browser."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"


def create_app(
    predict: Predict,
    limits: Limits,
    *,
    host: str = "127.0.0.1",
    clock: Clock = time.monotonic,
    warm_up: bool = False,
) -> Starlette:
    """The server as an ASGI application.

    Args:
        predict: a `Predictor`, or what is called like one.
        host: that it is bound to, by which requests of other sites are told.
        clock: seconds, for the age of sessions.
        warm_up: segment a built-in group first, so that the network is compiled for five.
    """
    worker = Worker(predict)
    api = _Api(limits, worker, Sessions(limits, worker, clock))
    if warm_up:
        worker.put(_warming_job(limits))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep_now_and_then(api.sessions))
        yield
        sweeping.cancel()
        worker.close()

    one = "/api/sessions/{id}"
    return Starlette(
        routes=[
            Route("/", api.page),
            Route("/examples/{category}.png", api.example_picture),
            Route("/api/sessions", api.create, methods=["POST"]),
            Route(one, api.state, methods=["GET"]),
            Route(one, api.delete, methods=["DELETE"]),
            Route(f"{one}/photos", api.add_photo, methods=["POST"]),
            Route(f"{one}/examples/{{category}}", api.add_example, methods=["POST"]),
            Route(f"{one}/photos/{{number:int}}", api.photo),
            Route(f"{one}/segment", api.segment, methods=["POST"]),
            Route(f"{one}/maps/{{version:int}}", api.maps),
            Route(f"{one}/archive", api.archive),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ],
        middleware=[Middleware(Guard, host=host)],  # type: ignore[arg-type]
        exception_handlers={
            HTTPException: _answer_of(lambda error: (error.status_code, error.detail)),
            UserError: _answer_of(lambda error: (400, str(error))),
            NoSession: _answer_of(lambda _: (404, _dropped(limits))),
            Full: _answer_of(lambda _: (503, _full(limits))),
            ClientDisconnect: _answer_of(lambda _: (400, "the request broke off")),
        },
        lifespan=lifespan,
    )


class _Api:
    """The handlers of the routes."""

    def __init__(self, limits: Limits, worker: Worker, sessions: Sessions):
        self.limits, self.worker, self.sessions = limits, worker, sessions
        self._decoders = anyio.CapacityLimiter(DECODERS)
        self._page = _page(limits)

    async def page(self, request: Request) -> Response:
        return HTMLResponse(self._page, headers={"Cache-Control": "no-cache"})

    async def example_picture(self, request: Request) -> Response:
        content = await self._in_thread(first_picture, request.path_params["category"])
        return Response(content, media_type="image/png")

    async def create(self, request: Request) -> Response:
        return JSONResponse({"id": self.sessions.new().id}, 201, NO_STORE)

    async def delete(self, request: Request) -> Response:
        self.sessions.drop(request.path_params["id"])
        return Response(status_code=204)

    async def state(self, request: Request) -> Response:
        return self._state(self._session(request))

    async def add_photo(self, request: Request) -> Response:
        session = self._session(request)
        given = request.query_params.get("name") or "photograph"
        async with session.uploading:
            session.check_room(given)
            heavy = too_heavy(given, self.limits)
            content = await _body(request, self.limits.file_bytes, heavy)
            session.check_room(given, len(content))
            kept = await self._in_thread(keep, content, given, self.limits)
            number = session.add(kept._replace(name=named(given, _names(session))))
        self.sessions.get(session.id)  # a slow upload is a use
        return JSONResponse(_photo_as_json(session, number), 201, NO_STORE)

    async def add_example(self, request: Request) -> Response:
        session = self._session(request)
        pictures = await self._in_thread(example, request.path_params["category"])
        numbers = []
        async with session.uploading:
            for given, content in pictures.items():
                kept = await self._in_thread(keep, content, given, self.limits)
                numbers.append(session.add(kept._replace(name=named(given, _names(session)))))
        photos = [_photo_as_json(session, number) for number in numbers]
        return JSONResponse({"photos": photos}, 201, NO_STORE)

    async def photo(self, request: Request) -> Response:
        session, number = self._session(request), request.path_params["number"]
        if number >= len(session.photos):
            raise HTTPException(404, f"this group has no photograph {number}")
        age = {"Cache-Control": f"private, max-age={self.limits.idle_s:.0f}"}
        return Response(session.photos[number].preview, media_type="image/jpeg", headers=age)

    async def segment(self, request: Request) -> Response:
        session = self._session(request)
        body = await _body(request, SMALL, f"the request has more than {SMALL} bytes")
        session.ask(self.worker, *asked_for(body, session))
        return self._state(session, 202)

    async def maps(self, request: Request) -> Response:
        job = self._session(request).finished
        if job is None or job.result is None or job.version != request.path_params["version"]:
            raise HTTPException(404, "there are no maps of this version, or no longer")
        maps = np.stack([photo.map for photo in job.result.photos])  # [N, S, S]
        content = np.rint(255 * np.clip(maps, 0, 1)).astype(np.uint8).tobytes()
        return Response(content, media_type="application/octet-stream", headers=NO_STORE)

    async def archive(self, request: Request) -> Response:
        job = self._session(request).finished
        if job is None:
            raise HTTPException(409, "there are no masks yet; wait until the group is segmented")
        threshold = threshold_of(request.query_params.get("threshold", "0.5"))
        name = {"Content-Disposition": 'attachment; filename="cosseg.zip"'}
        parts = archive(job, threshold)
        return StreamingResponse(parts, media_type="application/zip", headers=NO_STORE | name)

    def _session(self, request: Request) -> Session:
        return self.sessions.get(request.path_params["id"])

    def _state(self, session: Session, status: int = 200) -> Response:
        photos = [_photo_as_json(session, number) for number in range(len(session.photos))]
        job, finished = session.job, session.finished
        state = dict(
            photos=photos,
            job=job and _job_as_json(job, self.worker, len(session.photos)),
            result=finished and _result_as_json(finished),
        )
        return JSONResponse(state, status, NO_STORE)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._decoders)


async def _body(request: Request, most: int, message: str) -> bytes:
    """The request's body. Raises HTTPException as soon as it has more than `most` bytes."""
    content = bytearray()
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        raise HTTPException(413, message)
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise HTTPException(413, message)
    return bytes(content)


def _photo_as_json(session: Session, number: int) -> dict[str, Any]:
    photo = session.photos[number]
    return dict(number=number, name=photo.name, width=photo.width, height=photo.height)


def _job_as_json(job: Job, worker: Worker, photos: int) -> dict[str, Any]:
    return dict(
        version=job.version,
        stage=job.stage,
        ahead=worker.ahead_of(job) if job.stage == "waiting" else 0,
        starting=worker.is_warming_up(),
        done=job.done,
        of=len(job.photos),
        message=job.message,
        left_out=sorted(set(range(photos)) - set(job.numbers)),
        mark=mark_as_json(job.mark),
    )


def _result_as_json(job: Job) -> dict[str, Any]:
    assert job.result is not None
    likely = [(name, share) for name, share in job.result.categories.items() if share > LIKELY]
    category = max(likely, key=lambda pair: pair[1], default=None)
    return dict(
        version=job.version,
        side=len(job.result.photos[0].map),
        numbers=job.numbers,
        presence=[round(photo.presence, 4) for photo in job.result.photos],
        category=category and dict(name=category[0], probability=round(category[1], 4)),
    )


def _names(session: Session) -> set[str]:
    return {photo.name for photo in session.photos}


def _warming_job(limits: Limits) -> Job:
    pictures = example(next(iter(EXAMPLES)))
    photos = tuple(keep(content, name, limits) for name, content in pictures.items())
    return Job(WARM_UP, photos, tuple(range(len(photos))))


async def _sweep_now_and_then(sessions: Sessions) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        sessions.sweep()


def _answer_of(status_and_message: Callable[[Any], tuple[int, str]]) -> Callable[..., Response]:
    def answer(request: Request, error: Exception) -> Response:
        status, message = status_and_message(error)
        return JSONResponse({"error": message}, status, NO_STORE)

    return answer


def _dropped(limits: Limits) -> str:
    minutes = limits.idle_s / 60
    return f"The server no longer has this group (kept for {minutes:.0f} minutes without use)."


def _full(limits: Limits) -> str:
    return f"All {limits.sessions} places are in use; try again in a few minutes."


def _page(limits: Limits) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        limits=limits,
        file_size=megabytes(limits.file_bytes),
        group_size=megabytes(limits.session_bytes),
        megapixels=f"{limits.pixels / MEGA:.3g}",
        minutes=f"{limits.idle_s / 60:.0f}",
        accept=accepted_types(),
        examples=EXAMPLES,
    )
