"""A map in strips gives what it gives whole."""

import jax
import numpy as np
import pytest

from cosseg_jax.models.sam import strips
from cosseg_jax.models.sam.strips import rows_of
from cosseg_jax.models.sam.tiny_vit import MBConv, PatchMerging


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(MBConv(), id="MBConv"),
        pytest.param(PatchMerging(6, stride=2), id="merging", marks=pytest.mark.slow),
    ],
)
def test_strips_give_what_the_whole_map_gives(monkeypatch, module):
    x = jax.random.normal(jax.random.key(0), (2, 24, 8, 3))
    variables = jax.jit(module.init)(jax.random.key(0), x)
    whole = jax.jit(lambda v, x: module.apply(v, x))(variables, x)
    monkeypatch.setattr(strips, "CELLS", 64)  # eight rows at a time
    found = jax.jit(lambda v, x: module.apply(v, x))(variables, x)  # traced anew
    np.testing.assert_allclose(found, whole, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "rows"), [(256, 256, 16), (192, 192, 16), (64, 64, 64), (255, 256, 255)]
)
def test_rows_divide_the_height(height, width, rows):
    assert rows_of(height, width) == rows
