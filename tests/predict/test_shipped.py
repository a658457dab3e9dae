"""The network that comes with the package, on pictures that the project draws itself.

`goldens/shipped` holds its probabilities, as written by `python tests/predict/test_shipped.py`
whenever the network is exchanged.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cosseg_jax
from cosseg_jax.data.registry import load_source
from cosseg_jax.predict.exported import SHIPPED_FOLDER

pytestmark = pytest.mark.slow

GOLDENS = Path(__file__).parents[1] / "goldens" / "shipped"
MOST_BYTES = 60_000_000


def pictures() -> list[np.ndarray]:
    """Five pictures of one category of the built-in data, magnified."""
    source = load_source("shapes", "unseen")
    shown = [Image.fromarray(source[int(i)].image) for i in source.members[1][:5]]
    return [np.array(x.resize((240, 200), Image.Resampling.BICUBIC)) for x in shown]


@pytest.fixture(scope="module")
def result():
    return cosseg_jax.load()(pictures())


def test_it_finds_what_it_found_when_it_was_stored(result):
    for place, image in enumerate(result.images):
        stored = np.asarray(Image.open(GOLDENS / f"{place}.png"), np.float32) / 255
        found = image.probability
        assert np.abs(found - stored).mean() < 0.005
        sure = np.abs(stored - 0.5) > 0.02
        np.testing.assert_array_equal(image.mask[sure], (stored > 0.5)[sure])


def test_the_stored_maps_are_not_all_alike():
    stored = [np.asarray(Image.open(path)) for path in sorted(GOLDENS.glob("*.png"))]
    assert len(stored) == 5
    assert max(int(x.max()) - int(x.min()) for x in stored) > 100


def test_it_knows_the_categories_of_voc(result):
    assert len(result.categories) == 20
    assert {"person", "dog", "diningtable"} <= result.categories.keys()


def test_it_is_small_enough_for_a_package():
    assert (
        sum(path.stat().st_size for path in SHIPPED_FOLDER.rglob("*") if path.is_file())
        < MOST_BYTES
    )


if __name__ == "__main__":
    GOLDENS.mkdir(exist_ok=True)
    for number, found in enumerate(cosseg_jax.load()(pictures()).images):
        grey = np.round(255 * found.probability).astype(np.uint8)
        Image.fromarray(grey).save(GOLDENS / f"{number}.png")
