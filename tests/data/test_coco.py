"""Preparing coco_seg from folders made by the tests: records, splits, bad sources."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from coco_toys import (
    CAT,
    DOG,
    HEIGHT,
    WIDTH,
    annotation,
    lists,
    prepare,
    small_train,
    write_coco,
)
from PIL import Image

from cosseg_jax.data.builders.coco import builder, rule
from cosseg_jax.data.builders.coco.rule import Rule
from cosseg_jax.data.registry import load_source
from cosseg_jax.errors import UserError

pytest.importorskip("pycocotools")


@pytest.fixture
def raw(tmp_path):
    return write_coco(tmp_path / "coco", small_train())


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COSSEG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def full_rule(tmp_path):
    """A folder to which the paper's thresholds apply: 100 images of large cats, 99 of dogs."""
    annotations = [annotation(i, CAT, area=4001.0) for i in range(100)]
    annotations += [annotation(i, DOG, area=4001.0) for i in range(99)]
    val = lists([900], [annotation(900, CAT, area=4001.0)])
    return write_coco(tmp_path / "whole", lists(list(range(100)), annotations), val)


def change(root: Path, edit) -> None:
    """Edits the training split's annotation file."""
    file = root / "annotations/instances_train2017.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def test_images_with_a_kept_category_are_listed_by_name(raw, tmp_path):
    prepare(raw, tmp_path)
    source = load_source("coco_seg", "train", tmp_path)
    assert source.name == "coco_seg"
    assert list(source.names) == [f"{i:012d}" for i in (1, 2, 3, 4)]


def test_categories_with_enough_images_are_kept(raw, tmp_path):
    prepare(raw, tmp_path)
    source = load_source("coco_seg", "train", tmp_path)
    assert source.categories == ("cat", "dog")
    assert [members.tolist() for members in source.members] == [[0, 2], [1, 2, 3]]


def test_masks_and_void_of_a_record(raw, tmp_path):
    prepare(raw, tmp_path)
    example = load_source("coco_seg", "train", tmp_path)[0]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:5, 1:5], mask[8, 8] = True, True
    void = np.zeros_like(mask)
    void[:, :2] = True
    np.testing.assert_array_equal(example.masks, mask[None])
    np.testing.assert_array_equal(example.void, void & ~mask)


def test_an_image_of_two_categories_has_both_masks_and_they_may_overlap(raw, tmp_path):
    prepare(raw, tmp_path)
    example = load_source("coco_seg", "train", tmp_path)[2]
    cat, dog = np.zeros((2, HEIGHT, WIDTH), bool)
    cat[2:5, 1:5], dog[2:5, 4:9] = True, True
    assert example.categories.tolist() == [0, 1]
    np.testing.assert_array_equal(example.masks, [cat, dog])


def test_val_has_the_categories_of_train(raw, tmp_path):
    prepare(raw, tmp_path)
    source = load_source("coco_seg", "val", tmp_path)
    assert source.categories == ("cat", "dog")
    assert [members.tolist() for members in source.members] == [[0], [0]]


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_the_image_is_that_of_the_file_in_any_mode(raw, tmp_path, mode):
    file = raw / "train2017/000000000001.jpg"
    Image.open(file).convert(mode).save(file)
    prepare(raw, tmp_path)
    folder = tmp_path / "coco_seg" / str(builder.CocoSeg.VERSION)
    (record,) = tfds.builder_from_directory(folder).as_data_source(
        split="train[:1]", decoders={"image": tfds.decode.SkipDecoding()}
    )
    assert record["image"] == file.read_bytes()
    example = load_source("coco_seg", "train", tmp_path)[0]
    np.testing.assert_array_equal(example.image, np.array(Image.open(file).convert("RGB")))


def test_tfds_itself_prepares_the_same_data(raw, tmp_path):
    prepare(raw, tmp_path / "ours")
    tfds_builder = builder.CocoSeg(
        rule=Rule(8.0, 2), data_dir=tmp_path / "tfds", file_format="array_record"
    )
    tfds_builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=raw, try_download_gcs=False)
    )
    ours, its = (load_source("coco_seg", "train", tmp_path / name) for name in ("ours", "tfds"))
    assert (its.names, its.categories, len(its)) == (ours.names, ours.categories, len(ours))
    for one, other in zip(
        map(its.__getitem__, range(4)), map(ours.__getitem__, range(4)), strict=True
    ):
        np.testing.assert_array_equal(one.masks, other.masks)
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.slow
def test_a_raw_folder_is_prepared_into_the_cache_by_the_papers_rule(full_rule, cache, monkeypatch):
    source = load_source("coco_seg", "train", full_rule.parent / "whole")
    assert (source.categories, len(source)) == (("cat",), 100)
    monkeypatch.setattr(builder, "write_plan", None)  # it is not made a second time
    assert load_source("coco_seg", "val", full_rule).categories == ("cat",)


def test_differences_from_the_paper_are_kept(full_rule, tmp_path, monkeypatch):
    monkeypatch.setattr(rule, "TRAIN2017_IMAGES", 100)
    builder.prepare_coco_seg(full_rule, tmp_path, processes=1)
    source = builder.load_coco_seg("train", tmp_path)
    assert source.differences[0].startswith("images in all: 100 in 1 categories, where")
    assert "cat: 100 images, where the paper's rule gives 3754" in source.differences


