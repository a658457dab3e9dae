"""`cosseg learn`: a concept from photos and their masks or prompts."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosseg_jax.cli import options as shared
from cosseg_jax.cli.inputs import PhotoGroup, check_apart, group_of, without_mask
from cosseg_jax.cli.prompts import add_prompt_options
from cosseg_jax.errors import UserError

if TYPE_CHECKING:  # what is heavy is imported when the input is checked
    pass

CONCEPT_SUFFIX = ".concept"
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".webp")


def _run_learn(options: argparse.Namespace) -> None:
    group, prompts = group_of(options)
    if options.masks is not None and prompts:
        raise UserError("--masks does not go with prompts; give one or the other")
    files = {} if options.masks is None else mask_files(group, options.masks)
    for file in files.values():
        group = without_mask(group, file, list(files))
    check_apart(group.photos, [options.out])
    from cosseg_jax.cli import network
    from cosseg_jax.files import check_writable

    check_writable(options.out, force=options.force)
    predictor = network.load_predictor(options)
    found = network.encode_group(predictor, group, network.checked_prompts(prompts))
    if found.session is None:
        network.no_photo_was_read()
    name = options.name or options.out.stem
    if files:
        masks = [network.mask_for(photo, files[photo]) for photo in found.photos]
        concept = found.session.learn(name, masks=masks)
    else:
        concept = found.session.learn(name, prompt=found.prompts)
    concept.save(options.out)
    size = options.out.stat().st_size / 1000
    print(f"{name}: learnt from {len(found.photos)} photos, {options.out} ({size:.0f} kB)")


def mask_files(group: PhotoGroup, folder: Path) -> dict[Path, Path]:
    """The mask in the folder for each photo of the group, by the photo's name without suffix.

    Raises UserError where a photo has none, or several.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; --masks takes one with a mask for each photo")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.casefold() in MASK_SUFFIXES:
            found.setdefault(path.stem, []).append(path)
    return {
        photo.path: _only(found.get(photo.path.stem, []), photo.path, folder)
        for photo in group.photos
    }


def _only(masks: Sequence[Path], photo: Path, folder: Path) -> Path:
    if len(masks) == 1:
        return masks[0]
    if masks:
        raise UserError(f"{folder} has several masks of {photo.name}: {masks[0]} and {masks[1]}")
    raise UserError(
        f"{folder} has no mask of {photo.name}: expected {photo.stem}.png; where the photo does "
        "not show the object, give a black one"
    )


def _concept_file(text: str) -> Path:
    path = shared.path(text)
    if path.suffix != CONCEPT_SUFFIX:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {CONCEPT_SUFFIX}")
    return path


def _add_learn_options(parser: argparse.ArgumentParser) -> None:
    shared.add_photos(parser)
    parser.add_argument(
        "--out", type=_concept_file, required=True, metavar="FILE.concept", help="what to write"
    )
    parser.add_argument(
        "--masks",
        type=shared.path,
        metavar="DIR",
        help="a folder with a mask for each photo, of the same name",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="of the class (default: the name of FILE.concept)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE.concept")
    shared.add_network_options(parser)
    add_prompt_options(parser)


LEARN = shared.Command(
    name="learn",
    summary="learn what some photos show, to find it in others",
    description="""\
Learns a concept from the photos: a small file (under 2 MB) that holds no photo, with which
cosseg apply finds the same kind of object in other photos. What is meant is said by a mask of
each photo, or by prompts in some; without either it is what the photos share.
""",
    examples="""\
examples:
  cosseg learn teapots/ --masks teapot_masks/ --out teapot.concept
  cosseg learn teapots/ --prompt teapots/a.jpg --point 320,240 --out teapot.concept
  cosseg learn teapots/ --out teapot.concept
""",
    add_options=_add_learn_options,
    run=_run_learn,
)
