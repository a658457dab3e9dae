"""P and J equal values computed by hand and by a slow computation, pixel by pixel."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.errors import UserError
from cosseg_jax.evaluation import metrics
from cosseg_jax.evaluation.metrics import PROTOCOLS, Counts, ProtocolScores, Scores


def mask(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def no_void(truth: np.ndarray) -> np.ndarray:
    return np.zeros_like(truth)


def scores_of(name: str, images: list[tuple[int, np.ndarray, np.ndarray]]) -> ProtocolScores:
    """Scores (category, probability, truth) under a protocol, without void."""
    tally = metrics.start(3)
    for category, probability, truth in images:
        counts = metrics.count(PROTOCOLS[name], probability, truth, no_void(truth))
        tally = metrics.update(tally, PROTOCOLS[name], category, counts)
    return metrics.compute(tally, PROTOCOLS[name], ["ant", "bee", "cat"])


def test_original_counts_by_hand():
    probability = np.array([[0.9, 0.6, 0.5], [0.2, 0.51, 0.0]], np.float32)
    truth = mask("##.", "##.")
    counts = metrics.count(PROTOCOLS["original"], probability, truth, no_void(truth))
    assert counts == Counts(right=5, pixels=6, intersection=3, union=4, has_object=True)


def test_void_pixels_count_neither_for_nor_against():
    probability = np.array([[0.9, 0.6, 0.9, 0.1]], np.float32)
    truth, void = mask("##.#"), mask("..##")
    counts = metrics.count(PROTOCOLS["original"], probability, truth, void)
    assert counts == Counts(right=2, pixels=2, intersection=2, union=2, has_object=True)


def test_an_object_entirely_under_void_counts_as_no_object():
    truth = mask("#.")
    counts = metrics.count(PROTOCOLS["original"], np.zeros((1, 2), np.float32), truth, truth)
    assert metrics.image_scores(PROTOCOLS["original"], counts) == Scores(100.0, None)


def test_an_image_that_is_all_void_does_not_count():
    protocol, truth = PROTOCOLS["ssnm"], mask("#.")
    counts = metrics.count(protocol, np.zeros((1, 2), np.float32), truth, np.ones_like(truth))
    tally = metrics.update(metrics.start(1), protocol, 0, counts)
    assert metrics.compute(tally, protocol, ["ant"]) == ProtocolScores(None, None, {})


def test_ssnm_threshold_is_mean_plus_standard_deviation():
    # half 0.2, half 0.4: mean 0.3, deviation 0.1; only pixels above 0.4 pass
    probability = np.full((224, 224), 0.2, np.float32)
    probability[:112] = 0.4
    truth = np.zeros((224, 224), bool)
    protocol = PROTOCOLS["ssnm"]
    assert metrics.count(protocol, probability, truth, truth).right == 224 * 224
    probability[0, 0] = 0.45
    assert metrics.count(protocol, probability, truth, truth).right == 224 * 224 - 1


@pytest.mark.parametrize(("name", "cap"), [("ssnm", 0.8), ("ufo", 0.5)])
def test_the_threshold_is_capped(name: str, cap: float):
    # mean + std is above 0.9, so that only the cap decides
    probability = np.full((224, 224), 0.0, np.float32)
    probability[:112] = 1.0
    probability[0, :2] = cap - 0.01, cap + 0.01
    truth = np.zeros((224, 224), bool)
    counts = metrics.count(PROTOCOLS[name], probability, truth, truth)
    assert counts.union == 112 * 224 - 1


def test_a_constant_map_does_not_exceed_its_mean():
    truth = np.zeros((224, 224), bool)
    constant = np.full((224, 224), 0.3, np.float32)
    assert metrics.count(PROTOCOLS["ssnm"], constant, truth, truth).union == 0


def test_ssnm_compares_at_224_for_any_size():
    truth = np.zeros((300, 500), bool)
    truth[:, :250] = True
    probability = np.zeros((64, 64), np.float32)
    probability[:32] = 1.0
    counts = metrics.count(PROTOCOLS["ssnm"], probability, truth, no_void(truth))
    # row 111 has 0.64, above 0.5 and below the threshold of 0.8
    assert counts.pixels == 224 * 224
    assert counts.intersection == 111 * 112
    assert counts.union == 111 * 224 + 113 * 112


def test_ssnm_resizes_void_with_the_truth():
    truth, void = np.zeros((2, 300, 500), bool)
    void[:, 250:] = True
    counts = metrics.count(PROTOCOLS["ssnm"], np.zeros((224, 224), np.float32), truth, void)
    assert counts.pixels == 112 * 224


def test_ssnm_has_no_object_if_it_vanishes_at_224():
    truth = np.zeros((2240, 2240), bool)
    truth[:4, :4] = True  # of the ten by ten pixels that become one
    counts = metrics.count(
        PROTOCOLS["ssnm"], np.zeros((224, 224), np.float32), truth, no_void(truth)
    )
    assert not counts.has_object


def test_original_compares_at_the_size_of_the_truth():
    truth = np.zeros((30, 50), bool)
    truth[:, :25] = True
    probability = np.array([[1.0, 0.0]], np.float32)  # crosses 0.5 in the middle
    counts = metrics.count(PROTOCOLS["original"], probability, truth, no_void(truth))
    assert counts == Counts(1500, 1500, 750, 750, has_object=True)


def test_maps_are_enlarged_bilinearly_with_half_pixel_centres():
    values = np.random.default_rng(0).random((5, 7), np.float32)
    grown = metrics.resize_map(values, (12, 20))
    slow = np.zeros((12, 20))
    for y in range(12):
        for x in range(20):
            v, u = (y + 0.5) * 5 / 12 - 0.5, (x + 0.5) * 7 / 20 - 0.5
            for j in range(5):
                for i in range(7):
                    near = max(0, 1 - abs(np.clip(v, 0, 4) - j)) * max(
                        0, 1 - abs(np.clip(u, 0, 6) - i)
                    )
                    slow[y, x] += near * values[j, i]
    np.testing.assert_allclose(grown, slow, atol=1e-6)


FULL, EMPTY = np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32)
LEFT = mask("#.", "#.")
NONE = mask("..", "..")


@pytest.mark.parametrize(
    ("name", "probability", "truth", "expected"),
    [
        ("original", EMPTY, NONE, Scores(100.0, None)),
        ("original", FULL, NONE, Scores(0.0, None)),
        ("original", EMPTY, LEFT, Scores(50.0, 0.0)),
        ("original", FULL, LEFT, Scores(50.0, 50.0)),
        ("ssnm", EMPTY, NONE, Scores(100.0, 0.0)),
        ("ssnm", FULL, NONE, Scores(0.0, 0.0)),
        ("ssnm", EMPTY, LEFT, Scores(50.0, 0.0)),
        ("ssnm", FULL, LEFT, Scores(50.0, 50.0)),
    ],
)
def test_empty_truths_and_predictions(name, probability, truth, expected):
    counts = metrics.count(PROTOCOLS[name], probability, truth, no_void(truth))
    assert metrics.image_scores(PROTOCOLS[name], counts) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "predicted"), [("original", 0), ("pooled", 0), ("ssnm", 100)])
def test_the_mask_is_empty_where_the_object_is_not_present(name: str, predicted: int):
    """The protocols with the fixed threshold score the mask that users get."""
    truth = np.zeros((224, 224), bool)
    probability = np.zeros((224, 224), np.float32)
    probability[:10, :10] = 0.9
    counts = metrics.count(PROTOCOLS[name], probability, truth, truth, present=False)
    assert counts.union == predicted


IMAGES = [(0, FULL, LEFT), (0, EMPTY, LEFT), (0, FULL, NONE), (1, FULL, ~NONE)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # ant: P 50, 50, 0; J 50, 0, none. bee: 100, 100. Then the mean of the two classes.
        (
            "original",
            ProtocolScores(
                (100 / 3 + 100) / 2,
                (25 + 100) / 2,
                {"ant": Scores(100 / 3, 25.0), "bee": Scores(100.0, 100.0)},
            ),
        ),
        # the same images, J 50, 0, 0 and 100, over four images
        (
            "ssnm",
            ProtocolScores(
                50.0, 37.5, {"ant": Scores(100 / 3, 50 / 3), "bee": Scores(100.0, 100.0)}
            ),
        ),
        # ant: 4 of 12 pixels right; intersection 2, union 4 + 2 + 4
        (
            "pooled",
            ProtocolScores(
                (100 / 3 + 100) / 2,
                (20 + 100) / 2,
                {"ant": Scores(100 / 3, 20.0), "bee": Scores(100.0, 100.0)},
            ),
        ),
    ],
)
def test_averages_by_hand(name: str, expected: ProtocolScores):
    found = scores_of(name, IMAGES)
    assert found[:2] == pytest.approx(expected[:2])
    assert found.per_class.keys() == expected.per_class.keys()
    for category, scores in expected.per_class.items():
        assert found.per_class[category] == pytest.approx(scores)


def test_a_class_without_any_object_has_no_J_and_does_not_count():
    found = scores_of("original", [(0, EMPTY, NONE), (1, FULL, LEFT)])
    assert found.per_class["ant"] == Scores(100.0, None)
    assert (found.P, found.J) == (75.0, 50.0)


def slow_resize(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear in float64; the filter is wider where a map shrinks."""

    def weights(old: int, new: int) -> np.ndarray:
        step = old / new
        reach = max(step, 1.0)
        rows = []
        for i in range(new):
            row = [max(0.0, 1 - abs((i + 0.5) * step - (j + 0.5)) / reach) for j in range(old)]
            total = sum(row)
            rows.append([weight / total for weight in row])
        return np.array(rows)

    rows, columns = weights(values.shape[0], height), weights(values.shape[1], width)
    return rows @ values.astype(np.float64) @ columns.T


