"""The measures of co-salient object detection, of probability maps against masks.

    S-measure  the likeness of structures (Fan et al. 2017), one number an image
    F-beta     of precision and recall, beta^2 = 0.3 (Achanta et al. 2009)
    E-measure  the alignment of two masks (Fan et al. 2018)
    MAE        the mean absolute error of the map

F-beta and E-measure need masks: each map is thresholded at 256 levels, which gives one curve an
image. The mean of the images' curves is then taken; "max" is its largest and "mean" its mean value.
As is the custom of that field, each map is first stretched to 0..1. Pixels of unknown label count
as background, since those benchmarks have none.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cosseg_jax.evaluation.evaluator import ScoredImage
from cosseg_jax.types import Ndarray

NUM_THRESHOLDS = 256
BETA_SQUARED = 0.3
OBJECT_SHARE = 0.5  # of the object's likeness in the S-measure; the rest is that of the regions
NO_ZERO = np.finfo(np.float64).eps


class MapScores(NamedTuple):
    """The measures of one map, 0..1; the curves run over thresholds from high to low."""

    s_measure: float
    f_beta: Float[Ndarray, "256"]
    e_measure: Float[Ndarray, "256"]
    mae: float


class SaliencyScores(NamedTuple):
    """The measures of a data set, in percent."""

    s_measure: float
    max_f: float
    mean_f: float
    max_e: float
    mean_e: float
    mae: float
    images: int


def map_scores(values: Float[Ndarray, "H W"], mask: Bool[Ndarray, "H W"]) -> MapScores:
    """The measures of a map in 0..1, which is stretched first."""
    stretched = _stretched(np.asarray(values, np.float64))
    hits, alarms = _counts_by_threshold(stretched, mask)
    return MapScores(
        s_measure(stretched, mask),
        _f_curve(hits, alarms, int(mask.sum())),
        _e_curve(hits, alarms, int(mask.sum()), mask.size),
        float(np.abs(stretched - mask).mean()),
    )


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else values


def _counts_by_threshold(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels at or above each of 256 thresholds, inside and outside the mask."""
    levels = (values * (NUM_THRESHOLDS - 1)).astype(np.uint8)
    inside = np.bincount(levels[mask], minlength=NUM_THRESHOLDS)
    outside = np.bincount(levels[~mask], minlength=NUM_THRESHOLDS)
    return np.cumsum(inside[::-1]), np.cumsum(outside[::-1])


def _f_curve(hits: np.ndarray, alarms: np.ndarray, positives: int) -> np.ndarray:
    precision = hits / np.maximum(hits + alarms, 1)
    recall = hits / max(positives, 1)
    weighted = BETA_SQUARED * precision + recall
    product = (1 + BETA_SQUARED) * precision * recall
    return product / np.where(weighted == 0, 1, weighted)


def _e_curve(hits: np.ndarray, alarms: np.ndarray, positives: int, pixels: int) -> np.ndarray:
    """Of binary masks, in which a pixel is one of four kinds: each has one value of alignment."""
    marked = hits + alarms
    if positives in (0, pixels):
        return (marked if positives else pixels - marked) / (pixels - 1 + NO_ZERO)
    mean_mask, mean_found = positives / pixels, marked / pixels
    kinds = (
        (hits, 1 - mean_found, 1 - mean_mask),
        (alarms, 1 - mean_found, -mean_mask),
        (positives - hits, -mean_found, 1 - mean_mask),
        (pixels - positives - alarms, -mean_found, -mean_mask),
    )
    aligned = [count * _alignment(found, truth) for count, found, truth in kinds]
    return np.sum(aligned, axis=0) / (pixels - 1 + NO_ZERO)


def _alignment(found: np.ndarray, truth: float) -> np.ndarray:
    return (2 * found * truth / (found**2 + truth**2 + NO_ZERO) + 1) ** 2 / 4


def s_measure(values: Float[Ndarray, "H W"], mask: Bool[Ndarray, "H W"]) -> float:
    """The S-measure of a map in 0..1."""
    share = mask.mean()
    if share == 0:
        return float(1 - values.mean())
    if share == 1:
        return float(values.mean())
    objects = share * _object(values[mask]) + (1 - share) * _object(1 - values[~mask])
    found = OBJECT_SHARE * objects + (1 - OBJECT_SHARE) * _regions(values, mask)
    return float(max(0.0, found))


def _object(values: np.ndarray) -> float:
    """How uniformly and highly the values of one side are on that side."""
    mean = values.mean()
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + spread + NO_ZERO)


def _regions(values: np.ndarray, mask: np.ndarray) -> float:
    """The likeness of the four parts around the mask's centre, weighted by their size."""
    row, column = (int(place) + 1 for place in np.round(np.argwhere(mask).mean(axis=0)))
    total = 0.0
    for rows in (slice(None, row), slice(row, None)):
        for columns in (slice(None, column), slice(column, None)):
            part = mask[rows, columns]
            if part.size:
                total += part.size * _likeness(values[rows, columns], part.astype(np.float64))
    return total / mask.size


def _likeness(x: np.ndarray, y: np.ndarray) -> float:
    """The structural similarity of two parts as wholes."""
    mean_x, mean_y, count = x.mean(), y.mean(), max(x.size - 1, 1)
    spread = (((x - mean_x) ** 2).sum() + ((y - mean_y) ** 2).sum()) / count
    together = ((x - mean_x) * (y - mean_y)).sum() / count
    alike = 4 * mean_x * mean_y * together
    apart = (mean_x**2 + mean_y**2) * spread
    if alike != 0:
        return alike / (apart + NO_ZERO)
    return 1.0 if apart == 0 else 0.0


class SaliencyMeasures:
    """An `on_image` callback that collects the measures; their sums are all that it keeps."""

    def __init__(self) -> None:
        self._images = 0
        self._numbers = np.zeros(2)  # sums of S-measure and MAE
        self._curves = np.zeros((2, NUM_THRESHOLDS))  # of F-beta and E-measure

    def __call__(self, image: ScoredImage) -> None:
        mask = _object_mask(image)
        found = map_scores(image.probability, mask)
        self._images += 1
        self._numbers += (found.s_measure, found.mae)
        self._curves += (found.f_beta, found.e_measure)

    def scores(self) -> SaliencyScores:
        """The measures of all images so far. Raises ValueError before the first one."""
        if not self._images:
            raise ValueError("no image was scored")
        (s, mae), curves = 100 * self._numbers / self._images, 100 * self._curves / self._images
        (max_f, max_e), (mean_f, mean_e) = curves.max(axis=1), curves.mean(axis=1)
        found = [float(x) for x in (s, max_f, mean_f, max_e, mean_e, mae)]
        return SaliencyScores(*found, images=self._images)


def _object_mask(image: ScoredImage) -> Bool[Ndarray, "H W"]:
    """The true mask of the group's category; empty where the image lacks it."""
    place = np.flatnonzero(image.example.categories == image.group.category)
    if not len(place):
        return np.zeros(image.probability.shape, bool)
    return image.example.masks[place[0]] & ~image.example.void
