"""What a group of images says of object proposals, without naming a category.

A proposal is a segment of one image that may be an object. It is described by the mean of the
backbone's maps inside it, less the group's mean, at length 1. The features of a proposal then hold
numbers only that mean the same for every category:

    alone       its size, place and shape, how sure its segmenter is, how strongly the backbone
                responds inside it, how it differs from its surroundings and from the image's border
    in a group  the principal direction of the group's descriptors (Wei et al. 2019), and how much
                it resembles the proposals, cells and border cells of the other images
    again       how much it resembles the best proposals of the other images, as a first scorer
                found them (`agreement_features`)

Every number comes three times: as it is, standardised over the group, and over the image. A scorer
of such features (`proposal_scorer`) can rank proposals of categories that no training has shown.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import maximum_filter

from cosseg_jax.types import Ndarray

SIDE = 128  # cells of a proposal's map
MOST_OTHERS = 24  # images of a larger group that each image is compared with
POWER_STEPS = 30  # of the principal direction
BEST_SHARPNESS = 8.0  # of the weights by which the best proposals stand for an image
LEAST_SUM = 1e-3  # keeps quotients finite
NUM_GROUP_FEATURES = 3 * 21
NUM_FEATURES = NUM_GROUP_FEATURES + 3 * 17  # with those of agreement


@dataclasses.dataclass(frozen=True)
class Proposals:
    """P object proposals of one image, the most certain first.

    maps: their probabilities, 0..255, over the image resized to a square.
    estimates: the segmenter's estimate of each one's IoU with an object, about 0..1.
    stability: the IoU of the segments at a higher and a lower threshold, 0..1.
    """

    maps: UInt8[Ndarray, "P 128 128"]
    estimates: Float[Ndarray, " P"]
    stability: Float[Ndarray, " P"]

    def __len__(self) -> int:
        return len(self.estimates)


@dataclasses.dataclass(frozen=True)
class DescribedImage:
    """An image of a group with its proposals' descriptors; all descriptors have length 1.

    cells, fine_cells: those of the cells at stride 32 and 16.
    inside, fine_inside, around: those of the proposals and of the ring of cells around each.
    border: of the image's outermost cells.
    weights, fine_weights: the share of each cell that a proposal covers, 0..1.
    ring: the share of the neighbouring cells that it does not cover.
    direction, response: of each cell, along the group's principal direction and the sum of the
        backbone's channels; both standardised over the group.
    """

    proposals: Proposals
    cells: Float[Ndarray, "h w C"]
    fine_cells: Float[Ndarray, "h2 w2 D"]
    inside: Float[Ndarray, "P C"]
    fine_inside: Float[Ndarray, "P D"]
    around: Float[Ndarray, "P C"]
    border: Float[Ndarray, " C"]
    weights: Float[Ndarray, "P h w"]
    fine_weights: Float[Ndarray, "P h2 w2"]
    ring: Float[Ndarray, "P h w"]
    direction: Float[Ndarray, "h w"]
    response: Float[Ndarray, "h w"]

    def __len__(self) -> int:
        return len(self.proposals)


def described_group(
    proposals: Sequence[Proposals],
    coarse: Float[Ndarray, "N h w C"],
    fine: Float[Ndarray, "N h2 w2 D"],
) -> list[DescribedImage]:
    """The images of a group from their proposals and the backbone's maps at strides 32 and 16."""
    coarse, fine = np.asarray(coarse, np.float32), np.asarray(fine, np.float32)
    response = _standardised(coarse.sum(axis=-1))  # [N, h, w]
    coarse = coarse - coarse.mean(axis=(0, 1, 2))
    fine = fine - fine.mean(axis=(0, 1, 2))
    direction = _principal_direction(coarse, response)
    return [
        _described(each, *maps)
        for each, *maps in zip(proposals, coarse, fine, direction, response, strict=True)
    ]


def group_features(group: Sequence[DescribedImage]) -> list[Float[Ndarray, "_ F"]]:
    """NUM_GROUP_FEATURES features of each image's proposals; an image alone is its own group."""
    found = []
    for number, image in enumerate(group):
        others = [group[place] for place in _others(number, len(group))]
        found.append(np.column_stack([_shape_features(image), _relations(image, others)]))
    return _thrice(found)


def agreement_features(
    group: Sequence[DescribedImage],
    features: Sequence[Float[Ndarray, "_ F"]],
    scores: Sequence[Float[Ndarray, "_ 2"]],
) -> list[Float[Ndarray, "_ F2"]]:
    """NUM_FEATURES features: `features`, and those of agreement with first scores.

    scores: of each proposal, its precision and its IoU, 0..1, as a first scorer estimates them.
    """
    best = [_best(image, each) for image, each in zip(group, scores, strict=True)]
    found = []
    for number, image in enumerate(group):
        others = [best[place] for place in _others(number, len(group))]
        columns = _agreement(image, others)
        overlap = _mean_inside(image.weights, best[number].weights)
        found.append(np.column_stack([*columns, scores[number], overlap]))
    return [np.column_stack(both) for both in zip(features, _thrice(found), strict=True)]