def slow_scores(name: str, images: list) -> ProtocolScores:
    """The same scores, computed one pixel at a time from all images."""
    pixels = {category: [] for category, *_ in images}
    for category, probability, truth, void in images:
        size = (224, 224) if name in ("ssnm", "ufo") else truth.shape
        if probability.shape != size:
            probability = slow_resize(probability, *size)
        if truth.shape != size:
            truth, void = (slow_resize(mask, *size) > 0.5 for mask in (truth, void))
        limit = 0.5
        if name in ("ssnm", "ufo"):
            values = [float(value) for value in probability.ravel()]
            middle = sum(values) / len(values)
            deviation = (sum((value - middle) ** 2 for value in values) / len(values)) ** 0.5
            limit = min(middle + deviation, {"ssnm": 0.8, "ufo": 0.5}[name])
        triples = zip(probability.ravel(), truth.ravel(), void.ravel(), strict=True)
        pixels[category].append([(bool(p > limit), bool(t)) for p, t, v in triples if not v])

    def P_of(pairs):
        return 100 * sum(p == t for p, t in pairs) / len(pairs)

    def J_of(pairs):
        union = sum(p or t for p, t in pairs)
        return 100 * sum(p and t for p, t in pairs) / union if union else None

    def mean(values):
        values = [value for value in values if value is not None]
        return sum(values) / len(values) if values else None

    def image_J(pairs):
        if any(t for _, t in pairs):
            return J_of(pairs)
        return None if name == "original" else 0.0

    of_images = {
        category: [(P_of(pairs), image_J(pairs)) for pairs in every]
        for category, every in pixels.items()
    }
    if name == "pooled":
        together = {category: list(itertools.chain(*every)) for category, every in pixels.items()}
        per_class = {
            category: Scores(P_of(all_), J_of(all_)) for category, all_ in together.items()
        }
    else:
        per_class = {
            category: Scores(mean([P for P, _ in every]), mean([J for _, J in every]))
            for category, every in of_images.items()
        }
    parts = list(per_class.values())
    if name in ("ssnm", "ufo"):
        parts = [pair for every in of_images.values() for pair in every]
    named = {"abc"[category]: scores for category, scores in per_class.items()}
    return ProtocolScores(mean([P for P, _ in parts]), mean([J for _, J in parts]), named)


