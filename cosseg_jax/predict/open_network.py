"""The open mode: masks of categories that no training has shown, chosen among object proposals.

MobileSAM proposes segments of anything in each image (`predict.proposals`). The network's own
encodings describe them, and small scorers, whose features name no category, say which of them the
group shares (`models.proposal_features`, `models.proposal_scorer`).

Where the group looks like a category of the training images, the network's masks are kept, or
their edges improved: a choice of proposals that overlaps enough with one replaces it.

A prompt chooses among the proposals of its image, and the other images follow these alone.
docs/open_mode.md has the measurements behind these choices.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from cosseg_jax.data.resizing import resized, resized_mask
from cosseg_jax.models.proposal_features import (
    SIDE,
    Proposals,
    agreement_features,
    described_group,
    group_features,
)
from cosseg_jax.models.proposal_scorer import PRECISION, Scorers, load_scorers, scores
from cosseg_jax.predict import prompting
from cosseg_jax.predict.binary_masks import THRESHOLD
from cosseg_jax.predict.chunked import ChunkedNetwork, Reporter
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.familiarity import FAMILIARITY_FILE, KNOWN, Familiarity
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.predict.proposals import Proposer
from cosseg_jax.types import GroupPrediction, Ndarray

SCORERS_FILE = "proposal_scorers.npz"  # in the folder of an exported network
MIN_PRECISION = 0.5  # of the proposals that make up a mask; the best one always does
POINT_SHARE = 0.012  # of an image; what a prompt shows is a region where it is larger
COVERED = 0.5  # of what a prompt shows or excludes, by the proposals that it means
SAME_OBJECT_IOU = 0.5  # IoU with the network's mask, above which the proposals replace it
IGNORED = 0.1  # factor on the scores in images without a prompt where others have one

Propose = Callable[[np.ndarray], Proposals]  # of an RGB image [S, S, 3]; see `Proposer`


class Seen(NamedTuple):
    """What the open mode knows of the images of a group before it compares them."""

    proposals: list[Proposals]
    coarse: Float[Ndarray, "N h w C"]
    fine: Float[Ndarray, "N h2 w2 D"]


class OpenNetwork:
    """A network with proposals and their scorers, which predicts groups as `ChunkedNetwork` does.

    Everything but `segment` is that of the network.
    """

    def __init__(
        self,
        network: ChunkedNetwork,
        propose: Propose,
        scorers: Scorers,
        familiarity: Familiarity,
    ):
        self._network, self._propose, self._scorers = network, propose, scorers
        self._familiarity = familiarity

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def segment(
        self,
        group: Sequence[EncodedImage],
        prompted: Sequence[PromptedImage] = (),
        *,
        wanted: Sequence[int] | None = None,
        report: Reporter = lambda count: None,
    ) -> GroupPrediction:
        """Predicts one group; see `ChunkedNetwork.segment`."""
        found = self._network.segment(group, prompted, report=report)
        seen = see(group, self._network, self._propose)
        scored = score_seen(seen, self._scorers, prompted)
        maps = np.stack(
            [
                open_map(each, score, self._network.image_size)
                for each, score in zip(seen.proposals, scored, strict=True)
            ]
        )
        presence = np.asarray([open_presence(score) for score in scored], np.float32)
        categories = np.asarray(found.class_probabilities)
        own = np.asarray(found.probability_maps), np.asarray(found.presence)
        known = self._familiarity.of(self._network, group, *own)
        if known >= KNOWN:
            shown = [each.image for each in prompted if each.marked.shows_object]
            maps, presence = _improved(own[0], maps, shown), own[1]
        else:
            categories = np.zeros_like(categories)
        rows = list(range(len(group)))
        maps = prompting.mark_maps(maps, prompted, rows)
        presence = prompting.mark_presence(presence, prompted, rows)
        kept = rows if wanted is None else list(wanted)
        return found._replace(
            probability_maps=maps[kept],
            prior=np.asarray(found.prior)[kept],
            presence=presence[kept],
            class_probabilities=categories,
            known=known,
        )


def open_network(
    network: ChunkedNetwork, folder: Path, sam_weights: str | Path | None = None
) -> OpenNetwork:
    """The open mode of an exported network in `folder`.

    Raises as `load_scorers`, `Familiarity.load` and `Proposer`.
    """
    scorers = load_scorers(folder / SCORERS_FILE)
    familiarity = Familiarity.load(folder / FAMILIARITY_FILE, network.feature_channels[0])
    return OpenNetwork(network, Proposer(sam_weights), scorers, familiarity)


def see(group: Sequence[EncodedImage], network: ChunkedNetwork, propose: Propose) -> Seen:
    """Finds the proposals of each image, once, and the network's maps at strides 32 and 16."""
    for image in group:
        if image.proposals is None:
            image.proposals = propose(image.load())
    maps = network.feature_maps(group)
    return Seen([image.proposals for image in group], maps.coarse, maps.fine)  # type: ignore[misc]


