"""The handlers of the page's requests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio.to_thread
import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.types import Send

from cosseg_jax.predict.result import is_doubtful, likely, rounded
from cosseg_jax.web.archive import archive_pieces
from cosseg_jax.web.examples import example_files, first_example_file
from cosseg_jax.web.limits import Limits
from cosseg_jax.web.page import render_page
from cosseg_jax.web.prompts import number_of, prompts_as_json, segment_request, threshold_of
from cosseg_jax.web.sessions import UserSession, UserSessions
from cosseg_jax.web.uploads import Upload, read_upload, shown_name, too_heavy, unique_name
from cosseg_jax.web.work import GroupJob, Worker

DECODERS = 2  # uploads that are decoded at once
ARCHIVES = 16  # archives that are sent at once; the images of all are encoded one after the other
SMALL_BYTES = 100_000  # of a request without an image
NO_STORE = {"Cache-Control": "no-store"}

Decode = Callable[[bytes, str, Limits], Upload]  # as `uploads.read_upload`


class Api:
    """The handlers; one method for each route of `server`."""

    def __init__(self, limits: Limits, worker: Worker, sessions: UserSessions, decode: Decode):
        self.limits, self.worker, self.sessions = limits, worker, sessions
        self._decode = decode
        self._decoders = anyio.CapacityLimiter(DECODERS)
        self._full_size = anyio.CapacityLimiter(1)  # an image of 60 megapixels takes over 1 GB
        self._archives = asyncio.Semaphore(ARCHIVES)
        self._page = render_page(limits)

    async def page(self, request: Request) -> Response:
        return HTMLResponse(self._page, headers={"Cache-Control": "no-cache"})

    async def example_image(self, request: Request) -> Response:
        content = await self._decoding(first_example_file, request.path_params["group"])
        return Response(content, media_type="image/png")

    async def create(self, request: Request) -> Response:
        return JSONResponse({"id": self.sessions.new().id}, 201, NO_STORE)

    async def delete(self, request: Request) -> Response:
        self.sessions.drop(request.path_params["id"])
        return Response(status_code=204)

    async def leave(self, request: Request) -> Response:
        self.sessions.leave(request.path_params["id"])
        return Response(status_code=204)

    async def state(self, request: Request) -> Response:
        return self._state(self._session(request))

    async def add_photo(self, request: Request) -> Response:
        session = self._session(request)
        given = request.query_params.get("name", "")
        shown = shown_name(given)

        def count(size: int) -> None:
            self.sessions.take(session, size)

        async with session.uploading:
            session.check_room(shown)
            with session.settled_after():
                most, heavy = self.limits.file_bytes, too_heavy(shown, self.limits)
                content = await self._body(request, most, heavy, count)
                session.check_room(shown, len(content))
                upload = await self._decoding(self._decode, content, given, self.limits)
                count(len(upload.preview))
                number = self._add(session, upload, given)
        return JSONResponse(_photo_as_json(session, number), 201, NO_STORE)

    async def add_example(self, request: Request) -> Response:
        session = self._session(request)
        files = await self._decoding(example_files, request.path_params["group"])
        async with session.uploading:
            size = sum(map(len, files.values()))
            session.check_room("the example", size, len(files))
            numbers = []
            with session.settled_after():
                for given, content in files.items():
                    self.sessions.take(session, len(content))
                    upload = await self._decoding(read_upload, content, given, self.limits)
                    numbers.append(self._add(session, upload, given))
        photos = [_photo_as_json(session, number) for number in numbers]
        return JSONResponse({"photos": photos}, 201, NO_STORE)

    async def photo(self, request: Request) -> Response:
        session, number = self._session(request), number_of(request.path_params["number"])
        if number is None or number >= len(session.images):
            raise HTTPException(404, "this group has no such photo")
        age = {"Cache-Control": f"private, max-age={self.limits.idle_s:.0f}"}
        return Response(session.images[number].preview, media_type="image/jpeg", headers=age)

    async def segment(self, request: Request) -> Response:
        session = self._session(request)
        too_long = f"the request has more than {SMALL_BYTES} bytes"
        body = await self._body(request, SMALL_BYTES, too_long)
        images, found_at = list(session.images), session.found_mask
        asked = await self._one_at_a_time(segment_request, body, images, found_at)
        session.ask(self.worker, *asked)
        return self._state(session, 202)

    async def maps(self, request: Request) -> Response:
        job = self._session(request).finished
        if job is None or job.version != number_of(request.path_params["version"]):
            raise HTTPException(409, "there are no masks of this version, or no longer")
        content = await anyio.to_thread.run_sync(_maps_as_bytes, job)
        return Response(content, media_type="application/octet-stream", headers=NO_STORE)

    async def archive(self, request: Request) -> Response:
        session = self._session(request)
        job = session.finished
        if job is None:
            raise HTTPException(409, "there are no masks yet; wait until the group is segmented")
        if job.version != number_of(request.path_params["version"]):
            raise HTTPException(409, "the group has changed; wait until it is segmented again")
        threshold = threshold_of(request.query_params.get("threshold", "0.5"))
        pieces = archive_pieces(job, threshold, self._one_at_a_time)
        return _ArchiveResponse(pieces, session.archiving, self._archives)

    def _session(self, request: Request) -> UserSession:
        return self.sessions.get(request.path_params["id"])

    def _add(self, session: UserSession, upload: Upload, given: str) -> int:
        self.sessions.get(session.id)  # raises if it was dropped meanwhile
        name = unique_name(given, [image.name for image in session.images])
        return session.add(upload._replace(name=name))

    def _state(self, session: UserSession, status: int = 200) -> Response:
        job, finished = session.job, session.finished
        state = dict(
            photos=[_photo_as_json(session, number) for number in range(len(session.images))],
            job=job and _job_as_json(job, self.worker, len(session.images)),
            result=finished and _result_as_json(finished),
        )
        return JSONResponse(state, status, NO_STORE)

    async def _body(
        self,
        request: Request,
        most: int,
        too_long: str,
        count: Callable[[int], None] = lambda size: None,
    ) -> bytes:
        """The request's body, each part of which is counted when it arrives.

        Raises HTTPException when the body is too long, or takes too long.
        """
        async with self._in_time():
            return b"".join([part async for part in self._parts(request, most, too_long, count)])

    async def _parts(
        self, request: Request, most: int, too_long: str, count: Callable[[int], None]
    ) -> AsyncIterator[bytes]:
        """The request's body, part by part; raises HTTPException when it is too long."""
        declared, size = number_of(request.headers.get("content-length", "0")), 0
        if declared is None or declared > most:
            raise HTTPException(413, too_long)
        async for part in request.stream():
            count(len(part))
            size += len(part)
            if size > most:
                raise HTTPException(413, too_long)
            yield part

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Raises HTTPException when an upload takes too long."""
        try:
            async with asyncio.timeout(self.limits.upload_s):
                yield
        except TimeoutError as error:
            raise HTTPException(408, "the upload took too long") from error

    async def _decoding(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._decoders)

    async def _one_at_a_time(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._full_size)


class _ArchiveResponse(StreamingResponse):
    """A zip file that waits for its turn, and gives way when its client leaves."""

    def __init__(self, pieces: Any, session_turn: asyncio.Lock, turn: asyncio.Semaphore):
        name = {"Content-Disposition": 'attachment; filename="cosseg.zip"'}
        super().__init__(pieces, media_type="application/zip", headers=NO_STORE | name)
        self._pieces, self._session_turn, self._turn = pieces, session_turn, turn

    async def stream_response(self, send: Send) -> None:
        async with self._session_turn, self._turn, contextlib.aclosing(self._pieces):
            await super().stream_response(send)


def _photo_as_json(session: UserSession, number: int) -> dict[str, Any]:
    image = session.images[number]
    return dict(number=number, name=image.name, width=image.width, height=image.height)


def _job_as_json(job: GroupJob, worker: Worker, count: int) -> dict[str, Any]:
    return dict(
        version=job.version,
        stage=job.stage,
        ahead=worker.ahead_of(job) if job.stage == "waiting" else 0,
        starting=worker.is_warming_up(),
        share=round(job.share, 3),
        of=len(job.images),
        message=job.message,
        left_out=sorted(set(range(count)) - set(job.numbers)),
        prompts=prompts_as_json(job.prompts),
    )


def _result_as_json(job: GroupJob) -> dict[str, Any]:
    assert job.result is not None
    category = next(iter(likely(job.result.categories)), None)
    confidence = rounded(job.result.confidence)
    return dict(
        version=job.version,
        side=len(job.result.images[0].probability_map),
        numbers=job.numbers,
        presence=[round(image.presence, 4) for image in job.result.images],
        category=category and dict(name=category[0], probability=round(category[1], 4)),
        confidence=confidence,
        doubtful=is_doubtful(confidence),
    )


def _maps_as_bytes(job: GroupJob) -> bytes:
    """The probability maps as [N, S, S] bytes, 0..255."""
    assert job.result is not None
    maps = (image.probability_map for image in job.result.images)
    return b"".join(np.rint(255 * np.clip(each, 0, 1)).astype(np.uint8).tobytes() for each in maps)
