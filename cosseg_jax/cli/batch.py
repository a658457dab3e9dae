"""What `cosseg segment` does: groups through the network, files one photograph at a time.

Which of the listed photographs decode, and the user's mark in one of them.
"""

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from cosseg_jax import files
from cosseg_jax.cli import coco_json, network, outputs
from cosseg_jax.cli.inputs import Group, Listed, check_apart
from cosseg_jax.data import images
from cosseg_jax.data.images import decode_mask, read_image
from cosseg_jax.data.prompts import Prompt, region
from cosseg_jax.errors import UserError, message_of, one_line
from cosseg_jax.predict.predictor import GroupResult, Predictor

SHOWN_CATEGORIES = 3
WIDEST_NAME = 50  # characters; a longer one shifts its own line alone


class Sound(NamedTuple):
    """A photograph that decodes, and its own size, upright."""

    path: Path
    height: int
    width: int


class Skipped(NamedTuple):
    """A file in a folder that looked like a photograph and does not decode."""

    path: Path
    reason: str


class Order(NamedTuple):
    """A group, where its files go and what they are called: a name for each photograph's."""

    group: Group
    folder: Path
    names: dict[Path, str]


def segment_groups(
    groups: Sequence[Group], options: argparse.Namespace, marked: Path | None
) -> None:
    """Segments groups, writes their files and prints a summary.

    marked: the photograph that the options' prompt is about, if there is one.
    Raises UserError if files exist already, or if no photograph decodes.
    """
    orders = [_order(group, options.out) for group in groups]
    paths = [
        path
        for order in orders
        for path in outputs.planned(order.folder, order.names.values(), options.kinds)
    ]
    check_apart([photo for group in groups for photo in group.photos], paths)
    files.check_all_writable(paths, "files", force=options.force)
    predictor = network.load_network(options)
    summaries = [_segment(predictor, order, options, marked) for order in orders]
    check_any([photo for summary in summaries for photo in summary["photos"]])
    if options.json:
        print(json.dumps({"groups": summaries}, indent=2))
    else:
        print("\n\n".join(_table(summary) for summary in summaries))


def _order(group: Group, out: Path) -> Order:
    paths = [photo.path for photo in group.photos]
    names = dict(zip(paths, outputs.names_of(paths), strict=True))
    return Order(group, out / group.name if group.name else out, names)


def _segment(
    predictor: Predictor, order: Order, options: argparse.Namespace, marked: Path | None
) -> dict[str, Any]:
    """Segments a group and writes its files; returns its part of the summary."""
    photos, skipped = check(order.group.photos)
    summary: dict[str, Any] = {
        "name": order.group.name,
        "out": str(order.folder),
        "categories": {},
        "photos": [],
        "skipped": [{"photo": str(path), "reason": reason} for path, reason in skipped],
    }
    if not photos:
        return summary
    prompt = prompt_of(options, photos, marked)
    title = f"segmenting {order.group.name}".strip()
    result = network.segment(
        predictor, [photo.path for photo in photos], options, prompt=prompt, title=title
    )
    summary["categories"] = result.categories
    summary["photos"] = _write(order, photos, result, options)
    return summary


def _write(
    order: Order,
    photos: Sequence[Sound],
    result: GroupResult,
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Writes a group's files; returns what the summary says of each photograph."""
    entries, found = [], []
    file_names = outputs.relative_names([photo.path for photo in photos])
    bar = tqdm(photos, desc="writing", unit="photo", leave=False)
    for photo, file_name, each in zip(bar, file_names, result.photos, strict=True):
        mask = each.mask_at(options.threshold)
        name = order.names[photo.path]
        files = outputs.write(order.folder, name, photo.path, mask, options.kinds)
        if "json" in options.kinds:
            found.append(coco_json.segmented(mask, file_name, each.presence))
        entries.append(
            {
                "name": file_name,
                "presence": each.presence,
                "share": float(mask.mean()),
                "files": {kind: str(path) for kind, path in files.items()},
            }
        )
    if "json" in options.kinds:
        _write_json(order.folder, found, result, options.threshold)
    return entries


def _write_json(
    folder: Path, found: list[coco_json.Segmented], result: GroupResult, threshold: float
) -> None:
    info = {
        "description": "the object that the images share, segmented by cosseg-jax",
        "version": importlib.metadata.version("cosseg-jax"),
        "threshold": threshold,
        "group_categories": result.categories,
    }
    content = json.dumps(coco_json.data_set(found, info))
    files.write_whole(folder / outputs.JSON_FILE, f"{content}\n".encode())


def _table(summary: dict[str, Any]) -> str:
    """A group's summary for people."""
    likeliest = sorted(summary["categories"].items(), key=lambda item: -item[1])
    shared = ", ".join(f"{name} {100 * p:.0f}%" for name, p in likeliest[:SHOWN_CATEGORIES])
    names = [one_line(photo["name"]) for photo in summary["photos"]]
    width = min(max(len(name) for name in [*names, "photograph"]), WIDEST_NAME)
    lines = [f"{'photograph':{width}}  presence  pixels"]
    lines += [
        f"{name:{width}}  {photo['presence']:8.2f}  {100 * photo['share']:5.1f}%"
        for name, photo in zip(names, summary["photos"], strict=True)
    ]
    title = f"{summary['name']}: " if summary["name"] else ""
    counted = "1 photograph" if len(names) == 1 else f"{len(names)} photographs"
    lines.append(f"{title}{counted}, written to {summary['out']}")
    if summary["skipped"]:
        lines.append(f"left out, since they cannot be read: {len(summary['skipped'])}")
    if shared:
        lines.append(f"of the categories that the network was trained on they share: {shared}")
    return "\n".join(lines)


def check(photos: Sequence[Listed]) -> tuple[list[Sound], list[Skipped]]:
    """Decodes every photograph once; warns on stderr of those in folders that do not decode.

    Raises UserError for one that was named itself.
    """
    images.register_heic()
    sound: list[Sound] = []
    skipped: list[Skipped] = []
    for photo in tqdm(photos, desc="reading", unit="photo", leave=False):
        try:
            image = read_image(photo.path, photo.path.stem).image
        except Exception as error:  # readers of broken files raise whatever they like
            reason = images.heic_advice(photo.path) or message_of(error)
            if photo.explicit:
                raise UserError(_naming(photo.path, reason)) from error
            skipped.append(Skipped(photo.path, reason))
        else:
            sound.append(Sound(photo.path, *image.shape[:2]))
    for path, reason in skipped:
        print(f"warning: left out: {_naming(path, reason)}", file=sys.stderr)
    return sound, skipped


def check_any(photos: Sequence[object]) -> None:
    """Raises UserError if there is no photograph."""
    if not photos:
        raise UserError("none of the photographs decodes; see the warnings above")


def prompt_of(
    options: argparse.Namespace, photos: Sequence[Sound], marked: Path | None
) -> Prompt | None:
    """The mark that the options give.

    marked: the path of one of the photographs; None if the options mark none.
    Raises ValueError for a mark outside the photograph, or of another size.
    """
    if marked is None:
        return None
    mask = None if options.mask is None else decode_mask(options.mask)
    number = [photo.path for photo in photos].index(marked)
    prompt = Prompt(number, point=options.point, box=options.box, mask=mask)
    region(prompt, photos[number].height, photos[number].width)
    return prompt


def _naming(path: Path, reason: str) -> str:
    name = one_line(str(path))
    return reason if name in reason else f"{name}: {reason}"
