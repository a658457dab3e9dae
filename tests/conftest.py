"""Settings of every test: fake devices, loud rank promotion, and where real data lies."""

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from math import inf
from pathlib import Path

# Most of the tests' time is compiling, which these make much shorter. XLA ends a process for a flag
# that it does not know; jaxlib 0.10 knows both.
QUICK = ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")
os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=2",
        *(QUICK if version("jaxlib").startswith("0.10.") else QUICK[:1]),
    )
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "cosseg_jax_test_compilations")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
sys.path.insert(0, str(Path(__file__).parents[1]))  # train.py, evaluate.py and configs

import jax
import pytest
from absl import flags

jax.config.update("jax_numpy_rank_promotion", "raise")
flags.FLAGS.mark_as_parsed()

MOST_KEPT = 1.5e9  # bytes of a process, above which its compiled programs are dropped


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets that COSSEG_DATA_DIR names."""
    folder = os.environ.get("COSSEG_DATA_DIR")
    if not folder:
        pytest.skip("needs real images: set COSSEG_DATA_DIR to the folder that holds them")
    return Path(folder)


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """Compiled programs are kept for the files that follow, until the process gets large."""
    yield
    if _memory() > MOST_KEPT:
        _give_back()
    if _memory() > MOST_KEPT:
        jax.clear_caches()
        _give_back()


def _give_back() -> None:
    """Gives memory that is free, but was kept for later, back to the system, where it is Linux.

    Without it, a process that once held 1.5 GB would count as large for ever.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def _memory() -> float:
    """The memory of this process in bytes; unknown, and so infinite, but on Linux."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else inf


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Data sets prepared by the tests never touch the user's own cache."""
    os.environ["COSSEG_CACHE_DIR"] = str(tmp_path_factory.mktemp("cosseg_cache"))
