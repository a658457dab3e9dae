"""The paper's choice of categories: thresholds, and what is known of the whole of train2017."""

import json

import pytest

from cosseg_jax.data.builders.coco.rule import (
    PAPER_COUNTS,
    PAPER_RULE,
    TRAIN2017_IMAGES,
    Rule,
    differences_from_rule,
    kept_categories,
)

NAMES = {1: "person", 4: "bus", 7: "tie"}
MEMBERS = {10: {4, 7}, 11: {7}, 12: {1, 7}, 13: {1}}  # person 2, bus 1, tie 3


@pytest.mark.parametrize(
    ("min_images", "kept"), [(1, (1, 4, 7)), (2, (1, 7)), (3, (7,))], ids=["1", "2", "3"]
)
def test_categories_with_enough_images_are_kept(min_images, kept):
    assert kept_categories(MEMBERS, NAMES, Rule(min_images=min_images)) == kept


def test_no_category_with_enough_images():
    with pytest.raises(ValueError, match=r"no category has 100 .* above 4000 .* is 3 \(tie\)"):
        kept_categories(MEMBERS, NAMES, PAPER_RULE)


def test_no_image_of_any_category():
    with pytest.raises(ValueError, match="the most that one has is 0"):
        kept_categories({}, NAMES, PAPER_RULE)


def test_the_paper_has_78_categories_and_200932_images_in_them():
    assert (len(PAPER_COUNTS), sum(PAPER_COUNTS.values())) == (78, 200_932)


def test_no_difference_on_the_papers_counts():
    assert differences_from_rule(TRAIN2017_IMAGES, PAPER_COUNTS, PAPER_RULE) == []


def test_differences_are_listed():
    counts = {name: count for name, count in PAPER_COUNTS.items() if name != "cat"}
    assert differences_from_rule(
        TRAIN2017_IMAGES, counts | {"dog": 3377, "toaster": 101}, PAPER_RULE
    ) == [
        "images in all: 197278 in 78 categories, where the paper's rule gives 200932 in 78",
        "cat: 0 images, where the paper's rule gives 3754",
        "dog: 3377 images, where the paper's rule gives 3378",
        "toaster: 101 images, where the paper's rule gives 0",
    ]


def test_the_total_is_named_only_where_it_differs():
    counts = PAPER_COUNTS | {"dog": 3377, "cat": 3755}
    lines = differences_from_rule(TRAIN2017_IMAGES, counts, PAPER_RULE)
    assert [line.split(":")[0] for line in lines] == ["cat", "dog"]


def test_other_sets_and_other_thresholds_are_not_compared():
    assert differences_from_rule(TRAIN2017_IMAGES - 1, {"cat": 1}, PAPER_RULE) == []
    assert differences_from_rule(TRAIN2017_IMAGES, {"cat": 1}, Rule(min_area=3999.0)) == []


def test_expected_counts_are_the_known_ones(data_dir):
    """The counts made over the whole of train2017, by id; the names from a real file."""
    file = data_dir / "coco/ssnm_group_counts.json"
    if not file.is_file():
        pytest.skip("needs coco/ssnm_group_counts.json in COSSEG_DATA_DIR")
    by_id = json.loads(file.read_text())["images_per_category_id"]
    annotations = json.loads((file.parent / "annotations/instances_val2017.json").read_text())
    names = {category["id"]: category["name"] for category in annotations["categories"]}
    assert list(PAPER_COUNTS.items()) == [(names[int(i)], count) for i, count in by_id.items()]
