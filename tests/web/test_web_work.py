"""Prompts, choices, and one computation at a time."""

import gc

import numpy as np
import pytest
from web_client import Client, png

from cosseg_jax.errors import UserError
from cosseg_jax.web.work import GroupJob


def with_photos(client: Client, count: int) -> Client:
    for number in range(count):
        assert client.add(png(40, 30), f"{number}.png").status == 201
    return client


def test_prompts_reach_the_network(client, predictor):
    asked = [
        {"photo": 1, "points": [[12, 7.5], [3, 4]], "labels": [1, 0], "box": [1, 2, 30, 20]},
        {"photo": 0, "absent": True},
    ]
    state = with_photos(client, 2).segmented(prompts=asked)
    first, second = predictor.calls[-1]["prompts"]
    assert (first.image, first.positive, first.negative) == (1, [(12, 7.5)], [(3, 4)])
    assert first.box == (1, 2, 30, 20)
    assert (second.image, second.absent) == (0, True)
    assert state["job"]["prompts"] == asked


def test_a_mask_that_is_right_stays_so_in_later_jobs(client, predictor):
    version = with_photos(client, 2).segmented()["result"]["version"]
    found = {"version": version, "threshold": 0.5}
    right = {"photo": 1, "found": found, "wrong": False}
    for point in (5, 6):
        state = client.segmented(prompts=[right, {"photo": 0, "points": [[point, 5]]}])
        (mask, _) = predictor.calls[-1]["prompts"]
        assert mask.image == 1
        np.testing.assert_array_equal(mask.mask, np.tile(np.arange(40) < 20, (30, 1)))
        assert state["job"]["prompts"][0] == right
    client.segmented(prompts=[right | {"wrong": True}])
    (wrong,) = predictor.calls[-1]["prompts"]
    assert wrong.mask is None
    np.testing.assert_array_equal(wrong.excluded, np.tile(np.arange(40) < 20, (30, 1)))
    late = client.segment(prompts=[right | {"photo": 0}])
    assert late.status == 400
    assert "is gone" in late.json["error"]


def test_an_empty_mask_that_is_right_says_that_the_object_is_absent(client, predictor):
    version = with_photos(client, 2).segmented()["result"]["version"]
    right = {"photo": 1, "found": {"version": version, "threshold": 0.95}}
    client.segmented(prompts=[right])
    assert predictor.calls[-1]["prompts"][0].absent


def test_points_without_labels_are_on_the_object(client, predictor):
    state = with_photos(client, 1).segmented(prompts=[{"photo": 0, "points": [[1, 2]]}])
    assert predictor.calls[-1]["prompts"][0].positive == [(1, 2)]
    assert state["job"]["prompts"] == [{"photo": 0, "points": [[1, 2]], "labels": [1]}]


def test_a_prompt_is_counted_among_the_photos_that_take_part(client, predictor):
    with_photos(client, 4).segmented(left_out=[0, 2], prompts=[{"photo": 3, "points": [[1, 1]]}])
    assert predictor.calls[-1]["names"] == ["1", "3"]
    assert predictor.calls[-1]["prompts"][0].image == 1


def test_a_prompt_at_the_edge_is_moved_inside(client, predictor):
    with_photos(client, 1).segmented(prompts=[{"photo": 0, "points": [[40, 31]]}])
    assert predictor.calls[-1]["prompts"][0].positive == [(39.5, 29.5)]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"left_out": [0, 1]}, "no photo takes part"),
        ({"left_out": [2]}, "left_out is not a list of numbers"),
        ({"left_out": [True]}, "left_out is not a list of numbers"),
        ({"prompts": [{"photo": 2, "points": [[1, 1]]}]}, "names no photo"),
        ({"prompts": [{"photo": 0, "points": [[1]]}]}, "a point of two numbers"),
        ({"prompts": [{"photo": 0, "points": [["1", 2]]}]}, "a point of two numbers"),
        ({"prompts": [{"photo": 0, "points": [[float("nan"), 2]]}]}, "a point of two numbers"),
        ({"prompts": {"photo": 0}}, "prompts is not a list"),
        ({"prompts": [{"photo": 0, "found": {}, "box": 1}]}, "has a field 'box' too"),
        ({"prompts": [{"photo": 0, "found": 1}]}, "takes a photo, and the version and threshold"),
        (
            {"prompts": [{"photo": 0, "found": {"version": 1, "threshold": "1"}}]},
            "found takes the number of a job",
        ),
        (
            {"prompts": [{"photo": 0, "found": {"version": 1, "threshold": 0.5}}]},
            "the mask that was said to be right is gone",
        ),
        ({"prompts": [{"photo": 0}]}, "takes points, a box, a mask or several of them, or absent"),
        ({"prompts": [{"photo": 0, "point": [1, 1]}]}, "a prompt has an unknown field 'point'"),
        ({"prompts": [{"photo": 0, "points": 3}]}, "takes points as a list of pairs"),
        ({"prompts": [{"photo": 0, "absent": 1}]}, "absent as true or false"),
        ({"prompts": [{"photo": 0, "points": [[1, 1]], "labels": []}]}, "0 labels for 1 points"),
        ({"prompts": [{"photo": 0, "points": [[1, 1]], "labels": [7]}]}, "has the label 7"),
        ({"prompts": [{"photo": 0, "points": [[1, 1]], "labels": "1"}]}, "a list of 1 and 0"),
        (
            {"prompts": [{"photo": 0, "absent": True}, {"photo": 0, "points": [[1, 1]]}]},
            "the object is marked in 0, and said not to be there",
        ),
        ({"prompts": [{"photo": 0, "box": [1, 2, 3]}]}, "a box of four"),
        ({"prompts": [{"photo": 0, "points": [[10**400, 2]]}]}, "a point of two numbers"),
        ({"mark": {"photo": 0, "point": [1, 1]}}, "unknown field 'mark'"),
        ({"prompts": [{"photo": 0, "box": [5, 5, 5, 9]}]}, "smaller than a pixel"),
        ({"left_out": [0], "prompts": [{"photo": 0, "points": [[1, 1]]}]}, "clear the prompt"),
    ],
)
def test_requests_that_make_no_sense_are_refused(client, predictor, asked, says):
    answer = with_photos(client, 2).segment(**asked)
    assert answer.status == 400
    assert says in answer.json["error"]
    assert not predictor.calls


