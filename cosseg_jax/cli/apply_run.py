"""A run of `cosseg apply`: photos in one batch or in several, and the record of what is done."""

import argparse
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cosseg_jax.cli import outputs
from cosseg_jax.cli.inputs import ListedPhoto
from cosseg_jax.cli.looks import looks_of
from cosseg_jax.cli.record import RunRecord
from cosseg_jax.errors import UserError, one_line
from cosseg_jax.files import unique_names
from cosseg_jax.predict.annotations.images import AnnotatedImage, numbers_of
from cosseg_jax.predict.concept import Concept, concept_digest
from cosseg_jax.predict.predictor import Predictor


class ApplyRun:
    """Finds a concept in photos, and writes the files and the record's line of each.

    record: of the run.

    Raises UserError with --resume where there is no run of these settings to go on with.
    """

    def __init__(self, concept: Concept, options: argparse.Namespace):
        self._concept, self._options = concept, options
        self.record = RunRecord(options.out, _settings(concept, options))
        self._stems: dict[str, str] = {}
        self._found: set[str] = set()
        self._skipped: set[str] = set()
        if options.resume:
            for photo, done in self.record.resume().items():
                self._stems[_key(Path(photo))] = done.stem
                (self._skipped if done.skipped else self._found).add(_key(Path(photo)))

    def is_found(self, photo: Path) -> bool:
        """Whether the photo's files are written."""
        return _key(photo) in self._found

    def is_done(self, photo: Path) -> bool:
        """Whether the photo's files are written, or it cannot be read."""
        return self.is_found(photo) or _key(photo) in self._skipped

    def destination(self, photos: Sequence[ListedPhoto]) -> outputs.Destination:
        """Where the files of photos go; a photo keeps the name that it has once got."""
        keys = [_key(photo.path) for photo in photos]
        new = [key for key in keys if key not in self._stems]
        if new:  # all names are compared, which takes a while where a folder grows
            names = unique_names([*self._stems.values(), *(Path(key).stem for key in new)])
            self._stems |= zip(new, names[len(self._stems) :], strict=True)
        stems = {photo.path: self._stems[key] for photo, key in zip(photos, keys, strict=True)}
        options = self._options
        return outputs.Destination(options.out, stems, options.kinds, options.annotations)

    def add(
        self,
        predictor: Predictor,
        photos: Sequence[ListedPhoto],
        stop: threading.Event | None = None,
    ) -> None:
        """Finds the concept in photos that are not done; ends after a photo when `stop` is set.

        Raises UserError for a photo whose own path was given and that cannot be read.
        """
        to = self.destination(photos)

        def leave_out(position: int, reason: str) -> None:
            photo = photos[position]
            if photo.explicit:
                raise UserError(f"{one_line(str(photo.path))}: {reason}")
            print(f"warning: left out: {one_line(str(photo.path))}: {reason}", file=sys.stderr)
            stem = to.stems[photo.path]
            self.record.add({"stem": stem, "photo": str(photo.path), "skipped": reason})
            self._skipped.add(_key(photo.path))

        results = predictor.apply(
            self._concept,
            (photo.path for photo in photos),
            names=(str(n) for n in range(len(photos))),
            on_unreadable=leave_out,
        )
        done = len(self._found) + len(self._skipped)
        for found in tqdm(results, total=done + len(photos), initial=done, unit="photo"):
            path = photos[int(found.name)].path
            written = outputs.write_photo(
                to.files_of(to.stems[path]),
                found,
                self._options.threshold,
                numbers=numbers_of(self._concept.classes),
                instances=self._options.instances,
                looks=looks_of(self._options),
            )
            size = written.height, written.width
            image = AnnotatedImage(to.stems[path], str(path), *size, written.classes)
            self.record.add(image.as_json())
            self._found.add(_key(path))
            self._skipped.discard(_key(path))
            if stop is not None and stop.is_set():
                return

    def finish(self) -> dict[str, Any]:
        """Writes the annotations from the record, line by line; returns the summary."""
        classes = list(self._concept.classes)
        info = {
            "description": "concepts found by cosseg-jax",
            "threshold": self._options.threshold,
        }
        outputs.write_annotations(self.destination([]), self._images, classes, info)
        found = dict.fromkeys(classes, 0)
        for image in self._images():
            for name, each in image.classes.items():
                found[name] += bool(each.annotations)
        return {"photos": len(self._found), "skipped": len(self._skipped), "found": found}

    def _images(self) -> Iterator[AnnotatedImage]:
        for number, line in enumerate(self.record.lines(), start=2):
            if "classes" in line:
                try:
                    image = AnnotatedImage.from_json(line)
                except ValueError as error:
                    raise self.record.damage(number) from error
                if image.classes.keys() != self._concept.classes.keys():
                    raise self.record.damage(number)
                yield image


def _key(photo: Path) -> str:
    return os.path.abspath(photo)  # noqa: PTH100 - Path.absolute keeps ".."


def _settings(concept: Concept, options: argparse.Namespace) -> dict[str, Any]:
    """What has to be the same for a run to go on."""
    return {
        "concept": concept_digest(concept),
        "classes": list(concept.classes),
        "threshold": options.threshold,
        "kinds": list(options.kinds),
        "refine": options.refine or "",
        "instances": options.instances,
        "looks": list(looks_of(options)),
    }
