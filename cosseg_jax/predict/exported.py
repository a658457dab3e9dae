"""Exported networks: all that evaluation and prediction need, in a folder or in one file.

DIR/config.json     the run's config, with the names of its categories
DIR/variables/      params and batch_stats, through Orbax

FILE.safetensors    the same in one file (`predict.single_file`), which is read without Orbax
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path
from ml_collections import ConfigDict

from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.models.networks import network_of
from cosseg_jax.models.pretrained.archives import is_lfs_pointer
from cosseg_jax.models.pretrained.fit import check_finite
from cosseg_jax.models.ssnm import SSNM, initial_shapes
from cosseg_jax.predict import single_file, untrained
from cosseg_jax.predict.refinement import kind_of

CONFIG_FILE = "config.json"
VARIABLES = "variables"
NEEDED_FIELDS = frozenset(("model", "categories", "prediction", "image_size"))  # of a config
SHIPPED_FOLDER = Path(__file__).parents[1] / "shipped"  # docs/model_card.md describes it


class PredictionOptions(NamedTuple):
    """How a trained network is used, as `config.prediction` says.

    image_size: S, the side in pixels to which images are resized.
    mirror: whether probabilities are averaged with those of the mirrored image.
    refine: how masks are refined at an image's own size, one of `refinement.KINDS`.
    """

    image_size: int
    mirror: bool
    refine: str


def prediction_options(config: ConfigDict) -> PredictionOptions:
    """The options of a config; its `prediction.image_size` 0 stands for the size of training."""
    given = config.prediction
    size = given.image_size or config.image_size
    return PredictionOptions(size, given.mirror, kind_of(given.refine))


def check_export_folder(folder: Path) -> None:
    """Raises FileExistsError if an export to `folder` would touch what is already there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} exists and is not an empty folder; name a new folder to export to"
        )


def export(
    folder: Path, config: ConfigDict, variables: Mapping[str, Any], *, half: bool = False
) -> None:
    """Writes a network's variables and config to a new folder, whole or not at all.

    Of several processes, one calls it. With `half` kernels are written as float16, which takes half
    the room; vectors (biases, batch statistics) stay as they are.

    Raises:
        FileExistsError: if the folder holds anything.
    """
    import orbax.checkpoint as ocp

    folder = folder.absolute()
    check_export_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    here = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=here, active_processes={here})
    with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
        checkpointer.save(folder / VARIABLES, _halved(variables) if half else dict(variables))
    # Written last: a folder without it does not count as an export.
    (folder / CONFIG_FILE).write_text(_config_json(config))


def as_single_file(
    config: ConfigDict, variables: Mapping[str, Any], *, half: bool = False
) -> bytes:
    """The content of FILE.safetensors; `half` as in `export`."""
    written = _halved(variables) if half else variables
    return single_file.encode(_config_json(config), written)


def _config_json(config: ConfigDict) -> str:
    return json.dumps(config.to_dict(), indent=1, default=list)


def load_exported(folder: str | Path | None = None) -> tuple[ConfigDict, dict[str, Any]]:
    """The config (its `categories` included) and the variables of an exported network.

    folder: where the export lies, or its one file, or what `predict.untrained` takes; by default
        the one that comes with the package.

    Raises:
        FileNotFoundError: if the folder is not an export.
        ValueError: if its variables are not those of the network that its config describes.
    """
    folder = SHIPPED_FOLDER if folder is None else Path(folder)
    if (named := untrained.named_network(folder)) is not None:
        return untrained.load_untrained(*named)
    config = load_config(folder)
    if missing := sorted(NEEDED_FIELDS.difference(config.keys())):
        raise UserError(f"the config in {folder} lacks {', '.join(missing)}; export the run again")
    try:
        network = described_network(config)
    except (AttributeError, KeyError, TypeError) as error:  # a field that is missing or unknown
        raise UserError(
            f"the config in {folder} describes no network of this version of cosseg_jax: {error}"
        ) from error
    like = initial_shapes(network)
    return config, load_variables(folder, like)


def described_network(config: ConfigDict) -> SSNM:
    """The network that the config of an export describes; raises as `network_of` does."""
    return network_of(config.model, len(config.categories))


