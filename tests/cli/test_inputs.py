"""Paths on the command line: which photos they mean, and in which order."""

from pathlib import Path

import pytest

from cosseg_jax.cli.inputs import check_apart, groups_in, one_group, with_prompted, without_mask
from cosseg_jax.errors import UserError


def made(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def names(group) -> list[str]:
    return [photo.path.name for photo in group.photos]


def test_a_folder_is_its_image_files_in_natural_order(tmp_path: Path):
    made(tmp_path, "b10.jpg", "B2.JPG", "a.heic", "notes.txt", ".hidden.jpg", "._a.jpg")
    made(tmp_path / "deeper", "c.jpg")
    made(tmp_path / "folder.jpg")
    assert names(one_group([tmp_path])) == ["a.heic", "B2.JPG", "b10.jpg"]
    assert not any(photo.explicit for photo in one_group([tmp_path]).photos)


def test_links_that_lead_nowhere_are_kept_for_a_warning(tmp_path: Path):
    made(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "c.jpg").symlink_to(tmp_path / "d.jpg")
    (tmp_path / "d.jpg").symlink_to(tmp_path / "c.jpg")
    assert names(one_group([tmp_path])) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    with pytest.raises(UserError, match=r"b\.jpg is a link that leads nowhere; give photos"):
        one_group([tmp_path / "b.jpg"])


def test_files_keep_the_order_of_the_command_line(tmp_path: Path):
    made(tmp_path, "b.jpg", "a.jpg", "odd")
    group = one_group([tmp_path / "b.jpg", tmp_path / "odd", tmp_path / "a.jpg"])
    assert names(group) == ["b.jpg", "odd", "a.jpg"]
    assert all(photo.explicit for photo in group.photos)


def test_a_photo_given_twice_counts_once_and_as_explicit(tmp_path: Path):
    made(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    group = one_group([tmp_path, tmp_path / "a.jpg", tmp_path / "link.jpg"])
    assert [(photo.path.name, photo.explicit) for photo in group.photos] == [
        ("a.jpg", True),
        ("b.jpg", False),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.jpg", r"nowhere.jpg does not exist; give photos or folders of photos"),
        ("notes.txt", "notes.txt is not a photo; give photos or folders of photos"),
        ("empty", "empty holds no photos; files count"),
    ],
)
def test_what_holds_no_photo_is_named(tmp_path: Path, name: str, message: str):
    made(tmp_path / "empty", "notes.txt")
    made(tmp_path, "notes.txt")
    with pytest.raises(UserError, match=message):
        one_group([tmp_path / name])


def test_subfolders_are_groups(tmp_path: Path):
    for name in ("dogs", "cats", "out", "@eaDir", "__MACOSX"):
        made(tmp_path / name, "1.jpg", "2.jpg")
    made(tmp_path / "texts", "notes.txt")
    made(tmp_path / ".hidden", "1.jpg")
    groups = groups_in([tmp_path], tmp_path / "x" / ".." / "out")
    assert [(group.name, names(group)) for group in groups] == [
        ("cats", ["1.jpg", "2.jpg"]),
        ("dogs", ["1.jpg", "2.jpg"]),
    ]


def test_folders_that_make_no_groups_are_named(tmp_path: Path):
    made(tmp_path / "one" / "cats", "1.jpg")
    made(tmp_path / "two" / "cats", "1.jpg")
    for folders, message in (
        ([tmp_path / "one" / "cats" / "1.jpg"], "is not a folder"),
        ([tmp_path / "one" / "cats"], "has no subfolders with photos"),
        ([tmp_path / "one", tmp_path / "two"], "two groups are called 'cats'"),
    ):
        with pytest.raises(UserError, match=message):
            groups_in(folders, tmp_path / "out")


def test_folders_in_folders_are_searched_where_asked_but_not_that_of_the_results(tmp_path: Path):
    for name in ("b/2.jpg", "b/10.jpg", "a/x/1.jpg", "found/masks/1.png", ".hidden/3.jpg", "0.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    group = one_group([tmp_path], recursive=True, out=tmp_path / "found")
    found = [photo.path.relative_to(tmp_path).as_posix() for photo in group.photos]
    assert found == ["0.jpg", "a/x/1.jpg", "b/2.jpg", "b/10.jpg"]
    assert names(one_group([tmp_path])) == ["0.jpg"]


def test_a_prompted_photo_is_found_by_path_or_name_or_joins(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "group", "a.jpg", "b.jpg")
    made(tmp_path, "other.jpg")
    group = one_group([Path("group")])
    for given in (tmp_path / "group" / "b.jpg", Path("b.jpg")):
        found, path = with_prompted(group, given)
        assert path == Path("group/b.jpg")
        assert [photo.explicit for photo in found.photos] == [False, True]
    found, path = with_prompted(group, Path("other.jpg"))
    assert (names(found), path) == (["a.jpg", "b.jpg", "other.jpg"], Path("other.jpg"))


def test_a_prompted_photo_without_a_clear_path_is_refused(tmp_path: Path):
    for folder in ("one", "two"):
        made(tmp_path / folder, "a.jpg")
    group = one_group([tmp_path / "one", tmp_path / "two"])
    for name, message in (("a.jpg", "2 of the photos have this name"), ("z.jpg", "no such")):
        with pytest.raises(UserError, match=message):
            with_prompted(group, Path(name))


def test_a_photo_is_never_written_over(tmp_path: Path):
    photos = one_group([made(tmp_path, "a.jpg")]).photos
    check_apart(photos, [tmp_path / "b.jpg"])
    with pytest.raises(UserError, match=r"a\.jpg is one of the photos"):
        check_apart(photos, [tmp_path / "x" / ".." / "a.jpg"])
    (tmp_path / "A.JPG").hardlink_to(tmp_path / "a.jpg")  # one file, as on disks that ignore case
    with pytest.raises(UserError, match=r"A\.JPG is one of the photos"):
        check_apart(photos, [tmp_path / "A.JPG"])


def test_the_mask_of_a_prompt_is_no_photo(tmp_path: Path):
    group = one_group([made(tmp_path, "a.jpg", "b.jpg", "b_mask.png")])
    prompted, mask = tmp_path / "b.jpg", tmp_path / "b_mask.png"
    assert names(without_mask(group, mask, [prompted])) == ["a.jpg", "b.jpg"]
    assert without_mask(group, prompted, [prompted]) == group  # a cut-out that is its own mask
