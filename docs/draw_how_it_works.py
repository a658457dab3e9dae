"""Draws the pictures of docs/how_it_works.md from networks at hand and pictures the project draws.

    python docs/draw_how_it_works.py --out docs/how_it_works

The network of the quick start, as the tests keep it, tells the built-in shapes apart; the one that
comes with the package looks at the meadows of `examples/aeroplanes`.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cosseg_jax.data.builders.shapes import Shapes
from cosseg_jax.data.images import read_image, resize_image
from cosseg_jax.drawing import colour_prior, resized, tinted
from cosseg_jax.models.semantic import mask_pooling_weights
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.predict.exported import prediction_options
from cosseg_jax.types import in_groups

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "tests" / "goldens" / "quickstart"
AEROPLANES = ROOT / "examples" / "aeroplanes"

TWO_GROUPS = ("disc-cross", "square-bar")  # categories of the validation pictures
COMMON = 2  # a picture that holds both
PAPER, INK, GREY = (255, 255, 255), (25, 25, 25), (225, 229, 235)
WARM, COLD, FRAME = (215, 45, 30), (30, 70, 190), (240, 150, 0)
TEXT = 15  # height of letters
COLOURS = 128  # of each picture
FINER = 2  # the diagram is drawn so many times larger


class Look(NamedTuple):
    """What a network computes for one group on the way to its masks, as arrays without B.

    fused: [N, h, w, d]; prior: [N, h, w]; gamma: [d], of the first round; first, last:
    probabilities of two rounds, [N, S, S]; weights: of the second round's cells, [N, h, w].
    """

    fused: np.ndarray
    prior: np.ndarray
    gamma: np.ndarray
    first: np.ndarray
    weights: np.ndarray
    last: np.ndarray


def looker(checkpoint: str | Path | None) -> Callable[[Sequence[np.ndarray]], Look]:
    """A function that takes a group of RGB pictures through the network, step by step."""
    config, variables = load_exported(checkpoint)
    network = from_config(config.model, len(config.categories))
    side = prediction_options(config).image_size

    def call(method: str, *arguments, **options):
        return network.apply(variables, *arguments, method=method, **options)

    @jax.jit
    def through(images: jax.Array) -> Look:
        count = len(images)
        maps = call("encode", images, train=False)
        description = call("describe", maps)
        context = call("aggregate", in_groups(description, 1, count), 1, count)
        gamma, grouped = context.semantics.gamma[0], in_groups(maps, 1, count)
        masks = call("segment", grouped, context, (side, side))
        first = jax.nn.sigmoid(masks[0])
        weights = mask_pooling_weights(
            first, None, *maps.stride32.shape[1:3], share=network.mask_pooling_weight
        )
        for _ in range(1, network.num_iterations):
            heard = call("mask_pool", maps, masks, None)
            context = call("reaggregate", context, in_groups(heard, 1, count))
            masks = call("segment", grouped, context, (side, side))
        last = jax.nn.sigmoid(masks[0])
        return Look(description.fused, context.prior.values[0], gamma, first, weights, last)

    def look(pictures: Sequence[np.ndarray]) -> Look:
        images = np.stack([resize_image(picture, side) for picture in pictures])
        return jax.tree.map(np.asarray, through(images))

    return look


def two_groups() -> tuple[Image.Image, Image.Image]:
    """One picture in two groups: what is found in them, and the two gammas."""
    source, look = Shapes("val"), looker(QUICKSTART)
    rows, gammas = [], []
    for name in TWO_GROUPS:
        members = source.members[source.categories.index(name)]
        chosen = [COMMON, *(int(i) for i in members if int(i) != COMMON)][:5]
        pictures = [source[index].image for index in chosen]
        found = look(pictures)
        shown = [resized(picture, (128, 128)) for picture in pictures]
        masks = [resized(each, (128, 128)) > 0.5 for each in found.first]
        rows.append(_row(shown, framed=0))
        rows.append(_row([tinted(*pair) for pair in zip(shown, masks, strict=True)], framed=0))
        gammas.append(found.gamma)
    return Image.fromarray(np.concatenate(rows)), bars(gammas)


def bars(gammas: Sequence[np.ndarray]) -> Image.Image:
    """Each gamma as a strip of bars, one a channel, up where it is positive."""
    wide, half, gap = 20, 44, 24
    image = Image.new("RGB", (wide * len(gammas[0]), len(gammas) * (2 * half + gap)), PAPER)
    draw = ImageDraw.Draw(image)
    most = max(np.abs(gamma).max() for gamma in gammas)
    for strip, (name, gamma) in enumerate(zip(TWO_GROUPS, gammas, strict=True)):
        top = strip * (2 * half + gap)
        draw.text((2, top + 2), f"gamma of {name}", INK, ImageFont.load_default(TEXT))
        zero = top + gap + half
        for channel, value in enumerate(gamma / most):
            ends = sorted((zero, zero - half * float(value)))
            box = (wide * channel + 3, ends[0], wide * (channel + 1) - 3, ends[1])
            draw.rectangle(box, WARM if value > 0 else COLD)
        draw.line([(0, zero), (image.width, zero)], INK)
    return image


def spatial(found: Look, photos: Sequence[np.ndarray]) -> tuple[Image.Image, Image.Image]:
    """Photographs above S; and G in the order of the photographs and in that of S."""
    size = (120, 160)
    shown = _row([resized(photo, size) for photo in photos])
    prior = _row([colour_prior(each, size) for each in found.prior])
    x = found.fused.reshape(-1, found.fused.shape[-1]).astype(np.float64)
    x /= np.sqrt(np.sum(x**2, axis=1, keepdims=True) + 1e-6)
    gram = x @ x.T - 1  # G
    order = np.argsort(-found.prior.ravel(), kind="stable")
    squares = [_grey(each, (330, 330)) for each in (gram, gram[np.ix_(order, order)])]
    parting = np.concatenate(
        [np.pad(s, ((0, 0), (0, 12)), constant_values=255) for s in squares], 1
    )
    return Image.fromarray(np.concatenate([shown, prior])), Image.fromarray(parting[:, :-12])


def num_iterations(found: Look, photos: Sequence[np.ndarray]) -> Image.Image:
    """Photographs; probabilities; the weights that follow from them; those of the last round."""
    size = (120, 160)
    cells = found.weights / found.weights.max()
    return Image.fromarray(
        np.concatenate(
            [
                _row([resized(photo, size) for photo in photos]),
                _row([_coloured(resized(each, size)) for each in found.first]),
                _row([_coloured(_blocks(each, size)) for each in cells]),
                _row([_coloured(resized(each, size)) for each in found.last]),
            ]
        )
    )


def diagram() -> Image.Image:
    """The data's way as boxes and arrows."""
    page = _Page(960, 330)
    page.box(10, 130, 130, 70, "photographs", "N x H x W x 3")
    page.box(180, 130, 130, 70, "backbone", "4 maps X, strides", "4, 8, 16, 32")
    page.box(350, 30, 110, 70, "fusion", "descriptors", "N x h x w x d")
    page.box(490, 30, 140, 70, "spatial modulator", "S: N x h x w")
    page.box(350, 230, 280, 70, "semantic modulator", "gamma: d    categories: L")
    page.box(500, 130, 130, 70, "modulation", "Y = gamma X + S", "at 4 strides")
    page.box(670, 130, 120, 70, "head", "coarse to fine")
    page.box(830, 130, 120, 70, "masks", "N x H x W")
    page.arrow((140, 165), (180, 165))
    page.arrow((310, 165), (500, 165), label="X, 1x1 convolution")
    page.arrow((245, 130), (245, 65), (350, 65))
    page.arrow((245, 200), (245, 265), (350, 265), label="stride 32")
    page.arrow((460, 65), (490, 65))
    page.arrow((565, 100), (565, 130), label="S")
    page.arrow((565, 230), (565, 200), label="gamma")
    page.arrow((630, 165), (670, 165))
    page.arrow((790, 165), (830, 165))
    page.arrow(
        (890, 200), (890, 265), (630, 265), label="further rounds: where to listen", colour=FRAME
    )
    return page.image.resize((960, 330), Image.Resampling.LANCZOS)


