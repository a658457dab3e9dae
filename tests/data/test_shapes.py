"""The built-in data: what is drawn from (seed, index), and what an image alone must not reveal."""

import functools

import numpy as np
import pytest

from cosseg_jax.data.builders.shapes import SEEN, SHAPE_SPLITS, SHAPES, UNSEEN, Shapes
from cosseg_jax.data.source import Source
from cosseg_jax.types import Example

SIZE = 48


@functools.cache
def drawn(split: str, seed: int = 0) -> tuple[Shapes, list[Example]]:
    """A split and its first 240 images, small ones."""
    shapes = Shapes(split, seed=seed, size=SIZE)
    return shapes, [shapes[index] for index in range(240)]


def held(split: str, index: int, **options) -> set[str]:
    """Names of all categories in an image, including those that the split does not have."""
    return {SHAPES[c] for c in Shapes(split, **options)._categories_of(index)}


def same(one: Example, other: Example) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_it_is_a_source():
    assert isinstance(Shapes("val"), Source)


def test_twelve_categories_to_train_on_and_four_unseen_ones():
    assert (len(SEEN), len(UNSEEN)) == (12, 4)
    assert not set(SEEN) & set(UNSEEN)
    assert Shapes("train").categories == Shapes("val").categories == SEEN
    assert Shapes("unseen").categories == UNSEEN


def test_every_part_of_an_unseen_category_is_seen():
    for part in (0, 1):
        parts = {name.split("-")[part] for name in SEEN}
        assert {name.split("-")[part] for name in UNSEEN} <= parts


def test_an_image_is_a_function_of_seed_and_index():
    shapes, again = Shapes("train", size=SIZE), Shapes("train", size=SIZE)
    backwards = {index: again[index] for index in (11_999, 7, 0)}
    assert all(same(shapes[index], backwards[index]) for index in (0, 7, 11_999))


def test_seeds_and_indices_differ():
    images = [Shapes("train", seed=seed, size=SIZE)[index] for seed, index in [(0, 0), (1, 0)]]
    images.append(Shapes("train", size=SIZE)[12])  # of the same category first
    for i, one in enumerate(images):
        for other in images[:i]:
            assert np.mean(one.image != other.image) > 0.5


@pytest.mark.slow
def test_splits_have_random_numbers_of_their_own():
    assert np.mean(drawn("train")[1][0].image != drawn("val")[1][0].image) > 0.5
    streams = [stream for _, stream, _ in SHAPE_SPLITS.values()]
    assert len(set(streams)) == len(SHAPE_SPLITS)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "val"])
def test_no_unseen_category_is_drawn_for_training_or_validation(split):
    assert {name for index in range(240) for name in held(split, index)} == set(SEEN)


def test_images_of_the_unseen_split_hold_unseen_ones_among_all_sixteen():
    every = [held("unseen", index) for index in range(240)]
    assert all(names & set(UNSEEN) for names in every)
    assert set.union(*every) == set(SHAPES)


@pytest.mark.slow
def test_the_first_category_takes_turns():
    for split in SHAPE_SPLITS:
        shapes = Shapes(split)
        for index in range(24):
            assert index in shapes.members[index % len(shapes.categories)]


@pytest.mark.parametrize("objects", [1, 4, 8])
def test_the_objects_of_an_image_are_of_different_categories(objects):
    for index in range(20):
        assert len(held("unseen", index, objects=objects)) == objects


@pytest.mark.slow
@pytest.mark.parametrize("split", ["val", "unseen"])
def test_members_are_the_images_that_hold_the_category(split):
    shapes, images = drawn(split)
    found = [
        [index for index, image in enumerate(images) if category in image.categories]
        for category in range(len(shapes.categories))
    ]
    assert [members.tolist() for members in shapes.members] == found
    assert sum(map(len, found)) == sum(len(image.masks) for image in images)


def test_a_mask_is_that_of_its_category():
    """A square fills its bounding box more than a triangle does."""
    shapes, images = drawn("val")
    filled = {outline: [] for outline in ("square", "triangle")}
    for image in images:
        for category, mask in zip(image.categories, image.masks, strict=True):
            outline = shapes.categories[category].split("-")[0]
            if outline in filled and mask.sum() > 100:
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                filled[outline].append(mask.sum() / (np.ptp(rows) + 1) / (np.ptp(columns) + 1))
    assert np.median(filled["square"]) > np.median(filled["triangle"]) + 0.15


