"""Masks from polygons and from run lengths in both forms, by hand and beside pycocotools."""

import builtins
import itertools

import numpy as np
import pytest
from coco_toys import CAT, DOG, KITE, annotation, box

from cosseg_jax.data.builders.coco.annotations import AnnotatedImage, Instance
from cosseg_jax.data.builders.coco.masks import decoded_runs, mask_api, masks_and_void, union_of
from cosseg_jax.errors import MissingPackageError, UserError

pytest.importorskip("pycocotools")

IMAGE = AnnotatedImage(1, "1.jpg", height=10, width=12)


def instance(segmentation, category=CAT, crowd=False) -> Instance:
    fields = annotation(1, category, segmentation, id=77)
    del fields["iscrowd"]
    return Instance(**fields, crowd=crowd)


def drawn(*boxes) -> np.ndarray:
    """The pixels of rectangles (left, top, right, bottom), of which the last two are exclusive."""
    mask = np.zeros((10, 12), bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def runs_of(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, zeros first."""
    values = [False, *mask.T.ravel().tolist()]
    changes = [i - 1 for i in range(1, len(values)) if values[i] != values[i - 1]]
    edges = [0, *changes, mask.size]
    return [after - before for before, after in itertools.pairwise(edges)]


def rle(mask: np.ndarray, form: str) -> dict:
    if form == "plain":
        return {"size": [10, 12], "counts": runs_of(mask)}
    encoded = mask_api().encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [10, 12], "counts": encoded["counts"].decode()}


def test_a_polygon_by_hand():
    np.testing.assert_array_equal(union_of(IMAGE, [instance(box(1, 2, 5, 6))]), drawn((1, 2, 5, 6)))


@pytest.mark.parametrize("form", ["plain", "compressed"])
def test_run_lengths_by_hand(form):
    mask = drawn((1, 2, 5, 6), (0, 8, 12, 10))
    np.testing.assert_array_equal(union_of(IMAGE, [instance(rle(mask, form))]), mask)


def test_an_instance_of_several_polygons_is_their_union():
    parts = instance([*box(0, 0, 2, 2), *box(6, 6, 9, 9)])
    np.testing.assert_array_equal(union_of(IMAGE, [parts]), drawn((0, 0, 2, 2), (6, 6, 9, 9)))


def test_a_polygon_that_leaves_the_image_is_cut():
    np.testing.assert_array_equal(
        union_of(IMAGE, [instance(box(8, 7, 40, 30))]), drawn((8, 7, 12, 10))
    )


def test_a_polygon_of_two_points_covers_nothing():
    """pycocotools would take its four numbers for a box."""
    both = instance([[3, 3, 4, 4], *box(0, 0, 2, 2)])
    np.testing.assert_array_equal(union_of(IMAGE, [both]), drawn((0, 0, 2, 2)))


def test_masks_are_the_unions_of_their_categories_instances():
    instances = [
        instance(box(0, 0, 4, 4)),
        instance(rle(drawn((2, 2, 6, 6)), "compressed")),
        instance(box(3, 3, 8, 8), DOG),  # over the cats
        instance(box(9, 9, 12, 10), KITE),  # not asked for
    ]
    masks, void = masks_and_void(IMAGE, (CAT, DOG), instances)
    np.testing.assert_array_equal(masks[0], drawn((0, 0, 4, 4), (2, 2, 6, 6)))
    np.testing.assert_array_equal(masks[1], drawn((3, 3, 8, 8)))
    assert not void.any()


def test_void_is_where_only_the_crowd_of_a_category_lies():
    instances = [
        instance(box(0, 0, 4, 4)),
        instance(rle(drawn((2, 0, 8, 4)), "plain"), crowd=True),
        instance(box(5, 0, 7, 10), DOG),  # does not take the cats' crowd away
        instance(rle(drawn((0, 9, 12, 10)), "plain"), KITE, crowd=True),  # not of the image
    ]
    masks, void = masks_and_void(IMAGE, (CAT, DOG), instances)
    np.testing.assert_array_equal(masks[0], drawn((0, 0, 4, 4)))
    np.testing.assert_array_equal(void, drawn((4, 0, 8, 4)))


def test_compressed_run_lengths_decode_as_in_pycocotools():
    rng = np.random.default_rng(0)
    for repeat in (1, 40, 900):
        column = rng.random((30, 8)) < 0.4
        mask = np.repeat(column, repeat, axis=0)
        encoded = mask_api().encode(np.asfortranarray(mask.astype(np.uint8)))
        assert decoded_runs(encoded["counts"]) == runs_of(mask)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "its segmentation is empty"),
        ([[1, 2, 3, 4, 5]], r"a polygon is \[1, 2, 3, 4, 5\]; expected numbers, x and y in turns"),
        ([[]], r"a polygon is \[\]"),
        ([[1, 2, 3, "4", 5, 6]], "a polygon is"),
        ([[1, 2, 3, float("nan"), 5, 6]], "a polygon is"),
        ([1, 2, 3, 4, 5, 6], "a polygon is 1; expected numbers"),
        ({"size": [12, 10], "counts": [120]}, r"have size \[12, 10\]; expected \[10, 12\]"),
        ({"size": [10, 12], "counts": [100]}, "sum to 100; expected 120"),
        ({"size": [10, 12], "counts": [130, -10]}, "expected numbers from 0 to 120, or a text"),
        ({"size": [10, 12], "counts": None}, "expected numbers from 0 to 120, or a text"),
        ({"size": [10, 12], "counts": ""}, "sum to 0; expected 120"),
        ({"size": [10, 12], "counts": "h"}, "end within a number"),
        ({"size": [10, 12], "counts": "o" * 1_000_000}, "are not in COCO's form"),
        ({"size": [10, 12], "counts": "1 2"}, "are not in COCO's form"),
        ({"size": [10, 12], "counts": [10**400]}, "expected numbers from 0 to 120"),
        (
            {"size": [10**9, 10**9], "counts": [10**18]},
            r"have size \[1000000000, .*expected \[10, 12",
        ),
        ([[1, 1, 10**400, 1, 5, 5]], "a polygon is"),
        ([[1, 1, 1e308, 1, -1e308, 5]], "a polygon is"),
        (box(1, 1, 300_000_000, 5), r"reaches the coordinate 3e\+08 and is 6e\+08 pixels long"),
        ([[0, 0, 9000, 9] * 200], r"is 3\.6e\+06 pixels long; correct it or remove"),
        ([[x + 3e8 for x in (1, 1, 4, 1, 4, 4)]], r"reaches the coordinate 3e\+08"),
    ],
)
def test_bad_outlines(segmentation, message):
    with pytest.raises(UserError, match=f"annotation 77 of image 1, 12 x 10 pixels: .*{message}"):
        union_of(IMAGE, [instance(segmentation)])


def test_a_polygon_may_leave_the_image_by_far():
    far = instance(box(8, 7, 200_000, 30))
    np.testing.assert_array_equal(union_of(IMAGE, [far]), drawn((8, 7, 12, 10)))


def test_instances_that_cover_nothing():
    with pytest.raises(UserError, match=rf"category {CAT}, annotations \[77\], cover no pixel"):
        masks_and_void(IMAGE, (CAT,), [instance([[3, 3, 4, 4]])])


def test_without_pycocotools(monkeypatch):
    ours = builtins.__import__

    def without(name, *arguments):
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return ours(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match=r"pip install 'cosseg_jax\[coco\]'"):
        mask_api()
