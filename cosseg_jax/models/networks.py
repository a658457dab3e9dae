"""Which network a config describes: the paper's, or one that a field of `KINDS` names."""

from collections.abc import Callable

from ml_collections import ConfigDict

from cosseg_jax.models.released.network import ReleasedSSNM
from cosseg_jax.models.ssnm import SSNM, from_config
from cosseg_jax.models.training_free import training_free


def released(model: ConfigDict, categories: int) -> ReleasedSSNM:
    """The authors' released network, whose parts have no options."""
    del model
    return ReleasedSSNM(categories=categories)


KINDS: dict[str, Callable[[ConfigDict, int], SSNM]] = {
    "training_free": training_free,
    "released": released,
}


def network_of(model: ConfigDict, categories: int) -> SSNM:
    """Builds what the `model` part of a config describes, for a number of categories.

    Raises:
        UserError: naming the field whose value is not valid.
    """
    for kind, build in KINDS.items():
        if model.get(kind, False):
            return build(model, categories)
    return from_config(model, categories)
