"""The feature maps of a frozen backbone, computed once for a data set and kept on disk.

A frozen backbone computes the same maps at every step. They are kept as float16 in memory-mapped
files, so that a training step reads them instead (about 1.5 MB an image for VGG16 at 224). The
files belong to one combination of data set, backbone weights and input size, whose digest names
their folder: maps of another combination are never read. An interrupted computation is resumed.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from numpy.lib.format import open_memmap
from tqdm import tqdm

from cosseg_jax.data.resizing import resize_image
from cosseg_jax.data.source import Source
from cosseg_jax.data.step_batches import CachedFeatures
from cosseg_jax.errors import NotFiniteError
from cosseg_jax.models.backbones import create_backbone, normalise_images
from cosseg_jax.types import FeatureMaps

ENCODED_AT_ONCE = 16  # images
SAMPLED = 16  # images whose pixels tell data sets with the same names apart
COMPUTE_DTYPE = jnp.bfloat16


class FeatureCache:
    """The backbone's maps of every image of a source and of its mirror image.

    Args:
        folder: the folder of all caches; this one gets a subfolder of its own.
        source: the images.
        config: the run's, with backbone and image size.
        variables: the network's, with the backbone's part.
        mirror: flip the maps instead of computing those of the flipped image: half the time and
            disk, but only nearly the same maps.

    Raises OSError if the disk has too little room, before anything is computed.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        config: ConfigDict,
        variables: Mapping[str, Any],
        *,
        mirror: bool,
    ):
        self._source = source
        self._size = config.image_size
        self._backbone_name = config.model.backbone
        self._backbone = create_backbone(self._backbone_name, dtype=COMPUTE_DTYPE)
        self._variables = {
            part: tree["backbone"] for part, tree in variables.items() if "backbone" in tree
        }
        self._sides = 1 if mirror else 2
        self._folder = folder / self._digest(config)
        self._open()

    def maps(self, index: int, flipped: bool) -> FeatureMaps:
        """The maps of one image, float16 [h, w, C]."""
        if flipped and self._sides == 1:
            return FeatureMaps(*(np.asarray(file[index, 0, :, ::-1]) for file in self._files))
        return FeatureMaps(*(np.asarray(file[index, int(flipped)]) for file in self._files))

    def fill(self) -> None:
        """Computes the maps that are missing, with a progress bar."""
        missing = np.flatnonzero(~self._done)
        if not missing.size:
            return
        apply = jax.jit(self._apply)
        variables = jax.device_put(self._variables)
        bar = tqdm(total=len(missing), desc=f"backbone maps of {self._source.name}", unit="image")
        with bar:
            for indices, images in self._read_ahead(missing):
                for side in range(self._sides):
                    seen = images[:, :, ::-1] if side else images
                    self._store(indices, side, jax.device_get(apply(variables, seen)))
                self._done[indices] = True
                bar.update(len(indices))
        for file in (*self._files, self._done):
            file.flush()

    def _digest(self, config: ConfigDict) -> str:
        digest = hashlib.sha256()
        for part in (self._source.name, *self._source.names, config.model.backbone):
            digest.update(f"{part}\n".encode())
        digest.update(f"{self._size} {jnp.dtype(COMPUTE_DTYPE)} {self._sides}".encode())
        count = len(self._source)
        for index in range(0, count, max(1, count // SAMPLED)):  # pixels may change, names not
            digest.update(self._source[index].image.tobytes())
        for leaf in jax.tree.leaves(self._variables):
            digest.update(np.ascontiguousarray(leaf).tobytes())
        return digest.hexdigest()[:16]

    def _apply(self, variables: Mapping[str, Any], images: jax.Array) -> FeatureMaps:
        pixels = normalise_images(images.astype(jnp.float32) / 255, self._backbone_name)
        maps = self._backbone.apply(variables, pixels, train=False)
        return jax.tree.map(lambda x: x.astype(jnp.float16), maps)

    def _open(self) -> None:
        images = jax.ShapeDtypeStruct((1, self._size, self._size, 3), jnp.uint8)
        shapes = jax.eval_shape(self._apply, self._variables, images)
        count = len(self._source)
        needed = sum(2 * count * self._sides * x.size for x in shapes)
        fresh = not (self._folder / "done.npy").exists()
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if fresh and needed > free:
            raise OSError(
                f"{self._folder}: the backbone's maps of {count} images take "
                f"{needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free; set cache_dir to a "
                'larger disk, or to "" to compute the maps at every step'
            )
        self._files = [
            self._file(f"{name}.npy", (count, self._sides, *shape.shape[1:]), np.float16)
            for name, shape in zip(FeatureMaps._fields, shapes, strict=True)
        ]
        self._done = self._file("done.npy", (count,), bool)

    def _file(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.memmap:
        path = self._folder / name
        if path.exists():
            return open_memmap(path, mode="r+")
        return open_memmap(path, mode="w+", dtype=dtype, shape=shape)

    def _read_ahead(self, indices: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the resized images in batches; the last one is shorter."""
        batches = [
            indices[first : first + ENCODED_AT_ONCE]
            for first in range(0, len(indices), ENCODED_AT_ONCE)
        ]
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(self._read, batch) for batch in batches[:2]]
            for number, batch in enumerate(batches):
                images = waiting.pop(0).result()
                if number + 2 < len(batches):
                    waiting.append(pool.submit(self._read, batches[number + 2]))
                yield batch, images

    def _read(self, indices: np.ndarray) -> np.ndarray:
        return np.stack([resize_image(self._source[int(i)].image, self._size) for i in indices])

    def _store(self, indices: np.ndarray, side: int, maps: FeatureMaps) -> None:
        for file, values in zip(self._files, maps, strict=True):
            if not np.isfinite(values).all():
                names = [self._source.names[int(i)] for i in indices]
                raise NotFiniteError(
                    f"the backbone's maps of {names} do not fit float16; check its weights"
                )
            file[indices, side] = values


class CachedSubset(NamedTuple):
    """The cached maps of some images of a source; `indices` are theirs in it."""

    cache: CachedFeatures
    indices: Sequence[int]

    def maps(self, index: int, flipped: bool) -> FeatureMaps:
        """As in `FeatureCache`."""
        return self.cache.maps(self.indices[index], flipped)
