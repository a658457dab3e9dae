"""Data sets for fuzz.py: annotation files, lists, folders with odd names, prepared data sets.


Each kind makes valid inputs once, in its folder. It returns the function that makes and reads one
changed input, drawn from the given Random, and raises what reading raises.
"""

import contextlib
import io
import random
import shutil
import string
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_images import saved
from fuzz_mutations import (
    TEXTS,
    Attempt,
    changed_bytes,
    changed_json,
    changed_text,
    encoded_json,
    with_changed_file,
)
from PIL import Image

from cosseg_jax.errors import UserError


def coco(folder: Path) -> Attempt:
    """A small folder of COCO with a changed annotation file, as it is prepared."""
    from cosseg_jax.data.builders.coco.plan import part_files, write_plan
    from cosseg_jax.data.builders.coco.rule import Rule
    from cosseg_jax.data.builders.coco.shards import part_records

    content = _coco_content()
    (folder / "annotations").mkdir()
    (folder / "train2017").mkdir()
    for image in content["images"]:
        Image.new("RGB", (24, 18)).save(folder / "train2017" / image["file_name"])
    file, plan = folder / "annotations/instances_train2017.json", folder / "plan"

    def attempt(rng: random.Random) -> None:
        file.write_bytes(encoded_json(changed_json(content, rng), rng))
        shutil.rmtree(plan, ignore_errors=True)
        plan.mkdir()
        write_plan(folder, plan, Rule(1.0, 1), 2)
        for part in part_files(plan, "train"):
            for _ in part_records(folder, part):
                pass

    return attempt


def voc(folder: Path) -> Attempt:
    """A VOC devkit with changed lists and label files, and a list of co-segmentation classes."""
    from cosseg_jax.data.builders.layouts.voc_list import listed_images
    from cosseg_jax.data.builders.voc import checked_categories, devkit_files, devkit_pair

    lists, labels = folder / "ImageSets/Segmentation", folder / "SegmentationClass"
    for made in (lists, labels, folder / "JPEGImages"):
        made.mkdir(parents=True)
    label = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4), "P")
    label.putpalette(bytes(range(256)) * 3)
    encoded = saved(label, "PNG")
    for name in ("2007_000032", "2007_000039"):
        Image.new("RGB", (4, 3)).save(folder / "JPEGImages" / f"{name}.jpg")
        (labels / f"{name}.png").write_bytes(encoded)
    names, lines = "2007_000032\n2007_000039\n", "cat 2007_000032\ndog 2007_000039 # x\n"
    (lists / "val.txt").write_text("2007_000039\n")

    def attempt(rng: random.Random) -> None:
        (lists / "train.txt").write_bytes(_text_file(names, rng))
        (folder / "cosegmentation.txt").write_bytes(_text_file(lines, rng))
        changed = changed_bytes(encoded, rng) if rng.random() < 0.5 else encoded
        (labels / "2007_000032.png").write_bytes(changed)
        with contextlib.suppress(UserError):
            devkit_files(folder)
        with contextlib.suppress(UserError):
            for labelled in listed_images(folder):
                labelled.decode(labelled.mask)
        checked_categories(*devkit_pair(folder, "2007_000032"))

    return attempt


def trees(folder: Path) -> Attempt:
    """Folders of images, classes and masks with odd names, as a data set and as photos."""
    from cosseg_jax.cli.inputs import groups_in, natural_order, one_group
    from cosseg_jax.data.builders.cosegmentation import LAYOUTS, check_names, locate
    from cosseg_jax.web.uploads import unique_name

    tree = folder / "tree"

    def attempt(rng: random.Random) -> None:
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        for _ in range(rng.randrange(1, 9)):
            _odd_file(tree, rng)
        for name in LAYOUTS:
            with contextlib.suppress(UserError):
                layout, root = locate(name, tree)
                check_names(layout.images(root))
        found = sorted(tree.rglob("*"), key=natural_order)
        for number, path in enumerate(found):
            unique_name(path.name, [other.stem for other in found[:number]])
        with contextlib.suppress(UserError):
            groups_in([tree], folder / "out")
        with contextlib.redirect_stderr(io.StringIO()):
            one_group([*found[:3], tree])

    return attempt


