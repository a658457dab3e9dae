"""The measures of co-salient object detection equal slow ones that follow their publications."""

import math

import numpy as np
import pytest

from cosseg_jax.data.eval_groups import EvalGroup
from cosseg_jax.evaluation.evaluator import ScoredImage
from cosseg_jax.evaluation.saliency import NUM_THRESHOLDS, SaliencyMeasures, map_scores
from cosseg_jax.types import Example

RNG = np.random.default_rng(0)


def square(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def noisy(mask: np.ndarray, weight: float = 0.6) -> np.ndarray:
    return np.round(255 * np.clip(weight * mask + RNG.uniform(0, 0.5, mask.shape), 0, 1)) / 255


SQUARE = square(11, 14, 3, 4, 5)
CASES = {
    "square": (noisy(SQUARE), SQUARE),
    "corner": (noisy(square(9, 9, 0, 0, 2)), square(9, 9, 0, 0, 2)),
    "one pixel": (noisy(square(8, 6, 7, 5, 1)), square(8, 6, 7, 5, 1)),
    "empty": (noisy(SQUARE), np.zeros_like(SQUARE)),
    "full": (noisy(SQUARE), np.ones_like(SQUARE)),
    "flat map": (np.zeros(SQUARE.shape), SQUARE),
    "opposite": (1 - noisy(SQUARE), SQUARE),
}


def stretched(values: np.ndarray) -> list[list[float]]:
    low, high = float(values.min()), float(values.max())
    return [
        [(float(v) - low) / (high - low) if high > low else float(v) for v in r] for r in values
    ]


def pixels(values, mask):
    return [
        (values[y][x], bool(mask[y][x])) for y in range(len(values)) for x in range(len(values[0]))
    ]


def slow_mae(values, mask) -> float:
    found = [abs(v - m) for v, m in pixels(stretched(values), mask)]
    return math.fsum(found) / len(found)


def slow_f(values, mask, threshold: int) -> float:
    """F-beta of the pixels at or above a threshold of 0..255."""
    listed = [(int(v * 255) >= threshold, m) for v, m in pixels(stretched(values), mask)]
    hits = sum(f and m for f, m in listed)
    if hits == 0:
        return 0.0
    precision, recall = hits / sum(f for f, _ in listed), hits / sum(m for _, m in listed)
    return 1.3 * precision * recall / (0.3 * precision + recall)


def slow_e(values, mask, threshold: int) -> float:
    """The enhanced alignment, pixel by pixel (Fan et al. 2018, eq. 2 to 5)."""
    listed = [(int(v * 255) >= threshold, m) for v, m in pixels(stretched(values), mask)]
    count = len(listed)
    mean_found, mean_mask = sum(f for f, _ in listed) / count, sum(m for _, m in listed) / count
    if mean_mask in (0, 1):
        return sum(f == m for f, m in listed) / (count - 1)
    total = 0.0
    for found, truth in listed:
        a, b = found - mean_found, truth - mean_mask
        total += (2 * a * b / (a * a + b * b) + 1) ** 2 / 4
    return total / (count - 1)


def slow_s(values, mask) -> float:
    """The S-measure with its parts of Fan et al. 2017: objects (eq. 4, 5) and regions (eq. 7)."""
    values = stretched(values)
    listed = pixels(values, mask)
    inside = [v for v, m in listed if m]
    outside = [1 - v for v, m in listed if not m]
    if not inside or not outside:
        mean = math.fsum(v for v, _ in listed) / len(listed)
        return mean if inside else 1 - mean
    share = len(inside) / len(listed)
    objects = share * slow_object(inside) + (1 - share) * slow_object(outside)
    places = [(y, x) for y in range(len(mask)) for x in range(len(mask[0])) if mask[y][x]]
    row, column = (round(sum(p[k] for p in places) / len(places)) + 1 for k in (0, 1))
    regions = 0.0
    for upper in (True, False):
        for left in (True, False):
            part = [
                (values[y][x], float(mask[y][x]))
                for y in range(len(mask))
                for x in range(len(mask[0]))
                if (y < row) == upper and (x < column) == left
            ]
            if part:
                regions += len(part) / len(listed) * slow_likeness(part)
    return max(0.0, (objects + regions) / 2)


def slow_object(values: list[float]) -> float:
    mean = sum(values) / len(values)
    spread = 0.0
    if len(values) > 1:
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return 2 * mean / (mean**2 + 1 + spread)


def slow_likeness(part: list[tuple[float, float]]) -> float:
    count = len(part)
    mean_x, mean_y = (sum(p[k] for p in part) / count for k in (0, 1))
    rest = max(count - 1, 1)
    var_x = sum((x - mean_x) ** 2 for x, _ in part) / rest
    var_y = sum((y - mean_y) ** 2 for _, y in part) / rest
    together = sum((x - mean_x) * (y - mean_y) for x, y in part) / rest
    above, below = 4 * mean_x * mean_y * together, (mean_x**2 + mean_y**2) * (var_x + var_y)
    if above == 0:
        return 1.0 if below == 0 else 0.0
    return above / below


@pytest.mark.parametrize("case", CASES)
def test_they_equal_slow_ones(case):
    values, mask = CASES[case]
    found = map_scores(values, mask)
    assert found.s_measure == pytest.approx(slow_s(values, mask), abs=1e-9)
    assert found.mae == pytest.approx(slow_mae(values, mask), abs=1e-12)
    for place in (0, 40, 128, 200, 255):
        threshold = NUM_THRESHOLDS - 1 - place
        assert found.f_beta[place] == pytest.approx(slow_f(values, mask, threshold), abs=1e-9)
        assert found.e_measure[place] == pytest.approx(slow_e(values, mask, threshold), abs=1e-9)


def test_a_perfect_map_has_perfect_scores():
    found = map_scores(SQUARE.astype(float), SQUARE)
    assert (found.mae, found.f_beta[:255].min()) == (0, pytest.approx(1))
    assert found.s_measure == pytest.approx(1, abs=1e-6)
    assert found.e_measure[10] == pytest.approx(1, abs=0.01)


def scored(values, mask, *, category: int = 4, void=None) -> ScoredImage:
    """An image of the categories 1 and 4, scored in a group of `category`."""
    void = np.zeros(mask.shape, bool) if void is None else void
    image = np.zeros((*mask.shape, 3), np.uint8)
    example = Example(image, np.stack([~mask, mask]), void, np.array([1, 4]), "a")
    group = EvalGroup(category, (0,), (True,))
    probability, prior = values.astype(np.float32), np.zeros((1, 1), np.float32)
    return ScoredImage("cat", group, 0, example, probability, probability > 0.5, prior, {})


def test_a_data_set_has_the_curves_mean_before_the_largest_value_is_taken():
    measures = SaliencyMeasures()
    cases = [CASES["square"], CASES["opposite"]]
    for values, mask in cases:
        measures(scored(values, mask))
    found, parts = measures.scores(), [map_scores(v.astype(np.float32), m) for v, m in cases]
    assert found.images == 2
    assert found.s_measure == pytest.approx(100 * np.mean([p.s_measure for p in parts]))
    curve = np.mean([p.f_beta for p in parts], axis=0)
    assert (found.max_f, found.mean_f) == pytest.approx((100 * curve.max(), 100 * curve.mean()))
    curve = np.mean([p.e_measure for p in parts], axis=0)
    assert (found.max_e, found.mean_e) == pytest.approx((100 * curve.max(), 100 * curve.mean()))
    assert found.mae == pytest.approx(100 * np.mean([p.mae for p in parts]))


def test_an_image_without_the_object_has_an_empty_mask_and_void_is_background():
    values, mask = CASES["square"]
    measures = SaliencyMeasures()
    measures(scored(values, mask, category=2))
    measures(scored(values, mask, void=mask))
    empty = map_scores(values.astype(np.float32), np.zeros_like(mask))
    assert measures.scores().mae == pytest.approx(100 * empty.mae)


def test_without_images_there_is_no_score():
    with pytest.raises(ValueError, match="no image was scored"):
        SaliencyMeasures().scores()
