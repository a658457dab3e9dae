"""What the paper says of its benchmarks, and how differences from it are reported."""

import numpy as np
import pytest

from cosseg_jax.data.builders.expected import BENCHMARKS, Checksum, differences_from_paper
from cosseg_jax.evaluation import paper


def as_expected(name):
    """The class of each image of a benchmark that is as the paper says."""
    return [c for c, number in BENCHMARKS[name].counts.items() for _ in range(number or 3)]


@pytest.mark.parametrize(
    ("name", "classes", "entries"), [("pascal", 20, 1037), ("msrc", 7, 70), ("internet", 3, 300)]
)
def test_totals_are_the_papers(name, classes, entries):
    counts = BENCHMARKS[name].counts
    assert (len(counts), sum(number or 0 for number in counts.values())) == (classes, entries)


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_classes_are_those_of_the_papers_tables(name):
    in_table = paper.TABLES[name].classes
    assert in_table in ((), tuple(BENCHMARKS[name].counts))


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_the_benchmark_itself_does_not_differ(name):
    assert differences_from_paper(name, as_expected(name), BENCHMARKS[name].checksum) == []


def test_a_missing_image():
    assert differences_from_paper("msrc", as_expected("msrc")[1:], "") == [
        "9 images of bird, the paper has 10",
        "69 images in all, the paper has 70",
    ]


def test_a_missing_class_of_unknown_size():
    without = [category for category in as_expected("icoseg") if category != "panda2"]
    assert differences_from_paper("icoseg", without, "") == ["no images of panda2"]


def test_a_class_too_many():
    assert differences_from_paper("icoseg", [*as_expected("icoseg"), "panda3"], "") == [
        "1 images of panda3, of which the paper has none"
    ]


def test_other_images_of_the_same_number():
    (line,) = differences_from_paper("pascal", as_expected("pascal"), "0123456789abcdef")
    assert "checksum 0123456789abcdef, theirs " + BENCHMARKS["pascal"].checksum in line


def test_nothing_is_expected_of_other_data_sets():
    assert differences_from_paper("folder", ["cow"], "x") == []


IMAGE, LABELS = np.arange(36, dtype=np.uint8).reshape(3, 4, 3), np.eye(3, 4, dtype=np.uint8)


def checksum(*entries):
    whole = Checksum()
    for entry in entries:
        whole.add(*entry)
    return whole.hexdigest()


def test_checksum_is_a_function_of_the_images():
    assert checksum(("cow", IMAGE, LABELS)) == checksum(("cow", IMAGE.copy(), LABELS.copy()))


def test_checksum_does_not_depend_on_the_layout_in_memory():
    by_columns = np.asfortranarray(IMAGE)
    assert checksum(("cow", by_columns, LABELS)) == checksum(("cow", IMAGE, LABELS))


@pytest.mark.parametrize(
    "entry",
    [
        ("dog", IMAGE, LABELS),
        ("cow", IMAGE + 1, LABELS),
        ("cow", IMAGE, 1 - LABELS),
        ("cow", IMAGE.reshape(4, 3, 3), LABELS.reshape(4, 3)),
    ],
)
def test_checksum_changes_with_class_image_mask_and_shape(entry):
    assert checksum(entry) != checksum(("cow", IMAGE, LABELS))


def test_checksum_changes_with_the_order():
    one, other = ("cow", IMAGE, LABELS), ("cow", IMAGE + 1, LABELS)
    assert checksum(one, other) != checksum(other, one)
