"""Whether a group shares a category that the network was trained on, and how far to trust masks.

The category probabilities of the network do not say so: some category has nearly 1 in most groups
of others. What the images look like under its masks does. The mean descriptor of the marked cells
(backbone, stride 32) is close to that of a category of the training images if the group shows this
category, and to none if it shows anything else. `train.known_categories` computes those means.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

from cosseg_jax.data.resizing import resized
from cosseg_jax.errors import UserError
from cosseg_jax.files import write_whole
from cosseg_jax.models.pretrained.archives import read_npz
from cosseg_jax.models.pretrained.fit import check_finite
from cosseg_jax.predict.binary_masks import THRESHOLD
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.prompting import unit_length
from cosseg_jax.types import Ndarray

FAMILIARITY_FILE = "known_categories.npz"  # in the folder of an exported network
KNOWN = 0.5  # probability of a known category, from which on the network's masks are kept
STRANGER_SHARE = 0.3  # of a group's images, those of the least presence, do not count for it
MOST_IMAGES = 40  # of a group, that are looked at
LEAST_CELLS = 0.5  # that a mask covers, to be looked at
# The log-odds that a group shares a known category: factors of the largest cosine with a category
# and of the log-odds of the group's presence, and a constant. Fitted to groups of known and unknown
# categories (docs/experiments.md, section 14).
COSINE_WEIGHT, PRESENCE_WEIGHT, BIAS = 13.5, 0.27, -11.25
LEAST_DOUBT = 1e-3
# The share of groups with good masks, by those log-odds: a sigmoid between two shares, as measured.
RIGHT_IF_UNKNOWN, RIGHT_MORE, RIGHT_SLOPE, RIGHT_ODDS = 0.33, 0.6, 3.0, 1.0


class Familiarity(NamedTuple):
    """What the network's categories look like.

    mean: the mean descriptor of the training images.
    prototypes: for each category, the mean over its images of the descriptors on its objects, less
        `mean`, of length 1.
    named: whether these are the categories that the network's class head names. After fine-tuning
        on others they are those of the network before.
    """

    mean: Float[Ndarray, " C"]
    prototypes: Float[Ndarray, "K C"]
    named: bool = True

    @classmethod
    def load(cls, path: Path, channels: int) -> "Familiarity":
        """Reads what `save` wrote, for descriptors of so many channels.

        Raises UserError for a file that is not whole or of another kind, NotFiniteError for one
        with a value that is NaN or infinite.
        """
        found = read_npz(path)
        named = found.pop("named", np.ones(()))
        shapes = {name: array.shape for name, array in found.items()}
        prototypes = shapes.get("prototypes", ())
        expected = {"mean": (channels,), "prototypes": (*prototypes[:1], channels)}
        if shapes != expected or not prototypes[0] or named.shape != () or named not in (0, 1):
            raise UserError(
                f"{path} holds arrays of the shapes {shapes}; expected mean ({channels},) and "
                f"prototypes (categories, {channels}); write it by "
                "python -m cosseg_jax.train.known_categories"
            )
        check_finite(str(path), found)
        vectors = (found[name].astype(np.float32) for name in ("mean", "prototypes"))
        return cls(*vectors, named=bool(named))

    def save(self, path: Path) -> None:
        """Writes one .npz file, in half precision."""
        content = io.BytesIO()
        vectors = {name: getattr(self, name).astype(np.float16) for name in ("mean", "prototypes")}
        np.savez(content, **vectors, named=np.float16(self.named))
        write_whole(path, content.getvalue())

    def of(
        self,
        network: ChunkedNetwork,
        group: Sequence[EncodedImage],
        maps: Float[Ndarray, "N S S"],
        presence: Float[Ndarray, " N"],
    ) -> float:
        """The probability that a group shares a category that the network knows, 0..1.

        maps, presence: as the network itself predicts them. Images that it leaves empty do not
            count; a group of empty images has 0.
        """
        surest = np.argsort(-presence, kind="stable")[:MOST_IMAGES]
        seen = sorted(number for number in surest.tolist() if presence[number] > THRESHOLD)
        if not seen:
            return 0.0
        coarse = network.coarse_maps([group[number] for number in seen])
        descriptors = marked_descriptors(coarse, maps[seen])
        if not len(descriptors):
            return 0.0
        direction = unit_length(unit_length(descriptors - self.mean).mean(axis=0))
        return known_probability(float((self.prototypes @ direction).max()), presence)


def marked_descriptors(
    coarse: Float[Ndarray, "N h w C"], maps: Float[Ndarray, "N S S"]
) -> Float[Ndarray, "M C"]:
    """The mean descriptor of the marked cells of each image in which any are marked."""
    marked = np.where(maps > THRESHOLD, maps, 0).astype(np.float32)
    weights = np.stack([resized(each, coarse.shape[1:3]) for each in marked])
    areas = weights.sum(axis=(1, 2))
    sums = np.einsum("nhw,nhwc->nc", weights, coarse.astype(np.float32))
    kept = areas > LEAST_CELLS
    return sums[kept] / areas[kept, None]


def confidence_of(known: float) -> float:
    """How probably the masks of a group overlap with the object by more than half, 0..1.

    known: the probability that the group shares a known category. In groups of unknown categories
        a third of the masks are right on the average, whatever it is.
    """
    odds = logit(np.clip(known, LEAST_DOUBT, 1 - LEAST_DOUBT))
    return float(RIGHT_IF_UNKNOWN + RIGHT_MORE * expit(RIGHT_SLOPE * (odds - RIGHT_ODDS)))


def known_probability(cosine: float, presence: Float[Ndarray, " N"]) -> float:
    """The probability that a group shares a known category, 0..1.

    cosine: of what the group shows with the nearest category.
    presence: of each image, as the network predicts it.
    """
    odds = logit(np.clip(group_presence(presence), LEAST_DOUBT, 1 - LEAST_DOUBT))
    return float(expit(COSINE_WEIGHT * cosine + PRESENCE_WEIGHT * odds + BIAS))


def group_presence(presence: Float[Ndarray, " N"]) -> float:
    """How surely a group shares a category on which the network was trained, 0..1.

    presence: of each image, as the network has it. Images without the object, if they are few, do
        not count.
    """
    return float(np.sort(presence)[int(STRANGER_SHARE * len(presence)) :].mean())