@dataclasses.dataclass(frozen=True)
class _Best:
    """What the best proposals of an image say: descriptors of the object and of the rest."""

    object: Float[Ndarray, " C"]
    fine_object: Float[Ndarray, " D"]
    rest: Float[Ndarray, " C"]
    fine_rest: Float[Ndarray, " D"]
    weights: Float[Ndarray, "h w"]
    trust: float


def _best(image: DescribedImage, scores: Float[Ndarray, "P 2"]) -> _Best:
    grid, fine_grid = image.weights.shape[1:], image.fine_weights.shape[1:]
    weights, fine_weights, trust = np.zeros(grid), np.zeros(fine_grid), 0.0
    if len(image):
        both = scores.prod(axis=1)
        shares = np.exp(BEST_SHARPNESS * (both - both.max()))
        shares = shares / shares.sum()
        weights = np.tensordot(shares, image.weights, 1)
        fine_weights = np.tensordot(shares, image.fine_weights, 1)
        trust = float(shares @ scores[:, 0])
    return _Best(
        _unit(_pooled(image.cells, weights[None]))[0],
        _unit(_pooled(image.fine_cells, fine_weights[None]))[0],
        _unit(_pooled(image.cells, 1 - weights[None]))[0],
        _unit(_pooled(image.fine_cells, 1 - fine_weights[None]))[0],
        weights,
        trust,
    )


def _agreement(image: DescribedImage, others: Sequence[_Best]) -> list[Float[Ndarray, " P"]]:
    """Seven columns for each of two resolutions."""
    trust = np.asarray([each.trust for each in others]) + 0.05
    trust = trust / trust.sum()
    columns = []
    for inside, cells, weights, objects, rests in (
        (
            image.inside,
            image.cells,
            image.weights,
            [each.object for each in others],
            [each.rest for each in others],
        ),
        (
            image.fine_inside,
            image.fine_cells,
            image.fine_weights,
            [each.fine_object for each in others],
            [each.fine_rest for each in others],
        ),
    ):
        shown, rest = _unit(trust @ np.stack(objects)), _unit(np.mean(rests, axis=0))
        each = inside @ np.stack(objects).T  # [P, images]
        contrast = cells @ (shown - rest)  # [h, w]
        positive = np.maximum(contrast - np.median(contrast), 0)
        columns += [inside @ shown, inside @ rest, inside @ (shown - rest)]
        columns += [each @ trust, each.max(axis=1)]
        columns += [_mean_inside(weights, contrast) - _mean_inside(1 - weights, contrast)]
        columns += [np.tensordot(weights, positive, 2) / (positive.sum() + LEAST_SUM)]
    return columns


def _shape_features(image: DescribedImage) -> Float[Ndarray, "P 7"]:
    """Logarithm of the area, certainty, distance from the middle, touch of the frame, solidity."""
    maps = image.proposals.maps.astype(np.float32) / 255
    area = maps.mean(axis=(1, 2))
    cells = area * SIDE * SIDE + LEAST_SUM
    rows, columns = (np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5).astype(np.float32)
    y, x = _moment(maps, rows, cells), _moment(maps, columns, cells)
    spread_y, spread_x = (
        np.sqrt(np.maximum(_moment(maps, axis**2, cells) - mean**2, 1e-6))
        for axis, mean in ((rows, y), (columns, x))
    )
    frame = np.ones((SIDE, SIDE), np.float32)
    frame[2:-2, 2:-2] = 0
    touching = np.tensordot(maps, frame, 2)
    return np.column_stack(
        [
            np.log(area + 1e-4),
            image.proposals.estimates,
            image.proposals.stability,
            np.hypot(x, y),
            touching / frame.sum(),
            touching / np.sqrt(cells),
            area / (12 * spread_y * spread_x),  # 1 for a full box
        ]
    )


def _relations(image: DescribedImage, others: Sequence[DescribedImage]) -> Float[Ndarray, "P 14"]:
    """The other columns: direction, response, contrast, and likeness to the other images."""
    along = _mean_inside(image.weights, image.direction)
    columns = [
        along,
        along - _mean_inside(image.ring, image.direction),
        _mean_inside(image.weights, image.response),
        1 - (image.inside * image.around).sum(axis=1),
        image.inside @ image.border,
    ]
    half = (len(others) + 1) // 2
    for name in ("inside", "fine_inside"):
        mine = getattr(image, name)
        alike = np.stack([_most_alike(mine, getattr(other, name)) for other in others])
        nearest_half = np.sort(alike, axis=0)[-half:]
        columns += [alike.mean(axis=0), nearest_half.mean(axis=0), alike.min(axis=0)]
    cells = np.mean([_most_alike(image.inside, _rows(each.cells)) for each in others], axis=0)
    borders = [_most_alike(image.inside, _border_cells(each.cells)) for each in others]
    background = np.mean(borders, axis=0)
    return np.column_stack([*columns, cells, background, cells - background])