class _Page:
    """A page to draw boxes on; lengths are those of the page at its final size."""

    def __init__(self, width: int, height: int):
        self.image = Image.new("RGB", (FINER * width, FINER * height), PAPER)
        self._draw = ImageDraw.Draw(self.image)

    def box(self, x: int, y: int, width: int, height: int, title: str, *lines: str) -> None:
        corners = [FINER * side for side in (x, y, x + width, y + height)]
        self._draw.rounded_rectangle(corners, 8 * FINER, GREY, INK, FINER)
        top = y + height / 2 - 9 * (1 + len(lines))
        for number, line in enumerate((title, *lines)):
            self._text(x + width / 2, top + 18 * number + 9, line, TEXT if not number else TEXT - 2)

    def arrow(
        self, *points: tuple[int, int], label: str = "", colour: tuple[int, int, int] = INK
    ) -> None:
        """A line through points, its label beside the last stretch."""
        places = [np.asarray(point) for point in points]
        self._draw.line([tuple(FINER * place) for place in places], colour, 2 * FINER)
        end, along = places[-1], places[-1] - places[-2]
        along = along / np.hypot(*along)
        across = np.asarray([-along[1], along[0]])
        tips = [end, end - 9 * along + 5 * across, end - 9 * along - 5 * across]
        self._draw.polygon([tuple(FINER * tip) for tip in tips], colour)
        if label:
            middle = (places[-1] + places[-2]) / 2
            level = along[1] == 0
            offset = (0, -10) if level else (8 + 3.6 * len(label), 0)
            self._text(*(middle + offset), label, TEXT - 2)

    def _text(self, x: float, y: float, text: str, size: int) -> None:
        font = ImageFont.load_default(FINER * size)
        self._draw.text((FINER * x, FINER * y), text, INK, font, anchor="mm")