def test_categories_ascend_and_have_a_mask_each():
    for image in drawn("unseen")[1]:
        assert (np.diff(image.categories) > 0).all()
        assert image.masks.shape == (len(image.categories), SIZE, SIZE)


def test_masks_do_not_overlap():
    assert all(image.masks.sum(axis=0).max() <= 1 for image in drawn("val")[1])


def test_objects_can_be_seen():
    """Nearly every mask holds more than a hundredth of its image."""
    areas = np.concatenate([image.masks.mean(axis=(1, 2)) for image in drawn("val")[1]])
    assert np.mean(areas > 0.01) > 0.98


def test_no_pixel_is_void():
    assert not any(image.void.any() for image in drawn("val")[1])


def test_names_tell_split_and_index():
    shapes, images = drawn("unseen")
    assert images[17].name == shapes.names[17] == "unseen_00017"
    assert len(set(shapes.names)) == len(shapes) == 240


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (dict(split="test"), ValueError, "no split 'test'; choose one of train, val, unseen"),
        (dict(split="val", size=15), ValueError, "size is 15; .* at least 16 pixels"),
        (dict(split="val", objects=0), ValueError, "objects is 0; .* holds 1 to 8"),
        (dict(split="val", objects=9), ValueError, "objects is 9; .* holds 1 to 8"),
    ],
)
def test_bad_arguments(bad, error, message):
    with pytest.raises(error, match=message):
        Shapes(**bad)


@pytest.mark.parametrize("index", [-1, 240])
def test_index_outside_of_the_split(index):
    with pytest.raises(IndexError, match=f"shapes/val has 240 images, not index {index}"):
        Shapes("val")[index]


# What an image alone must not reveal.


def spread_ratio(values: np.ndarray, labels: np.ndarray) -> float:
    """The F statistic: spread of the means of the labels over that within; 1 is expected."""
    groups = [values[labels == label] for label in np.unique(labels)]
    between = sum(len(group) * (group.mean() - values.mean()) ** 2 for group in groups)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    return between / (len(groups) - 1) / (within / (len(values) - len(groups)))


def surface_colour(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean colour of an object without its rim and symbol."""
    pixels = image[mask].astype(float)
    plain = (pixels.max(axis=1) < 220) & (pixels.min(axis=1) > 35)
    return pixels[plain].mean(axis=0)


@pytest.fixture(scope="module")
def objects():
    """Category, surface colour and centre of every object in the validation images."""
    found = [
        (category, *surface_colour(image.image, mask), *np.argwhere(mask).mean(axis=0))
        for image in drawn("val")[1]
        for category, mask in zip(image.categories, image.masks, strict=True)
        if mask.sum() > 60
    ]
    return np.array(found)


@pytest.mark.parametrize("column", range(1, 6), ids=["red", "green", "blue", "row", "column"])
def test_colour_and_place_say_nothing_of_the_category(objects, column):
    assert spread_ratio(objects[:, column], objects[:, 0]) < 2.2  # 1 in 100 by chance


def test_the_statistic_would_notice_a_twentieth_of_the_range(objects):
    tinted = objects[:, 1] + 12 * (objects[:, 0] % 2)
    assert spread_ratio(tinted, objects[:, 0]) > 2.2


def contrast(image: Example, mask: np.ndarray) -> float:
    """Distance of an object's mean colour from that of all pixels without an object."""
    background = ~image.masks.any(axis=0)
    means = [image.image[where].mean(axis=0) for where in (mask, background)]
    return float(np.linalg.norm(means[0] - means[1]))


def centrality(image: Example, mask: np.ndarray) -> float:
    return -float(np.hypot(*(np.argwhere(mask).mean(axis=0) - SIZE / 2)))


SALIENCE = {
    "largest": lambda image, mask: mask.sum(),
    "centre-most": centrality,
    "most contrasting": contrast,
    "brightest": lambda image, mask: image.image[mask].mean(),
    "most textured": lambda image, mask: image.image[mask].std(axis=0).mean(),
}


@pytest.mark.slow
@pytest.mark.parametrize("salience", SALIENCE)
def test_no_salience_finds_the_shared_object(salience):
    """The target of an image is the category whose turn it is; chance finds one in four."""
    hits = []
    for seed in range(3):
        shapes, images = drawn("val", seed)
        for index, image in enumerate(images):
            scores = [
                SALIENCE[salience](image, mask) if mask.any() else -np.inf for mask in image.masks
            ]
            hits.append(image.categories[np.argmax(scores)] == index % len(shapes.categories))
    assert np.mean(hits) == pytest.approx(0.25, abs=0.05)  # three standard deviations
