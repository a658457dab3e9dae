"""Where the package keeps what it can make again."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Prepared data sets and compiled programs: COSSEG_CACHE_DIR, else ~/.cache/cosseg_jax."""
    return Path(os.environ.get("COSSEG_CACHE_DIR") or Path.home() / ".cache" / "cosseg_jax")
