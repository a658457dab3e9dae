"""The names that the package offers: each is there, and none imports JAX before it is used."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import cosseg_jax
from cosseg_jax.data import prompts
from cosseg_jax.predict import predictor

ROOT = Path(__file__).parents[2]


def test_names_are_those_of_their_modules():
    assert set(cosseg_jax.__all__) == {
        *("Concept", "ConceptResult", "GroupResult", "ImageResult", "Predictor", "Prompt"),
        *("Session", "__version__", "load"),
    }
    for name in sorted({*cosseg_jax.__all__} - {"Prompt", "__version__"}):
        assert getattr(cosseg_jax, name) is getattr(predictor, name)
    assert cosseg_jax.Prompt is prompts.Prompt
    assert cosseg_jax.__version__ == version("cosseg-jax")


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="'cosseg_jax' has no attribute 'loda'"):
        cosseg_jax.loda  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    script = (
        "import sys, cosseg_jax; from cosseg_jax import __version__\n"
        "assert not {'jax', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
