"""What tracing a network gives, kept on disk: a start of a command spends most of its time on it.

JAX's compilation cache holds compiled programs, but each start traces every function again to find
them. Beside them, in its folder, lie here the traced programs (`jax.export`) and the shapes of
variables. They are found by the network's description, the arguments' shapes and a digest of the
package's sources and of the versions of its libraries, so that a change of any makes new ones.
Nothing is kept where JAX keeps no compiled programs, or for networks with parts from elsewhere.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from cosseg_jax import types
from cosseg_jax.files import write_whole

FOLDER = "traces"  # in that of the compiled programs
UNUSED_KEPT = 14 * 24 * 3600  # seconds until the traces of other sources are removed
MOST_KEPT = 300  # files of the same sources; the programs of each group size are files of their own
SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_enable_compilation_cache",
    "jax_enable_x64",  # this and the next one change traces
    "jax_default_matmul_precision",
)
PACKAGE = Path(__file__).parents[1]

for kind in (
    types.FeatureMaps,
    types.ImageEncoding,
    types.PooledStatistics,
    types.SpatialPrior,
    types.Semantics,
    types.GroupContext,
):
    jax.export.register_namedtuple_serialization(
        kind, serialized_name=f"cosseg_jax.{kind.__name__}"
    )


class TracedFunction:
    """A jitted function whose traces are kept.

    Args:
        function: of arrays, or trees of them, alone.
        description: tells the function from all others that this package has, with all that it
            depends on besides its arguments; None if its traces must not be kept.
    """

    def __init__(self, function: Callable[..., Any], description: str | None):
        self._jitted, self._description = jax.jit(function), description
        self._programs: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        signature = structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        program = self._programs.get(signature)
        if program is None:
            program = self._programs[signature] = self._program(leaves, *signature)
        return program(leaves)

    def _program(
        self, leaves: list[Any], structure: Any, shapes: Any
    ) -> Callable[[list[Any]], Any]:
        """What computes the result from the arguments' leaves."""

        def directly(leaves: list[Any]) -> Any:
            return self._jitted(*jax.tree.unflatten(structure, leaves))

        path = _path("program", self._description, str(structure), str(shapes))
        if path is None or not _on_one_default_device(leaves):
            return directly
        exported = _read(path, ExportedProgram.parsed)
        if exported is None or not exported.takes(leaves):
            try:
                exported = _exported(directly, leaves)
                _keep(path, exported.content)
            except Exception:  # it cannot be exported, or the call itself says what is wrong
                return directly
        return exported.compiled


class ExportedProgram(NamedTuple):
    """A traced program that takes those of its arguments' leaves that it uses.

    Reading the description of the others, which are most of a network's variables, takes longer
    than reading the program itself.
    """

    used: list[int]
    program: Any

    @classmethod
    def parsed(cls, content: bytes) -> "ExportedProgram":
        used, _, program = content.partition(b"\n")
        return cls(json.loads(used), jax.export.deserialize(bytearray(program)))

    def takes(self, leaves: list[Any]) -> bool:
        """Whether the arguments that it uses are there, with the shapes and types that it needs."""
        if not all(0 <= place < len(leaves) for place in self.used):
            return False
        given = [(leaves[place].shape, leaves[place].dtype) for place in self.used]
        return given == [(x.shape, x.dtype) for x in self.program.in_avals]

    @property
    def content(self) -> bytes:
        return json.dumps(self.used).encode() + b"\n" + bytes(self.program.serialize())

    @property
    def compiled(self) -> Callable[[list[Any]], Any]:
        call = jax.jit(self.program.call)
        return lambda leaves: call(*(leaves[place] for place in self.used))


def _exported(function: Callable[[list[Any]], Any], leaves: list[Any]) -> ExportedProgram:
    """The program of a function of leaves."""
    whole = jax.export.export(jax.jit(function))(leaves)
    used = list(whole.module_kept_var_idx)

    def of_used(*given: Any) -> Any:
        filled = [jnp.zeros(x.shape, x.dtype) for x in whole.in_avals]
        for place, leaf in zip(used, given, strict=True):
            filled[place] = leaf
        return function(filled)

    return ExportedProgram(used, jax.export.export(jax.jit(of_used))(*(leaves[n] for n in used)))


def kept_shapes(function: Callable[[], Any], description: str | None) -> dict[str, Any]:
    """The shapes and types of the arrays that a function would give, as `jax.eval_shape` does.

    Args:
        function: without arguments; gives dicts of arrays, or of such dicts.
        description: as in `TracedFunction`.
    """
    path = _path("shapes", description)
    found = path and _read(path, _parsed_shapes)
    if found is None:
        found = jax.eval_shape(function)
        flat = flatten_dict(found, keep_empty_nodes=True, sep="/")
        if path is not None:
            _keep(path, json.dumps({name: _written(leaf) for name, leaf in flat.items()}).encode())
    return found


def is_own(*kinds: Any) -> bool:
    """Whether classes, or partial calls of them, are all from this package."""
    plain = (getattr(kind, "func", kind) for kind in kinds)
    return all(kind.__module__.partition(".")[0] == PACKAGE.name for kind in plain)


def _written(leaf: Any) -> Any:
    return [leaf.shape, str(leaf.dtype)] if hasattr(leaf, "shape") else None


def _parsed_shapes(content: bytes) -> dict[str, Any]:
    flat = {
        name: {} if leaf is None else jax.ShapeDtypeStruct(tuple(leaf[0]), jnp.dtype(leaf[1]))
        for name, leaf in json.loads(content).items()
    }
    return unflatten_dict(flat, sep="/")


def _on_one_default_device(leaves: list[Any]) -> bool:
    devices = {device for x in leaves if isinstance(x, jax.Array) for device in x.devices()}
    return len(devices) <= 1 and all(x.platform == jax.default_backend() for x in devices)


def _path(kind: str, *description: str | None) -> Path | None:
    """Where something so described is kept; None if it is not."""
    compilations, enabled, *settings = (getattr(jax.config, name) for name in SETTINGS)
    if not compilations or not enabled:
        return None
    if "://" in compilations or None in description:  # JAX can keep its programs in a bucket
        return None
    digest = _digest(repr((jax.default_backend(), settings, description)).encode())
    return Path(compilations) / FOLDER / sources_digest() / f"{kind}-{digest}"


@functools.cache
def sources_digest() -> str:
    """A digest of the sources on which traces depend, and of the versions of their libraries."""
    content = [importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax")]
    paths = [PACKAGE / "types.py", *PACKAGE.glob("models/**/*.py"), *PACKAGE.glob("predict/*.py")]
    content += [f"{path.relative_to(PACKAGE)} {_digest(path.read_bytes())}" for path in paths]
    return _digest("\n".join(sorted(content)).encode())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def _read(path: Path, parsed: Callable[[bytes], Any]) -> Any:
    """The content of a file; None if there is none, or it is damaged, and has to be made again."""
    try:
        return parsed(path.read_bytes())
    except Exception:  # whatever the parsers raise
        return None


def _keep(path: Path, content: bytes) -> None:
    """Writes a file, if that is possible; makes room for the first one of new sources."""
    with contextlib.suppress(OSError):
        if not path.parent.is_dir():
            _remove_unused(path.parent.parent)
        elif sum(1 for _ in path.parent.iterdir()) >= MOST_KEPT:
            return
        write_whole(path, content)


def _remove_unused(folder: Path) -> None:
    for sources in folder.glob("*"):
        if time.time() - sources.stat().st_mtime > UNUSED_KEPT:
            shutil.rmtree(sources, ignore_errors=True)
