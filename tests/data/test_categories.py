"""A data set without some of its categories."""

import numpy as np
import pytest
from toys import ToySource

from cosseg_jax.data.source import only_categories, without_categories
from cosseg_jax.errors import UserError

SOURCE = ToySource([[0], [1], [2], [0, 2], [1, 2], [2, 3], [3]], 4)


def test_images_that_contain_a_held_out_category_are_removed():
    kept = without_categories(SOURCE, ["category1"])
    assert kept.categories == ("category0", "category2", "category3")
    assert list(kept.names) == [SOURCE.names[i] for i in (0, 2, 3, 5, 6)]
    assert [members.tolist() for members in kept.members] == [[0, 2], [1, 2, 3], [3, 4]]


def test_an_example_differs_from_the_source_in_its_numbers_only():
    kept = without_categories(SOURCE, ["category0", "category1"])
    assert len(kept) == 3  # 2, 5 and 6
    np.testing.assert_array_equal(kept[1].image, SOURCE[5].image)
    np.testing.assert_array_equal(kept[1].masks, SOURCE[5].masks)
    assert kept[1].categories.tolist() == [0, 1]
    with pytest.raises(IndexError, match="0 to 2, not 3"):
        kept[3]


def test_holding_out_nothing_changes_nothing():
    assert without_categories(SOURCE, ()) is SOURCE


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (["category9"], r"\['category9'\], which 'toy' does not have; .* category0, category1"),
        ([f"category{i}" for i in range(4)], "every category"),
    ],
)
def test_bad_names_of_held_out_categories(held_out, message):
    with pytest.raises(UserError, match=message):
        without_categories(SOURCE, held_out)


def test_images_of_some_categories_contain_nothing_else():
    only = only_categories(SOURCE, ["category2", "category0"])
    assert only.categories == ("category0", "category2")
    assert list(only.names) == [SOURCE.names[i] for i in (0, 2, 3, 4, 5)]
    assert [members.tolist() for members in only.members] == [[0, 2], [1, 2, 3, 4]]
    both, one = only[2], only[3]
    assert both.categories.tolist() == [0, 1]
    np.testing.assert_array_equal(both.masks, SOURCE[3].masks)
    assert one.categories.tolist() == [1]
    np.testing.assert_array_equal(one.masks, SOURCE[4].masks[1:])


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "categories is empty"), (["category9"], r"categories names \['category9'\], which")],
)
def test_bad_names_of_categories_to_evaluate(names, message):
    with pytest.raises(UserError, match=message):
        only_categories(SOURCE, names)
