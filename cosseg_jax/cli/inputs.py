"""From the paths on a command line to groups of photos: files, folders, folders of groups.

Only names are looked at here. The predictor reads the files, and reports those it cannot read.
"""

import argparse
import dataclasses
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cosseg_jax.cli.prompts import PhotoPrompt, prompts_of
from cosseg_jax.data.file_kinds import (
    IMAGE_SUFFIXES,
    RAW_SUFFIXES,
    SIDECAR_SUFFIXES,
    SYSTEM_NAMES,
)
from cosseg_jax.errors import UserError


class ListedPhoto(NamedTuple):
    """A photo of the command line.

    explicit: True if its own path was given, False if it was found in a folder.
    """

    path: Path
    explicit: bool


class PhotoGroup(NamedTuple):
    """Photos that share an object.

    name: the subfolder's name, where groups are subfolders; else empty.
    """

    name: str
    photos: tuple[ListedPhoto, ...]


def group_of(options: argparse.Namespace) -> tuple[PhotoGroup, list[PhotoPrompt]]:
    """The photos of the options as one group, and the prompts, which name photos of it.

    Raises UserError where they do not fit together.
    """
    group, found = one_group(options.photos, options.recursive, options.out), []
    for prompt in prompts_of(options):
        group, photo = with_prompted(group, prompt.photo)
        found.append(dataclasses.replace(prompt, photo=photo))
    for prompt in found:
        for mask in prompt.masks:
            group = without_mask(group, mask, [other.photo for other in found])
    return group, found


def one_group(
    arguments: Sequence[Path], recursive: bool = False, out: Path | None = None
) -> PhotoGroup:
    """Files, and the photos in folders, as one group that holds each photo once.

    recursive: whether folders in folders are searched, except for `out`.

    Sidecars of photos that are given themselves (by `holiday/*`) are left out with a warning.
    Raises UserError for a path that leads nowhere and for a folder without photos.
    """
    listed: dict[str, ListedPhoto] = {}
    for argument in arguments:
        for photo in _listed_in(argument, recursive, out):
            known = listed.setdefault(_real(photo.path), photo)
            if photo.explicit and not known.explicit:
                listed[_real(photo.path)] = known._replace(explicit=True)
    if not listed:
        raise UserError(f"{arguments[0]} is not a photo; give photos or folders of photos")
    return PhotoGroup("", tuple(listed.values()))


def groups_in(folders: Sequence[Path], out: Path) -> list[PhotoGroup]:
    """Every subfolder of the folders that holds photos, as a group of its own.

    out: where results are written; it is never a group.
    Raises UserError for what is no folder, for a folder without groups, for two equal names.
    """
    groups: dict[str, PhotoGroup] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; --groups takes folders of folders")
        subfolders = [
            path for path in _visible(folder) if path.is_dir() and not _is_same_file(path, out)
        ]
        found = {path.name: photos for path in subfolders if (photos := _photos_in(path))}
        if not found:
            raise UserError(f"{folder} has no subfolders with photos; leave --groups out?")
        if twice := sorted(found.keys() & groups.keys()):
            raise UserError(f"two groups are called {twice[0]!r}; segment their folders separately")
        groups.update({name: PhotoGroup(name, photos) for name, photos in found.items()})
    return list(groups.values())


def photos_below(folder: Path, out: Path | None, *, recursive: bool) -> tuple[ListedPhoto, ...]:
    """The photos of a folder and, if `recursive`, of those in it but for `out`.

    Links to folders are not followed.
    """
    found = list(_photos_in(folder))
    for path in _visible(folder) if recursive else ():
        is_out = out is not None and _is_same_file(path, out)
        if path.is_dir() and not path.is_symlink() and not is_out:
            found += photos_below(path, out, recursive=True)
    return tuple(found)


def with_prompted(group: PhotoGroup, prompted: Path) -> tuple[PhotoGroup, Path]:
    """The group with the photo that a prompt is in, and that photo's path.

    prompted: a photo's path, or the name alone of one that is in the group.
    Raises UserError if it is neither, or if several photos have the name.
    """
    for position, photo in enumerate(group.photos):
        if _is_same_file(photo.path, prompted):
            photos = list(group.photos)
            photos[position] = photo._replace(explicit=True)
            return group._replace(photos=tuple(photos)), photo.path
    if prompted.is_file():
        return group._replace(photos=(*group.photos, ListedPhoto(prompted, True))), prompted
    called = [photo.path for photo in group.photos if photo.path.name == str(prompted)]
    if len(called) != 1:
        found = f"{len(called)} of the photos have this name" if called else "no such file"
        raise UserError(f"--prompt {prompted}: {found}; give the path of a photo")
    return with_prompted(group, called[0])


