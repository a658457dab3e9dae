"""Runs of `cosseg apply` and what they write, for fuzz.py: annotations, records, watched folders.

Each kind makes valid inputs once, in its folder. It returns the function that makes and reads one
changed input, drawn from the given Random, and raises what reading raises.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_images import saved
from fuzz_mutations import TEXTS, Attempt, changed_bytes, changed_json, changed_text
from fuzz_toys import toy_concept, toy_photo, toy_predictor
from PIL import Image

SIZES = ((1, 1), (1, 9), (7, 1), (12, 9), (25, 31), (60, 80))  # height, width of masks
EVENTS = 6  # at most, between two looks at a watched folder


def annotations(folder: Path) -> Attempt:
    """Masks of all forms under odd names, in every format, and read back where it is lossless."""
    from cosseg_jax.predict.annotations.coco import write_coco
    from cosseg_jax.predict.annotations.formats import FORMATS
    from cosseg_jax.predict.annotations.images import AnnotatedImage

    def attempt(rng: random.Random) -> None:
        names = list(dict.fromkeys(changed_text("cat", rng) for _ in range(rng.choice((1, 2, 3)))))
        found = [_annotated(f"stem{n}", names, rng) for n in range(rng.randrange(4))]
        shutil.rmtree(folder / "written", ignore_errors=True)

        def images() -> Iterator[AnnotatedImage]:
            return iter(found)

        for name, form in FORMATS.items():
            form.write(folder / "written" / name, images, names)
            for file in form.files([image.stem for image in found]):
                (folder / "written" / name / file).read_bytes()
        write_coco(folder / "written/segmentation.json", images, names)
        for image in found:
            if AnnotatedImage.from_json(json.loads(json.dumps(image.as_json()))) != image:
                raise RuntimeError("an image is another one when it is read from its record")
        _check_voc(folder / "written/voc", found, names)
        _check_coco(folder / "written/segmentation.json", found)
        _check_coco(folder / "written/coco-polygons/annotations.json", found)
        _check_yolo(folder / "written/yolo", found)
        ElementTree.parse(folder / "written/cvat/annotations.xml")
        ElementTree.parse(folder / "written/label-studio/labels.xml")
        json.loads((folder / "written/label-studio/tasks.json").read_bytes())

    return attempt


def records(folder: Path) -> Attempt:
    """The record of a run, changed, as the run goes on with it."""
    from cosseg_jax.cli.apply_run import ApplyRun

    photos = folder / "photos"
    photos.mkdir()
    for number in range(3):
        Image.fromarray(toy_photo(number)).save(photos / f"{number}.png")
    options = _options(photos, folder / "out")
    run = ApplyRun(toy_concept(), options)
    run.record.begin()
    run.add(toy_predictor(), _listed(photos))
    run.record.add({"stem": "bad", "photo": "bad.png", "skipped": "it is no image"})
    lines = run.record.path.read_text().splitlines()
    options = _options(photos, folder / "out", "--resume")

    def attempt(rng: random.Random) -> None:
        changed = list(lines)
        if rng.random() < 0.7:
            place = rng.randrange(len(lines))
            changed[place] = json.dumps(changed_json(json.loads(lines[place]), rng))
        content = "".join(f"{line}\n" for line in changed).encode()
        run.record.path.write_bytes(content if rng.random() < 0.5 else changed_bytes(content, rng))
        ApplyRun(toy_concept(), options).finish()

    return attempt


def watched(folder: Path) -> Attempt:
    """Folders that are watched while photos arrive, change, are cut, renamed and removed."""
    from cosseg_jax.cli import apply, network

    network.load_predictor = lambda options, cold=True: toy_predictor()
    concept, photos, out = folder / "toy.concept", folder / "incoming", folder / "out"
    toy_concept().save(concept)
    contents = [saved(Image.fromarray(toy_photo(n)), form) for n, form in enumerate(_FORMATS)]

    def attempt(rng: random.Random) -> None:
        for made in (photos, out):
            shutil.rmtree(made, ignore_errors=True)
        photos.mkdir()
        apply.watch = _scripted(photos, contents, rng)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            apply._run_apply(_options(concept, photos, out, "--watch", "--recursive"))
            if rng.random() < 0.5:
                _cut_last_line(out / "photos.jsonl", rng)
                apply.watch = _scripted(photos, contents, rng)
                more = ("--watch", "--recursive", "--resume")
                apply._run_apply(_options(concept, photos, out, *more))
        _check_masks(photos, out, contents)

    return attempt


_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


def _options(*words: object) -> argparse.Namespace:
    """Parsed options of cosseg apply; the word after the photos is the folder to write to."""
    from cosseg_jax.cli.main import make_parser

    arguments = [str(word) for word in words if not str(word).startswith("--")]
    flags = [str(word) for word in words if str(word).startswith("--")]
    line = ["apply", *arguments[:-1], "--out", arguments[-1], "--kinds", "masks,labels,json"]
    return make_parser().parse_args([*line, "--annotations", "yolo,cvat", *flags])


def _listed(folder: Path) -> list[Any]:
    from cosseg_jax.cli.inputs import ListedPhoto

    return [ListedPhoto(path, False) for path in sorted(folder.iterdir())]


def _scripted(
    folder: Path, contents: Sequence[bytes], rng: random.Random
) -> Callable[[Any, Any, Any], None]:
    """A watch of a few looks, between which things happen in the folder."""

    def watch(arrivals: Any, add: Any, write_annotations: Any) -> None:
        stop = threading.Event()
        for _ in range(rng.choice((2, 3, 5))):
            for _ in range(rng.randrange(EVENTS)):
                _happen(folder, contents, rng)
            new = arrivals.look()
            if rng.random() < 0.2:
                _happen(folder, contents, rng)  # between the look and the reading
            if new:
                add(new, stop)
            elif rng.random() < 0.5:
                write_annotations()
        for _ in range(2):
            if new := arrivals.look():
                add(new, stop)

    return watch


def _happen(folder: Path, contents: Sequence[bytes], rng: random.Random) -> None:
    """A file arrives, grows, is cut, moved, linked, replaced by a folder, or goes."""
    stems = ("a", "A", "b", "é", "e\u0301", "con", "\udce9", "x" * 200, "a b", "-", "\n")
    path = folder / rng.choice((".", "below", "below/deep")) / rng.choice(stems)
    path = path.with_name(path.name + rng.choice((".png", ".jpg", ".JPG", ".txt", "")))
    content, act = rng.choice(contents), rng.randrange(9)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if act < 4:
            path.write_bytes(content)
        elif act == 4:
            path.write_bytes(content[: rng.randrange(len(content))])
        elif act == 5:
            path.write_bytes(changed_bytes(content, rng))
        elif act == 6:
            path.unlink() if path.is_file() else path.mkdir()
        elif act == 7:
            path.symlink_to(rng.choice((".", "/nowhere", path.name, "a.png", "..")))
        else:
            found = sorted(p for p in folder.rglob("*") if p.is_file())
            if found:
                rng.choice(found).rename(path)


def _cut_last_line(record: Path, rng: random.Random) -> None:
    """What a kill leaves of the line that was being written."""
    content = record.read_bytes()
    start = content.rstrip(b"\n").rfind(b"\n") + 1
    if start:
        record.write_bytes(content[: rng.randrange(start, len(content) + 1)])


def _check_masks(photos: Path, out: Path, contents: Sequence[bytes]) -> None:
    """Every whole photo is in the record, with the files that its line names; masks have its size.

    A photo that took another one's place after it was done is not looked at again.
    """
    lines = [json.loads(line) for line in (out / "photos.jsonl").read_text().splitlines()[1:]]
    done = {os.path.abspath(line["photo"]): line for line in lines if "classes" in line}  # noqa: PTH100
    for path in photos.rglob("*"):
        whole = path.is_file() and path.read_bytes() in contents
        usual = path.suffix in (".png", ".jpg", ".JPG") and not path.is_symlink()
        if whole and usual and os.path.abspath(path) not in done:  # noqa: PTH100
            raise RuntimeError(f"{path.name!r} is whole and was not found")
    stems = [line["stem"] for line in done.values()]
    if len(set(stems)) != len(stems):
        raise RuntimeError(f"two photos have the files of one name: {stems}")
    for line in done.values():
        for kind in ("masks", "labels"):
            with Image.open(out / kind / f"{line['stem']}.png") as mask:
                if mask.size != (line["width"], line["height"]):
                    raise RuntimeError(f"the mask of {line['photo']} has the size {mask.size}")


def _annotated(stem: str, names: Sequence[str], rng: random.Random) -> Any:
    from cosseg_jax.predict.annotations.images import AnnotatedImage, found_class

    height, width = rng.choice(SIZES)
    owners = np.random.default_rng(rng.randrange(2**32)).integers(0, len(names) + 2, 99_999)
    coarse = rng.choice((1, 1, 3, 20))
    owners = owners[: height * width].reshape(height, width)
    owners = owners[np.ix_(np.arange(height) // coarse, np.arange(width) // coarse)]
    found = {
        name: found_class(owners == number, 0.5, 0.25, instances=rng.random() < 0.5)
        for number, name in enumerate(names)
    }
    photo = changed_text("photos/a.png", rng) if rng.random() < 0.5 else rng.choice(TEXTS)
    return AnnotatedImage(stem, photo, height, width, found)


def _check_voc(folder: Path, images: Sequence[Any], names: Sequence[str]) -> None:
    from cosseg_jax.predict.annotations.images import label_map, numbers_of

    for image in images:
        with Image.open(folder / "SegmentationClass" / f"{image.stem}.png") as png:
            if not np.array_equal(np.asarray(png), label_map(image, numbers_of(names))):
                raise RuntimeError("a label map differs")
    lines = (folder / "labelmap.txt").read_text().splitlines()
    if len(lines) != len(names) + 2 or any(line.count(":") < 3 for line in lines[1:]):
        raise RuntimeError(f"the labels are {lines}")


def _check_coco(file: Path, images: Sequence[Any]) -> None:
    """The masks, as pycocotools reads them, are those that were written."""
    from pycocotools import mask as api

    content = json.loads(file.read_bytes())
    expected = [
        mask for image in images for each in image.classes.values() for mask in each.masks()
    ]
    if len(content["annotations"]) != len(expected) or len(content["images"]) != len(images):
        raise RuntimeError("annotations or images are missing")
    for annotation, mask in zip(content["annotations"], expected, strict=True):
        given = annotation["segmentation"]
        if isinstance(given, list):
            given = api.merge(api.frPyObjects(given, *mask.shape))
        if not np.array_equal(api.decode(given).astype(bool), mask):
            raise RuntimeError("a mask differs")


def _check_yolo(folder: Path, images: Sequence[Any]) -> None:
    for image in images:
        for line in (folder / "labels" / f"{image.stem}.txt").read_text().splitlines():
            number, *shares = line.split()
            corners = np.asarray(shares, float)
            inside = len(corners) >= 6 and corners.min() >= 0 and corners.max() <= 1
            if len(corners) % 2 or not inside or int(number) >= len(image.classes):
                raise RuntimeError(f"YOLO's line is {line[:200]}")
    (folder / "data.yaml").read_text()
