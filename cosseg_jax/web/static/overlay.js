// Draws masks over a photo from a probability map and a threshold, without the server.

const LONGEST = 640; // side of a drawing in pixels
const TINT = [30, 200, 70]; // as in predict/drawing.py
const SOFT = 3; // grey levels over which the border of a mask fades
const DARK = matchMedia("(prefers-color-scheme: dark)");

// A map of side x side bytes, enlarged to width x height as the server does: bilinearly, with pixel
// centres at halves.
export function enlarged(map, side, width, height) {
  const values = new Uint8Array(width * height);
  const steps = (length) => {
    const low = new Uint16Array(length);
    const high = new Uint16Array(length);
    const part = new Float32Array(length);
    for (let i = 0; i < length; i++) {
      const at = Math.min(Math.max(((i + 0.5) * side) / length - 0.5, 0), side - 1);
      low[i] = Math.floor(at);
      high[i] = Math.min(low[i] + 1, side - 1);
      part[i] = at - low[i];
    }
    return { low, high, part };
  };
  const [x, y] = [steps(width), steps(height)];
  for (let row = 0, k = 0; row < height; row++) {
    const [top, bottom, down] = [y.low[row] * side, y.high[row] * side, y.part[row]];
    for (let column = 0; column < width; column++, k++) {
      const [left, right, along] = [x.low[column], x.high[column], x.part[column]];
      const above = map[top + left] + (map[top + right] - map[top + left]) * along;
      const below = map[bottom + left] + (map[bottom + right] - map[bottom + left]) * along;
      values[k] = above + (below - above) * down + 0.5;
    }
  }
  return values;
}

// The size of the drawing of a photo.
export function drawingSize(width, height) {
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

// Draws values (of `enlarged`) on a canvas of their size. threshold: 0..1. The mask is empty where
// the object is not present.
export function draw(canvas, values, { view, threshold, present }) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  if (view === "photo" || !values) return;
  const drawn = new ImageData(width, height);
  const pixels = new Uint32Array(drawn.data.buffer);
  const colours = tableOf(view, present || view === "light" ? 255 * threshold : 256);
  for (let k = 0; k < pixels.length; k++) pixels[k] = colours[values[k]];
  if (view === "overlay" && present) outline(pixels, values, width, height, 255 * threshold);
  context.putImageData(drawn, 0, 0);
}

// The colour that is laid over the photo for each value of the map.
function tableOf(view, level) {
  const table = new Uint32Array(256);
  const paper = DARK.matches ? [44, 48, 46] : [236, 236, 232]; // the background of a cut-out
  for (let value = 0; value < 256; value++) {
    const inside = Math.min(Math.max((value - level) / SOFT + 0.5, 0), 1);
    if (view === "overlay") {
      const alpha = 0.24 * inside + 0.62 * (1 - inside);
      table[value] = packed(TINT.map((part) => part * inside), alpha);
    } else if (view === "cutout") {
      table[value] = packed(paper, 1 - inside);
    } else {
      table[value] = packed([0, 0, 0], 0.9 * (1 - value / 255));
    }
  }
  return table;
}

function outline(pixels, values, width, height, level) {
  const line = packed(TINT, 1);
  for (let row = 0, k = 0; row < height; row++) {
    for (let column = 0; column < width; column++, k++) {
      if (values[k] <= level) continue;
      const border =
        (column > 0 && values[k - 1] <= level) ||
        (column < width - 1 && values[k + 1] <= level) ||
        (row > 0 && values[k - width] <= level) ||
        (row < height - 1 && values[k + width] <= level);
      if (!border) continue;
      pixels[k] = line;
      if (column > 0) pixels[k - 1] = line;
      if (row > 0) pixels[k - width] = line;
    }
  }
}

// Bytes in the order of ImageData; red comes first on every machine that browsers run on.
function packed([red, green, blue], alpha) {
  return ((Math.round(255 * alpha) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
