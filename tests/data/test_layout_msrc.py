"""MSRC's own distribution, made by the tests: colours, void, classes, the list, bad files."""

import pickle

import numpy as np
import pytest
from PIL import Image
from toys import write_noise

from cosseg_jax.data.builders.layouts import msrc
from cosseg_jax.data.masks import VOID_LABEL
from cosseg_jax.data.registry import load_source
from cosseg_jax.errors import UserError

VOID_RGB, GRASS, COW, SHEEP, CAR = (0, 0, 0), (0, 128, 0), (0, 0, 128), (0, 128, 128), (64, 0, 128)
FIELD = [[COW, COW, VOID_RGB, GRASS], [SHEEP, GRASS, GRASS, GRASS]]


def write(root, files):
    """Writes Images/ and GroundTruth/ with the colours of each image."""
    for part in ("Images", "GroundTruth"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for stem, colours in files.items():
        pixels = np.array(colours, np.uint8)
        write_noise(root / f"Images/{stem}.bmp", pixels.shape[1], pixels.shape[0])
        Image.fromarray(pixels).save(root / f"GroundTruth/{stem}_GT.bmp")
    return root


def pairs(root):
    return [(image.category, image.stem) for image in msrc.MSRC.images(root)]


def labels_of(image):
    assert image.mask is not None
    return image.decode(image.mask)


@pytest.fixture
def root(tmp_path):
    files = {"5_2_s": FIELD, "5_10_s": [[COW, GRASS]], "2_1_s": [[GRASS, GRASS]]}
    return write(tmp_path / "MSRC_ObjCategImageDatabase_v2", files)


def test_an_image_is_in_every_class_that_it_shows(root):
    assert pairs(root) == [("cow", "5_10_s"), ("cow", "5_2_s"), ("sheep", "5_2_s")]


def test_labels_are_the_class_and_void_and_else_background(root):
    cow, sheep = (image for image in msrc.MSRC.images(root) if image.stem == "5_2_s")
    assert labels_of(cow).tolist() == [[1, 1, VOID_LABEL, 0], [0, 0, 0, 0]]
    assert labels_of(sheep).tolist() == [[0, 0, VOID_LABEL, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize(("pixels", "counts"), [(3, True), (2, False)])
def test_an_object_that_covers_too_little_is_no_member(tmp_path, pixels, counts):
    colours = np.full((15, 20, 3), GRASS, np.uint8)  # 300 pixels, of which 1% are 3
    colours[0, :pixels] = CAR
    assert (pairs(write(tmp_path, {"17_1_s": colours})) == [("car", "17_1_s")]) == counts


def test_each_class_has_its_own_colour():
    assert len(set(msrc.CLASS_COLOURS.values())) == 24
    assert set(msrc.MSRC_CLASSES) <= set(msrc.CLASS_COLOURS)


def test_list_decides(root):
    (root / "cosegmentation.txt").write_text("# the ten\nsheep 5_2_s\n\ncow 5_10_s  # small\n")
    assert pairs(root) == [("cow", "5_10_s"), ("sheep", "5_2_s")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings_of_a_list(root, encoding):
    (root / "cosegmentation.txt").write_text("sheep 5_2_s\n", encoding=encoding)
    assert pairs(root) == [("sheep", "5_2_s")]


def test_list_in_another_encoding(root):
    (root / "cosegmentation.txt").write_text("cow ö", encoding="latin-1")
    with pytest.raises(UserError, match=r"cosegmentation\.txt is not text in UTF-8 or UTF-16"):
        pairs(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cow 5_2_s\nhorse 5_2_s", r"line 2: unknown class 'horse'; expected one of \['bird'"),
        ("cow 5_2_s\ncow 5_2_s", "line 2: .* is in line 1 already"),
        ("cow", "line 1: found 'cow' alone"),
        ("# nothing", "lists nothing"),
    ],
)
def test_bad_list(root, text, message):
    (root / "cosegmentation.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        pairs(root)


def test_listed_image_that_is_not_there(root):
    (root / "cosegmentation.txt").write_text("cow 5_2_s\ncow 5_99_s")
    with pytest.raises(FileNotFoundError, match=r"2 missing.*5_99_s\.bmp: .*names it"):
        pairs(root)


def test_listed_image_without_its_class(root):
    (root / "cosegmentation.txt").write_text("cow 2_1_s")
    (image,) = msrc.MSRC.images(root)
    with pytest.raises(ValueError, match=r"2_1_s_GT\.bmp has no pixel of class 'cow'"):
        labels_of(image)


def test_image_without_its_label_file(root):
    (root / "GroundTruth/2_1_s_GT.bmp").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 missing.*GroundTruth/2_1_s_GT\.bmp"):
        pairs(root)


def test_colour_of_no_class(root):
    Image.fromarray(np.array([[COW, (1, 2, 3)]], np.uint8)).save(root / "GroundTruth/5_10_s_GT.bmp")
    with pytest.raises(ValueError, match=r"5_10_s_GT\.bmp has 1 colours .* \(1, 2, 3\) \(RGB\)"):
        pairs(root)


def test_compressed_label_file(root):
    noisy = np.repeat(np.repeat(np.array(FIELD, np.uint8), 4, axis=0), 4, axis=1)
    Image.fromarray(noisy).save(root / "GroundTruth/5_2_s_GT.jpg")
    (root / "GroundTruth/5_2_s_GT.bmp").unlink()
    with pytest.raises(ValueError, match=r"5_2_s_GT\.jpg has \d+ colours of no class"):
        pairs(root)


@pytest.mark.parametrize("above", [0, 1])
def test_root_is_found_at_the_folder_or_below_it(root, above):
    assert msrc.MSRC.find([root, root.parent][above]) == root


def test_other_folders_are_not_taken_for_it(tmp_path):
    (tmp_path / "Images").mkdir()
    assert msrc.MSRC.find(tmp_path) is None


def test_images_can_be_pickled(root):
    (image, *_) = pickle.loads(pickle.dumps(msrc.MSRC.images(root)))
    assert labels_of(image).tolist() == [[1, 0]]


def test_as_a_data_set(root):
    source = load_source("msrc", "test", root.parent)
    assert list(source.names) == ["cow/5_10_s", "cow/5_2_s", "sheep/5_2_s"]
    assert source.categories == ("cow", "sheep")
    np.testing.assert_array_equal(source[1].masks[0], [[1, 1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(source[1].void, [[0, 0, 1, 0], [0, 0, 0, 0]])
