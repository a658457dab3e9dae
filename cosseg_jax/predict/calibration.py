"""From how surely a head marks anything in images to the probability that they show the object."""

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

from cosseg_jax.types import Ndarray

TINY = 1e-4  # a probability that says nothing


def calibrated(
    presence: Float[Ndarray, " N"], slope: float, constant: float | Float[Ndarray, " N"]
) -> Float[Ndarray, " N"]:
    """The probability that images show the object, from how surely a head marks anything there.

    slope, constant: from the log-odds of the one to those of the other.
    """
    odds = logit(np.clip(presence, TINY, 1 - TINY))
    return expit(slope * odds + constant).astype(np.float32)
