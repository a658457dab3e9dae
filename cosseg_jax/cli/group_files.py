"""The files of `cosseg segment`: of one group, or of several groups with label maps of all.

A photo may be in several groups: as a copy, or by a link. Each of its pixels then goes to the group
in which it is likeliest to be on the object, or to none. The results of such a photo are kept until
the last of its groups is segmented.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from cosseg_jax.cli import outputs
from cosseg_jax.cli.inputs import PhotoGroup, by_content
from cosseg_jax.cli.looks import looks_of
from cosseg_jax.errors import UserError
from cosseg_jax.files import unique_names
from cosseg_jax.predict.annotations.images import AnnotatedImage, numbers_of
from cosseg_jax.predict.concept import MOST_CLASSES
from cosseg_jax.predict.result import ConceptResult, GroupResult, ImageResult

CLASS_NAME = "shared object"  # of a group without a name


class _Found(NamedTuple):
    """What a group found in a photo."""

    group: int
    photo: Path
    image: ImageResult


class GroupFiles:
    """Writes the files of groups, one group after the other.

    planned: all files that will be written, if every photo can be read.
    folders: for each group, where its files are.
    said: for each group, what the summary says of its photos.

    groups: without a name there is only one.
    options: of the command. kinds: of files.
    Raises UserError where there are more groups than a label map can tell apart.
    """

    def __init__(
        self, groups: Sequence[PhotoGroup], options: argparse.Namespace, kinds: Sequence[str]
    ):
        self._options = options
        self.classes = [group.name or CLASS_NAME for group in groups]
        if {"labels", "voc"} & {*kinds, *options.annotations} and len(groups) > MOST_CLASSES:
            raise UserError(
                f"{len(groups)} groups; a label map holds {MOST_CLASSES} at most, so give --kinds "
                "without labels, and --annotations without voc"
            )
        names = unique_names([group.name for group in groups]) if options.groups else ["."]
        self.folders = [options.out / name for name in names]
        photos = [[photo.path for photo in group.photos] for group in groups]
        self._to = [
            outputs.destination_of(folder, paths, [kind for kind in kinds if kind != "json"])
            for folder, paths in zip(self.folders, photos, strict=True)
        ]
        stems = _stems_of_all(names, self._to) if options.groups else self._to[0].stems
        self._all = outputs.Destination(
            options.out, stems, [kind for kind in kinds if kind == "json"], options.annotations
        )
        self.planned = [file for to in [*self._to, self._all] for file in to.files]
        listed = list(stems)
        self._name_of = dict(zip(listed, outputs.relative_names(listed), strict=True))
        self._same = by_content(listed) if options.groups else {path: path for path in listed}
        self._last = {self._same[path]: n for n, paths in enumerate(photos) for path in paths}
        self._waiting: dict[Path, list[_Found]] = {}
        self._annotated: dict[Path, AnnotatedImage] = {}
        self._categories: dict[str, dict[str, float]] = {}
        self._confidence: dict[str, float | None] = {}
        self.said: list[dict[Path, dict[str, Any]]] = [{} for _ in groups]

    def add(self, number: int, photos: Sequence[Path], result: GroupResult) -> None:
        """Writes a group's files, and those of earlier groups that waited for it.

        number: the group's. photos: those that were segmented, in the order of the result's images.
        Raises OSError, naming the file, where one cannot be written.
        """
        self._categories[self.classes[number]] = result.categories
        self._confidence[self.classes[number]] = result.confidence
        for photo, image in zip(photos, result.images, strict=True):
            self._waiting.setdefault(self._same[photo], []).append(_Found(number, photo, image))
        whole = [same for same in self._waiting if self._last[same] == number]
        for same in tqdm(whole, desc="writing", unit="photo", leave=False):
            self._write(self._waiting.pop(same))

    def finish(self) -> None:
        """Writes the annotations of all photos."""
        for found in [*self._waiting.values()]:  # the last of their groups could not read them
            self._write(found)
        categories, confidence = self._categories, self._confidence
        info = {
            "description": "the object that the images share, segmented by cosseg-jax",
            "threshold": self._options.threshold,
            "group_categories": categories if self._options.groups else categories[CLASS_NAME],
            "group_confidence": confidence if self._options.groups else confidence[CLASS_NAME],
        }
        outputs.write_annotations(self._all, self._images, self.classes, info)

    def _images(self) -> Iterator[AnnotatedImage]:
        for photo in self._all.stems:
            if photo in self._annotated:
                yield self._annotated[photo]

    def _write(self, found: Sequence[_Found]) -> None:
        """Writes the files of a photo, in each of its groups."""
        classes = {self.classes[each.group]: each.image for each in found}
        for group, photo, image in found:
            to = self._to[group]
            files = to.files_of(to.stems[photo])
            written = outputs.write_photo(
                files,
                ConceptResult(image.name, classes),
                self._options.threshold,
                numbers=numbers_of(self.classes),
                shown=self.classes[group],
                instances=self._options.instances,
                looks=looks_of(self._options),
            )
            self.said[group][photo] = {
                "name": self._name_of[photo],
                "presence": image.presence,
                "share": written.share,
                "files": {kind: str(path) for kind, path in files.items()},
            }
            self._annotated[photo] = AnnotatedImage(
                self._all.stems[photo],
                self._name_of[photo],
                written.height,
                written.width,
                written.classes,
            )


def _stems_of_all(
    names: Sequence[str], destinations: Sequence[outputs.Destination]
) -> dict[Path, str]:
    """The photos' stems behind their groups' names."""
    return {
        path: f"{name}/{stem}"
        for name, to in zip(names, destinations, strict=True)
        for path, stem in to.stems.items()
    }
