"""From a distribution to examples: classes, masks of every kind, bad files, what is reported."""

import numpy as np
import pytest
from PIL import Image
from toys import write_devkit, write_noise, write_pack

from cosseg_jax.data.builders import cosegmentation
from cosseg_jax.data.builders.layouts.layout import LabelledImage
from cosseg_jax.data.masks import VOID_LABEL
from cosseg_jax.data.registry import load_source

LEFT, RIGHT = np.zeros((6, 10), bool), np.zeros((6, 10), bool)
LEFT[:, :3], RIGHT[:, 8:] = True, True


@pytest.fixture
def pack(tmp_path):
    """Two classes that share an image, each with a mask of its own."""
    return write_pack(
        tmp_path / "PASCAL_VOC", {"horse/b": RIGHT, "cow/b": LEFT, "horse/a": RIGHT, "cow/z": LEFT}
    )


@pytest.fixture
def one(tmp_path):
    """A class of one image."""
    return write_pack(tmp_path / "MSRC7", {"cow/a": LEFT})


def only_example(folder):
    (example,) = list(load_source("msrc", "test", folder))
    return example


def turned(path, pixels, orientation):
    """Writes an image that its EXIF tag asks to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


def test_an_image_of_several_classes_is_listed_in_each(pack):
    source = load_source("pascal", "test", pack)
    assert list(source.names) == ["cow/b", "cow/z", "horse/a", "horse/b"]
    assert source.categories == ("cow", "horse")
    assert [members.tolist() for members in source.members] == [[0, 1], [2, 3]]


def test_each_listed_image_has_the_mask_of_its_own_class(pack):
    source = load_source("pascal", "test", pack)
    np.testing.assert_array_equal(source[0].masks, LEFT[None])
    np.testing.assert_array_equal(source[3].masks, RIGHT[None])
    assert (source[0].categories.tolist(), source[3].categories.tolist()) == ([0], [1])


def test_nothing_is_void(pack):
    assert not load_source("pascal", "test", pack)[0].void.any()


def test_image_is_that_of_the_file(pack):
    direct = np.array(Image.open(pack / "image/horse/a.jpg"))
    np.testing.assert_array_equal(load_source("pascal", "test", pack)[2].image, direct)


@pytest.mark.parametrize("suffix", [".bmp", ".JPEG", ".tif", ".webp", ".gif", ".png"])
def test_any_suffix(tmp_path, suffix):
    pack = write_pack(tmp_path, {"cow/a": LEFT}, suffix)
    with Image.open(pack / f"image/cow/a{suffix}") as file:
        direct = np.array(file.convert("RGB"))
    np.testing.assert_array_equal(load_source("pascal", "test", pack)[0].image, direct)


@pytest.mark.parametrize("suffix", [".heic", ".mpo", ".jpg"])
def test_images_as_phones_and_cameras_take_them(tmp_path, suffix):
    """HEIC, also under a wrong name, and MPO, of whose pictures the first counts."""
    pytest.importorskip("pillow_heif").register_heif_opener()
    (tmp_path / "cow").mkdir()
    picture, other = Image.new("RGB", (64, 48), (200, 40, 50)), Image.new("RGB", (64, 48))
    file = tmp_path / f"cow/a{suffix}"
    if suffix == ".mpo":
        picture.save(file, format="MPO", save_all=True, append_images=[other], quality=95)
    else:
        picture.save(file, format="HEIF", quality=95)
    image = load_source("folder", "test", tmp_path)[0].image
    assert image.shape == (48, 64, 3)
    np.testing.assert_allclose(image.mean((0, 1)), (200, 40, 50), atol=4)


def test_class_of_one_image(one):
    source = load_source("msrc", "test", one)
    assert source.members[0].tolist() == [0]
    np.testing.assert_array_equal(source[0].masks[0], LEFT)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg"])
def test_the_three_suffixes_of_masks_in_the_authors_packs(one, suffix):
    (one / "groundtruth/cow/a.png").unlink()
    Image.fromarray(LEFT * np.uint8(255)).save(one / f"groundtruth/cow/a{suffix}", quality=100)
    np.testing.assert_array_equal(only_example(one).masks[0], LEFT)


def voc_palette(indices):
    """A palette image in VOC's colours; index 255 is void."""
    bits = [
        [index >> 3 * place + channel & 1 for place in range(3)]
        for index in range(256)
        for channel in range(3)
    ]
    mask = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    mask.putpalette([sum(bit << 7 - place for place, bit in enumerate(row)) for row in bits])
    return mask


def test_palette_mask_of_several_instances(one):
    """Every index but 0 is the object, also the dark colours; VOC's 255 is void."""
    indices = np.where(LEFT, 8, np.where(RIGHT, 255, 0))
    indices[:2][LEFT[:2]] = 1
    voc_palette(indices).save(one / "groundtruth/cow/a.png")
    example = only_example(one)
    np.testing.assert_array_equal(example.masks[0], LEFT)
    np.testing.assert_array_equal(example.void, RIGHT)


