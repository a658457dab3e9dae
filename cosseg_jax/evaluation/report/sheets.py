"""Sheets of a report as PNG, for slides and papers: groups as in figures 1 and 5.

best_1.png ..., worst_1.png ...   the groups of the highest and the lowest J, as in figure 5:
                                  a column a photograph; photograph, S, mask, truth below
overview.png                      a line a class, as in figure 1: photographs beside their
                                  masks, in a group of middling J
"""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from cosseg_jax.evaluation.report.photos import PANELS, Photo, ShownGroup, best_first

MOST_GROUPS = 4  # best, and worst
SHEETS = (
    "overview.png",
    *(f"{kind}_{rank}.png" for kind in ("best", "worst") for rank in range(1, MOST_GROUPS + 1)),
)

_COLUMNS = 8  # of photographs, before a sheet goes on below
_MOST_PHOTOGRAPHS = 24  # of one group, on a sheet
_MOST_IN_LINE = 5  # of one class, in the overview
_IN_OVERVIEW = (PANELS.index("photograph"), PANELS.index("mask"))
_SMALL = 0.6  # of the size of a panel, in the overview
_MARGIN, _GAP = 10, 4
_TEXT, _TITLE = 14, 20  # heights of letters
_LABELS = 90  # width of the names of rows
_INK, _PAPER = (25, 25, 25), (255, 255, 255)


def draw_sheets(groups: Sequence[ShownGroup], protocol: str) -> dict[str, bytes]:
    """All sheets as PNG files by name, of SHEETS; J is that of `protocol`."""
    ranked = best_first(groups, protocol)
    sheets = {"overview.png": overview(groups, protocol)}
    for kind, chosen in (("best", ranked), ("worst", ranked[::-1])):
        for rank, group in enumerate(chosen[:MOST_GROUPS], start=1):
            sheets[f"{kind}_{rank}.png"] = group_sheet(group, protocol)
    return {name: _png(sheet) for name, sheet in sheets.items()}


def group_sheet(group: ShownGroup, protocol: str) -> Image.Image:
    """One group: its photographs in columns, named and scored, and the panels of each below."""
    photos = group.photos[:_MOST_PHOTOGRAPHS]
    lines = [photos[first : first + _COLUMNS] for first in range(0, len(photos), _COLUMNS)]
    blocks = [_block(line, protocol) for line in lines]
    J = group.scores[protocol].J
    title = f"{group.category}, group {group.number}: J {_number(J)} ({protocol})"
    if len(group.photos) > len(photos):
        title += f"; the first {len(photos)} of {len(group.photos)} photographs"
    font = ImageFont.load_default(_TITLE)
    width = max([font.getlength(title), *(block.width for block in blocks)]) + 2 * _MARGIN
    top = _TITLE + 2 * _MARGIN
    height = top + sum(block.height + _MARGIN for block in blocks)
    sheet = Image.new("RGB", (int(width), height), _PAPER)
    ImageDraw.Draw(sheet).text((_MARGIN, _MARGIN), title, _INK, font)
    for block in blocks:
        sheet.paste(block, (_MARGIN, top))
        top += block.height + _MARGIN
    return sheet


def overview(groups: Sequence[ShownGroup], protocol: str) -> Image.Image:
    """One line a class, in the order of the groups: photographs and masks of a median group."""
    font = ImageFont.load_default(_TEXT)
    labels = int(max(font.getlength(group.category) for group in groups)) + 2 * _MARGIN
    lines = [_line(_median(same, protocol), protocol, labels) for same in _by_class(groups)]
    width = max(line.width for line in lines) + 2 * _MARGIN
    height = sum(line.height + _GAP for line in lines) + 2 * _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    top = _MARGIN
    for line in lines:
        sheet.paste(line, (_MARGIN, top))
        top += line.height + _GAP
    return sheet


def _block(photos: Sequence[Photo], protocol: str) -> Image.Image:
    """Photographs side by side, with the names of the rows at the left."""
    font = ImageFont.load_default(_TEXT)
    texts = [_score(photo, protocol) for photo in photos]
    columns = [
        max(photo.size[1], int(font.getlength(text)) + 1)
        for photo, text in zip(photos, texts, strict=True)
    ]
    row_height = max(photo.size[0] for photo in photos)
    head = _TEXT + _GAP
    width = _LABELS + sum(column + _GAP for column in columns)
    block = Image.new("RGB", (width, head + len(PANELS) * (row_height + _GAP)), _PAPER)
    draw = ImageDraw.Draw(block)
    for row, name in enumerate(PANELS):
        middle = head + row * (row_height + _GAP) + row_height // 2
        draw.text((0, middle), name, _INK, font, anchor="lm")
    left = _LABELS
    for photo, text, column in zip(photos, texts, columns, strict=True):
        draw.text((left, 0), text, _INK, font)
        for row, panel in enumerate(photo.panels):
            top = head + row * (row_height + _GAP) + (row_height - photo.size[0]) // 2
            block.paste(_decoded(panel), (left, top))
        left += column + _GAP
    return block


def _line(group: ShownGroup, protocol: str, label_width: int) -> Image.Image:
    """The name of a class, its J, and a group's photographs, each with its mask beside it."""
    photos = group.photos[:_MOST_IN_LINE]
    pairs = [[_small(photo.panels[k]) for k in _IN_OVERVIEW] for photo in photos]
    height = max(2 * _TITLE, *(left.height for left, _ in pairs))
    width = label_width + sum(2 * left.width + 3 * _GAP for left, _ in pairs)
    line = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(line), ImageFont.load_default(_TEXT)
    score = f"J {_number(group.scores[protocol].J)}"
    draw.text((0, height // 2), f"{group.category}\n{score}", _INK, font, anchor="lm")
    left = label_width
    for pair in pairs:
        for panel in pair:
            line.paste(panel, (left, (height - panel.height) // 2))
            left += panel.width + _GAP
        left += _GAP
    return line


def _by_class(groups: Sequence[ShownGroup]) -> list[list[ShownGroup]]:
    classes: dict[str, list[ShownGroup]] = {}
    for group in groups:
        classes.setdefault(group.category, []).append(group)
    return list(classes.values())


def _median(groups: list[ShownGroup], protocol: str) -> ShownGroup:
    """The one of median J among the groups that count the most photographs.

    The first of these if none has a J.
    """
    most = max(len(group.photos) for group in groups)
    full = [group for group in groups if len(group.photos) == most]
    ranked = best_first(full, protocol) or full[:1]
    return ranked[len(ranked) // 2]


def _score(photo: Photo, protocol: str) -> str:
    return f"J {_number(photo.scores[protocol].J)}" if photo.has_object else "no object"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _decoded(panel: bytes) -> Image.Image:
    with Image.open(io.BytesIO(panel)) as image:
        return image.convert("RGB")


def _small(panel: bytes) -> Image.Image:
    image = _decoded(panel)
    return image.resize([max(1, round(_SMALL * side)) for side in image.size])


def _png(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, format="PNG")
    return encoded.getvalue()
