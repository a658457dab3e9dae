"""coco_seg from the real images of COCO 2017 that COSSEG_DATA_DIR has, a hundred or more."""

import contextlib
import io
import json
from collections import defaultdict

import numpy as np
import pytest

from cosseg_jax.data.builders.coco import builder
from cosseg_jax.data.groups import shared_categories, union_mask
from cosseg_jax.data.pipeline import training_batches
from cosseg_jax.data.registry import load_source

pycocotools = pytest.importorskip("pycocotools.coco")

MIN_IMAGES = 3
EVERY = 7  # images from one that is looked at to the next


@pytest.fixture(scope="module")
def real(data_dir):
    if not (data_dir / "coco/annotations/instances_train2017.json").is_file():
        pytest.skip("needs coco/ in COSSEG_DATA_DIR")
    return data_dir / "coco"


@pytest.fixture(scope="module")
def prepared(real, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("prepared")
    builder.prepare_coco_seg(
        real, data_dir, processes=1, min_images=MIN_IMAGES, records_per_shard=20
    )
    return data_dir


@pytest.fixture(scope="module", params=["train", "val"])
def split(request, real, prepared):
    """A split's source beside its annotation file as plain JSON."""
    annotations = json.loads((real / f"annotations/instances_{request.param}2017.json").read_text())
    return load_source("coco_seg", request.param, prepared), annotations, request.param


def counted(annotations: dict) -> dict[str, set[str]]:
    """The images of each category by the paper's rule, counted here."""
    names = {category["id"]: category["name"] for category in annotations["categories"]}
    files = {image["id"]: image["file_name"] for image in annotations["images"]}
    images = defaultdict(set)
    for annotation in annotations["annotations"]:
        if annotation["iscrowd"] == 0 and annotation["area"] > 4000:
            name = names[annotation["category_id"]]
            images[name].add(files[annotation["image_id"]].removesuffix(".jpg"))
    return images


def test_categories_are_those_with_enough_images(real, prepared):
    annotations = json.loads((real / "annotations/instances_train2017.json").read_text())
    sizes = {name: len(of_one) for name, of_one in counted(annotations).items()}
    names = [category["name"] for category in annotations["categories"]]  # by id
    kept = tuple(name for name in names if sizes.get(name, 0) >= MIN_IMAGES)
    assert load_source("coco_seg", "train", prepared).categories == kept


def test_members_are_those_of_the_rule(split):
    source, annotations, _ = split
    expected = counted(annotations)
    for category, members in zip(source.categories, source.members, strict=True):
        assert {source.names[i] for i in members} == expected.get(category, set())


def test_every_image_of_a_kept_category_is_there(split):
    source, annotations, _ = split
    expected = counted(annotations)
    assert list(source.names) == sorted(set.union(*(expected[c] for c in source.categories)))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_masks_are_the_unions_that_pycocotools_makes(split, real):
    source, _, name = split
    with contextlib.redirect_stdout(io.StringIO()):
        reference = pycocotools.COCO(str(real / f"annotations/instances_{name}2017.json"))
    ids = {image["file_name"]: image["id"] for image in reference.dataset["images"]}
    for index in range(0, len(source), EVERY):
        example = source[index]
        image = ids[f"{example.name}.jpg"]
        void = np.zeros(example.void.shape, bool)
        for category, mask in zip(example.categories, example.masks, strict=True):
            (category_id,) = reference.getCatIds(catNms=[source.categories[category]])
            whole, crowd = np.zeros_like(mask), np.zeros_like(mask)
            for one in reference.loadAnns(reference.getAnnIds(image, category_id)):
                target = crowd if one["iscrowd"] else whole
                target |= reference.annToMask(one).astype(bool)
            np.testing.assert_array_equal(mask, whole)
            void |= crowd & ~whole
        np.testing.assert_array_equal(example.void, void)


def test_there_is_void_from_crowds(split):
    source, *_ = split
    assert any(source[index].void.any() for index in range(len(source)))


def test_groups_follow_the_union_rule(prepared):
    """The label is all categories that a group shares, and the mask is the union of theirs."""
    source = load_source("coco_seg", "train", prepared)
    options = {"group_size": 2, "groups_per_step": 8, "image_size": 32}
    batches = training_batches(source, seed=0, **options, threads=0)
    steps = batches._steps
    several = 0
    for position in range(40):
        examples = [source[index] for index in steps.sampler[position].indices]
        shared = shared_categories(examples)
        several += len(shared) > 1
        assert np.flatnonzero(steps.group(position).labels).tolist() == list(shared)
        for example in examples:
            parts = [
                m for c, m in zip(example.categories, example.masks, strict=True) if c in shared
            ]
            np.testing.assert_array_equal(union_mask(example, shared), np.logical_or.reduce(parts))
    batches.close()
    assert several
