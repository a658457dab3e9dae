"""What the page's server returns for a group: states, maps, examples, the zip file."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from web_client import Client, FakePredictor, discs, encoded, png, running

from cosseg_jax.web.limits import Limits


def unzipped(client: Client, threshold: float) -> dict[str, bytes]:
    version = client.own("GET", "").json["result"]["version"]
    answer = client.own("GET", f"/archive/{version}?threshold={threshold}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_the_page_is_complete_and_refers_to_nothing_outside_it(client):
    page = client.ask("GET", "/")
    assert page.status == 200
    assert b"http" not in page.content
    for path in ("page.css", "page.js", "overlay.js", "icon.svg"):
        assert client.ask("GET", f"/static/{path}").status == 200


def test_a_group_from_its_files_to_its_result(client, predictor):
    for name in ("a.jpg", "b.png"):
        assert client.add(png(), name).status == 201
    state = client.segmented()
    assert [photo["name"] for photo in state["photos"]] == ["a", "b"]
    assert state["result"]["numbers"] == [0, 1]
    assert state["result"]["presence"] == [0.9, 0.9]
    assert state["result"]["category"] == {"name": "sheep", "probability": 0.75}
    assert state["result"]["confidence"] == 0.8765
    assert predictor.calls == [{"names": ["a", "b"], "prompts": []}]


@pytest.mark.parametrize(
    ("confidence", "doubtful"), [(0.33, True), (0.5, False), (0.93, False), (None, False)]
)
def test_low_confidence_is_called_doubtful(client, predictor, confidence, doubtful):
    predictor.confidence = confidence
    client.add(png())
    result = client.segmented()["result"]
    assert (result["confidence"], result["doubtful"]) == (confidence, doubtful)


def test_maps_are_bytes_for_the_photos_that_take_part(client):
    for _ in range(3):
        client.add(png())
    result = client.segmented(left_out=[1])["result"]
    maps = np.frombuffer(client.own("GET", f"/maps/{result['version']}").content, np.uint8)
    expected = np.repeat([204, 51], 2).astype(np.uint8)  # 0.8 and 0.2 of 255
    np.testing.assert_array_equal(maps.reshape(2, 4, 4), np.broadcast_to(expected, (2, 4, 4)))
    assert client.own("GET", f"/maps/{result['version'] + 1}").status == 409


def test_a_photo_is_shown_small_and_upright(client):
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    photo = client.add(encoded(Image.new("RGB", (2000, 1000)), "JPEG", exif=turned)).json
    assert (photo["width"], photo["height"]) == (1000, 2000)
    assert pixels(client.own("GET", "/photos/0").content).shape == (1280, 640, 3)
    assert client.own("GET", "/photos/1").status == 404


def test_the_zip_has_masks_and_cut_outs_at_the_size_of_each_photo(client):
    client.add(png(40, 30, (200, 100, 50)), "one.png")
    client.add(png(20, 60, (10, 20, 30)), "two.png")
    client.segmented()
    files = unzipped(client, 0.5)
    assert sorted(files) == [
        "cutouts/one.png",
        "cutouts/two.png",
        "group.json",
        "masks/one.png",
        "masks/two.png",
    ]
    left = np.arange(40)[None] < 20
    np.testing.assert_array_equal(pixels(files["masks/one.png"]), np.tile(255 * left, (30, 1)))
    cut = pixels(files["cutouts/one.png"])
    assert cut.shape == (30, 40, 4)
    assert cut[0, 0].tolist() == [200, 100, 50, 255]
    assert cut[0, 39].tolist() == [0, 0, 0, 0]
    assert pixels(files["cutouts/two.png"]).shape == (60, 20, 4)


@pytest.mark.parametrize(("threshold", "share"), [(0.1, 1.0), (0.5, 0.5), (0.85, 0.0)])
def test_the_zip_is_made_at_the_requested_threshold(client, threshold, share):
    client.add(png())
    client.segmented()
    files = unzipped(client, threshold)
    assert np.mean(pixels(files["masks/photo.png"]) == 255) == share
    assert json.loads(files["group.json"])["threshold"] == threshold


def test_an_absent_object_has_an_empty_mask(client, predictor):
    predictor.presence = 0.4
    client.add(png())
    client.segmented()
    assert not pixels(unzipped(client, 0.5)["masks/photo.png"]).any()


def test_a_photo_that_is_left_out_is_not_in_the_zip(client):
    client.add(png(), "one.png")
    client.add(png(), "two.png")
    client.segmented(left_out=[0])
    assert set(unzipped(client, 0.5)) == {"masks/two.png", "cutouts/two.png", "group.json"}


def test_no_zip_of_an_older_group_is_given(client):
    for _ in range(2):
        client.add(png())
    older = client.segmented()["result"]["version"]
    newer = client.segmented(left_out=[0])["result"]["version"]
    assert client.own("GET", f"/archive/{newer}").status == 200
    answer = client.own("GET", f"/archive/{older}")
    assert answer.status == 409
    assert "the group has changed" in answer.json["error"]


def test_the_zip_names_the_prompted_photo(client):
    for name in ("one.png", "two.png"):
        client.add(png(), name)
    client.segmented(left_out=[0], prompts=[{"photo": 1, "points": [[3, 4]]}])
    described = json.loads(unzipped(client, 0.5)["group.json"])
    assert described["prompts"] == [{"photo": "two", "points": [[3, 4]], "labels": [1]}]
    assert [photo["name"] for photo in described["photos"]] == ["two"]
    assert described["confidence"] == 0.8765


@pytest.mark.parametrize("threshold", ["2", "nan", "much"])
def test_a_threshold_outside_0_to_1_is_refused(client, threshold):
    client.add(png())
    client.segmented()
    version = client.own("GET", "").json["result"]["version"]
    answer = client.own("GET", f"/archive/{version}?threshold={threshold}")
    assert answer.status == 400
    assert "expected a number from 0 to 1" in answer.json["error"]


def test_there_is_no_zip_before_there_are_masks(client):
    client.add(png())
    assert client.own("GET", "/archive/1").status == 409


@pytest.mark.slow
def test_an_example_is_a_group_of_built_in_images(client):
    photos = client.own("POST", "/examples/car").json["photos"]
    assert [photo["name"] for photo in photos] == [f"car {k}" for k in range(1, 6)]
    assert pixels(client.ask("GET", "/examples/car.png").content).shape == (360, 480, 3)
    assert "choose one of" in client.own("POST", "/examples/cube").json["error"]


def add_discs(client: Client) -> None:
    for name, content in discs().items():
        client.add(content, name)


@pytest.mark.slow
def test_the_real_network_gives_the_masks_that_it_gives_elsewhere(network):
    with running(network, Limits()) as client:
        add_discs(client.begin())
        shown = [client.own("GET", f"/photos/{k}").status for k in range(5)]
        state = client.segmented()
        files = unzipped(client, 0.5)
    assert shown == [200] * 5
    assert min(state["result"]["presence"]) > 0.5
    result = network(list(discs().values()))
    for k, image in enumerate(result.images, start=1):
        mask = pixels(files[f"masks/disc-dot-{k}.png"])
        np.testing.assert_array_equal(mask == 255, image.mask)
        assert mask.any()


@pytest.mark.slow
def test_the_real_network_takes_a_prompt(network):
    with running(network) as client:
        add_discs(client.begin())
        prompts = [
            {"photo": 0, "points": [[75.0, 245.0], [9.5, 9.5]], "labels": [1, 0]},
            {"photo": 1, "absent": True},
        ]
        assert client.segmented(prompts=prompts)["job"]["prompts"] == prompts


def test_the_server_compiles_its_network_in_advance(predictor: FakePredictor):
    with running(predictor, warm_up=True) as client:
        client.begin().add(png())
        client.segmented()
    assert [len(call["names"]) for call in predictor.calls] == [5, 1]


def test_a_user_who_waits_for_compilation_is_told_so(predictor: FakePredictor):
    predictor.gate.clear()
    with running(predictor, warm_up=True) as client:
        client.begin().add(png())
        client.segment()
        job = client.until("waiting")["job"]
        assert (job["starting"], job["ahead"]) == (True, 1)
        predictor.gate.set()
        assert client.until("done")["job"]["starting"] is False
