"""The Internet images' own distribution, made by the tests: classes, missing masks, bad copies."""

import pickle

import numpy as np
import pytest
from PIL import Image
from toys import write_noise

from cosseg_jax.data.builders.layouts import internet
from cosseg_jax.data.registry import load_source

LEFT, NONE = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
LEFT[:, :2] = True


def write(root, masks):
    """Writes the three class folders; an image whose mask is None gets no file for it."""
    for name in internet.CLASS_FOLDERS.values():
        (root / name / "GroundTruth").mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        folder, stem = name.split("/")
        write_noise(root / folder / f"{stem}.jpg", 6, 4)
        if mask is not None:
            Image.fromarray(mask).save(root / folder / f"GroundTruth/{stem}.png")
    return root


WHOLE = {
    **{"Airplane100/0001": LEFT, "Airplane100/0002": NONE, "Car100/0001": LEFT},
    **{"Horse100/0003": ~LEFT, "Horse100/0001": LEFT},
}


def labels_of(image):
    assert image.mask is not None
    return image.decode(image.mask)


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "Data", WHOLE)


def images(root):
    return {f"{e.category}/{e.stem}": e for e in internet.INTERNET.images(root)}


def test_entries_by_class_and_stem(data):
    names = ["airplane/0001", "airplane/0002", "car/0001", "horse/0001", "horse/0003"]
    assert list(images(data)) == names


def test_masks(data):
    found = images(data)
    for name, mask in (("horse/0003", ~LEFT), ("airplane/0002", NONE)):
        np.testing.assert_array_equal(labels_of(found[name]), mask.astype(np.uint8))


def test_image_without_mask_is_background_where_black_masks_were_left_out(data):
    (data / "Airplane100/GroundTruth/0002.png").unlink()
    image = images(data)["airplane/0002"]
    labels = labels_of(image)
    assert (labels.shape, labels.dtype, labels.max()) == ((4, 6), np.uint8, 0)


def test_missing_mask_beside_a_black_one(data):
    write_noise(data / "Airplane100/0005.jpg", 6, 4)
    write_noise(data / "Airplane100/0006.jpg", 6, 4)
    Image.fromarray(LEFT).save(data / "Airplane100/GroundTruth/0006.png")
    with pytest.raises(FileNotFoundError, match=r"1 missing.*Airplane100/0005\.jpg: .*black mask"):
        internet.INTERNET.images(data)


def test_more_than_half_of_the_masks_missing(data):
    write_noise(data / "Car100/0002.jpg", 6, 4)
    assert len(images(data)) == 6
    write_noise(data / "Car100/0003.jpg", 6, 4)
    with pytest.raises(FileNotFoundError, match=r"2 missing.*Car100/0002\.jpg: more than half"):
        internet.INTERNET.images(data)


def test_mask_without_image(data):
    (data / "Horse100/0003.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 masks without theirs, .*GroundTruth/0003\.png"):
        internet.INTERNET.images(data)


def test_empty_class(tmp_path):
    data = write(tmp_path, {"Airplane100/1": LEFT, "Horse100/1": LEFT})
    with pytest.raises(ValueError, match="Car100 has 0 images"):
        internet.INTERNET.images(data)


def test_missing_class(data):
    (data / "Car100").rename(data / "Cars")
    with pytest.raises(FileNotFoundError, match=r"Car100: the data set has all three classes"):
        internet.INTERNET.images(data)


def test_class_without_its_folder_of_masks(data):
    (data / "Car100/GroundTruth").rename(data / "Car100/Masks")
    with pytest.raises(FileNotFoundError, match=r"Car100/GroundTruth: .*with its masks"):
        internet.INTERNET.images(data)


@pytest.mark.parametrize("place", ["Data", ".", "ObjectDiscovery-data/Data"])
def test_root_is_found_at_the_folder_or_below_it(tmp_path, place):
    assert internet.INTERNET.find(tmp_path) is None
    data = write(tmp_path / place, WHOLE)
    assert internet.INTERNET.find(tmp_path) == data


def test_images_can_be_pickled(data):
    (data / "Airplane100/GroundTruth/0002.png").unlink()
    _, image, *_ = pickle.loads(pickle.dumps(internet.INTERNET.images(data)))
    assert not labels_of(image).any()


def test_as_a_data_set(data):
    (data / "Airplane100/GroundTruth/0002.png").unlink()
    source = load_source("internet", "test", data.parent)
    assert source.categories == ("airplane", "car", "horse")
    np.testing.assert_array_equal(source[0].masks, LEFT[None])
    assert not source[1].masks.any()
    assert not source[1].void.any()
