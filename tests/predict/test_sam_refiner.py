"""Refinement by MobileSAM, with a decoder that answers what the test says."""

import subprocess
import sys

import numpy as np
import pytest

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.errors import UserError
from cosseg_jax.models.sam.frame import frame_of, to_mask_prompt
from cosseg_jax.models.sam.prompts import LOWER_RIGHT, NEGATIVE, POSITIVE, UPPER_LEFT
from cosseg_jax.predict.refinement import kind_of, refine_by
from cosseg_jax.predict.sam_prompts import inner_points, mask_logits, parts_of, prompt_for
from cosseg_jax.predict.sam_refiner import Embedded, SamRefiner

SIDE, SIZE = 64, (96, 128)  # of the network's map, and of the image
FRAME = frame_of(SIZE, 128)
IMAGE = np.zeros((*SIZE, 3), np.uint8)


def square(top: int, left: int, side: int, value: float = 0.9) -> np.ndarray:
    """A map with a square object."""
    values = np.full((SIDE, SIDE), 0.05, np.float32)
    values[top : top + side, left : left + side] = value
    return values


class Decoder(SamRefiner):
    """A refiner whose decoder gives these maps [S, S] as its four masks, for every prompt."""

    def __init__(self, *maps: np.ndarray, iou: tuple[float, ...] = (0.5,) * 4):
        self.masks = np.stack([to_mask_prompt(20 * each - 10, FRAME) for each in maps])
        self.iou, self.prompts = np.asarray(iou, np.float32), []

    def embed(self, image: np.ndarray) -> Embedded:
        return Embedded(np.zeros((8, 8, 256), np.float16), FRAME)

    def _masks(self, prompt, embedded, mask):
        self.prompts.append(prompt)
        return np.stack([self.masks] * 2), np.stack([self.iou] * 2)


def at_own_size(values: np.ndarray) -> np.ndarray:
    """What a map's mask covers in the image; exact for squares at multiples of four pixels."""
    rows = np.arange(SIZE[0]) * SIDE // SIZE[0]
    columns = np.arange(SIZE[1]) * SIDE // SIZE[1]
    return (values > 0.5)[np.ix_(rows, columns)]


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def test_parts_are_sorted_and_small_ones_left_out():
    mask = square(2, 2, 20) > 0.5
    mask[40:44, 40:50] = True
    mask[60, 60] = True
    parts = parts_of(mask)
    assert [int(part.region.sum()) for part in parts] == [400, 40]
    np.testing.assert_allclose(parts[1].box, np.asarray([40, 40, 50, 44]) / SIDE)


def test_inner_points_are_deep_and_apart():
    region = np.zeros((SIDE, SIDE), bool)
    region[10:21, 10:51] = True
    points = inner_points(region, 3)
    assert region[points[:, 1], points[:, 0]].all()
    assert points[0, 1] == 15
    assert min(abs(a - b) for a in points[:, 0] for b in points[:, 0] if a != b) > 6
    assert len(inner_points(np.zeros_like(region), 3)) == 0


def test_a_part_is_prompted_by_its_box_and_by_points_inside_it():
    values = np.maximum(square(4, 4, 24), square(40, 40, 16))
    prompt = prompt_for(parts_of(values > 0.5)[1], FRAME)
    positive = prompt.points[prompt.labels == POSITIVE]
    assert 1 <= len(positive) <= 3
    assert ((positive >= (79.5, 59.5)) & (positive <= (111.5, 83.5))).all()  # (x, y)
    corners = [prompt.points[prompt.labels == k][0] for k in (UPPER_LEFT, LOWER_RIGHT)]
    np.testing.assert_allclose(corners, [(79.5, 59.5), (111.5, 83.5)])


def test_logits_of_a_part_are_negative_on_the_others():
    values = np.maximum(square(4, 4, 24), square(40, 40, 16))
    part = parts_of(values > 0.5)[0]
    np.testing.assert_array_equal(mask_logits(part, values) > 0, part.region)


def test_the_decoders_mask_that_overlaps_most_is_taken():
    ours, sharp = square(16, 16, 24), square(16, 16, 32)
    refine = Decoder(square(0, 0, 8), square(40, 40, 8), sharp, square(0, 0, 64))
    found = refine(ours, IMAGE)
    assert found.shape == SIZE
    assert iou(found > 0.5, at_own_size(sharp)) > 0.97


