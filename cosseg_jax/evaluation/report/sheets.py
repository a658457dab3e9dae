"""Draws the sheets of a report as PNG files, for slides and papers (as in figures 1 and 5).

best_1.png ..., worst_1.png ...   the groups with the highest and the lowest J, as in figure 5: one
                                  column per image, with the image, S, mask and truth below
overview.png                      one line per class, as in figure 1: images beside their masks, in
                                  a group of median J
"""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from cosseg_jax.evaluation.report.panels import PANELS, ReportGroup, ReportImage, best_first
from cosseg_jax.evaluation.tables.grid import text_of

MAX_SHEETS = 4  # of the best groups, and of the worst
SHEETS = (
    "overview.png",
    *(f"{kind}_{rank}.png" for kind in ("best", "worst") for rank in range(1, MAX_SHEETS + 1)),
)

_COLUMNS = 8  # of images, before a sheet continues below
_MAX_GROUP_IMAGES = 24  # of one group, on a sheet
_MAX_CLASS_IMAGES = 5  # of one class, in the overview
_IN_OVERVIEW = (PANELS.index("photo"), PANELS.index("mask"))
_SHRINK = 0.6  # of panels in the overview
_MARGIN, _GAP = 10, 4
_TEXT, _TITLE = 14, 20  # font sizes
_LABELS = 90  # width of the row names
_INK, _PAPER = (25, 25, 25), (255, 255, 255)


def draw_sheets(groups: Sequence[ReportGroup], protocol: str) -> dict[str, bytes]:
    """All sheets as PNG files, by their names in SHEETS. J is that of `protocol`."""
    ranked = best_first(groups, protocol)
    sheets = {"overview.png": overview(groups, protocol)}
    for kind, chosen in (("best", ranked), ("worst", ranked[::-1])):
        for rank, group in enumerate(chosen[:MAX_SHEETS], start=1):
            sheets[f"{kind}_{rank}.png"] = group_sheet(group, protocol)
    return {name: _encoded_png(sheet) for name, sheet in sheets.items()}


def group_sheet(group: ReportGroup, protocol: str) -> Image.Image:
    """One group: one column per image, with its J and its panels below."""
    images = group.images[:_MAX_GROUP_IMAGES]
    lines = [images[first : first + _COLUMNS] for first in range(0, len(images), _COLUMNS)]
    blocks = [_block(line, protocol) for line in lines]
    J = group.scores[protocol].J
    title = f"{group.category}, group {group.number}: J {text_of(J)} ({protocol})"
    if len(group.images) > len(images):
        title += f"; the first {len(images)} of {len(group.images)} photos"
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


def overview(groups: Sequence[ReportGroup], protocol: str) -> Image.Image:
    """One line per class, in the order of the groups: images and masks of a median group."""
    font = ImageFont.load_default(_TEXT)
    labels = int(max(font.getlength(group.category) for group in groups)) + 2 * _MARGIN
    lines = [
        _line(_median_group(same, protocol), protocol, labels) for same in _groups_by_class(groups)
    ]
    width = max(line.width for line in lines) + 2 * _MARGIN
    height = sum(line.height + _GAP for line in lines) + 2 * _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    top = _MARGIN
    for line in lines:
        sheet.paste(line, (_MARGIN, top))
        top += line.height + _GAP
    return sheet


def _block(images: Sequence[ReportImage], protocol: str) -> Image.Image:
    """Images side by side, with the names of the rows on the left."""
    font = ImageFont.load_default(_TEXT)
    texts = [_score_text(image, protocol) for image in images]
    columns = [
        max(image.size[1], int(font.getlength(text)) + 1)
        for image, text in zip(images, texts, strict=True)
    ]
    row_height = max(image.size[0] for image in images)
    head = _TEXT + _GAP
    width = _LABELS + sum(column + _GAP for column in columns)
    block = Image.new("RGB", (width, head + len(PANELS) * (row_height + _GAP)), _PAPER)
    draw = ImageDraw.Draw(block)
    for row, name in enumerate(PANELS):
        middle = head + row * (row_height + _GAP) + row_height // 2
        draw.text((0, middle), name, _INK, font, anchor="lm")
    left = _LABELS
    for image, text, column in zip(images, texts, columns, strict=True):
        draw.text((left, 0), text, _INK, font)
        for row, panel in enumerate(image.panels):
            top = head + row * (row_height + _GAP) + (row_height - image.size[0]) // 2
            block.paste(_panel(panel), (left, top))
        left += column + _GAP
    return block


def _line(group: ReportGroup, protocol: str, label_width: int) -> Image.Image:
    """The name of a class, the J of a group, and its images, each with its mask beside it."""
    images = group.images[:_MAX_CLASS_IMAGES]
    pairs = [[_shrunk(image.panels[k]) for k in _IN_OVERVIEW] for image in images]
    height = max(2 * _TITLE, *(left.height for left, _ in pairs))
    width = label_width + sum(2 * left.width + 3 * _GAP for left, _ in pairs)
    line = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(line), ImageFont.load_default(_TEXT)
    score = f"J {text_of(group.scores[protocol].J)}"
    draw.text((0, height // 2), f"{group.category}\n{score}", _INK, font, anchor="lm")
    left = label_width
    for pair in pairs:
        for panel in pair:
            line.paste(panel, (left, (height - panel.height) // 2))
            left += panel.width + _GAP
        left += _GAP
    return line


def _groups_by_class(groups: Sequence[ReportGroup]) -> list[list[ReportGroup]]:
    classes: dict[str, list[ReportGroup]] = {}
    for group in groups:
        classes.setdefault(group.category, []).append(group)
    return list(classes.values())


def _median_group(groups: list[ReportGroup], protocol: str) -> ReportGroup:
    """The group of median J among the largest groups; the first of them if none has a J."""
    most = max(len(group.images) for group in groups)
    full = [group for group in groups if len(group.images) == most]
    ranked = best_first(full, protocol) or full[:1]
    return ranked[len(ranked) // 2]


def _score_text(image: ReportImage, protocol: str) -> str:
    return f"J {text_of(image.scores[protocol].J)}" if image.has_object else "no object"


def _panel(panel: bytes) -> Image.Image:
    with Image.open(io.BytesIO(panel)) as image:
        return image.convert("RGB")


def _shrunk(panel: bytes) -> Image.Image:
    image = _panel(panel)
    return image.resize([max(1, round(_SHRINK * side)) for side in image.size])


def _encoded_png(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, format="PNG")
    return encoded.getvalue()
