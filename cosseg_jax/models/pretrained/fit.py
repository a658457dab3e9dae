"""Whether the arrays of a file are those of a network: the same names and shapes, all finite."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cosseg_jax.errors import NotFiniteError, UserError

MAX_LISTED = 30  # names of each kind in an error


def check_fit(
    source: str, network: str, found: Mapping[str, np.ndarray], wanted: Mapping[str, Any]
) -> None:
    """Checks that arrays have the names and the shapes of a network's variables.

    Args:
        source, network: what the message calls the file and the network.
        found: the file's arrays by the network's names.
        wanted: the variables, or their shapes, by name.

    Raises:
        UserError: with the names and shapes that differ.
    """
    shapes = [
        f"{name}: {found[name].shape} in the file, {wanted[name].shape} in the model"
        for name in sorted(found.keys() & wanted.keys())
        if found[name].shape != wanted[name].shape
    ]
    lines = [
        *_listed("  + only in the file: ", sorted(found.keys() - wanted.keys())),
        *_listed("  - only in the model: ", sorted(wanted.keys() - found.keys())),
        *_listed("  ! ", shapes),
    ]
    if lines:
        raise UserError("\n".join([f"{source} does not fit {network}:", *lines]))


def check_finite(source: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises a NotFiniteError that names the arrays, where one has a value that is NaN or Inf."""
    bad = sorted(name for name, array in arrays.items() if not np.isfinite(array).all())
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise NotFiniteError(
            f"{source} has values that are NaN or infinite, in {bad[0]}{more}: it is damaged, or "
            "of a run that diverged; take other weights"
        )


def _listed(head: str, names: list[str]) -> list[str]:
    rest = [f"{head}and {len(names) - MAX_LISTED} more"] if len(names) > MAX_LISTED else []
    return [head + name for name in names[:MAX_LISTED]] + rest