def prepared(folder: Path) -> Attempt:
    """A prepared data set, one file of which is changed."""
    from cosseg_jax.data.prepare import PrepareOptions, prepare_dataset
    from cosseg_jax.data.registry import load_source

    for name in ("a", "b"):
        for part, colour in (("image", "red"), ("masks", "white")):
            (folder / "photos" / part / "cat").mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 7), colour).save(folder / "photos" / part / "cat" / f"{name}.png")
    prepare_dataset("folder", PrepareOptions(folder / "photos", folder / "whole"))

    def attempt(rng: random.Random) -> None:
        copied = with_changed_file(folder / "whole", folder / "copied", rng)
        source = load_source("folder", "test", copied)
        for number in range(len(source)):
            source[number]

    return attempt


def few_shot(folder: Path) -> Attempt:
    """FSS-1000's folders and COCO's val2017, changed, up to the episodes drawn from them."""
    from cosseg_jax.data.builders.coco.val2017 import load_coco_val
    from cosseg_jax.data.builders.cosegmentation import check_names, locate
    from cosseg_jax.evaluation.few_shot import episodes, images_by_category

    fss, content = folder / "fss" / "fewshot_data", _coco_content()
    mask = Image.fromarray(np.eye(18, 24, dtype=np.uint8) * 255)
    for place in (fss / "cat", fss / "dog", folder / "annotations", folder / "val2017"):
        place.mkdir(parents=True)
    for number in (1, 2, 3):
        for category in ("cat", "dog"):
            Image.new("RGB", (24, 18)).save(fss / category / f"{number}.jpg")
            mask.save(fss / category / f"{number}.png")
        Image.new("RGB", (24, 18)).save(folder / "val2017" / f"{number}.png")
    file = folder / "annotations/instances_val2017.json"

    def attempt(rng: random.Random) -> None:
        if rng.random() < 0.5:
            copied = with_changed_file(folder / "fss", folder / "copied", rng)
            layout, root = locate("fss1000", copied)
            labelled = layout.images(root)
            check_names(labelled)
            for each in labelled:
                with contextlib.suppress(UserError):
                    each.decode(each.mask)
            return
        file.write_bytes(encoded_json(changed_json(content, rng), rng))
        source = load_coco_val(folder)
        found = images_by_category(source, range(len(source.categories)), min_pixels=1)
        episodes("coco20i", found, shots=2, count=3, seed=0)

    return attempt


def _coco_content() -> dict[str, Any]:
    runs = {"size": [18, 24], "counts": [40, 30, 362]}
    packed = {"size": [18, 24], "counts": "X1n0Z:"}
    outlines = ([[1, 2, 9, 2, 9, 12, 1, 12]], [[0.5, 0.5, 20, 1, 12.5, 17.5]], runs, packed)
    return {
        "info": {"version": "1.0"},
        "images": [{"id": n, "file_name": f"{n}.png", "width": 24, "height": 18} for n in (1, 2)],
        "annotations": [
            {
                "id": 10 + n,
                "image_id": 1 + n % 2,
                "category_id": 3 + n // 2,
                "iscrowd": int(n == 3),
                "area": 50.0,
                "segmentation": outline,
            }
            for n, outline in enumerate(outlines)
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}],
    }


def _text_file(text: str, rng: random.Random) -> bytes:
    changed = changed_text(text, rng) if rng.random() < 0.7 else text
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"))
    encoded = changed.encode(encoding, errors="replace")
    return changed_bytes(encoded, rng) if rng.random() < 0.3 else encoded


def _odd_file(tree: Path, rng: random.Random) -> None:
    """A file somewhere in the tree, whose name may be anything that the system allows."""
    usual = ("image", "images", "mask", "masks", "groundtruth", "cat", "dog", "a", "@eaDir")
    names = [*usual, *(text for text in TEXTS if text.strip("\0/ ") and "/" not in text)]
    parts = [rng.choice(names)[:200] for _ in range(rng.randrange(3))]
    if rng.random() < 0.2:
        parts.append("".join(rng.choice(string.printable + "é") for _ in range(5)))
    stem = rng.choice(("a", "b", "A", "e\u0301", "é", "01", "1", "9" * 200, *names))[:200]
    name = stem + rng.choice((".jpg", ".png", ".JPG", "", ".txt", ".heic", ".", " .png"))
    with contextlib.suppress(OSError, ValueError):
        place = tree.joinpath(*(part.replace("/", "_").replace("\0", "") for part in parts))
        place.mkdir(parents=True, exist_ok=True)
        file = place / name.replace("/", "_").replace("\0", "")
        if rng.random() < 0.1:
            file.symlink_to(rng.choice((".", file.name, "/nowhere", "..")))
        else:
            file.write_bytes(b"x")
