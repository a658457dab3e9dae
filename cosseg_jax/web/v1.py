"""The HTTP API for programs; `openapi.py` describes it, docs/http_api.md shows how to use it.

    POST /v1/segment    images of a group -> masks of what they share
    POST /v1/concepts   images with masks or prompts -> a concept, a file
    POST /v1/apply      concepts and images -> masks of each class
    GET  /v1/openapi.json

Requests are forms. Each is complete in itself: when it is answered, the server forgets it. They
share the page's limits, decoders and queue.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from jaxtyping import Bool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cosseg_jax.errors import UserError
from cosseg_jax.predict.annotations.images import found_class
from cosseg_jax.predict.annotations.palette import palette_png
from cosseg_jax.predict.concept import Concept, concept_of, joined
from cosseg_jax.predict.result import ConceptResult, rounded
from cosseg_jax.types import Ndarray
from cosseg_jax.web.api import NO_STORE, SMALL_BYTES, Api
from cosseg_jax.web.concept_jobs import ApplyJob, LearnJob, mask_of
from cosseg_jax.web.forms import Form, FormFile, read_form
from cosseg_jax.web.openapi import openapi_document
from cosseg_jax.web.prompts import LONGEST_QUOTED, prompts_from_json, threshold_of
from cosseg_jax.web.sessions import UserSession
from cosseg_jax.web.uploads import Upload, shown_name, too_heavy, unique_name
from cosseg_jax.web.work import GroupJob

LOOK_S = 0.05  # between two looks at a job that is waited for
CLASS_NAME = "shared object"
CLASS_BYTES = 1_500_000  # of an image and a class: two maps of at most 384 x 384 floats
LONGEST_NAME = 200  # characters of a class's name
FILES = {"segment": ("image", "mask"), "concepts": ("image", "mask"), "apply": ("image", "concept")}
TEXTS = {
    "segment": ("prompts", "threshold", "instances", "label_maps"),
    "concepts": ("prompts", "name"),
    "apply": ("threshold", "instances", "label_maps"),
}


class V1Api(Api):
    """The handlers of /v1, beside those of the page."""

    async def v1_document(self, request: Request) -> Response:
        return JSONResponse(openapi_document(self.limits), headers=NO_STORE)

    async def v1_segment(self, request: Request) -> Response:
        async with self._asked(request, "segment") as (session, form):
            images, masks = await self._decoded(session, form)
            prompts = await self._prompts(form, images, masks)
            job = session.ask(self.worker, (), prompts)
            result = await self._finished(request, session, job)
            each = [ConceptResult(image.name, {CLASS_NAME: image}) for image in result.images]
            categories = {name: round(p, 4) for name, p in result.categories.items()}
            trust = dict(categories=categories, confidence=rounded(result.confidence))
            return await self._masks(form, each, [CLASS_NAME], **trust)

    async def v1_concepts(self, request: Request) -> Response:
        async with self._asked(request, "concepts") as (session, form):
            images, masks = await self._decoded(session, form)
            text = form.texts.get("prompts")
            if text is None and masks and len(masks) != len(images):
                raise UserError(f"there are {len(masks)} masks for {len(images)} images")
            prompts = await self._prompts(form, images, masks)
            name = form.texts.get("name", "object")
            if not 0 < len(name) <= LONGEST_NAME:
                raise UserError(f"name takes 1 to {LONGEST_NAME} characters")
            numbers = tuple(range(len(images)))
            of_images = () if text is not None else tuple(masks)
            job = LearnJob(1, tuple(images), numbers, prompts, name=name, masks=of_images)
            concept = await self._finished(request, session, self._put(session, job))
            headers = NO_STORE | {"Content-Disposition": 'attachment; filename="object.concept"'}
            kind = "application/octet-stream"
            return Response(concept.as_bytes(), media_type=kind, headers=headers)

    async def v1_apply(self, request: Request) -> Response:
        async with self._asked(request, "apply") as (session, form):
            images, _ = await self._decoded(session, form)
            concept = self._concept(form)
            self.sessions.take(session, CLASS_BYTES * len(concept.classes) * len(images))
            job = ApplyJob(1, tuple(images), tuple(range(len(images))), concept=concept)
            found = await self._finished(request, session, self._put(session, job))
            return await self._masks(form, found, list(concept.classes))

    @contextlib.asynccontextmanager
    async def _asked(self, request: Request, kind: str) -> AsyncIterator[tuple[UserSession, Form]]:
        """A session for one request, and its form; both are forgotten afterwards."""
        session = self.sessions.new()
        try:
            yield session, await self._form(request, session, kind)
        finally:
            self.sessions.drop(session.id)

    async def _form(self, request: Request, session: UserSession, kind: str) -> Form:
        """The form of a request. Raises UserError or HTTPException where it exceeds a limit."""
        counted = {"image": 0, "mask": 0, "concept": 0}

        def check_file(file: FormFile) -> None:
            if file.field not in FILES[kind]:
                raise UserError(f"no file is expected as {file.field[:LONGEST_QUOTED]!r}")
            counted[file.field] += 1
            if counted[file.field] > self.limits.photos:
                raise UserError(f"there are more than {self.limits.photos} files as {file.field}")
            if len(file.content) > self.limits.file_bytes:
                raise HTTPException(413, too_heavy(shown_name(file.name), self.limits))

        most = self.limits.session_bytes + self.limits.concept_bytes + SMALL_BYTES
        parts = self._parts(
            request,
            most,
            f"the request has more than {most} bytes",
            lambda size: self.sessions.take(session, 2 * size),  # the form, and the parts of it
        )
        async with self._in_time():
            form = await read_form(request.headers.get("content-type", ""), parts, check_file)
        if unknown := sorted(form.texts.keys() - TEXTS[kind]):
            known = ", ".join([*FILES[kind], *TEXTS[kind]])
            raise UserError(f"unknown field {unknown[0][:LONGEST_QUOTED]!r}; known are {known}")
        return form

    async def _decoded(self, session: UserSession, form: Form) -> tuple[list[Upload], list[Upload]]:
        """The images, which are the session's from now on, and the masks; each is checked."""
        for file in form.files_of("image"):
            upload = await self._decoding(self._decode, file.content, file.name, self.limits)
            name = unique_name(file.name, [image.name for image in session.images])
            session.add(upload._replace(name=name))
        if not session.images:
            raise UserError("no image is given; send one or more as 'image'")
        masks = [
            await self._decoding(self._decode, file.content, file.name, self.limits)
            for file in form.files_of("mask")
        ]
        return session.images, masks

    async def _prompts(self, form: Form, images: Sequence[Upload], masks: Sequence[Upload]) -> Any:
        """The prompts of a form; "mask" in one is the number of a file."""
        try:
            given = json.loads(form.texts.get("prompts", "[]"))
        except (ValueError, RecursionError) as error:
            raise UserError("prompts is not JSON, or is nested too deeply") from error

        def mask_at(number: Any, photo: int) -> Bool[Ndarray, "H W"]:
            if type(number) is not int or not 0 <= number < len(masks):
                raise UserError("a prompt's mask is the number of a file sent as 'mask', from 0")
            return mask_of(images[photo], masks[number])

        return await self._one_at_a_time(prompts_from_json, given, images, mask_at)

    def _concept(self, form: Form) -> Concept:
        files = form.files_of("concept")
        if not files:
            raise UserError("no concept is given; send one or more as 'concept'")
        if sum(len(file.content) for file in files) > self.limits.concept_bytes:
            raise HTTPException(413, f"concepts have more than {self.limits.concept_bytes} bytes")
        concept = joined([concept_of(file.content, shown_name(file.name)) for file in files])
        if len(concept.classes) > self.limits.classes:
            most = self.limits.classes
            raise UserError(f"the concepts have {len(concept.classes)} classes, {most} at most")
        return concept

    def _put(self, session: UserSession, job: GroupJob) -> GroupJob:
        self.worker.put(job)
        session.job = job
        return job

    async def _finished(self, request: Request, session: UserSession, job: GroupJob) -> Any:
        """The result of a job, which is given up when its client leaves."""
        while job.stage in ("waiting", "working"):
            if await request.is_disconnected():
                raise HTTPException(499, "the client left")
            self.sessions.get(session.id)  # it is in use
            await asyncio.sleep(LOOK_S)
        if job.stage == "failed":
            raise HTTPException(500 if job.is_fault else 400, job.message)
        return job.result

    async def _masks(
        self, form: Form, found: Sequence[ConceptResult], classes: list[str], **more: Any
    ) -> Response:
        threshold = threshold_of(form.texts.get("threshold", "0.5"))
        instances, label_maps = _flag(form, "instances"), _flag(form, "label_maps")
        images = [
            await self._one_at_a_time(_image_as_json, each, threshold, instances, label_maps)
            for each in found
        ]
        content = {"threshold": threshold, "classes": classes, **more, "images": images}
        return JSONResponse(content, headers=NO_STORE)


def _flag(form: Form, name: str) -> bool:
    found = form.texts.get(name, "false")
    if found not in ("true", "false"):
        raise UserError(f"{name} is {found[:LONGEST_QUOTED]!r}; expected true or false")
    return found == "true"


def _image_as_json(
    found: ConceptResult, threshold: float, instances: bool, label_maps: bool
) -> dict[str, Any]:
    """What was found in an image; each pixel belongs to one class or to none."""
    labels = found.labels_at(threshold)
    classes = {
        name: found_class(
            labels == number, round(image.presence, 4), round(image.score, 4), instances=instances
        )._asdict()
        for number, (name, image) in enumerate(found.classes.items(), start=1)
    }
    height, width = labels.shape
    content = {"name": found.name, "width": width, "height": height, "classes": classes}
    if label_maps:
        content["label_map"] = base64.b64encode(palette_png(labels)).decode()
    return content
