"""The wheel, installed without access to the repository: its content, and its command line.

Other packages come from the environment that runs the tests, so that nothing is downloaded.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from cosseg_jax.data.registry import load_source

pytest.importorskip("hatchling", reason="builds the wheel: pip install hatchling")

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SIZES = ((200, 240), (240, 200), (160, 160))  # height and width of the photos
OUTSIDE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


class Installed(NamedTuple):
    """A fresh environment with the wheel in it, and an empty folder to work in."""

    wheel: Path
    scripts: Path
    folder: Path

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.scripts / program, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=OUTSIDE,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    call("hatchling", "build", "-t", "wheel", "-d", folder / "dist", cwd=ROOT)
    (wheel,) = (folder / "dist").iterdir()
    environment = folder / "environment"
    call("venv", "--without-pip", environment)
    (packages,) = environment.glob("[Ll]ib/**/site-packages")
    (packages / "running.pth").write_text("\n".join(packages_here()))
    scripts = environment / ("Scripts" if os.name == "nt" else "bin")
    call("pip", "--python", scripts / "python", "install", "-q", "--no-deps", "--no-index", wheel)
    (folder / "work").mkdir()
    made = Installed(wheel, scripts, folder / "work")
    found = made.run("python", "-c", "import cosseg_jax; print(cosseg_jax.__file__)").stdout
    assert packages in Path(found.strip()).parents
    return made


def call(module: str, *arguments: object, cwd: Path | None = None) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    subprocess.run(command, check=True, cwd=cwd, stdout=subprocess.DEVNULL)


def packages_here() -> list[str]:
    """The folders of the running environment's packages, without the repository."""
    return [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]


@pytest.fixture(scope="module")
def photos(installed: Installed) -> Path:
    """Files of built-in images that share a category, magnified."""
    source = load_source("shapes", "unseen")
    folder = installed.folder / "photos"
    folder.mkdir()
    for number, (index, (height, width)) in enumerate(
        zip(source.members[1], SIZES, strict=False), start=1
    ):
        image = Image.fromarray(source[int(index)].image)
        image.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def segmented(installed: Installed, photos: Path) -> Path:
    """The folder in which the photos' files were written."""
    done = installed.run("cosseg", "segment", "photos", "--out", "found")
    assert done.returncode == 0, done.stderr
    assert "3 photos, written to found" in done.stdout
    return installed.folder / "found"


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_wheel_holds_every_file_of_the_package_and_no_other(installed: Installed):
    with zipfile.ZipFile(installed.wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "cosseg_jax").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    package = "cosseg_jax"
    assert {
        f"{package}/py.typed",
        f"{package}/shipped/config.json",
        f"{package}/shipped/variables/manifest.ocdbt",
        f"{package}/web/templates/page.html",
        f"{package}/web/static/page.js",
        f"{package}/evaluation/report/templates/page.html",
    } <= names


def test_help_lists_the_commands(installed: Installed):
    done = installed.run("cosseg", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("segment", "show", "app", "export", "info"):
        assert f"\n    {name}  " in done.stdout


def test_info_describes_the_shipped_network(installed: Installed):
    done = installed.run("cosseg", "info", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["versions"]["cosseg-jax"] == installed.wheel.name.split("-")[1]
    assert facts["network"]["parameters"] > 1_000_000
    assert len(facts["network"]["categories"]) == 20


def test_photos_have_all_their_files(segmented: Path):
    assert sorted(contents(segmented)) == [
        *(f"cutouts/{number}.png" for number in (1, 2, 3)),
        *(f"masks/{number}.png" for number in (1, 2, 3)),
        *(f"overlays/{number}.jpg" for number in (1, 2, 3)),
        "segmentation.json",
    ]
    for number, (height, width) in enumerate(SIZES, start=1):
        with Image.open(segmented / f"masks/{number}.png") as mask:
            assert (mask.mode, mask.size) == ("L", (width, height))
            assert set(np.unique(np.asarray(mask))) <= {0, 255}
        with Image.open(segmented / f"cutouts/{number}.png") as cutout:
            assert (cutout.mode, cutout.size) == ("RGBA", (width, height))
        with Image.open(segmented / f"overlays/{number}.jpg") as overlay:
            assert overlay.size == (width, height)
    images = json.loads((segmented / "segmentation.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["1.jpg", "2.jpg", "3.jpg"]


def test_a_second_run_refuses_and_changes_nothing(installed: Installed, segmented: Path):
    before = contents(segmented)
    done = installed.run("cosseg", "segment", "photos", "--out", "found")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: 10 of the files exist already, found/masks/1.png the")
    assert contents(segmented) == before


def test_a_sheet_is_drawn(installed: Installed, photos: Path):
    done = installed.run("cosseg", "show", "photos", "--out", "sheet.png", "--side", 100)
    assert done.returncode == 0, done.stderr
    with Image.open(installed.folder / "sheet.png") as sheet:
        assert sheet.height == 4 * 102
        assert sheet.width == 120 + 83 + 100 + 3 * 2


def test_it_segments_in_python_as_on_the_command_line(
    installed: Installed, photos: Path, segmented: Path
):
    script = (
        "import cosseg_jax, numpy as np\n"
        "result = cosseg_jax.load()(['photos/1.jpg', 'photos/2.jpg', 'photos/3.jpg'])\n"
        "np.savez('masks.npz', *(image.mask for image in result.images))"
    )
    done = installed.run("python", "-c", script)
    assert done.returncode == 0, done.stderr
    with np.load(installed.folder / "masks.npz") as masks:
        for number in (1, 2, 3):
            with Image.open(segmented / f"masks/{number}.png") as written:
                np.testing.assert_array_equal(255 * masks[f"arr_{number - 1}"], np.asarray(written))
