"""A network with a head for categories that no training has shown (`models.agnostic_head`).

Both heads see the same maps. In a group that looks like a category of the training images
(`predict.familiarity`), the network's masks are kept. In any other group, and where prompts show
something that the network does not mark, the other head's masks are taken, after they have reached
to all that looks alike (`models.likeness`), which also decides where the network alone marks
something. In a prompted image they keep to what is shown. But an image that the network leaves
empty, in a group in most of which it is sure of something, stays empty.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from cosseg_jax.data.resizing import resized
from cosseg_jax.models.agnostic_head import AgnosticHead, Marks, load_agnostic_head
from cosseg_jax.models.layers import resize
from cosseg_jax.models.likeness import with_likeness
from cosseg_jax.models.spatial import SMALL
from cosseg_jax.models.traces import TracedFunction
from cosseg_jax.predict import prompting
from cosseg_jax.predict.agnostic_learning import (
    check_middle,
    head_alone,
    presence_in,
    prototype_of,
)
from cosseg_jax.predict.binary_masks import THRESHOLD
from cosseg_jax.predict.calibration import TINY, calibrated
from cosseg_jax.predict.chunked import ChunkedNetwork, Reporter
from cosseg_jax.predict.concept import LearntClass
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.familiarity import FAMILIARITY_FILE, KNOWN, Familiarity, group_presence
from cosseg_jax.predict.guided_filter import refined
from cosseg_jax.predict.learning import overlap
from cosseg_jax.predict.programs import presence_of
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.types import FeatureMaps, GroupPrediction, Ndarray

HEAD_FILE = "agnostic_head.npz"  # in the folder of an exported network
MOST_TOGETHER = 40  # images that the head compares; larger groups are split
SURE_PRESENCE = 0.9  # of a group, from which on images that the network leaves empty stay so
DOUBT = 0.5  # by which the network's probabilities are multiplied where it is not sure
COVERED_SHARE = 0.4  # of what prompts show, which the network marks if it means the same
# Slope and constant from the log-odds of a head's presence to those that an image shows the object,
# fitted to groups without strangers and with two (docs/experiments.md, section 14).
NETWORK_PRESENCE, AGNOSTIC_PRESENCE = (0.55, 0.0), (0.42, -0.68)


class AgnosticNetwork:
    """A network with both heads, which predicts groups as `ChunkedNetwork` does.

    Everything but `segment`, `learn` and `apply` is that of the network.

    variables: of the class-agnostic head.
    familiarity: what the network's categories look like.
    """

    def __init__(self, network: ChunkedNetwork, variables: Any, familiarity: Familiarity):
        self._network, self._variables = network, jax.device_put(variables)
        self._familiarity = familiarity
        size = network.image_size, network.image_size
        self._alone = TracedFunction(head_alone(size), f"the class-agnostic head alone {size}")

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
        """Predicts one group; see `ChunkedNetwork.segment`.

        The categories' probabilities are 0 in a group that does not seem to share a known one.
        """
        found = self._network.segment_unmarked(group, prompted, report=report)
        maps, categories = np.asarray(found.probability_maps), np.asarray(found.class_probabilities)
        raw = np.asarray(found.presence)
        presence = calibrated(raw, *NETWORK_PRESENCE)
        doubtful, sure = DOUBT * maps, group_presence(raw) >= SURE_PRESENCE
        if covers_shown(maps, prompted):
            known = self._familiarity.of(self._network, group, maps, raw)
        else:
            doubtful, sure, known = np.zeros_like(maps), False, 0.0
        if known < KNOWN:
            taken = (raw > THRESHOLD) | (not sure)
            maps = np.where(taken[:, None, None], self._maps(group, prompted, doubtful), maps)
            for each in prompted:
                maps[each.image] = prompting.within_shown(maps[each.image], each.marked)
            of_maps = calibrated(np.asarray(presence_of(maps)), *AGNOSTIC_PRESENCE)
            presence = np.where(taken, of_maps, presence)
        kept = list(range(len(group)) if wanted is None else wanted)
        maps = prompting.mark_maps(maps[kept], prompted, kept)
        return found._replace(
            probability_maps=maps,
            prior=np.asarray(found.prior)[kept],
            presence=prompting.mark_presence(presence[kept], prompted, kept),
            class_probabilities=categories * (self._familiarity.named and known >= KNOWN),
            known=known,
        )

    def learn(
        self, group: Sequence[EncodedImage], masks: Sequence[Bool[Ndarray, "_ _"]]
    ) -> LearntClass:
        """Learns a class, for the head that finds it better; see `ChunkedNetwork.learn`."""
        learnt, plain = self._network.learn_and_find(group, masks)
        centre, prototype = prototype_of(self._network.feature_maps(group).stride16, masks)
        by_second_head = learnt._replace(middle=centre, prototype=prototype)
        second = self.apply(group, by_second_head)[0]
        better = overlap(second, masks) > overlap(plain, masks)
        return by_second_head if better else learnt

    def apply(
        self, images: Sequence[EncodedImage], learnt: LearntClass
    ) -> tuple[Float[Ndarray, "M S S"], Float[Ndarray, "M h w"], Float[Ndarray, " M"]]:
        """Finds a class in images; see `ChunkedNetwork.apply`.

        The prior of a class that the second head finds is its likeness, with mean square 1.
        """
        if not learnt.by_second_head:
            return self._network.apply(images, learnt)
        maps = self._network.feature_maps(images)
        check_middle(maps.stride16, learnt)
        found = []
        for image, *each in zip(images, *maps, strict=True):
            given = tuple(each), learnt.middle, learnt.prototype
            probability, *rest = map(np.asarray, self._alone(self._variables, *given))
            found.append((_with_edges(probability, image.load()), *rest))
        probabilities, likeness, presence, cosine = map(np.stack, zip(*found, strict=True))
        prior = likeness / np.sqrt(np.mean(likeness**2, axis=(1, 2), keepdims=True) + SMALL)
        return probabilities, prior, presence_in(presence, cosine)

    def _maps(
        self,
        group: Sequence[EncodedImage],
        prompted: Sequence[PromptedImage],
        doubtful: Float[Ndarray, "N S S"],
    ) -> Float[Ndarray, "N S S"]:
        """The head's probability maps at the network's size, with edges where the images have them.

        doubtful: the least probabilities, before likeness is considered.
        """
        parts = []
        for first in range(0, len(group), MOST_TOGETHER):
            images = range(first, min(first + MOST_TOGETHER, len(group)))
            found = self._network.feature_maps(group[images.start : images.stop])
            marks, finer = (
                _marks(prompted, images, each.shape[1:3]) for each in (found.coarse, found.stride16)
            )
            least = doubtful[images.start : images.stop]
            shown = tuple(found), tuple(marks), finer.shown
            parts.append(np.asarray(_probabilities(self._variables, *shown, least)))
        found = zip(group, np.concatenate(parts), strict=True)
        return np.stack([_with_edges(probability, image.load()) for image, probability in found])


def agnostic_network(network: ChunkedNetwork, folder: Path) -> ChunkedNetwork | AgnosticNetwork:
    """The network of an exported folder with the second head, if the folder has one.

    Raises as `load_agnostic_head` and `Familiarity.load`.
    """
    path = folder / HEAD_FILE
    if not path.is_file():
        return network
    channels = network.feature_channels
    familiarity = Familiarity.load(folder / FAMILIARITY_FILE, channels[0])
    return AgnosticNetwork(network, load_agnostic_head(path, *channels), familiarity)


def covers_shown(maps: Float[Ndarray, "N S S"], prompted: Sequence[PromptedImage]) -> bool:
    """Whether masks cover enough of what prompts show, on average; True where they show nothing."""
    shares = []
    for each in prompted:
        if each.marked.shows_object:
            shown = resized(each.marked.shown.astype(np.float32), maps.shape[1:])
            shares.append((shown * (maps[each.image] > THRESHOLD)).sum() / shown.sum())
    return not shares or float(np.mean(shares)) > COVERED_SHARE


def _with_edges(probability: Float[Ndarray, "S S"], image: Any) -> Float[Ndarray, "S S"]:
    """A map refined by the guided filter, fitted at half its side: its cells are much larger.

    image: as the network sees it; a map is kept as it is where there is none, but feature maps.
    """
    if isinstance(image, FeatureMaps):
        return probability
    half = probability.shape[0] // 2
    return refined(resized(probability, (half, half)), image)


def _marks(prompted: Sequence[PromptedImage], images: range, grid: tuple[int, int]) -> Marks:
    """What prompts show of some of a group's images, as one group."""
    weights = prompting.region_weights(prompted, images, *grid)  # [N, 3, h, w]
    return Marks(weights[None, :, 0], weights[None, :, 1])


def _head_probabilities(
    variables: Any, maps: Any, marks: Any, shown: Any, least: Float[jax.Array, "N S S"]
) -> Float[jax.Array, "N S S"]:
    """The probabilities of one group; see `AgnosticNetwork._maps`.

    maps: the three of `UnmodulatedMaps`.
    marks: the two of `Marks`.
    shown: as in `models.likeness.with_likeness`.
    """
    coarse, fine, stride16 = maps
    found: Any = AgnosticHead().apply(variables, coarse[None], fine[None], Marks(*marks))
    size, grid = least.shape[1:], stride16.shape[1:3]
    smaller = jnp.clip(resize(least[..., None], *grid)[..., 0], TINY, 1 - TINY)
    logits = jnp.maximum(found[-1], jax.scipy.special.logit(smaller)[None])
    logits = with_likeness(logits, stride16[None], shown)
    return jax.nn.sigmoid(resize(logits[0, ..., None], *size)[..., 0])


_probabilities = TracedFunction(_head_probabilities, "the class-agnostic head with likeness")