def test_ours_is_kept_where_no_mask_overlaps_by_half():
    ours = square(16, 16, 24)
    refine = Decoder(*[square(40, 40, 8)] * 4)
    assert iou(refine(ours, IMAGE) > 0.5, at_own_size(ours)) > 0.97


def test_a_part_without_agreement_is_kept_beside_one_that_is_refined():
    kept, refined = square(44, 44, 16), square(4, 4, 32)
    refine = Decoder(*[refined] * 4)
    found = refine(np.maximum(square(4, 4, 28), kept), IMAGE) > 0.5
    assert iou(found, at_own_size(np.maximum(refined, kept))) > 0.97


def test_without_any_part_the_map_is_only_resized():
    refine = Decoder(*[square(0, 0, 64)] * 4)
    found = refine(np.full((SIDE, SIDE), 0.2, np.float32), IMAGE)
    np.testing.assert_allclose(found, 0.2, atol=1e-6)
    assert refine.prompts == []


def test_a_point_means_the_mask_that_the_group_agrees_on():
    part, whole = square(16, 16, 8), square(16, 16, 32)
    refine = Decoder(part, part, whole, square(0, 0, 64))
    found = refine.prompted([Prompt(0, point=(40, 30))], square(16, 16, 28), IMAGE)
    assert iou(found > 0.5, at_own_size(whole)) > 0.97
    assert list(refine.prompts[0].labels[:1]) == [POSITIVE]


def test_where_the_group_overlaps_with_no_mask_the_decoders_estimate_decides():
    masks = [square(4, 4, 16), square(4, 4, 24), square(4, 4, 32)]
    refine = Decoder(square(0, 0, 64), *masks, iou=(1, 0.5, 0.9, 0.6))
    found = refine.prompted([Prompt(0, box=(8, 6, 56, 42))], square(44, 44, 16), IMAGE)
    assert iou(found > 0.5, at_own_size(masks[1])) > 0.97
    np.testing.assert_allclose(refine.prompts[0].points, [(8, 6), (56, 42)], atol=0.6)


def test_a_mask_with_the_points_on_the_right_side_is_taken():
    """The group overlaps most with the largest mask, which holds the negative point."""
    part, whole = square(16, 16, 24), square(0, 0, 64)
    refine = Decoder(square(0, 0, 64), part, whole, whole)
    points = Prompt(0, points=[(40, 30), (4, 4)], labels=[1, 0])
    found = refine.prompted([points], whole, IMAGE)
    assert iou(found > 0.5, at_own_size(part)) > 0.97
    assert list(refine.prompts[0].labels[:2]) == [POSITIVE, NEGATIVE]


def test_a_negative_point_alone_is_given_with_each_part():
    part = square(16, 16, 28)
    refine = Decoder(*[part] * 4)
    refine.prompted([Prompt(0, points=[(4, 4)], labels=[0])], part, IMAGE)
    assert NEGATIVE in refine.prompts[0].labels


def test_holes_of_ours_stay_open():
    ring = np.where(square(26, 26, 12) > 0.5, 0.05, square(16, 16, 32)).astype(np.float32)
    found = Decoder(*[square(16, 16, 32)] * 4)(ring, IMAGE) > 0.5
    assert iou(found, at_own_size(ring)) > 0.9


def test_a_mask_is_refined_as_ours_are():
    sharp = square(16, 16, 32)
    refine = Decoder(*[sharp] * 4)
    drawn = at_own_size(square(16, 16, 28))
    found = refine.prompted([Prompt(0, mask=drawn)], square(0, 0, 64), IMAGE)
    assert iou(found > 0.5, at_own_size(sharp)) > 0.97


@pytest.mark.parametrize(("value", "kind"), [(False, ""), (True, "guided"), ("sam", "sam")])
def test_earlier_configs_have_a_switch(value, kind):
    assert kind_of(value) == kind


def test_unknown_ways_and_missing_weights_are_named(tmp_path):
    with pytest.raises(UserError, match="refine is 'sharp'; choose one of: , guided, sam"):
        refine_by("sharp")
    with pytest.raises(UserError, match=r"no file of SAM's weights at .*absent\.pt"):
        refine_by("sam", tmp_path / "absent.pt")


@pytest.mark.slow
def test_nothing_of_sam_is_imported_before_it_is_asked_for():
    code = (
        "import sys, cosseg_jax.predict.predictor, cosseg_jax.predict.refinement as r\n"
        "r.refine_by('guided')\n"
        "print(sorted(n for n in sys.modules if 'sam' in n.split('.')[-1] and 'cosseg' in n))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