def without_mask(group: PhotoGroup, mask: Path, prompted: Sequence[Path]) -> PhotoGroup:
    """The group without the file of a prompt's mask, which may lie among the photos."""
    if any(_is_same_file(mask, photo) for photo in prompted):
        return group
    return group._replace(photos=tuple(x for x in group.photos if not _is_same_file(x.path, mask)))


def check_apart(photos: Iterable[ListedPhoto], written: Iterable[Path]) -> None:
    """Raises UserError if a file that will be written is one of the photos."""
    read = {key for photo in photos for key in _identity(photo.path)}
    for path in written:
        if not read.isdisjoint(_identity(path)):
            raise UserError(f"{path} is one of the photos; give another --out")


def by_content(paths: Sequence[Path]) -> dict[Path, Path]:
    """For each file the first one that has the same content; only sizes are read where they differ.

    A file that cannot be read is like no other one.
    """
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        by_size.setdefault(path.stat().st_size if path.is_file() else -1, []).append(path)
    found = {path: path for path in paths}
    for size, alike in by_size.items():
        if len(alike) > 1 and size > 0:
            first: dict[str, Path] = {}
            for path in alike:
                found[path] = first.setdefault(_digest(path), path)
    return found


def natural_order(path: Path) -> tuple[list[tuple[str, int]], str]:
    """A key that sorts names as people do: img2 before img10, whatever the case."""
    parts = re.split(r"([0-9]+)", path.name.casefold())  # numbers have odd positions
    pairs = [("", int(part)) if at % 2 else (part, 0) for at, part in enumerate(parts)]
    return pairs, path.name


def _listed_in(argument: Path, recursive: bool, out: Path | None) -> Iterable[ListedPhoto]:
    if argument.is_dir():
        if _is_of_system(argument):
            return _left_out(argument, "a folder of the system")
        photos = photos_below(argument, out, recursive=recursive)
        if not photos:
            raise UserError(f"{argument} holds no photos; {_what_counts(argument)}")
        return photos
    if not argument.exists():
        raise UserError(f"{argument} {_why_missing(argument)}; give photos or folders of photos")
    if argument.suffix.casefold() in SIDECAR_SUFFIXES or argument.name.startswith(("._", ".DS_")):
        return _left_out(argument, "a file beside photos")
    return (ListedPhoto(argument, True),)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError:
        return str(path)


def _left_out(path: Path, what: str) -> tuple[()]:
    print(f"warning: left out: {path} is {what}, not a photo", file=sys.stderr)
    return ()


def _what_counts(folder: Path) -> str:
    if any(path.suffix.casefold() in RAW_SUFFIXES for path in folder.iterdir()):
        return "camera raw files are not read: export them as JPEG"
    return (
        f"files count that end in {', '.join(IMAGE_SUFFIXES)} (subfolders are searched with "
        "--recursive; cosseg segment --groups takes each one as a group)"
    )


def _why_missing(path: Path) -> str:
    if path.is_symlink():
        return "is a link that leads nowhere"
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
        return "is a URL, and nothing is downloaded"
    return "does not exist"


def _photos_in(folder: Path) -> tuple[ListedPhoto, ...]:
    return tuple(
        ListedPhoto(path, False)
        for path in _visible(folder)
        if path.suffix.casefold() in IMAGE_SUFFIXES and (path.is_file() or _is_broken_link(path))
    )


def _is_broken_link(path: Path) -> bool:
    """Whether it leads nowhere: a missing photo, for which there is a warning."""
    return path.is_symlink() and not path.exists()


def _visible(folder: Path) -> list[Path]:
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted((path for path in paths if not _is_of_system(path)), key=natural_order)


def _is_of_system(path: Path) -> bool:
    """Whether a NAS, macOS or Windows made it, with thumbnails or deleted files in it."""
    return path.name.casefold() in SYSTEM_NAMES


def _is_same_file(one: Path, other: Path) -> bool:
    return not _identity(one).isdisjoint(_identity(other))


def _identity(path: Path) -> frozenset[object]:
    """Two paths with a common element are one file, also on disks that ignore case."""
    found: set[object] = {_real(path)}
    if path.exists():
        status = path.stat()
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _real(path: Path) -> str:
    """The path behind all links; unlike `Path.resolve`, also of links that lead to each other."""
    return os.path.realpath(path)