def test_cut_out_as_mask(one):
    """The object is where alpha is not 0, however dark it is."""
    rgba = np.zeros((6, 10, 4), np.uint8)
    rgba[..., 3] = 255 * LEFT
    rgba[0, 0, :3] = 200
    Image.fromarray(rgba).save(one / "groundtruth/cow/a.png")
    np.testing.assert_array_equal(only_example(one).masks[0], LEFT)


def test_a_class_without_any_object_is_noted(tmp_path, capsys):
    pack = write_pack(tmp_path, {"cow/a": LEFT, "dog/b": ~LEFT & LEFT, "dog/c": ~LEFT & LEFT})
    (note,) = load_source("pascal", "test", pack).notes
    file = pack / "groundtruth/dog/b.png"
    assert note == f"no mask of class 'dog' has any object (2 masks; {file} has the values 0)"
    assert f"note: pascal: {note}" in capsys.readouterr().err


def test_a_class_in_which_some_mask_has_an_object_is_not_noted(tmp_path):
    pack = write_pack(tmp_path, {"cow/a": LEFT, "cow/b": ~LEFT & LEFT})
    assert load_source("pascal", "test", pack).notes == ()


def test_sixteen_bit_mask(one):
    Image.fromarray(LEFT * np.uint16(65535)).save(one / "groundtruth/cow/a.png")
    np.testing.assert_array_equal(only_example(one).masks[0], LEFT)


def test_sixteen_bit_image(one):
    (one / "image/cow/a.jpg").unlink()
    values = np.where(LEFT, 256 * 7 + 9, 65535).astype(np.uint16)
    Image.fromarray(values).save(one / "image/cow/a.png")
    assert np.unique(only_example(one).image).tolist() == [7, 255]


def test_cmyk_image(one):
    Image.new("CMYK", (10, 6), (0, 255, 255, 0)).save(one / "image/cow/a.jpg", quality=100)
    red, green, blue = only_example(one).image[3, 5]
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("fits", ["upright", "stored"])
def test_mask_of_a_turned_image_ends_upright(one, fits):
    """The object is the bright left third of the upright image, however its mask is stored."""
    stored = np.rot90(LEFT)  # [10, 6]; a quarter to the right makes it upright
    turned(one / "image/cow/a.jpg", stored * np.uint8(255), orientation=6)
    mask = LEFT if fits == "upright" else stored
    Image.fromarray(mask).save(one / "groundtruth/cow/a.png")
    example = only_example(one)
    assert example.image.shape == (6, 10, 3)
    np.testing.assert_array_equal(example.masks[0], LEFT)
    np.testing.assert_array_equal(example.image[..., 0] > 128, LEFT)


def test_mask_that_fits_a_turned_image_neither_way(one):
    turned(one / "image/cow/a.jpg", np.zeros((11, 6), np.uint8), orientation=6)
    with pytest.raises(ValueError, match=r"a\.png is 10 x 6 pixels .* 11 x 6 \(upright\)"):
        load_source("msrc", "test", one)


def test_mask_is_not_turned_where_the_image_is_not(one):
    Image.fromarray(np.ascontiguousarray(LEFT.T)).save(one / "groundtruth/cow/a.png")
    with pytest.raises(ValueError, match=r"6 x 10 pixels .* expected the same size"):
        load_source("msrc", "test", one)


def test_image_without_the_object(tmp_path):
    pack = write_pack(tmp_path, {"cow/a": np.zeros((4, 4), bool)})
    source = load_source("pascal", "test", pack)
    assert not source[0].masks.any()
    assert not source[0].void.any()
    assert source.members[0].tolist() == [0]


def test_image_without_a_mask_is_all_void(tmp_path):
    (tmp_path / "cow").mkdir()
    write_noise(tmp_path / "cow/a.jpg", 10, 6)
    example = load_source("folder", "test", tmp_path)[0]
    assert example.void.shape == (6, 10)
    assert example.void.all()
    assert not example.masks.any()


def test_void_of_a_layout_is_void(one, monkeypatch):
    labels = np.where(LEFT, 1, np.where(RIGHT, VOID_LABEL, 0)).astype(np.uint8)
    layout, root = cosegmentation.locate("msrc", one)
    (image,) = layout.images(root)
    with_void = [image._replace(decode=lambda mask: labels)]
    changed = layout._replace(images=lambda root: with_void)
    monkeypatch.setitem(cosegmentation.LAYOUTS, "msrc", (changed,))
    example = only_example(one)
    np.testing.assert_array_equal(example.void, RIGHT)
    np.testing.assert_array_equal(example.masks[0], LEFT)


def test_mask_of_another_size(pack):
    write_noise(pack / "image/cow/z.jpg", 10, 7)
    with pytest.raises(ValueError, match=r"z\.png is 10 x 6 pixels .*z\.jpg 10 x 7"):
        load_source("pascal", "test", pack)


