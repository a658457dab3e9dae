"""Proposals of anything by MobileSAM and a grid of points."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cosseg_jax.data.resizing import resize_image
from cosseg_jax.models.proposal_features import SIDE
from cosseg_jax.models.sam.frame import frame_of
from cosseg_jax.models.sam.mask_decoder import Masks
from cosseg_jax.models.sam.sam import Sam, mobile_sam
from cosseg_jax.predict import proposals
from cosseg_jax.predict.proposals import GRID, MOST_PROPOSALS, Proposer, _decoded, _grid

IMAGE, CATEGORY = "2007_000033", 1  # aeroplanes


def test_points_are_in_the_middle_of_cells():
    points = _grid(frame_of((384, 384), 512))
    assert points.shape == (GRID**2, 2)
    np.testing.assert_allclose(points[0], 512 / GRID / 2)
    np.testing.assert_allclose(points[1] - points[0], [512 / GRID, 0], atol=1e-4)


def test_stability_is_the_overlap_of_two_thresholds(monkeypatch):
    """The first two masks of a point: one with a sharp edge, one that fades."""
    logits = np.full((1, 2, 4, 8, 8), -9.0, np.float32)
    logits[:, :, 1, :4] = 9
    logits[:, :, 2, :4] = np.linspace(2, -2, 4)[:, None]
    iou = np.tile(np.asarray([0.1, 0.9, 0.8, 0.7], np.float32), (1, 2, 1))
    given = []

    def apply(variables, embedding, prompts, method):
        given.append(prompts)
        return Masks(jnp.asarray(logits), jnp.asarray(iou))

    points = np.asarray([[3.0, 4.0], [5.0, 6.0]], np.float32)
    sam = mobile_sam()
    monkeypatch.setattr(Sam, "apply", lambda self, *arguments, method: apply(*arguments, method))
    embedding = jnp.zeros((1, 2, 2, 256))
    maps, estimates, stability = _decoded(sam, {}, embedding, jnp.asarray(points))
    np.testing.assert_array_equal(given[0].points[0, :, 0], points)
    np.testing.assert_allclose(estimates, np.tile([0.9, 0.8, 0.7], 2), atol=1e-6)
    np.testing.assert_allclose(stability[:2], [1, 1 / 3], atol=1e-6)
    assert maps.shape == (6, 8, 8)
    assert maps[0, :4].min() == 255
    assert maps[0, 4:].max() == 0


@pytest.mark.slow
def test_a_real_object_is_among_the_proposals(data_dir):
    weights = data_dir / "weights" / "mobile_sam.npz"
    if not weights.is_file():
        pytest.skip(f"needs the weights of MobileSAM as {weights}")
    folder = data_dir / "VOCdevkit" / "VOC2012"
    with Image.open(folder / "JPEGImages" / f"{IMAGE}.jpg") as opened:
        image = np.asarray(opened.convert("RGB"))
    with Image.open(folder / "SegmentationClass" / f"{IMAGE}.png") as opened:
        labels = np.asarray(opened.resize((SIDE, SIDE), Image.Resampling.NEAREST))
    found = Proposer(weights)(resize_image(image, 384))
    assert 5 < len(found) <= MOST_PROPOSALS
    masks, truth = (found.maps >= 128) & (labels != 255), labels == CATEGORY
    overlap = (masks & truth).sum(axis=(1, 2)) / (masks | truth).sum(axis=(1, 2))
    assert overlap.max() > 0.7
    assert proposals.INPUT_SIDE == 4 * SIDE
