"""Files: portable names, whole writes, and what is never done to a user's files."""

import errno
import os
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosseg_jax import files
from cosseg_jax.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_0001", "IMG_0001"),
        ("写真 ü", "写真 ü"),
        (".hidden", ".hidden"),
        ('a<b>c:d"e/f\\g|h?i*j', "a_b_c_d_e_f_g_h_i_j"),
        ("new\nline\x00", "new_line_"),
        (os.fsdecode(b"latin \xe9"), "latin _"),
        ("holiday...", "holiday"),
        ("holiday . ", "holiday"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("CON", "_CON"),
        ("con.tar", "_con.tar"),
        ("Aux ", "_Aux"),
        ("COM1", "_COM1"),
        ("lpt¹", "_lpt¹"),
        ("COM10", "COM10"),
        ("console", "console"),
        ("x" * 300, "x" * 251),
        ("ü" * 300, "ü" * 125),
    ],
)
def test_names_are_made_portable(name: str, expected: str):
    assert files.portable_name(name) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "A"], ["a", "a_2", "A_3"]),
        (["a", "a", "a_2"], ["a", "a_3", "a_2"]),
        (["a?", "a*"], ["a_", "a__2"]),
        (["y" * 251, "y" * 251], ["y" * 251, "y" * 249 + "_2"]),
    ],
)
def test_duplicate_names_get_a_numeric_suffix(names: list[str], expected: list[str]):
    assert files.unique_names(names) == expected


def test_names_that_differ_in_their_unicode_form_alone_are_duplicates():
    composed, decomposed = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    assert files.unique_names([composed, decomposed]) == [composed, f"{decomposed}_2"]


def test_a_mask_is_an_8_bit_png_of_0_and_255(tmp_path: Path):
    mask = np.arange(15).reshape(3, 5) % 2 == 0  # [3, 5]
    files.save_mask(tmp_path / "cat" / "x.png", mask)
    with Image.open(tmp_path / "cat" / "x.png") as image:
        assert (image.mode, image.size) == ("L", (5, 3))
        np.testing.assert_array_equal(np.asarray(image), mask * 255)


def test_a_write_that_fails_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = tmp_path / "results.json"
    target.write_text("old")

    def full_disk(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match=r"No space left on device: .*results\.json") as raised:
        files.write_whole(target, b"new")
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert target.read_text() == "old"


def test_a_name_as_long_as_file_systems_allow_is_written(tmp_path: Path):
    target = tmp_path / ("x" * 251 + ".png")
    files.write_whole(target, b"new")
    assert target.read_bytes() == b"new"


def test_what_killed_writers_left_is_removed_after_a_day(tmp_path: Path):
    old, fresh, other = (
        tmp_path / name for name in (".a.png.1.unfinished", ".b.png.2.unfinished", "c.unfinished")
    )
    for path in (old, fresh, other):
        path.touch()
    yesterday = time.time() - 25 * 3600
    for path in (old, other):
        os.utime(path, times=(yesterday, yesterday))
    files.check_writable(tmp_path / "results.json")
    assert sorted(tmp_path.iterdir()) == [fresh, other]


def test_results_are_not_overwritten_unasked(tmp_path: Path):
    out = tmp_path / "results.json"
    files.check_writable(out)
    out.touch()
    with pytest.raises(UserError, match=r"results\.json exists already.*--force"):
        files.check_writable(out)
    files.check_writable(out, force=True)


def test_results_need_a_folder_that_can_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot create the folder .*file"):
        files.check_writable(tmp_path / "file" / "results.json")
    with pytest.raises(UserError, match="is a folder"):
        files.check_writable(tmp_path)


def cache_with(
    home: str | None, temporary: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Asks a fresh process for the folder, twice; `home` is $HOME, None for a user without one."""
    without_passwd = "import pwd; pwd.getpwuid = lambda uid: {}[uid]; " if home is None else ""
    script = f"{without_passwd}from cosseg_jax.files import cache_dir; cache_dir()"
    environment = {name: value for name, value in os.environ.items() if name != "COSSEG_CACHE_DIR"}
    environment |= {"TMPDIR": str(temporary), "HOME": home or ""} | settings
    if home is None:
        del environment["HOME"]
    return subprocess.run(
        [sys.executable, "-c", f"{script}; print(cache_dir())"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=True,
    )


@pytest.mark.slow
def test_the_cache_is_in_the_home_folder_or_where_the_variable_says(tmp_path: Path):
    found = cache_with(str(tmp_path / "home"), tmp_path)
    assert found.stdout == f"{tmp_path}/home/.cache/cosseg_jax\n"
    assert found.stderr == ""
    named = cache_with(None, tmp_path, COSSEG_CACHE_DIR="/somewhere")
    assert (named.stdout, named.stderr) == ("/somewhere\n", "")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders of users as on Unix")
@pytest.mark.parametrize("home", [None, "relative", "/dev/null", "/proc"])
def test_without_a_home_folder_the_cache_is_temporary_and_a_line_says_so(
    tmp_path: Path, home: str | None
):
    found = cache_with(home, tmp_path)
    folder = tmp_path / f"cosseg_jax-{os.getuid()}"
    assert found.stdout == f"{folder}\n"
    assert folder.stat().st_mode & 0o077 == 0
    assert found.stderr.count("\n") == 1
    assert "COSSEG_CACHE_DIR" in found.stderr


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders of users as on Unix")
def test_a_temporary_cache_that_others_can_write_into_is_not_used(tmp_path: Path):
    open_to_all = tmp_path / f"cosseg_jax-{os.getuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    found = Path(cache_with(None, tmp_path).stdout.strip())
    assert found != open_to_all
    assert found.parent == tmp_path
    assert found.stat().st_mode & 0o077 == 0
