"""Draws the figures of docs/how_it_works.md from networks and images that the project holds.

    python docs/draw_how_it_works.py --out docs/how_it_works

The two-groups figure uses the quick start's network, which the tests keep, on the built-in shapes.
The others use the network that comes with the package, on the drawn images of
`examples/aeroplanes`.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float
from PIL import Image, ImageDraw, ImageFont

from cosseg_jax.data.builders.shapes import Shapes
from cosseg_jax.data.images import read_image
from cosseg_jax.data.resizing import resize_image, resized
from cosseg_jax.models.semantic import mask_pooling_weights
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict.drawing import colour_prior, tinted
from cosseg_jax.predict.exported import load_exported, prediction_options
from cosseg_jax.types import Ndarray, in_groups

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "tests" / "goldens" / "quickstart"
AEROPLANES = ROOT / "examples" / "aeroplanes"

TWO_GROUPS = ("disc-cross", "square-bar")  # categories of the validation images
IN_BOTH = 2  # the index of an image that contains both
BACKGROUND, INK, GREY = (255, 255, 255), (25, 25, 25), (225, 229, 235)
WARM, COLD, FRAME = (215, 45, 30), (30, 70, 190), (240, 150, 0)
FONT_SIZE = 15
COLOURS = 128  # in the palette of each figure
OVERSAMPLING = 2  # the diagram is drawn this many times larger, then shrunk


class Intermediates(NamedTuple):
    """What a network computes for one group before its masks.

    fused: phi(I). prior: S. gamma: of the first iteration. first, last: the probability maps of the
    first and the last iteration. weights: the mask-pooling weights that follow from `first`.
    """

    fused: Float[Array | Ndarray, "N h w d"]
    prior: Float[Array | Ndarray, "N h w"]
    gamma: Float[Array | Ndarray, " d"]
    first: Float[Array | Ndarray, "N S S"]
    weights: Float[Array | Ndarray, "N h w"]
    last: Float[Array | Ndarray, "N S S"]


def make_inspector(
    checkpoint: str | Path | None,
) -> Callable[[Sequence[np.ndarray]], Intermediates]:
    """A function that runs the network on a group of RGB images, step by step."""
    config, variables = load_exported(checkpoint)
    network = from_config(config.model, len(config.categories))
    side = prediction_options(config).image_size

    def call(method: str, *arguments, **options):
        return network.apply(variables, *arguments, method=method, **options)

    @jax.jit
    def run(images: jax.Array) -> Intermediates:
        count = len(images)
        encoding = call("project", call("encode", images, train=False))
        fused, statistics = in_groups((encoding.fused, call("pool", encoding)), 1, count)
        context = call("aggregate", fused, statistics, 1, count)
        gamma = context.semantics.gamma[0]
        masks = call("segment", encoding, context, (side, side))
        first = jax.nn.sigmoid(masks[0])
        weights = mask_pooling_weights(
            first, None, *encoding.coarsest.shape[1:3], share=network.mask_pooling_weight
        )
        for _ in range(1, network.num_iterations):
            statistics = in_groups(call("mask_pool", encoding, masks, None), 1, count)
            context = call("reaggregate", context, statistics)
            masks = call("segment", encoding, context, (side, side))
        last = jax.nn.sigmoid(masks[0])
        return Intermediates(fused[0], context.prior.values[0], gamma, first, weights, last)

    def inspect(images: Sequence[np.ndarray]) -> Intermediates:
        stacked = np.stack([resize_image(image, side) for image in images])
        return jax.tree.map(np.asarray, run(stacked))

    return inspect


def two_groups() -> tuple[Image.Image, Image.Image]:
    """One image in two groups: the masks in each group, and the two gammas."""
    source, inspect = Shapes("val"), make_inspector(QUICKSTART)
    rows, gammas = [], []
    for name in TWO_GROUPS:
        members = source.members[source.categories.index(name)]
        chosen = [IN_BOTH, *(int(i) for i in members if int(i) != IN_BOTH)][:5]
        images = [source[index].image for index in chosen]
        found = inspect(images)
        shown = [resized(image, (128, 128)) for image in images]
        masks = [resized(each, (128, 128)) > 0.5 for each in found.first]
        rows.append(_row(shown, framed=0))
        rows.append(_row([tinted(*pair) for pair in zip(shown, masks, strict=True)], framed=0))
        gammas.append(found.gamma)
    return Image.fromarray(np.concatenate(rows)), bars(gammas)


def bars(gammas: Sequence[np.ndarray]) -> Image.Image:
    """A bar chart of each gamma, one bar per channel; positive values point up."""
    width, half, gap = 20, 44, 24
    image = Image.new("RGB", (width * len(gammas[0]), len(gammas) * (2 * half + gap)), BACKGROUND)
    draw = ImageDraw.Draw(image)
    largest = max(np.abs(gamma).max() for gamma in gammas)
    for strip, (name, gamma) in enumerate(zip(TWO_GROUPS, gammas, strict=True)):
        top = strip * (2 * half + gap)
        draw.text((2, top + 2), f"gamma of {name}", INK, ImageFont.load_default(FONT_SIZE))
        zero = top + gap + half
        for channel, value in enumerate(gamma / largest):
            ends = sorted((zero, zero - half * float(value)))
            box = (width * channel + 3, ends[0], width * (channel + 1) - 3, ends[1])
            draw.rectangle(box, WARM if value > 0 else COLD)
        draw.line([(0, zero), (image.width, zero)], INK)
    return image


def spatial(found: Intermediates, images: Sequence[np.ndarray]) -> tuple[Image.Image, Image.Image]:
    """Images above S; and G with its rows in the order of the images and in the order of S."""
    size = (120, 160)
    shown = _row([resized(image, size) for image in images])
    prior = _row([colour_prior(each, size) for each in found.prior])
    x = found.fused.reshape(-1, found.fused.shape[-1]).astype(np.float64)  # [n, d]
    x /= np.sqrt(np.sum(x**2, axis=1, keepdims=True) + 1e-6)
    gram = x @ x.T - 1  # G, [n, n]
    order = np.argsort(-found.prior.ravel(), kind="stable")
    squares = [_grey(each, (330, 330)) for each in (gram, gram[np.ix_(order, order)])]
    gap = np.full((330, 12), 255, np.uint8)
    both = np.concatenate([squares[0], gap, squares[1]], axis=1)
    return Image.fromarray(np.concatenate([shown, prior])), Image.fromarray(both)


def iterations(found: Intermediates, images: Sequence[np.ndarray]) -> Image.Image:
    """Rows: images, first probability maps, the weights they give, last probability maps."""
    size = (120, 160)
    cells = found.weights / found.weights.max()
    rows = [
        _row([resized(image, size) for image in images]),
        _row([_as_rgb(resized(each, size)) for each in found.first]),
        _row([_as_rgb(_blocks(each, size)) for each in cells]),
        _row([_as_rgb(resized(each, size)) for each in found.last]),
    ]
    return Image.fromarray(np.concatenate(rows))


def diagram() -> Image.Image:
    """The network as boxes and arrows."""
    page = _Page(960, 330)
    page.box(10, 130, 130, 70, "images", "N x H x W x 3")
    page.box(180, 130, 130, 70, "backbone", "feature maps X,", "strides 4 to 32")
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
        (890, 200), (890, 265), (630, 265), label="further iterations: weights", colour=FRAME
    )
    return page.image.resize((960, 330), Image.Resampling.LANCZOS)


class _Page:
    """A canvas for boxes and arrows; all lengths are in pixels of the final image."""

    def __init__(self, width: int, height: int):
        self.image = Image.new("RGB", (OVERSAMPLING * width, OVERSAMPLING * height), BACKGROUND)
        self._draw = ImageDraw.Draw(self.image)

    def box(self, x: int, y: int, width: int, height: int, title: str, *lines: str) -> None:
        corners = [OVERSAMPLING * side for side in (x, y, x + width, y + height)]
        self._draw.rounded_rectangle(corners, 8 * OVERSAMPLING, GREY, INK, OVERSAMPLING)
        top = y + height / 2 - 9 * (1 + len(lines))
        for number, line in enumerate((title, *lines)):
            size = FONT_SIZE - 2 if number else FONT_SIZE
            self._text(x + width / 2, top + 18 * number + 9, line, size)

    def arrow(
        self, *points: tuple[int, int], label: str = "", colour: tuple[int, int, int] = INK
    ) -> None:
        """Draws a line through the points, with a label beside its last segment."""
        places = [np.asarray(point) for point in points]
        self._draw.line([tuple(OVERSAMPLING * place) for place in places], colour, 2 * OVERSAMPLING)
        end, along = places[-1], places[-1] - places[-2]
        along = along / np.hypot(*along)
        across = np.asarray([-along[1], along[0]])
        tips = [end, end - 9 * along + 5 * across, end - 9 * along - 5 * across]
        self._draw.polygon([tuple(OVERSAMPLING * tip) for tip in tips], colour)
        if label:
            x, y = (places[-1] + places[-2]) / 2
            horizontal = along[1] == 0
            dx, dy = (0, -10) if horizontal else (8 + 3.6 * len(label), 0)
            self._text(x + dx, y + dy, label, FONT_SIZE - 2)

    def _text(self, x: float, y: float, text: str, size: int) -> None:
        font = ImageFont.load_default(OVERSAMPLING * size)
        self._draw.text((OVERSAMPLING * x, OVERSAMPLING * y), text, INK, font, anchor="mm")


def _row(tiles: Sequence[np.ndarray], framed: int | None = None) -> np.ndarray:
    """Images side by side with white margins; the margin of one may be orange."""
    edges = [np.pad(tile, ((3, 3), (3, 3), (0, 0)), constant_values=255) for tile in tiles]
    if framed is not None:
        inner = edges[framed][3:-3, 3:-3].copy()
        edges[framed][:] = FRAME
        edges[framed][3:-3, 3:-3] = inner
    return np.concatenate(edges, axis=1)


def _as_rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat((255 * np.clip(values, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def _blocks(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map at (height, width) = `size`; every cell becomes one flat block."""
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.NEAREST))


def _grey(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A matrix in grey, from black (its minimum) to white (its maximum)."""
    spread = values.max() - values.min()
    scaled = (255 * (values - values.min()) / spread).astype(np.uint8)
    return np.asarray(Image.fromarray(scaled).resize(size, Image.Resampling.BOX))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="a folder")
    parser.add_argument("--checkpoint", help="an exported network; default: the shipped one")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    figures = {"pipeline": diagram()}
    figures["groups"], figures["gamma"] = two_groups()
    images = [read_image(path, path.stem).image for path in sorted(AEROPLANES.glob("*.jpg"))]
    found = make_inspector(options.checkpoint)(images)
    figures["prior"], figures["matrix"] = spatial(found, images)
    figures["iterations"] = iterations(found, images)
    for name, figure in figures.items():
        small = figure.quantize(COLOURS, dither=Image.Dither.NONE)  # a third of the bytes
        small.save(options.out / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
