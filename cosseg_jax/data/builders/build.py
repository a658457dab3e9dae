"""Makes a prepared data set from a raw distribution: once, and whole or not at all.

A data set is made in a working folder beside its place, which the process that makes it has locked,
and moved to its place when it is whole. So an interrupted preparation counts for nothing, the
second of two at once waits for the first, and what a killed process left is removed by the next.
"""

import contextlib
import errno
import hashlib
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tensorflow_datasets as tfds

from cosseg_jax.data.prepared import metadata_of, opened_builder
from cosseg_jax.errors import UserError
from cosseg_jax.files import cache_dir, lock_file

WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # a full or broken disk


class Distribution(NamedTuple):
    """A raw distribution with the TFDS builder that reads it.

    builder_class: it finds the distribution in its `manual_dir`.
    root: the distribution's folder, which is only read.
    files: all of its files that the builder reads.
    config: the builder's config, where it has several.
    listing: what the result depends on beside the files.
    """

    builder_class: type[tfds.core.GeneratorBasedBuilder]
    root: Path
    files: Iterable[Path]
    config: str | None = None
    listing: Iterable[str] = ()


class Target(NamedTuple):
    """Where a prepared data set is made.

    final: its folder, which exists only when the data set is whole.
    work: the folder in which it is made, on the same file system.
    digest: the fingerprint of what it is made from.
    """

    final: Path
    work: Path
    digest: str


def prepare_in_cache(distribution: Distribution) -> Path:
    """The folder of a distribution in prepared form, which is made if the cache does not have it.

    Raises UserError from the builder, where a file is bad; OSError, naming a path, on a full disk.
    """
    digest = _digest(distribution)
    return cached(_version(distribution), digest, partial(_run_in, distribution, digest))


def prepare_into(distribution: Distribution, data_dir: Path, *, force: bool = False) -> Path:
    """Prepares a distribution into the user's own folder, where `find_prepared` finds it.

    Args:
      distribution: what is prepared.
      data_dir: the TFDS folder, made if need be; the result is below it.
      force: replace what is there already.

    Returns the folder of the result. Raises UserError where another one is there already and not
    `force`, or from the builder, where a file is bad; OSError, naming a path, on a full disk.
    """
    digest = _digest(distribution)
    target = target_in(data_dir, _version(distribution), digest)
    return build_once(target, partial(_run_in, distribution, digest), force=force)


def version_of(builder_class: type[tfds.core.DatasetBuilder], config: str | None = None) -> str:
    """Where a builder's data set lies below the TFDS folder, such as "voc_segmentation/1.0.0"."""
    return "/".join(filter(None, (builder_class.name, config, str(builder_class.VERSION))))