def test_one_group_at_a_time(client, predictor):
    other = with_photos(Client(client.port).begin(), 1)
    with_photos(client, 1)
    predictor.gate.clear()
    client.segment()
    client.until("working")
    assert other.segment().json["job"]["stage"] == "waiting"
    assert other.own("GET", "").json["job"]["ahead"] == 1
    assert len(predictor.calls) == 1
    predictor.gate.set()
    other.until("done")
    client.until("done")


def test_a_later_request_replaces_an_earlier_one(client, predictor):
    with_photos(client, 3)
    predictor.gate.clear()
    client.segment()
    client.until("working")
    client.segment(left_out=[0])
    client.segment(left_out=[1])
    predictor.gate.set()
    assert client.until("done")["result"]["numbers"] == [0, 2]
    assert [call["names"] for call in predictor.calls] == [["0", "1", "2"], ["0", "2"]]


def test_the_last_result_stays_while_another_is_computed(client, predictor):
    with_photos(client, 2).segmented()
    predictor.gate.clear()
    state = client.segment(left_out=[0]).json
    assert state["job"]["version"] == 2
    assert (state["result"]["version"], state["result"]["numbers"]) == (1, [0, 1])
    predictor.gate.set()
    assert client.until("done")["result"]["version"] == 2


def test_a_new_prompt_uses_the_same_encodings(client, predictor):
    with_photos(client, 2).segmented()
    client.segmented(prompts=[{"photo": 1, "points": [[3, 4]]}])
    client.segmented()
    assert (len(predictor.encoded), len(predictor.calls)) == (1, 3)


def test_another_group_is_encoded_anew(client, predictor):
    with_photos(client, 3).segmented()
    client.segmented(left_out=[1])
    assert [len(contents) for contents in predictor.encoded] == [3, 2]


def test_the_predictor_gets_encoded_files(client, predictor):
    """No decoded image outlives a call."""
    with_photos(client, 1).segmented()
    assert predictor.encoded == [[png(40, 30)]]


def test_results_and_encodings_are_freed_with_the_session(client):
    def jobs() -> list:
        gc.collect()
        return [each for each in gc.get_objects() if type(each) is GroupJob]

    with_photos(client, 2).segmented()
    client.segmented(prompts=[{"photo": 1, "points": [[3, 4]]}])
    assert jobs()
    client.own("DELETE", "")
    assert not jobs()


def test_a_fault_of_the_network_has_an_id_and_the_next_group_goes_on(client, predictor, caplog):
    predictor.error = KeyError("no such layer")
    with_photos(client, 1).segment()
    message = client.until("failed")["job"]["message"]
    (logged,) = caplog.records
    id = message.split()[2].rstrip(".")
    assert message == f"Internal error {id}. The server's log has the details under this number."
    assert logged.getMessage() == f"internal error {id}"
    assert "no such layer" in caplog.text
    predictor.error = None
    client.segmented()


def test_a_user_error_of_the_network_is_shown(client, predictor, caplog):
    predictor.error = UserError("the loss is NaN;\n give another checkpoint")
    with_photos(client, 1).segment()
    assert client.until("failed")["job"]["message"] == "the loss is NaN; give another checkpoint"
    assert not caplog.records