def _row(tiles: Sequence[np.ndarray], framed: int | None = None) -> np.ndarray:
    """Pictures beside each other, white around each, or orange around one of them."""
    edges = [np.pad(tile, ((3, 3), (3, 3), (0, 0)), constant_values=255) for tile in tiles]
    if framed is not None:
        inner = edges[framed][3:-3, 3:-3].copy()
        edges[framed][:] = FRAME
        edges[framed][3:-3, 3:-3] = inner
    return np.concatenate(edges, axis=1)


def _coloured(values: np.ndarray) -> np.ndarray:
    return np.repeat((255 * np.clip(values, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def _blocks(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map at (height, width) = `size`, every cell one flat block."""
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.NEAREST))


def _grey(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A matrix from black, its least, to white, its greatest."""
    spread = values.max() - values.min()
    scaled = (255 * (values - values.min()) / spread).astype(np.uint8)
    return np.asarray(Image.fromarray(scaled).resize(size, Image.Resampling.BOX))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="a folder")
    parser.add_argument("--checkpoint", help="instead of the network that comes with the package")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    drawn = {"way": diagram()}
    drawn["groups"], drawn["gamma"] = two_groups()
    photos = [read_image(path, path.stem).image for path in sorted(AEROPLANES.glob("*.jpg"))]
    found = looker(options.checkpoint)(photos)
    drawn["prior"], drawn["matrix"] = spatial(found, photos)
    drawn["num_iterations"] = num_iterations(found, photos)
    for name, image in drawn.items():
        few = image.quantize(COLOURS, dither=Image.Dither.NONE)  # a third of the bytes
        few.save(options.out / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
