"""The notebook of `examples` runs from its first cell to its last and is stored without results."""

import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the notebook needs nbformat")
nbclient = pytest.importorskip("nbclient", reason="the notebook needs nbclient")
pytest.importorskip("ipykernel", reason="the notebook needs ipykernel")

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
MOST_SECONDS = 1200  # of one cell, where other jobs keep the cores busy


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own warnings
def test_it_runs(notebook, tmp_path):
    here = tmp_path / "examples"
    shutil.copytree(ROOT / "examples" / "aeroplanes", here / "aeroplanes")
    shutil.copytree(
        ROOT / "tests" / "goldens" / "quickstart", tmp_path / "tests/goldens/quickstart"
    )
    client = nbclient.NotebookClient(
        notebook,
        timeout=MOST_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(here)}},
    )
    client.execute()  # raises where a cell does
    names = {path.name for path in (here / "found").iterdir()}
    assert {name.removesuffix(".png").partition("_")[2] for name in names} == {"cutout", "mask"}


def test_it_is_stored_without_results():
    stored = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(stored)
    assert all(not cell.outputs for cell in stored.cells if cell.cell_type == "code")
    assert NOTEBOOK.stat().st_size < 300_000