def test_a_small_set_needs_smaller_thresholds(raw, cache):
    with pytest.raises(UserError, match=r"no category has 100 images .*min_images"):
        load_source("coco_seg", "train", raw)
    assert not list(cache.rglob("*.array_record*"))


def test_a_folder_without_val_has_the_split_train_alone(raw, tmp_path):
    (raw / "val2017").rename(tmp_path / "elsewhere")
    (raw / "annotations/instances_val2017.json").unlink()
    prepare(raw, tmp_path / "out")
    assert len(load_source("coco_seg", "train", tmp_path / "out")) > 0
    with pytest.raises(UserError, match=r"no split 'val', only \['train'\]"):
        load_source("coco_seg", "val", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="has no split 'val': expected COCO 2017"):
        load_source("coco_seg", "val", raw)


@pytest.mark.parametrize("missing", ["annotations/instances_val2017.json", "train2017", "val2017"])
def test_an_incomplete_folder(raw, tmp_path, missing):
    (raw / missing).rename(raw / "elsewhere")
    with pytest.raises(FileNotFoundError, match=f"{missing} is missing: expected COCO 2017"):
        prepare(raw, tmp_path)


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no COCO data set in {tmp_path}: expected COCO"):
        prepare(tmp_path, tmp_path / "out")


def test_a_missing_image_is_reported_before_anything_is_written(raw, tmp_path):
    (raw / "train2017/000000000003.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000000000003\.jpg is missing, though image 3"):
        prepare(raw, tmp_path)
    assert not list(tmp_path.rglob("*.array_record*"))


def test_an_image_of_another_size(raw, tmp_path):
    Image.new("RGB", (HEIGHT, WIDTH)).save(raw / "train2017/000000000002.jpg")
    with pytest.raises(UserError, match=r"000000000002\.jpg is 10 x 12 .* has 12 x 10 for image 2"):
        prepare(raw, tmp_path)


def test_a_truncated_image(raw, tmp_path):
    file = raw / "train2017/000000000002.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"000000000002\.jpg does not decode as an image"):
        prepare(raw, tmp_path)


def test_a_bad_outline_names_its_file_and_annotation(raw, tmp_path):
    change(raw, lambda content: content["annotations"][3].update(id=31, segmentation=[]))
    with pytest.raises(
        UserError, match=r"instances_train2017\.json: annotation 31 of image 2, .* is empty"
    ):
        prepare(raw, tmp_path)


def test_images_of_a_size_that_no_image_has(raw, tmp_path):
    """It costs no memory: the size is compared with the image's before anything is drawn."""
    change(raw, lambda content: content["images"][1].update(height=10**9, width=10**9))
    with pytest.raises(UserError, match=r"image 1 has 1000000000 x 1000000000 pixels and masks"):
        prepare(raw, tmp_path)


def test_an_image_of_too_many_categories(raw, tmp_path):
    """Its masks together would be an image that Pillow does not read."""

    def edit(content):
        content["images"][1].update(height=1200, width=1600)
        content["categories"] += [{"id": i, "name": f"c{i}"} for i in range(100, 200)]
        content["annotations"] += [annotation(1, i) for i in range(100, 200)]

    change(raw, edit)
    with pytest.raises(UserError, match=r"1600 x 1200 pixels and masks of 101 categories; all"):
        prepare(raw, tmp_path, min_images=1)


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_file_names_in_either_unicode_form(raw, tmp_path, stored):
    other = {"NFC": "NFD", "NFD": "NFC"}[stored]
    name = unicodedata.normalize(other, "ü.jpg")
    change(raw, lambda content: content["images"][1].update(file_name=name))
    file = raw / "train2017/000000000001.jpg"
    file.rename(file.with_name(unicodedata.normalize(stored, name)))
    prepare(raw, tmp_path)
    assert load_source("coco_seg", "train", tmp_path).names[-1] == unicodedata.normalize(other, "ü")


def test_two_images_of_one_name(raw, tmp_path):
    change(raw, lambda content: content["images"][0].update(file_name="000000000001.jpg"))
    with pytest.raises(UserError, match=r"images [13] and [13] are both called 000000000001"):
        prepare(raw, tmp_path)


def test_categories_of_two_releases(raw, tmp_path):
    change(raw, lambda content: content["categories"][0].update(name="lion"))
    with pytest.raises(UserError, match=r"calls category 2 'cat', .*'lion'; expected two files"):
        prepare(raw, tmp_path)


def test_val_without_any_of_the_categories(raw, tmp_path):
    file = raw / "annotations/instances_val2017.json"
    file.write_text(json.dumps(lists([900], [])))
    with pytest.raises(UserError, match=r"instances_val2017\.json has no image of the 2"):
        prepare(raw, tmp_path)


@pytest.mark.parametrize("wrong", [{"processes": -1}, {"records_per_shard": 0}])
def test_numbers_out_of_range(raw, tmp_path, wrong):
    with pytest.raises(UserError, match=r"expected a number from 0, .* expected one from 1"):
        prepare(raw, tmp_path, **wrong)