def score_seen(
    seen: Seen, scorers: Scorers, prompted: Sequence[PromptedImage] = ()
) -> list[Float[Ndarray, "_ 2"]]:
    """The precision and IoU of every image's proposals, 0..1, as the scorers estimate them."""
    group = described_group(*seen)
    features = group_features(group)
    meant = {each.image: _meant(seen.proposals[each.image], each) for each in prompted}
    first = scores(scorers.first, features)
    if any(each.marked.shows_object for each in prompted):
        first = [each if n in meant else IGNORED * each for n, each in enumerate(first)]
    first = [_as_meant(each, meant.get(n)) for n, each in enumerate(first)]
    second = scores(scorers.second, agreement_features(group, features, first))
    return [_as_meant(each, meant.get(n)) for n, each in enumerate(second)]


def open_map(
    proposals: Proposals, scored: Float[Ndarray, "P 2"], size: int
) -> Float[Ndarray, "S S"]:
    """The probability map of an image from its proposals and their scores."""
    if not len(proposals):
        return np.zeros((size, size), np.float32)
    precision = scored[:, PRECISION]
    chosen = precision >= min(MIN_PRECISION, precision.max())
    found = proposals.maps[chosen].max(axis=0).astype(np.float32) / 255
    return resized(found, (size, size))


def open_presence(scored: Float[Ndarray, "P 2"]) -> float:
    """The probability that an image shows what the group shares: that of its best proposal."""
    return float(scored[:, PRECISION].max(initial=0))


def _improved(
    ours: Float[Ndarray, "N S S"], maps: Float[Ndarray, "N S S"], shown: Sequence[int]
) -> Float[Ndarray, "N S S"]:
    """The network's maps, or the proposals' where both mean the same or a prompt chose them."""
    both = (ours > THRESHOLD) & (maps > THRESHOLD)
    either = (ours > THRESHOLD) | (maps > THRESHOLD)
    overlap = both.sum(axis=(1, 2)) / np.maximum(either.sum(axis=(1, 2)), 1)
    replaced = (overlap >= SAME_OBJECT_IOU) | np.isin(np.arange(len(maps)), shown)
    return np.where(replaced[:, None, None], maps, ours)


def _meant(proposals: Proposals, prompted: PromptedImage) -> Float[Ndarray, " P"]:
    """How well each proposal agrees with the prompts of its image, 0..1."""
    shown, excluded, _ = (resized_mask(x, (SIDE, SIDE)) for x in prompted.marked)
    masks = proposals.maps >= 128
    agreement = np.ones(len(proposals))
    if shown.any():
        inside = (masks & shown).sum(axis=(1, 2))
        agreement = (inside / shown.sum() > COVERED).astype(float)
        if shown.mean() > POINT_SHARE:
            agreement = inside / (masks | shown).sum(axis=(1, 2))
    if excluded.any():
        covered = (masks & excluded).sum(axis=(1, 2)) / excluded.sum()
        agreement = np.where(covered > COVERED, 0, agreement)
    return agreement


def _as_meant(
    scored: Float[Ndarray, "P 2"], meant: Float[Ndarray, " P"] | None
) -> Float[Ndarray, "P 2"]:
    """Scores in which a proposal that does not agree with the prompt counts for nothing."""
    if meant is None or not meant.any():
        return scored
    region = meant.max() < 1
    return np.tile(meant[:, None], (1, 2)) if region else scored * meant[:, None]
