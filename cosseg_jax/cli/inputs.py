"""Photographs as a command line names them: files, folders of files, folders of groups."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cosseg_jax.errors import UserError

# Of the files that count as photographs in a folder.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif"),
    *(".heic", ".heif", ".tif", ".tiff", ".gif", ".bmp", ".dib", ".jp2", ".j2k"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)


class Listed(NamedTuple):
    """A photograph of the command line.

    explicit: it was named itself; False if it was found in a folder.
    """

    path: Path
    explicit: bool


class Group(NamedTuple):
    """Photographs that share an object.

    name: the subfolder's, where groups are subfolders; else empty.
    """

    name: str
    photos: tuple[Listed, ...]


def one_group(arguments: Sequence[Path]) -> Group:
    """Files, and the photographs in folders, as one group; each photograph once.

    Raises UserError for a path that leads nowhere and for a folder without photographs.
    """
    listed: dict[str, Listed] = {}
    for argument in arguments:
        for photo in _listed(argument):
            known = listed.setdefault(_real(photo.path), photo)
            if photo.explicit and not known.explicit:
                listed[_real(photo.path)] = known._replace(explicit=True)
    return Group("", tuple(listed.values()))


def groups_in(folders: Sequence[Path], out: Path) -> list[Group]:
    """Every subfolder of the folders with photographs in it, as a group of its own.

    out: where results are written to; never a group.
    Raises UserError for what is no folder, for a folder without groups, for equal names of two.
    """
    groups: dict[str, Group] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; --groups takes folders of folders")
        subfolders = [path for path in _visible(folder) if path.is_dir()]
        found = {path.name: _photos_in(path) for path in subfolders if not _same(path, out)}
        found = {name: photos for name, photos in found.items() if photos}
        if not found:
            raise UserError(f"{folder} has no subfolders with photographs; leave --groups out?")
        if twice := sorted(found.keys() & groups.keys()):
            raise UserError(f"two groups are called {twice[0]!r}; segment their folders apart")
        groups.update({name: Group(name, photos) for name, photos in found.items()})
    return list(groups.values())


def with_prompted(group: Group, prompted: Path) -> tuple[Group, Path]:
    """The group with the photograph that a prompt marks in it, and that photograph's path.

    prompted: a photograph's path, or the name alone of one that is in the group.
    Raises UserError if it is neither, or if several have the name.
    """
    for number, photo in enumerate(group.photos):
        if _same(photo.path, prompted):
            photos = list(group.photos)
            photos[number] = photo._replace(explicit=True)
            return group._replace(photos=tuple(photos)), photo.path
    if prompted.is_file():
        return group._replace(photos=(*group.photos, Listed(prompted, True))), prompted
    called = [photo.path for photo in group.photos if photo.path.name == str(prompted)]
    if len(called) != 1:
        found = f"{len(called)} of the photographs have this name" if called else "no such file"
        raise UserError(f"--prompt {prompted}: {found}; give the path of a photograph")
    return with_prompted(group, called[0])


def check_apart(photos: Iterable[Listed], written: Iterable[Path]) -> None:
    """Raises UserError if a file that will be written is one of the photographs."""
    read = {_real(photo.path) for photo in photos}
    for path in written:
        if _real(path) in read:
            raise UserError(f"{path} is one of the photographs; give another --out")


def natural_order(path: Path) -> tuple[list[tuple[str, int]], str]:
    """A key that sorts names as people do: img2 before img10, whatever the case."""
    parts = re.split(r"(\d+)", path.name.casefold())  # numbers have odd places
    pairs = [("", int(part)) if place % 2 else (part, 0) for place, part in enumerate(parts)]
    return pairs, path.name


def _listed(argument: Path) -> Iterable[Listed]:
    if argument.is_dir():
        photos = _photos_in(argument)
        if not photos:
            raise UserError(
                f"{argument} holds no photographs; it takes files that end in "
                f"{', '.join(SUFFIXES)} (subfolders are not searched; cosseg segment --groups "
                "takes each as a group)"
            )
        return photos
    if not argument.exists():
        found = "is a link that leads nowhere" if argument.is_symlink() else "does not exist"
        raise UserError(f"{argument} {found}; give photographs or folders of photographs")
    return (Listed(argument, True),)


def _photos_in(folder: Path) -> tuple[Listed, ...]:
    return tuple(
        Listed(path, False)
        for path in _visible(folder)
        if path.suffix.casefold() in SUFFIXES and (path.is_file() or _is_broken_link(path))
    )


def _is_broken_link(path: Path) -> bool:
    """Whether it leads nowhere: a photograph that is missing, and that the user is told of."""
    return path.is_symlink() and not path.exists()


def _visible(folder: Path) -> list[Path]:
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(paths, key=natural_order)


def _same(one: Path, other: Path) -> bool:
    return _real(one) == _real(other)


def _real(path: Path) -> str:
    """The path behind all links; unlike `Path.resolve`, also of links that lead to each other."""
    return os.path.realpath(path)