@pytest.mark.parametrize("file", ["image/cow/z.jpg", "groundtruth/cow/z.png"])
@pytest.mark.parametrize("kept", [0, 40, 0.7])
def test_file_that_does_not_decode(pack, file, kept):
    whole = (pack / file).read_bytes()
    (pack / file).write_bytes(whole[: int(kept * len(whole)) if kept < 1 else kept])
    with pytest.raises(ValueError, match=rf"{file} does not decode"):
        load_source("pascal", "test", pack)


def test_wrong_folder_is_named_with_the_layout(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"'pascal' in {tmp_path}: expected a benchmark"):
        load_source("pascal", "test", tmp_path)


@pytest.mark.parametrize("name", list(cosegmentation.LAYOUTS))
def test_every_layout_is_described_where_none_fits(tmp_path, name):
    with pytest.raises(FileNotFoundError) as error:
        load_source(name, "test", tmp_path)
    for layout in cosegmentation.LAYOUTS[name]:
        assert layout.description in str(error.value)


def test_the_first_layout_that_fits_counts(pack, monkeypatch):
    (first, *others) = cosegmentation.LAYOUTS["pascal"]
    never = first._replace(find=lambda folder: pytest.fail("asked though another one fits"))
    monkeypatch.setitem(cosegmentation.LAYOUTS, "pascal", (first, never, *others))
    assert cosegmentation.locate("pascal", pack.parent) == (first, pack)


def test_two_images_of_one_name(tmp_path):
    images = [LabelledImage("cow", "a", tmp_path / f"{n}.jpg", None, np.zeros) for n in (1, 2)]
    with pytest.raises(ValueError, match=r"1\.jpg and .*2\.jpg are both called 'cow/a'"):
        cosegmentation.check_names(images)


def test_differences_are_kept_with_the_data_and_told_once(one, capsys):
    for _ in range(2):
        source = load_source("msrc", "test", one)
        assert "1 images of cow, the paper has 10" in source.differences
    assert capsys.readouterr().err.count("note: msrc differs from the paper's: 1 images of") == 1


def test_a_note_says_what_is_missing(one, capsys):
    load_source("msrc", "test", one)
    missing = "bird, car, cat, dog, plane, sheep"
    assert f"note: msrc differs from the paper's: no images of {missing}" in capsys.readouterr().err


def test_checksum_depends_on_pixels_and_not_on_files(tmp_path):
    first = write_pack(tmp_path / "a", {"cow/a": LEFT}, ".bmp")
    second = write_pack(tmp_path / "b", {"cow/renamed": LEFT}, ".png")
    third = write_pack(tmp_path / "c", {"cow/a": RIGHT}, ".bmp")
    sums = [load_source("msrc", "test", pack).checksum for pack in (first, second, third)]
    assert sums[0] == sums[1] != sums[2]


def test_an_image_that_changes_its_class_is_prepared_anew(tmp_path, monkeypatch):
    """Some distributions say in a list of names, not in folders, what belongs to a class."""
    pack = write_pack(tmp_path, {"cow/a": LEFT})
    load_source("msrc", "test", pack)
    (layout,) = [layout for layout in cosegmentation.LAYOUTS["msrc"] if layout.find(pack)]
    as_dogs = [image._replace(category="dog") for image in layout.images(pack)]
    monkeypatch.setitem(
        cosegmentation.LAYOUTS, "msrc", (layout._replace(images=lambda root: as_dogs),)
    )
    assert load_source("msrc", "test", pack).categories == ("dog",)


def test_original_distribution_of_internet(tmp_path):
    """The second image of each class has no mask, so does not show the object."""
    for name in ("Airplane100", "Car100", "Horse100"):
        (tmp_path / f"Data/{name}/GroundTruth").mkdir(parents=True)
        for stem in ("1", "2"):
            write_noise(tmp_path / f"Data/{name}/{stem}.jpg", 10, 6)
        Image.fromarray(LEFT).save(tmp_path / f"Data/{name}/GroundTruth/1.png")
    source = load_source("internet", "test", tmp_path)
    assert source.categories == ("airplane", "car", "horse")
    assert [source[i].masks.any() for i in range(6)] == [True, False] * 3
    assert not any(source[i].void.any() for i in range(6))


def test_original_distribution_of_pascal(tmp_path):
    """An image in two classes of the list; its label file has both, and void."""
    values = np.where(LEFT, 10, np.where(RIGHT, 13, 0))  # cow, horse
    values[0] = 255
    devkit = write_devkit(tmp_path, {"train": {"2007_1": values}})
    (devkit / "cosegmentation.txt").write_text("horse 2007_1\ncow 2007_1\n")
    source = load_source("pascal", "test", tmp_path)
    assert list(source.names) == ["cow/2007_1", "horse/2007_1"]
    np.testing.assert_array_equal(source[0].masks[0], values == 10)
    np.testing.assert_array_equal(source[1].masks[0], values == 13)
    np.testing.assert_array_equal(source[1].void, values == 255)


def test_the_pack_takes_precedence_over_the_original_distribution(one):
    parent = one.parent
    for part in ("Images", "GroundTruth"):
        (parent / "MSRC_ObjCategImageDatabase_v2" / part).mkdir(parents=True)
    assert list(load_source("msrc", "test", parent).names) == ["cow/a"]