def random_images(seed: int, side: int) -> list:
    """Masks of random density; some truths, predictions and a class are empty, some have void."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(8):
        category = int(rng.integers(3))
        probability = rng.random((side, side), np.float32) ** rng.integers(1, 4)
        probability *= rng.random() > 0.2
        truth = rng.random((side, side)) < rng.choice([0.0, 0.1, 0.6])
        truth &= category != 2
        void = rng.random((side, side)) < rng.choice([0.0, 0.3])
        images.append((category, probability.astype(np.float32), truth, void))
    return images


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PROTOCOLS)
def test_agrees_with_a_slow_computation(name: str, seed: int):
    protocol = PROTOCOLS[name]
    images = random_images(seed, side=protocol.side or 9)
    tally = metrics.start(3)
    for category, *image in images:
        tally = metrics.update(tally, protocol, category, metrics.count(protocol, *image))
    found, slow = metrics.compute(tally, protocol, "abc"), slow_scores(name, images)
    assert found[:2] == pytest.approx(slow[:2])
    assert found.per_class.keys() == slow.per_class.keys()
    for category, scores in slow.per_class.items():
        assert found.per_class[category] == pytest.approx(scores)


def odd_sized_images(seed: int) -> list:
    """Images smaller and larger than 224; some truths and predictions are empty, some have void.

    Sizes are odd, so that no resized pixel is exactly 0.5; maps are smooth, like a network's.
    """
    rng = np.random.default_rng(seed)
    images = []
    for category, (height, width) in enumerate([(37, 53), (251, 301), (301, 31)]):
        for kind in ("object", "no object", "no prediction"):
            coarse = rng.random((7, 9)) * (kind != "no prediction")
            probability = slow_resize(coarse, 61, 67).astype(np.float32)
            y, x = np.ogrid[:height, :width]
            truth = (y > rng.integers(height // 2)) & (x < rng.integers(width // 2, width))
            void = (y - x) % 11 < rng.integers(5)
            images.append((category, probability, truth & (kind != "no object"), void))
    return images


@pytest.mark.slow
@pytest.mark.parametrize("name", PROTOCOLS)
def test_agrees_with_a_slow_computation_at_any_size(name: str):
    """A pixel or two may be on the other side of a threshold, which is 0.004 points of P."""
    protocol = PROTOCOLS[name]
    images = odd_sized_images(seed=0)
    tally = metrics.start(3)
    for category, *image in images:
        tally = metrics.update(tally, protocol, category, metrics.count(protocol, *image))
    found, slow = metrics.compute(tally, protocol, "abc"), slow_scores(name, images)
    assert found[:2] == pytest.approx(slow[:2], abs=0.01)
    for category, scores in slow.per_class.items():
        assert found.per_class[category] == pytest.approx(scores, abs=0.01)


def test_merged_states_equal_one_stream():
    protocol = PROTOCOLS["original"]
    counts = [(c, metrics.count(protocol, *image)) for c, *image in random_images(5, side=9)]
    whole, halves = metrics.start(3), [metrics.start(3), metrics.start(3)]
    for i, (category, one) in enumerate(counts):
        whole = metrics.update(whole, protocol, category, one)
        halves[i % 2] = metrics.update(halves[i % 2], protocol, category, one)
    merged = metrics.merge(*halves)
    for left, right in zip(merged, whole, strict=True):
        np.testing.assert_allclose(left, right)


def test_update_does_not_change_the_old_state():
    before = metrics.start(1)
    metrics.update(before, PROTOCOLS["original"], 0, Counts(1, 1, 1, 1, has_object=True))
    assert all((sums == 0).all() for sums in before)


def test_an_unknown_protocol_lists_the_valid_ones():
    with pytest.raises(UserError, match=r"'iou'; .*original, ssnm, ufo, pooled"):
        metrics.protocol_named("iou")


def test_training_scores_ignore_void_and_J_ignores_images_without_the_object():
    logits = jnp.array([[[[1.0, 1.0], [-1.0, -1.0]], [[1.0, -1.0], [-1.0, -1.0]]]])  # [1, 2, 2, 2]
    masks = jnp.array([[[[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    valid = jnp.ones(masks.shape, bool).at[0, 0, 1, 0].set(False)
    scores = metrics.batch_scores(logits, masks, valid)
    assert float(scores["P"]) == pytest.approx(100 * (2 / 3 + 3 / 4) / 2)
    assert float(scores["J"]) == pytest.approx(50.0)
