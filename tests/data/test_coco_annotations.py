"""COCO's annotation files: reading piece by piece, membership, bad elements."""

import json

import pytest
from coco_toys import CAT, CATEGORIES, DOG, annotation, lists

from cosseg_jax.data.builders.coco import json_stream
from cosseg_jax.data.builders.coco.annotations import read_index
from cosseg_jax.data.builders.coco.json_stream import elements
from cosseg_jax.errors import UserError

DOCUMENT = {
    "number": 1234567,
    "first": [12345, {"a": [1, {"b": "],}"}]}, 'q"\\é', None, [], True],
    "object": {"first": ["not an element"]},
    "empty": [],
    "last": [-1.5e-7, "end"],
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "instances.json"


def written(file, content):
    file.write_text(json.dumps(content))
    return file


def index_with(file, **changed):
    """The index of one cat, the fields of whose annotation are changed; None removes one."""
    element = annotation(1, CAT, id=77) | changed
    element = {name: value for name, value in element.items() if value is not None}
    return read_index(written(file, lists([1], [element])), 0.0)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("indent", [None, 2])
def test_elements_are_those_of_the_whole_document(file, monkeypatch, chunk, indent):
    monkeypatch.setattr(json_stream, "CHUNK_LENGTH", chunk)
    file.write_text(json.dumps(DOCUMENT, indent=indent, ensure_ascii=False), encoding="utf-8")
    expected = [(key, e) for key, v in DOCUMENT.items() if isinstance(v, list) for e in v]
    assert list(elements(file)) == expected


@pytest.mark.parametrize("chunk", [5, 1000])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", r"'{' is missing at character 0"),
        ('{"a": [1 2]}', r"',' is missing at character 9"),
        ('{"a": [1, 2', r"',' is missing at character 11"),
        ('{"a": [1, {"b": "c', r"character 10"),
        ('{"a": [1, 2]', r"',' is missing at character 12"),
        ("", r"'{' is missing at character 0"),
    ],
)
def test_broken_documents(file, monkeypatch, chunk, text, reason):
    monkeypatch.setattr(json_stream, "CHUNK_LENGTH", chunk)
    file.write_text(text)
    with pytest.raises(
        ValueError, match=rf"instances\.json is not an annotation file .*{reason}; replace"
    ):
        list(elements(file))


def test_a_broken_element_is_not_searched_to_the_files_end(file, monkeypatch):
    monkeypatch.setattr(json_stream, "CHUNK_LENGTH", 10)
    monkeypatch.setattr(json_stream, "LONGEST_ELEMENT", 50)
    file.write_text('{"a": [{"b" 1}, ' + "0, " * 1000 + "0]}")
    handled = json_stream._Part(file, file.open())
    handled.take("{")
    handled.value()
    handled.take(":")
    handled.take("[")
    with pytest.raises(UserError, match="at character 7"):
        handled.value()
    assert handled._handle.tell() < 200
    handled._handle.close()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("chunk", [1, 1000])
def test_encodings(file, monkeypatch, encoding, chunk):
    monkeypatch.setattr(json_stream, "CHUNK_LENGTH", chunk)
    file.write_text(json.dumps({"a": ["é€😀"]}, ensure_ascii=False), encoding=encoding)
    assert list(elements(file)) == [("a", "é€😀")]


@pytest.mark.parametrize(
    ("element", "reason"),
    [("[" * 100_000, "nested too deeply"), ("9" * 5000, r"Exceeds the limit \(4300 digits\)")],
)
def test_elements_that_python_cannot_decode(file, element, reason):
    file.write_text(f'{{"a": [{element}]}}')
    with pytest.raises(UserError, match=rf"is not an annotation file .*{reason}"):
        list(elements(file))


def test_bytes_that_are_not_text(file):
    file.write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(UserError, match="is not an annotation file"):
        list(elements(file))


def test_members_have_a_large_instance_that_is_no_crowd(file):
    annotations = [
        annotation(1, CAT, area=4000),  # not above
        annotation(1, DOG, area=4000.5),
        annotation(2, CAT, area=90_000, iscrowd=1, segmentation={"size": [1, 1], "counts": [1]}),
        annotation(3, DOG, area=5000),
        annotation(3, CAT, area=5000),
        annotation(3, CAT, area=9),
    ]
    index = read_index(written(file, lists([1, 2, 3, 4], annotations)), 4000.0)
    assert index.members == {1: {DOG}, 3: {CAT, DOG}}
    assert list(index.images) == [1, 2, 3, 4]
    assert index.categories == CATEGORIES


def test_annotations_may_come_before_what_they_are_of(file):
    content = lists([1], [annotation(1, CAT)])
    backwards = dict(reversed(content.items()))
    assert read_index(written(file, backwards), 4.0).members == {1: {CAT}}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"area": None}, r"annotation 77 of image 1 needs 'area' \(int or float\); found none"),
        ({"area": "9"}, r"annotation 77 of image 1 needs 'area' .* found '9'"),
        ({"segmentation": "x"}, r"needs 'segmentation' \(list or dict\); found 'x'"),
        ({"iscrowd": 2}, r"annotation 77 of image 1 has iscrowd 2, not 0 or 1"),
        ({"image_id": 5}, r"annotation 77 of image 5 is of image 5, which the file does not list"),
        ({"category_id": 1}, r"annotation 77 of image 1 is of category 1, which .* not list"),
    ],
)
def test_bad_annotations(file, changed, message):
    with pytest.raises(UserError, match=rf"instances\.json: {message}|{message}") as error:
        index_with(file, **changed)
    assert str(error.value).startswith(f"{file}: annotation 77")


def test_an_element_that_is_no_object(file):
    with pytest.raises(UserError, match="expected an object for each annotation, not 3"):
        read_index(written(file, lists([1], [3])), 0.0)  # pyright: ignore[reportArgumentType]


def test_two_images_of_one_id(file):
    with pytest.raises(UserError, match="two of image 1; remove one"):
        read_index(written(file, lists([1, 1], [])), 0.0)


def test_an_image_without_height(file):
    content = lists([1], [])
    content["images"][0]["height"] = 0
    with pytest.raises(UserError, match=r"image 1 is 12 x 0 pixels"):
        read_index(written(file, content), 0.0)


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_an_image_without_a_file_name(file, name):
    content = lists([1], [])
    content["images"][0]["file_name"] = name
    with pytest.raises(UserError, match=rf"image 1 has the file_name '{name}'"):
        read_index(written(file, content), 0.0)


@pytest.mark.parametrize("name", ["cat", "Cat ", "CAT"])
def test_two_categories_of_one_name(file, name):
    content = lists([1], [annotation(1, CAT)])
    content["categories"].append({"id": 12, "name": name})
    with pytest.raises(UserError, match=rf"categories 2 and 12 are both called '{name}'; give"):
        read_index(written(file, content), 0.0)


def test_a_document_of_another_kind(file):
    with pytest.raises(UserError, match="lists 0 images and 0 categories; expected an annotation"):
        read_index(written(file, {"type": "captions"}), 0.0)
