"""Preparing a raw distribution by a TFDS builder: once, and whole or not at all.

It goes into a cache under the fingerprint of its files, or where its user wants it, in a folder of
its own that gets its final name only when it is whole. So an interrupted preparation counts for
nothing, and of two at once the first to end wins.
"""

import contextlib
import hashlib
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from cosseg_jax.data.prepared import metadata_of
from cosseg_jax.errors import UserError
from cosseg_jax.files import cache_dir

STALE_SECONDS = 24 * 3600  # after which a folder without a writer is taken for a dead one


def prepare_once(
    builder_class: type[tfds.core.GeneratorBasedBuilder],
    root: Path,
    files: Iterable[Path],
    config: str | None = None,
    listing: Iterable[str] = (),
) -> Path:
    """The folder of a raw distribution in its prepared form, which is made if there is none yet.

    Args:
      builder_class: the builder, which finds the distribution in its `manual_dir`.
      root: the raw distribution, only ever read.
      files: all of its files that the builder reads; a change in them means a new preparation.
      config: the builder's config, where it has several.
      listing: what else, beside files, means a new preparation when it changes.

    Raises ValueError or FileNotFoundError from the builder, where a file is bad.
    """
    cache = cache_dir()
    version = version_of(builder_class, config)
    fingerprint = _fingerprint(root, files, (version, *listing))
    final = cache / f"{builder_class.name}-{fingerprint}"
    if not final.is_dir():
        with _built(builder_class, root, cache, config) as partial:
            _move_unless_there(partial, final)
        _note_differences(final / version)
    return final / version


def prepare_into(
    builder_class: type[tfds.core.GeneratorBasedBuilder],
    root: Path,
    data_dir: Path,
    config: str | None = None,
    *,
    force: bool = False,
) -> Path:
    """Prepares a raw distribution into the user's own folder, where `find_prepared` finds it.

    Args:
      builder_class, root, config: as for `prepare_once`.
      data_dir: the TFDS folder, made if need be; the result is below it.
      force: replace what is there already.

    Returns the folder of the result. Raises UserError where there is one already and not `force`,
    ValueError or FileNotFoundError from the builder, where a file is bad.
    """
    version = version_of(builder_class, config)
    final = data_dir / version
    check_free(final, force=force)
    with _built(builder_class, root, data_dir, config) as partial:
        replace_folder(partial / version, final, force=force)
    return final


def version_of(
    builder_class: type[tfds.core.GeneratorBasedBuilder], config: str | None = None
) -> str:
    """Where a builder's data set lies below the TFDS folder, such as "voc_segmentation/1.0.0"."""
    return "/".join(filter(None, (builder_class.name, config, str(builder_class.VERSION))))


def check_free(folder: Path, *, force: bool) -> None:
    """Raises UserError where a folder to be made is there already, unless `force`."""
    if folder.exists() and not force:
        raise UserError(
            f"{folder} is there already; give --force to replace it, or another --data_dir"
        )


def replace_folder(whole: Path, final: Path, *, force: bool = False) -> None:
    """Gives a whole folder its final name; with `force` in place of one that is there already.

    Both lie in one file system. Raises UserError where there is one already and not `force`.
    """
    check_free(final, force=force)
    final.parent.mkdir(parents=True, exist_ok=True)
    if not final.exists():
        whole.rename(final)
        return
    old = final.with_name(f"{final.name}.partial-old")
    shutil.rmtree(old, ignore_errors=True)
    final.rename(old)
    try:
        whole.rename(final)
    except OSError:
        old.rename(final)
        raise
    shutil.rmtree(old)


@contextlib.contextmanager
def _built(
    builder_class: type[tfds.core.GeneratorBasedBuilder],
    root: Path,
    parent: Path,
    config: str | None,
) -> Iterator[Path]:
    """A folder in `parent` with the whole data set, which is removed unless it is renamed."""
    parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(parent, builder_class.name)
    partial = Path(tempfile.mkdtemp(prefix=f"{builder_class.name}.partial-", dir=parent))
    try:
        builder = builder_class(data_dir=partial, config=config, file_format="array_record")
        _prepare(builder, root)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _note_differences(directory: Path) -> None:
    """Tells the user at once how the data differ from what was expected of them."""
    metadata = metadata_of(tfds.builder_from_directory(directory))
    for line in metadata.get("differences", ()):
        print(f"note: {directory.parent.name} differs from the paper's: {line}", file=sys.stderr)


def _prepare(builder: tfds.core.DatasetBuilder, root: Path) -> None:
    config = tfds.download.DownloadConfig(manual_dir=root, try_download_gcs=False)
    tfds.disable_progress_bar()  # the builders show their own, which knows the total
    try:
        with contextlib.redirect_stdout(
            io.StringIO()
        ):  # TFDS speaks of a download and of `partial`
            builder.download_and_prepare(download_config=config)
    finally:
        tfds.enable_progress_bar()


def _fingerprint(root: Path, files: Iterable[Path], listing: Iterable[str]) -> str:
    """Changes with the listing and with any file's name, size or time."""
    digest = hashlib.sha256("".join(f"{line}\n" for line in listing).encode())
    for file in sorted(files):
        status = file.stat()
        name = os.path.relpath(file, root)
        line = f"{name}\t{status.st_size}\t{status.st_mtime_ns}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def _move_unless_there(partial: Path, final: Path) -> None:
    try:
        partial.rename(final)
    except OSError:
        if not final.is_dir():  # else another process was faster, with the same result
            raise


def _remove_stale(parent: Path, name: str) -> None:
    """Removes what preparations by the builder of this name that were killed have left."""
    for folder in parent.glob(f"{name}*.partial-*"):
        times = [path.stat().st_mtime for path in (folder, *folder.rglob("*"))]
        if time.time() - max(times) > STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