def load_config(folder: Path) -> ConfigDict:
    """The config of an exported network, its `categories` included.

    Raises:
        FileNotFoundError: if the folder is not an export.
    """
    if single_file.is_single_file(folder):
        return _parsed(single_file.config_in(folder), folder)
    path = folder / CONFIG_FILE
    if folder.is_file():
        raise UserError(f"{folder} is no exported network: give its folder or a .safetensors file")
    if not path.is_file():
        is_run = (folder / "checkpoints").is_dir()
        hint = (
            "it is the folder of a training run: export its best checkpoint with "
            f"train.py --config ... --workdir {folder} --export DIR, and name that DIR"
            if is_run
            else "expected a folder written by train.py --export DIR"
        )
        raise MissingFileError(f"no checkpoint in {folder}: it holds no {CONFIG_FILE}; {hint}")
    return _parsed(path.read_bytes(), path)


def _parsed(text: str | bytes, path: Path) -> ConfigDict:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); export the run again") from error
    if not isinstance(config, dict):
        raise UserError(f"the config in {path} is a {type(config).__name__}, not an object by name")
    return ConfigDict(config)


def load_variables(folder: Path, like: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of an exported network, as numpy arrays of the types of `like`.

    Args:
        folder: written by `export`.
        like: variables (or their shapes and types) of the network that its config describes.

    Raises:
        FileNotFoundError: if the folder holds no variables.
        ValueError: if names or shapes are not those of `like`; lists the differences.
        NotFiniteError: if a value is NaN or infinite.
    """
    found = {name: tuple(leaf.shape) for name, leaf in stored_leaves(folder).items()}
    _check_same(folder, found, _shapes(like))
    variables = _stored_variables(folder, like)
    leaves, _ = tree_flatten_with_path(variables)
    check_finite(str(folder), {keystr(at, simple=True, separator="/"): x for at, x in leaves})
    return variables


def _stored_variables(folder: Path, like: Mapping[str, Any]) -> dict[str, Any]:
    if single_file.is_single_file(folder):
        return single_file.variables_in(folder, like)
    import orbax.checkpoint as ocp

    target = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), dict(like))
    with _damage_told(folder), ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore((folder / VARIABLES).absolute(), target)


def stored_leaves(folder: Path) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of an export's variables as they are on disk, by name; reads none of them.

    Raises:
        FileNotFoundError: if the folder holds no variables.
    """
    if single_file.is_single_file(folder):
        return single_file.leaves_in(folder)
    import orbax.checkpoint as ocp

    path = (folder / VARIABLES).absolute()
    if not path.is_dir():
        raise MissingFileError(f"no checkpoint in {folder}: it holds no {VARIABLES}/ folder")
    with _damage_told(folder), ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.metadata(path).item_metadata.tree
        leaves, _ = tree_flatten_with_path(tree)
        return {
            keystr(at, simple=True, separator="/"): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
            for at, leaf in leaves
        }


@contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    """Raises UserError, with what to do, where the variables cannot be read."""
    try:
        yield
    except Exception as error:  # Orbax and TensorStore raise anything on damaged files
        if any(map(is_lfs_pointer, (folder / VARIABLES).rglob("*"))):
            raise UserError(
                f"the files in {folder / VARIABLES} are pointers of Git LFS, not its content; run "
                "git lfs pull there, or download the files themselves"
            ) from error
        cause = (str(error) or type(error).__name__).splitlines()[0].split(": ")[-1]
        raise UserError(
            f"the variables in {folder} are damaged or incomplete ({cause[:200]}); copy or "
            "download the folder again, or export the run again"
        ) from error


def _halved(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ValueError where a kernel does not fit float16."""

    def half(path: Any, x: Any) -> Any:
        if x.ndim < 2:
            return x
        if np.abs(x).max(initial=0) > np.finfo(np.float16).max:
            raise UserError(f"{keystr(path)} does not fit half precision; export it in full")
        return np.asarray(x, np.float16)

    return jax.tree.map_with_path(half, dict(variables))


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves, _ = tree_flatten_with_path(tree)
    return {keystr(path, simple=True, separator="/"): tuple(x.shape) for path, x in leaves}


def _check_same(
    folder: Path, found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]
) -> None:
    lines = [f"  - {name}: not in the checkpoint" for name in expected.keys() - found.keys()]
    lines += [f"  + {name}: not in the network" for name in found.keys() - expected.keys()]
    lines += [
        f"  ! {name}: {found[name]} in the checkpoint, {expected[name]} in the network"
        for name in expected.keys() & found.keys()
        if expected[name] != found[name]
    ]
    if lines:
        listed = "\n".join(sorted(lines))
        raise UserError(
            f"the variables in {folder} are not those of the network that its config describes:"
            f"\n{listed}\nExport the run again, or undo the change to the config"
        )
