"""Files of weights with fixed names, for fuzz.py: heads of a network, and the authors' network.

Each kind makes valid inputs once, in its folder. It returns the function that makes and reads one
changed input, drawn from the given Random, and raises what reading raises.
"""

import io
import random
import sys
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from fuzz_mutations import Attempt, changed_bytes
from fuzz_networks import GOLDENS, changed_archive
from fuzz_toys import ODD_NUMBERS, TESTS

CHANNELS = 12, 6  # of a network's two maps, which a head takes
BOMB_BYTES = 600_000_000
KINDS = ("<f2", "<f8", "<i4", "u1", "?", "<c8", "<U3", "O", "<M8[s]")
HUGE_SHAPES = ("(4000000000,)", "(1099511627776, 8)", "(-1,)", "(3, 3, 3, 3, 3, 3, 3)")


def heads(folder: Path) -> Attempt:
    """The second head and the proposals' scorers: changed bytes, arrays, pickles and bombs."""
    from cosseg_jax.models.agnostic_head import (
        AgnosticHead,
        load_agnostic_head,
        save_agnostic_head,
    )
    from cosseg_jax.models.proposal_scorer import Scorers, _shapes, load_scorers, save_scorers
    from cosseg_jax.predict.familiarity import Familiarity

    maps = [
        np.zeros((1, 1, side, side, n), np.float32)
        for side, n in zip((2, 4), CHANNELS, strict=True)
    ]
    ones = [
        jax.tree.map(lambda x: np.ones(x.shape, np.float32), shapes)
        for shapes in (jax.eval_shape(AgnosticHead().init, jax.random.key(0), *maps), _shapes())
    ]
    save_agnostic_head(folder / "agnostic_head.npz", ones[0])
    familiarity = Familiarity(np.ones(CHANNELS[0]), np.ones((3, CHANNELS[0])))
    familiarity.save(folder / "known_categories.npz")
    save_scorers(folder / "proposal_scorers.npz", Scorers(**ones[1]))
    readers = {
        "agnostic_head.npz": lambda path: load_agnostic_head(path, *CHANNELS),
        "known_categories.npz": lambda path: Familiarity.load(path, CHANNELS[0]),
        "proposal_scorers.npz": load_scorers,
    }
    whole = {name: (folder / name).read_bytes() for name in readers}
    bomb = _bomb()

    def attempt(rng: random.Random) -> None:
        name = rng.choice(list(readers))
        content = bomb if rng.random() < 0.01 else _changed_npz(whole[name], rng)
        (folder / name).write_bytes(content)
        for array in jax.tree.leaves(readers[name](folder / name)):
            if not np.isfinite(array).all():
                raise RuntimeError("values that are no numbers are taken for weights")

    return attempt


def released(folder: Path) -> Attempt:
    """The authors' file of weights, as `cosseg convert ssnm` reads it."""
    sys.path.insert(0, str(TESTS))
    from goldens.weights import unpack_layout, write_pth

    from cosseg_jax.models.pretrained.released_files import released_variables

    layout = unpack_layout(np.load(GOLDENS / "released.npz")["layout"])
    tensors = {name: np.zeros(shape, np.float32) for name, shape in layout.items()}
    file = folder / "SSNM-Coseg_best.pth"
    write_pth(file, tensors)
    packed = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    whole = packed.getvalue()

    def attempt(rng: random.Random) -> None:
        content = _with_changed_pickle(whole, rng) if rng.random() < 0.5 else whole
        file.write_bytes(content if content is not whole else changed_bytes(whole, rng))
        for array in jax.tree.leaves(released_variables(file)):
            if not np.isfinite(array).all():
                raise RuntimeError("values that are no numbers are taken for weights")

    return attempt


def _changed_npz(content: bytes, rng: random.Random) -> bytes:
    """An archive of arrays, changed as bytes or in one of its arrays."""
    if rng.random() < 0.4:
        return changed_archive(content, rng, [content])
    with np.load(io.BytesIO(content)) as found:
        arrays: dict[str, Any] = dict(found)
    name, act = rng.choice(list(arrays)), rng.randrange(7)
    if act == 0:
        arrays[name] = np.full_like(arrays[name], rng.choice(ODD_NUMBERS))
    elif act == 1:
        arrays[name] = arrays[name].astype(rng.choice(KINDS))
    elif act == 2:
        arrays[name] = np.zeros([n + rng.choice((0, 1, 7)) for n in arrays[name].shape])
    elif act == 3:
        arrays[rng.choice(("", "params", f"{name}/x", "a/b", "../x", name.upper()))] = np.zeros(2)
    elif act == 4:
        del arrays[name]
    elif act == 5:
        return _with_header(content, name, rng)
    else:
        arrays[name] = np.array([{"a": 1}, print], dtype=object)
    written = io.BytesIO()
    np.savez(written, allow_pickle=True, **{key or "x": value for key, value in arrays.items()})
    return written.getvalue()


def _with_header(content: bytes, name: str, rng: random.Random) -> bytes:
    """One array says that it is larger than it is, or of a strange type."""
    shape, kind = rng.choice(HUGE_SHAPES), rng.choice(("<f4", "|O", "|V9", "<f16", "<i3", "|S0"))
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    header = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w") as new:
        for each in old.namelist():
            changed = each == f"{name}.npy"
            new.writestr(each, header + bytes(64) if changed else old.read(each))
    return written.getvalue()


def _with_changed_pickle(content: bytes, rng: random.Random) -> bytes:
    """Another pickle in the archive, whose other parts are copied; or a tensor with odd values."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        chosen = "archive/data.pkl" if rng.random() < 0.7 else rng.choice(old.namelist())
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
            for name in old.namelist():
                member = old.read(name)
                if name == chosen:
                    member = _odd_tensor(member, rng) if "data/" in name else member
                    member = changed_bytes(member, rng) if rng.random() < 0.8 else member
                new.writestr(name, member)
    return written.getvalue()


def _odd_tensor(content: bytes, rng: random.Random) -> bytes:
    values = np.frombuffer(content, "u1").copy()
    if values.size >= 4:
        values[:4] = np.float32(rng.choice(ODD_NUMBERS)).reshape(1).view("u1")
    return values.tobytes()


def _bomb() -> bytes:
    """Half a gigabyte of zeros as an array, in less than a megabyte."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({BOMB_BYTES // 4},), }}"
    written = io.BytesIO()
    with (
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("params/predict/bias.npy", "w") as member,
    ):
        member.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())
        for _ in range(BOMB_BYTES // 10_000_000):
            member.write(bytes(10_000_000))
    return written.getvalue()
