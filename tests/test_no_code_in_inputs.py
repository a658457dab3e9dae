"""Nothing that is read can run code, except configs, which are programs: looked up in the source.

Hostile files of each kind are tried beside their readers: tests/models/test_torch_files.py,
test_lpips_files.py and test_weight_archives.py, tests/data/test_prepared.py and test_opening.py.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [*(ROOT / "cosseg_jax").rglob("*.py"), ROOT / "train.py", ROOT / "evaluate.py"]
UNPICKLERS = {  # of a fixed list of names
    "cosseg_jax/models/pretrained/torch_files.py",
    "cosseg_jax/models/pretrained/lpips_files.py",
}
RUNS_CONFIGS = "cosseg_jax/program.py"
PICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNNING = {"eval", "exec", "compile", "__import__"}
LOADING = {"load", "loads"}  # of pickle, whatever they are called on


def faults(source: str, name: str) -> Iterator[str]:
    """What in a module could run code that a file holds; `name` is the module's path."""
    for node in ast.walk(ast.parse(source)):
        for module in imported_by(node):
            if module in PICKLING and name not in UNPICKLERS:
                yield f"line {node.lineno} imports {module}"
            if module == "runpy" and name != RUNS_CONFIGS:
                yield f"line {node.lineno} imports runpy"
        if isinstance(node, ast.Call):
            yield from faults_of_call(node)


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [(node.module or "").partition(".")[0]] if isinstance(node, ast.ImportFrom) else []


def faults_of_call(call: ast.Call) -> Iterator[str]:
    called, options = ast.unparse(call.func), {k.arg: k.value for k in call.keywords}
    if called in RUNNING:
        yield f"line {call.lineno} calls {called}"
    if called in ("np.load", "numpy.load") and not is_constant(options.get("allow_pickle"), False):
        yield f"line {call.lineno}: np.load without allow_pickle=False"
    if is_constant(options.get("allow_pickle"), True) or is_constant(options.get("shell"), True):
        yield f"line {call.lineno} allows what is forbidden"
    if called.startswith(("yaml.", "torch.load", "os.system", "os.popen")):
        yield f"line {call.lineno} calls {called}"
    owner, _, function = called.rpartition(".")
    if owner in PICKLING and function in LOADING:
        yield f"line {call.lineno} calls {called}"


def is_constant(node: ast.AST | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_can_run_code(path):
    assert list(faults(path.read_text(), path.relative_to(ROOT).as_posix())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import loads",
        "import runpy",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=allowed)",
        "read(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
        "eval(text)",
        "yaml.load(text)",
        "pickle.load(file)",
        "os.system(command)",
    ],
)
def test_the_search_finds_what_it_looks_for(source):
    assert list(faults(source, "cosseg_jax/models/ssnm.py")) != []


@pytest.mark.parametrize("name", sorted(UNPICKLERS))
def test_unpicklers_have_a_list_of_names(name):
    """Both take pickles through the one class that refuses what is not in its list."""
    source = (ROOT / name).read_text()
    assert "unpickled(" in source
    assert "pickle.load" not in source.replace("pickle.Unpickler", "")


def test_the_one_unpickler_refuses_every_name_that_is_not_listed():
    from cosseg_jax.models.pretrained.lpips_files import NUMPY_ARRAYS
    from cosseg_jax.models.pretrained.torch_files import ADMITTED

    modules = {module for module, _ in (*ADMITTED, *NUMPY_ARRAYS)}
    assert modules == {"collections", "torch", "torch._utils", "numpy", "numpy.core.multiarray"}
    assert ("collections", "OrderedDict") in ADMITTED
    assert not any(
        callable(value) for value in NUMPY_ARRAYS.values() if not isinstance(value, type)
    )
