"""iCoseg's own distribution, made by the tests: groups and their names, JPEG copies, bad copies."""

import pickle

import numpy as np
import pytest
from PIL import Image
from toys import write_noise

from cosseg_jax.data.builders.layouts import icoseg
from cosseg_jax.data.registry import load_source

GROUPS = {  # as in the distribution, with two that the paper does not use
    "002 Alaskan Brown Bear-Eukaryote museums Milwaukee Zoo 2006-cmlburnett": "bear2",
    "brown_bear": "brownbear",
    "028 Cheetah-National Zoo, Washington DC-smata2": "cheetah",
    "021 Elephants-safari June 2008-timd2000": "elephant",
    "025 Airshows-helicopter": "helicopter",
    "025 Airshows-planes": None,
    "041 Hot Balloons-Skybird Flight 9.27.08-Tracy Sasser": "hotballoon",
    "042 Statue of Liberty-Liberty Enlightening the World (Groups)-EricaJoy": None,
    "023 Pandas-Tai-Land 6708-TAIwiffic": "panda1",
    "029 Pandas-National Zoo, Washington DC-smata2": "panda2",
}
MASK = np.zeros((4, 6), bool)
MASK[1:3, 2] = True


def write(root, groups):
    """Writes two images and 1-bit masks into each group."""
    for group in groups:
        for part in icoseg.ICOSEG_TREES:
            (root / part / group).mkdir(parents=True)
        for stem in ("2803_b", "47_a"):
            write_noise(root / f"images/{group}/{stem}.jpg", 6, 4)
            Image.fromarray(MASK).save(root / f"ground_truth/{group}/{stem}.png")
    return root


def labels_of(image):
    assert image.mask is not None
    return image.decode(image.mask)


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "CMU_Cornell_iCoseg_dataset/dataset_public", GROUPS)


def names(root):
    return [f"{image.category}/{image.stem}" for image in icoseg.ICOSEG.images(root)]


def test_the_papers_eight_groups(root):
    expected = [f"{c}/{s}" for c in sorted(icoseg.GROUP_FOLDERS) for s in ("2803_b", "47_a")]
    assert names(root) == expected


@pytest.mark.parametrize("folder", GROUPS)
def test_classes_of_the_distributions_folders(folder):
    assert icoseg.class_of(folder) == GROUPS[folder]


@pytest.mark.parametrize(
    ("folder", "category"),
    [
        *(("bear2", "bear2"), ("Brown Bear", "brownbear"), ("Elephants", "elephant")),
        *(("helicopter", "helicopter"), ("hot_balloons", "hotballoon"), ("Cheetah", "cheetah")),
        *(("Airshows-helicopter", "helicopter"), ("029", None), ("pandas", None), ("bear", None)),
        *(("2 alaskan brown bear", "bear2"), ("Cheetahs of Kenya", None), ("panda2", "panda2")),
    ],
)
def test_classes_of_folders_with_other_names(folder, category):
    assert icoseg.class_of(folder) == category


def test_folders_called_as_the_classes(tmp_path):
    assert len(names(write(tmp_path, icoseg.GROUP_FOLDERS))) == 16


def test_masks(root):
    (image, *_) = pickle.loads(pickle.dumps(icoseg.ICOSEG.images(root)))
    np.testing.assert_array_equal(labels_of(image), MASK.astype(np.uint8))


def test_jpeg_copies_of_masks_and_leftovers_do_not_count(root):
    group = next(iter(GROUPS))
    write_noise(root / f"ground_truth/{group}/47_a.jpg", 6, 4)
    (root / f"images/{group}/Thumbs.db").write_bytes(b"x")
    (root / f"images/{group}/markings").mkdir()
    assert {e.mask.suffix for e in icoseg.ICOSEG.images(root) if e.mask} == {".png"}


def test_list_names_groups(root):
    (root / "cosegmentation.txt").write_text("planes 025 Airshows-planes\nbear brown_bear # small")
    assert names(root) == ["bear/2803_b", "bear/47_a", "planes/2803_b", "planes/47_a"]


def test_list_of_a_group_that_is_not_there(root):
    (root / "cosegmentation.txt").write_text("goose 022 Goose")
    with pytest.raises(
        FileNotFoundError, match=r"images/022 Goose: .*cosegmentation\.txt has such"
    ):
        names(root)


def test_missing_group(root):
    for part in icoseg.ICOSEG_TREES:
        (root / part / "025 Airshows-helicopter").rename(root / part / "025 Airshows")
    with pytest.raises(
        FileNotFoundError, match=r"1 missing, .*helicopter \('025 Airshows-heli.*it has \['002 Alas"
    ):
        names(root)


def test_two_folders_for_a_class(root):
    write(root, ["elephant"])
    with pytest.raises(ValueError, match=r"'021 Eleph.*' and 'elephant' are both class 'elephant'"):
        names(root)


@pytest.mark.parametrize("lone", ["ground_truth/brown_bear/47_a.png", "images/brown_bear/47_a.jpg"])
def test_lone_file(root, lone):
    (root / lone).unlink()
    with pytest.raises(FileNotFoundError, match=r"'brown_bear' .*47_a.* without its counterpart"):
        names(root)


@pytest.mark.parametrize("above", [0, 1, 2])
def test_root_is_found_at_the_folder_or_below_it(root, above):
    assert icoseg.ICOSEG.find([root, root.parent, root.parent.parent][above]) == root


def test_other_folders_are_not_taken_for_it(tmp_path):
    (tmp_path / "images").mkdir()
    assert icoseg.ICOSEG.find(tmp_path) is None


def test_as_a_data_set(root):
    source = load_source("icoseg", "test", root.parent.parent)
    assert source.categories == tuple(sorted(icoseg.GROUP_FOLDERS))
    assert [members.size for members in source.members] == [2] * 8
    np.testing.assert_array_equal(source[0].masks, MASK[None])
    assert not source[0].void.any()
