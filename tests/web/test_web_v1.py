"""The HTTP API for programs: what it answers, its limits, and that its document is true."""

import base64
import http.client
import io
import json
import threading
import time
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image
from web_client import Answer, Client, FakePredictor, discs, encoded, png, running

from cosseg_jax.data.images import read_image
from cosseg_jax.predict.annotations.run_lengths import counts_to_mask, uncompressed
from cosseg_jax.predict.concept import concept_of, joined
from cosseg_jax.predict.predictor import Predictor
from cosseg_jax.web.limits import Limits
from cosseg_jax.web.openapi import openapi_document

BOUNDARY = "a-line-that-no-file-holds"


def form(*files: tuple[str, str, bytes], **texts: str) -> bytes:
    """The body of a form."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in texts.items()
    ]
    for field, name, content in files:
        about = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
        parts.append(f"--{BOUNDARY}\r\n{about}\r\n\r\n".encode() + content + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post(client: Client, path: str, *files: tuple[str, str, bytes], **texts: str) -> Answer:
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return client.ask("POST", f"/v1/{path}", form(*files, **texts), kind)


def images(contents: dict[str, bytes]) -> list[tuple[str, str, bytes]]:
    return [("image", name, content) for name, content in contents.items()]


def png_of_one_pixel() -> bytes:
    """A mask of 320 x 320 pixels with one in it."""
    mask = np.zeros((320, 320), bool)
    mask[3, 4] = True
    return encoded(Image.fromarray(mask))


def mask_in(image: dict[str, Any], name: str) -> np.ndarray:
    mask = np.zeros((image["height"], image["width"]), bool)
    for annotation in image["classes"][name]["annotations"]:
        counts = uncompressed(annotation["segmentation"]["counts"])
        mask |= counts_to_mask(counts, *annotation["segmentation"]["size"])
    return mask


def check_schema(content: dict[str, Any]) -> None:
    """Checks an answer against the document's schema of masks."""
    document = openapi_document(Limits())
    schema = {"$ref": "#/components/schemas/Masks", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(content)


def test_the_document_is_what_openapi_expects(client):
    answer = client.ask("GET", "/v1/openapi.json")
    assert answer.status == 200
    assert set(answer.json["paths"]) == {"/v1/segment", "/v1/concepts", "/v1/apply"}
    for schema in answer.json["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(answer.json)


def test_masks_of_a_group_are_answered_and_nothing_is_kept(client, predictor):
    answer = post(client, "segment", *images({"a.png": png(), "b.jpg": png(20, 60)}))
    assert answer.status == 200, answer.json
    check_schema(answer.json)
    assert answer.json["classes"] == ["shared object"]
    assert answer.json["categories"]["sheep"] == 0.75
    assert answer.json["confidence"] == 0.8765
    assert [image["name"] for image in answer.json["images"]] == ["a", "b"]
    found = mask_in(answer.json["images"][0], "shared object")
    np.testing.assert_array_equal(found, np.tile(np.arange(40) < 20, (30, 1)))
    assert answer.json["images"][1]["classes"]["shared object"]["presence"] == 0.9
    assert predictor.encoded[-1] == [png(), png(20, 60)]
    assert client.ask("GET", "/v1/segment").status == 405


def test_a_network_that_cannot_say_has_a_confidence_of_null(client, predictor):
    predictor.confidence = None
    answer = post(client, "segment", *images({"a.png": png()}))
    check_schema(answer.json)
    assert answer.json["confidence"] is None


def test_the_schema_knows_the_range_of_confidence(client):
    answer = post(client, "segment", *images({"a.png": png()}))
    for wrong in (1.5, "high"):
        with pytest.raises(jsonschema.ValidationError):
            check_schema(answer.json | {"confidence": wrong})


def test_options_are_followed(client, predictor):
    mask = encoded(Image.fromarray(255 * np.eye(30, 40, dtype=np.uint8)))
    prompts = [{"photo": 0, "points": [[3, 4]], "box": [1, 2, 30, 20]}, {"photo": 1, "mask": 0}]
    answer = post(
        client,
        "segment",
        *images({"a.png": png(), "b.png": png()}),
        ("mask", "b_mask.png", mask),
        prompts=json.dumps(prompts),
        threshold="0.1",
        label_maps="true",
    )
    assert answer.status == 200, answer.json
    first, second = predictor.calls[-1]["prompts"]
    assert (first.image, first.positive, first.box) == (0, [(3, 4)], (1, 2, 30, 20))
    np.testing.assert_array_equal(second.mask, np.eye(30, 40, dtype=bool))
    check_schema(answer.json)
    label_map = base64.b64decode(answer.json["images"][0]["label_map"])
    assert np.asarray(Image.open(io.BytesIO(label_map))).all()


@pytest.mark.slow
def test_a_concept_is_learnt_and_applied(network: Predictor, pool):
    files = discs()
    learnt_from = dict(list(files.items())[:2])
    left = encoded(Image.fromarray(np.tile(np.arange(320) < 160, (320, 1))))
    both = []
    with running(network, decode=pool) as client:
        for name, mask in (("left", left), ("none but a pixel", png_of_one_pixel())):
            masks = [("mask", f"{n}.png", mask) for n in range(2)]
            answer = post(client, "concepts", *images(learnt_from), *masks, name=name)
            assert answer.status == 200, answer.content
            assert answer.headers["content-type"] == "application/octet-stream"
            both.append(("concept", f"{name}.concept", answer.content))
        others = dict(list(files.items())[3:])
        found = post(client, "apply", *both, *images(others))
    assert found.status == 200, found.json
    check_schema(found.json)
    assert found.json["classes"] == ["left", "none but a pixel"]
    concept = joined([concept_of(content, name) for _, name, content in both])
    expected = network.apply(concept, [read_image(x, "").image for x in others.values()])
    for image, alone in zip(found.json["images"], expected, strict=True):
        for number, name in enumerate(concept.classes, start=1):
            np.testing.assert_array_equal(mask_in(image, name), alone.labels == number)


def test_a_concept_is_learnt_from_prompts(client, predictor):
    prompts = [{"photo": 1, "points": [[5, 6]]}]
    files = images({"a.png": png(), "b.png": png()})
    answer = post(client, "concepts", *files, prompts=json.dumps(prompts), name="corner")
    assert answer.status == 200, answer.content
    assert list(concept_of(answer.content, "x").classes) == ["corner"]
    (prompt,) = predictor.calls[-1]["prompts"]
    assert (prompt.image, prompt.positive) == (1, [(5, 6)])


@pytest.mark.parametrize(
    ("path", "files", "texts", "says"),
    [
        ("segment", [], {}, "no image is given"),
        ("segment", [("image", "a.png", b"text")], {}, "a.png"),
        ("segment", [("concept", "a", b"")], {}, "no file is expected as 'concept'"),
        ("segment", [("image", "a.png", png())], {"treshold": "1"}, "unknown field 'treshold'"),
        ("segment", [("image", "a.png", png())], {"threshold": "2"}, "threshold is '2'"),
        ("segment", [("image", "a.png", png())], {"instances": "1"}, "instances is '1'"),
        ("segment", [("image", "a.png", png())], {"prompts": "{"}, "prompts is not JSON"),
        ("segment", [("image", "a.png", png())], {"prompts": "{}"}, "prompts is not a list"),
        (
            "segment",
            [("image", "a.png", png())],
            {"prompts": '[{"photo": 0, "mask": 0}]'},
            "the number of a file sent as 'mask'",
        ),
        (
            "concepts",
            [("image", "a.png", png()), ("image", "b.png", png()), ("mask", "a.png", png())],
            {},
            "there are 1 masks for 2 images",
        ),
        ("concepts", [("image", "a.png", png())], {"name": ""}, "name takes 1 to 200 characters"),
        ("apply", [("image", "a.png", png())], {}, "no concept is given"),
        (
            "apply",
            [("image", "a.png", png()), ("concept", "x.concept", b"text")],
            {},
            "x.concept cannot be read",
        ),
    ],
)
def test_what_is_wrong_is_named(client, predictor, path, files, texts, says):
    answer = post(client, path, *files, **texts)
    assert answer.status == 400
    assert says in answer.json["error"]
    assert predictor.encoded == [] or "threshold" in texts or "instances" in texts


def test_what_is_no_form_is_refused(client):
    long = "multipart/form-data; boundary=" + "9" * 300
    named = ("application/json", "multipart/form-data", "multipart/form-data; boundary=x", long)
    for kind in named:
        answer = client.ask("POST", "/v1/segment", b"{}", {"Content-Type": kind})
        assert answer.status == 400
        assert "form" in answer.json["error"]


def test_requests_of_other_sites_are_refused(client):
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    body = form(("image", "a.png", png()))
    for header in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert client.ask("POST", "/v1/segment", body, kind | header).status == 403


def test_limits_are_those_of_the_page(predictor):
    content = png()
    limits = Limits(photos=2, file_bytes=len(content), session_bytes=4 * len(content), sessions=1)
    with running(predictor, limits) as client:
        two = images({"a.png": content, "b.png": content})
        assert post(client, "segment", *two).status == 200
        assert post(client, "segment", *two, ("image", "c", content)).status == 400
        assert post(client, "segment", ("image", "a.png", content + b"x")).status == 413
        wide = post(client, "segment", ("image", "a", png(900, 900)), ("image", "b", bytes(10**7)))
        assert wide.status == 413
        client.begin()  # the only place is taken
        full = post(client, "segment", *two)
        assert (full.status, full.headers["retry-after"]) == (503, "10")


def test_memory_is_counted_and_given_back(predictor):
    content = png()
    limits = Limits(server_bytes=4 * len(form(("image", "a.png", content))))
    with running(predictor, limits) as client:
        assert post(client, "segment", ("image", "a.png", content)).status == 200
        many = [("image", f"{n}.png", content) for n in range(5)]
        assert post(client, "segment", *many).status == 503
        assert post(client, "segment", ("image", "a.png", content)).status == 200


def test_a_client_that_leaves_gives_its_job_up(client, predictor: FakePredictor):
    predictor.gate.clear()
    connection = http.client.HTTPConnection("127.0.0.1", client.port)
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection.request("POST", "/v1/segment", form(*images({f"{n}": png() for n in "abc"})), kind)
    end = time.monotonic() + 30
    while not predictor.calls and time.monotonic() < end:
        time.sleep(0.01)
    connection.close()
    time.sleep(0.5)  # until the server has seen it
    threading.Timer(0.1, predictor.gate.set).start()
    answer = post(client, "segment", *images({"d.png": png()}))
    assert answer.status == 200
    assert [call["names"] for call in predictor.calls] == [["a", "b", "c"], ["d"]]


def test_faults_have_a_number(client, predictor, caplog):
    predictor.error = RuntimeError("secret")
    answer = post(client, "segment", *images({"a.png": png()}))
    assert answer.status == 500
    assert answer.json["error"].startswith("Internal error")
    assert "secret" not in answer.json["error"]
