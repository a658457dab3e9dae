"""Marks, choices, and one computation at a time."""

import pytest
from web_client import Client, png


def with_photos(client: Client, count: int) -> Client:
    for number in range(count):
        assert client.add(png(40, 30), f"{number}.png").status == 201
    return client


def test_a_point_reaches_the_network(client, told):
    state = with_photos(client, 2).segmented(mark={"photo": 1, "point": [12, 7.5]})
    prompt = told.calls[-1]["prompt"]
    assert (prompt.image, prompt.point, prompt.box) == (1, (12, 7.5), None)
    assert state["job"]["mark"] == {"photo": 1, "point": [12, 7.5]}


def test_a_box_reaches_the_network(client, told):
    with_photos(client, 1).segmented(mark={"photo": 0, "box": [1, 2, 30, 20]})
    assert told.calls[-1]["prompt"].box == (1, 2, 30, 20)


def test_a_mark_is_counted_among_the_photographs_that_take_part(client, told):
    with_photos(client, 4).segmented(left_out=[0, 2], mark={"photo": 3, "point": [1, 1]})
    assert told.calls[-1]["names"] == ["1", "3"]
    assert told.calls[-1]["prompt"].image == 1


def test_a_mark_at_the_edge_is_moved_inside(client, told):
    with_photos(client, 1).segmented(mark={"photo": 0, "point": [40, 31]})
    assert told.calls[-1]["prompt"].point == (39.5, 29.5)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"left_out": [0, 1]}, "no photograph takes part"),
        ({"left_out": [2]}, "left_out is no list of numbers"),
        ({"left_out": [True]}, "left_out is no list of numbers"),
        ({"mark": {"photo": 2, "point": [1, 1]}}, "names no photograph"),
        ({"mark": {"photo": 0, "point": [1]}}, "a point of two numbers"),
        ({"mark": {"photo": 0, "point": ["1", 2]}}, "a point of two numbers"),
        ({"mark": {"photo": 0, "point": [float("nan"), 2]}}, "a point of two numbers"),
        ({"mark": {"photo": 0}}, "a box of four"),
        ({"mark": {"photo": 0, "box": [5, 5, 5, 9]}}, "smaller than a pixel"),
        ({"left_out": [0], "mark": {"photo": 0, "point": [1, 1]}}, "clear the mark"),
    ],
)
def test_what_makes_no_sense_is_refused(client, told, asked, says):
    answer = with_photos(client, 2).segment(**asked)
    assert answer.status == 400
    assert says in answer.json["error"]
    assert not told.calls


def test_one_group_at_a_time(client, told):
    other = with_photos(Client(client.port).begin(), 1)
    with_photos(client, 1)
    told.gate.clear()
    client.segment()
    client.until("working")
    assert other.segment().json["job"]["stage"] == "waiting"
    assert other.own("GET", "").json["job"]["ahead"] == 1
    assert len(told.calls) == 1
    told.gate.set()
    other.until("done")
    client.until("done")


def test_what_is_asked_later_takes_the_place_of_what_was_asked_before(client, told):
    with_photos(client, 3)
    told.gate.clear()
    client.segment()
    client.until("working")
    client.segment(left_out=[0])
    client.segment(left_out=[1])
    told.gate.set()
    assert client.until("done")["result"]["numbers"] == [0, 2]
    assert [call["names"] for call in told.calls] == [["0", "1", "2"], ["0", "2"]]


def test_the_last_result_stays_while_another_is_computed(client, told):
    with_photos(client, 2).segmented()
    told.gate.clear()
    state = client.segment(left_out=[0]).json
    assert state["job"]["version"] == 2
    assert (state["result"]["version"], state["result"]["numbers"]) == (1, [0, 1])
    told.gate.set()
    assert client.until("done")["result"]["version"] == 2


def test_a_fault_of_the_network_is_told_and_the_next_group_goes_on(client, told, capsys):
    told.error = RuntimeError("out of memory")
    with_photos(client, 1).segment()
    message = client.until("failed")["job"]["message"]
    assert message == "The group could not be segmented; the server's terminal says why."
    assert "out of memory" in capsys.readouterr().err
    told.error = None
    client.segmented()