def _described(
    proposals: Proposals,
    coarse: Float[Ndarray, "h w C"],
    fine: Float[Ndarray, "h2 w2 D"],
    direction: Float[Ndarray, "h w"],
    response: Float[Ndarray, "h w"],
) -> DescribedImage:
    weights = _shrunk(proposals.maps, *coarse.shape[:2])
    fine_weights = _shrunk(proposals.maps, *fine.shape[:2])
    ring = np.maximum(maximum_filter(weights, size=(1, 3, 3)) - weights, 0)
    return DescribedImage(
        proposals=proposals,
        cells=_unit(coarse),
        fine_cells=_unit(fine),
        inside=_unit(_pooled(coarse, weights)),
        fine_inside=_unit(_pooled(fine, fine_weights)),
        around=_unit(_pooled(coarse, ring)),
        border=_unit(_border_cells(coarse).mean(axis=0)),
        weights=weights,
        fine_weights=fine_weights,
        ring=ring,
        direction=direction,
        response=response,
    )


def _principal_direction(
    centred: Float[Ndarray, "N h w C"], response: Float[Ndarray, "N h w"]
) -> Float[Ndarray, "N h w"]:
    """Projections on the principal direction, with mean square 1, where the response is positive.

    `models.spatial` computes the same inside a network; here a few power steps are enough.
    """
    x = centred.reshape(-1, centred.shape[-1])  # [n, C]
    v = x.sum(axis=1)
    for _ in range(POWER_STEPS):
        v = x @ (x.T @ v)
        v = v / (np.linalg.norm(v) + 1e-12)
    v = v * np.sqrt(len(v))
    return (v if v @ response.ravel() >= 0 else -v).reshape(response.shape)


def _others(number: int, count: int) -> list[int]:
    """The images that an image is compared with: all others, or an even choice of a large group."""
    others = [place for place in range(count) if place != number] or [number]
    if len(others) <= MOST_OTHERS:
        return others
    return [others[place * len(others) // MOST_OTHERS] for place in range(MOST_OTHERS)]


def _thrice(columns: Sequence[Float[Ndarray, "_ K"]]) -> list[Float[Ndarray, "_ K3"]]:
    """As they are, standardised over the group, and over the image."""
    together = np.concatenate(columns)
    mean, deviation = together.mean(axis=0), together.std(axis=0) + 1e-4
    return [
        np.column_stack([each, (each - mean) / deviation, _standardised(each, axis=0)]).astype(
            np.float32
        )
        if len(each)
        else np.zeros((0, 3 * each.shape[1]), np.float32)
        for each in columns
    ]


def _standardised(x: np.ndarray, axis: int | None = None) -> np.ndarray:
    return (x - x.mean(axis=axis)) / (x.std(axis=axis) + 1e-4)


def _shrunk(maps: UInt8[Ndarray, "P S S"], height: int, width: int) -> Float[Ndarray, "P h w"]:
    """The mean of each map, 0..1, in the cells of a coarser grid."""
    rows, columns = _averaging(height), _averaging(width)
    return rows @ (maps.astype(np.float32) / 255) @ columns.T


def _averaging(cells: int) -> Float[Ndarray, "h S"]:
    """The matrix that averages SIDE samples to `cells`; borders of cells may split samples."""
    ends = np.arange(cells + 1) * SIDE / cells
    samples = np.arange(SIDE)
    upper = np.minimum(ends[1:, None], samples + 1)
    lower = np.maximum(ends[:-1, None], samples)
    return (np.maximum(upper - lower, 0) * cells / SIDE).astype(np.float32)


def _pooled(maps: Float[Ndarray, "h w C"], weights: Float[Ndarray, "P h w"]) -> np.ndarray:
    """The weighted mean of a map's cells; [P, C]."""
    weights = weights.reshape(len(weights), maps.shape[0] * maps.shape[1])
    return weights @ _rows(maps) / np.maximum(weights.sum(axis=1, keepdims=True), LEAST_SUM)


def _mean_inside(weights: Float[Ndarray, "P h w"], values: Float[Ndarray, "h w"]) -> np.ndarray:
    return np.tensordot(weights, values, 2) / np.maximum(weights.sum(axis=(1, 2)), LEAST_SUM)


def _moment(maps: Float[Ndarray, "P S S"], axis: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return np.tensordot(maps, axis, 2) / cells


def _most_alike(mine: Float[Ndarray, "P C"], theirs: Float[Ndarray, "Q C"]) -> np.ndarray:
    """The largest cosine with any of theirs; 0 where they have none."""
    return (mine @ theirs.T).max(axis=1) if len(theirs) else np.zeros(len(mine), np.float32)


def _rows(maps: Float[Ndarray, "h w C"]) -> Float[Ndarray, "n C"]:
    return maps.reshape(-1, maps.shape[-1])


def _border_cells(maps: Float[Ndarray, "h w C"]) -> Float[Ndarray, "n C"]:
    inner = np.zeros(maps.shape[:2], bool)
    inner[1:-1, 1:-1] = True
    return maps[~inner]


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