def fingerprint(root: Path, files: Iterable[Path], listing: Iterable[str]) -> str:
    """16 digits that change with the listing and with any file's name, size or time."""
    digest = hashlib.sha256("".join(f"{line}\n" for line in listing).encode())
    for file in sorted(set(files)):
        status = file.stat()
        name = os.path.relpath(file, root)
        digest.update(os.fsencode(f"{name}\t{status.st_size}\t{status.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def target_in(data_dir: Path, version: str, digest: str) -> Target:
    """The target of a data set below the user's own folder."""
    work = data_dir / f"{version.partition('/')[0]}.building-{digest}"
    return Target(data_dir / version, work, digest)


def cached(
    version: str, digest: str, build: Callable[[Path], Path], *, resumable: bool = False
) -> Path:
    """The folder of a data set in the cache; where it is not there it is built, and notes are told.

    The arguments are those of `target_in` and `build_once`.
    """
    name = version.partition("/")[0]
    target = target_in(cache_dir(), version, digest)
    target = target._replace(final=cache_dir() / f"{name}-{digest}" / version)
    if not target.final.is_dir():
        build_once(target, build, resumable=resumable)
        _tell_notes(target.final)
    return target.final


def build_once(
    target: Target, build: Callable[[Path], Path], *, force: bool = False, resumable: bool = False
) -> Path:
    """Makes a data set, unless it is there already, and returns its folder.

    Args:
      target: where it is made.
      build: makes it in the given folder, and returns the folder below that is to be moved.
      force: replace what is there.
      resumable: keep what an interrupted `build` leaves, with which the next one goes on.

    Raises UserError where something else is there and not `force`; OSError, naming a path.
    """
    if not force and is_built(target):
        return target.final
    try:
        _remove_abandoned(target)
        with folder_lock(target.work):
            if force or not is_built(target):  # by another process, meanwhile
                _build(target, build, resumable)
            shutil.rmtree(target.work)
    except (OSError, RuntimeError) as error:
        raise _with_path(error, target.work.parent) from error
    return target.final


def is_built(target: Target) -> bool:
    """Whether the data set is there. Raises UserError when it was made from something else."""
    if not target.final.is_dir():
        return False
    if metadata_of(opened_builder(target.final)).get("fingerprint") != target.digest:
        raise UserError(
            f"{target.final} was made from other files or options; give --force to replace it, or "
            "another --data_dir"
        )
    return True


@contextlib.contextmanager
def folder_lock(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Makes a folder and locks it for this process.

    While another process has it this one waits or, without `wait`, raises BlockingIOError.
    """
    lock, mine = folder / "lock", False
    while not mine:
        folder.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as handle:  # the lock ends with the process, in whatever way
            lock_file(handle, wait=wait)
            mine = lock.exists() and os.path.samestat(os.fstat(handle.fileno()), lock.stat())
            if mine:  # else the folder was removed meanwhile
                yield


def _with_path(error: OSError | RuntimeError, folder: Path) -> Exception:
    """The error of a failed write as an OSError that names a path; any other error as it is.

    The library that writes records reports a full disk as a RuntimeError with the system's text.
    """
    numbers = [n for n in WRITE_ERRORS if os.strerror(n) in str(error)]
    if getattr(error, "filename", None) is not None or not numbers:
        return error
    return OSError(numbers[0], os.strerror(numbers[0]), str(folder))


def _build(target: Target, build: Callable[[Path], Path], resumable: bool) -> None:
    try:
        built = build(target.work)
    except BaseException:
        if not resumable:
            shutil.rmtree(target.work, ignore_errors=True)
        raise
    if target.final.is_dir():
        target.final.rename(target.work / "replaced")
    target.final.parent.mkdir(parents=True, exist_ok=True)
    built.rename(target.final)


def _remove_abandoned(target: Target) -> None:
    """Removes working folders of this kind of data set that no process has locked."""
    kind = target.work.name.partition(".building-")[0]
    for folder in target.work.parent.glob(f"{kind}.building-*"):
        if folder != target.work:
            with contextlib.suppress(BlockingIOError), folder_lock(folder, wait=False):
                shutil.rmtree(folder)


def _version(distribution: Distribution) -> str:
    return version_of(distribution.builder_class, distribution.config)


def _digest(distribution: Distribution) -> str:
    listing = (_version(distribution), *distribution.listing)
    return fingerprint(distribution.root, distribution.files, listing)


def _run_in(distribution: Distribution, digest: str, work: Path) -> Path:
    """Runs the distribution's builder in a working folder, and returns the data set's folder."""
    shutil.rmtree(work / "built", ignore_errors=True)
    options = {"config": distribution.config, "file_format": "array_record"}
    builder = distribution.builder_class(data_dir=work / "built", **options)
    metadata_of(builder)["fingerprint"] = digest
    _run_builder(builder, distribution.root)
    return Path(builder.data_path)


def _run_builder(builder: tfds.core.DatasetBuilder, root: Path) -> None:
    config = tfds.download.DownloadConfig(manual_dir=root, try_download_gcs=False)
    tfds.disable_progress_bar()  # the builders show their own, which knows the total
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS speaks of a download
            builder.download_and_prepare(download_config=config)
    finally:
        tfds.enable_progress_bar()


def _tell_notes(directory: Path) -> None:
    """Prints to stderr what its builder found remarkable about a prepared data set."""
    metadata = metadata_of(opened_builder(directory))
    name = directory.parent.name
    for line in metadata.get("notes", ()):
        print(f"note: {name}: {line}", file=sys.stderr)
    for line in metadata.get("differences", ()):
        print(f"note: {name} differs from the paper's: {line}", file=sys.stderr)
