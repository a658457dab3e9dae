"""Imports between the stages point one way, and prediction needs nothing of training."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "cosseg_jax"
LOWEST_FIRST = (  # a stage imports the package's modules of lower lines only
    {"types", "errors"},
    {"files"},
    {"models"},
    {"program"},
    {"data"},
    {"predict"},
    {"evaluation", "export"},
    {"train", "cli", "web"},
)
SIDEWAYS = {("cli", "web"), ("cli", "export")}  # a subcommand starts the page, or an export


def level_of(stage: str) -> int:
    return next(place for place, stages in enumerate(LOWEST_FIRST) if stage in stages)


def imported(file: Path) -> set[str]:
    """The stages of this package that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cosseg_jax"):
            parts = (node.module or "").split(".")[1:]
            found |= {parts[0]} if parts else {name.name for name in node.names}
    return found


def test_stages_import_lower_stages_only():
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        stage = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if stage.startswith("__"):
            continue
        for other in imported(file) - {stage}:
            allowed = other.startswith("__") or level_of(other) < level_of(stage)
            if not allowed and (stage, other) not in SIDEWAYS:
                wrong.append(f"{file.relative_to(PACKAGE)} imports {other}")
    assert wrong == []


def test_loading_a_network_imports_neither_losses_nor_optimizers():
    code = (
        "import sys, cosseg_jax.predict.predictor\n"
        "print([m for m in sys.modules if m == 'optax' or m.startswith('cosseg_jax.train')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_files_of_tests_have_names_of_their_own():
    """Pytest imports them by their names alone, and collects only one of two with one name."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert [name for name in names if names.count(name) > 1] == []
