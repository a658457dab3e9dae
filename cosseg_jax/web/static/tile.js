// One photo of the group as a tile of the page.

import * as overlay from "./overlay.js";
import * as prompting from "./prompting.js";
import { photoAddress } from "./server.js";

// Photos beyond these ratios of width to height are squeezed; otherwise there would be nothing to
// click on.
const [NARROWEST, WIDEST] = [1 / 6, 10];

export class Tile {
  // photo: number, name, width and height, as the server gives them. on: marked(tile, mark),
  // cleared(tile), toggled(tile) for the absence of the object, right(tile) and wrong(tile) for its
  // mask, and left(tile), which are called when the user does so.
  constructor(session, photo, on) {
    Object.assign(this, photo);
    const made = document.getElementById("photo").content.cloneNode(true);
    const part = (selector) => made.querySelector(selector);
    this.node = part("li");
    this.stage = part(".stage");
    this.canvas = part("canvas");
    this.marker = part(".marks");
    this.absence = part(".absence");
    this.right = part(".right");
    this.wrong = part(".wrong");
    this.clear = part(".clear");
    this.bar = part(".bar span");
    this.says = part(".says");
    this.leave = part(".leave");
    this.out = false;
    this.values = null;
    this.presence = null;
    this.marks = [];
    this.absent = false;
    this.how = { view: "overlay", threshold: 0.5 };
    this.stale = false;
    this.visible = true;

    const ratio = Math.min(Math.max(this.width / this.height, NARROWEST), WIDEST);
    this.node.style.setProperty("--ratio", ratio);
    this.node.style.setProperty("--share", Math.min(Math.max(ratio, 0.65), 2.4)); // of its row
    const image = part("img");
    image.width = this.width;
    image.height = this.height;
    image.alt = this.name;
    image.src = photoAddress(session, this.number);
    [this.canvas.width, this.canvas.height] = overlay.drawingSize(this.width, this.height);
    part(".name").textContent = this.name;
    part(".name").title = this.name;
    this.stage.setAttribute(
      "aria-label",
      `Point at the object in ${this.name}. Enter begins, arrow keys move, Enter sets the point, Shift and Enter a point beside the object, Escape ends.`,
    );
    part(".verdict").setAttribute("aria-label", `The mask of ${this.name}`);
    this.setOut(false);
    prompting.listen(this.stage, (mark) => on.marked(this, mark));
    this.absence.addEventListener("click", () => on.toggled(this));
    this.right.addEventListener("click", () => on.right(this));
    this.wrong.addEventListener("click", () => on.wrong(this));
    this.clear.addEventListener("click", () => on.cleared(this));
    this.leave.addEventListener("click", () => on.left(this));
  }

  setOut(out) {
    this.out = out;
    this.node.classList.toggle("out", out);
    this.leave.textContent = out ? "Put back" : "Leave out";
    this.leave.setAttribute("aria-label", `${this.leave.textContent}: ${this.name}`);
    this.tell();
  }

  // map: side x side bytes, or null if the photo took no part.
  setMap(map, side, presence) {
    const { width, height } = this.canvas;
    this.values = map && overlay.enlarged(map, side, width, height);
    this.presence = map ? presence : null;
  }

  // marks: of prompting.js. absent: whether the user says that the object is not in the photo.
  setMarks(marks, absent) {
    [this.marks, this.absent] = [marks, absent];
    prompting.show(this.marker, marks);
    this.clear.hidden = !marks.length;
    this.absence.setAttribute("aria-pressed", String(absent));
    this.right.setAttribute("aria-pressed", String(marks.some((mark) => mark.found && !mark.wrong)));
  }

  // how: view and threshold.
  show(how) {
    this.how = how;
    this.stale = true;
    this.tell();
    this.paint();
  }

  // Tiles out of sight are drawn when they come into view.
  setVisible(visible) {
    this.visible = visible;
    this.paint();
  }

  get present() {
    return this.presence > this.how.threshold;
  }

  paint() {
    if (!this.stale || !this.visible) return;
    const { view, threshold } = this.how;
    const values = this.out ? null : this.values;
    overlay.draw(this.canvas, values, { view, threshold, present: this.present });
    this.stale = false;
  }

  tell() {
    const known = this.presence !== null && !this.out;
    const share = `${Math.round(100 * this.presence)} %`;
    const found = this.present ? `present, ${share}` : `not found, ${share}`;
    this.bar.style.width = known ? `${100 * this.presence}%` : "0";
    this.says.textContent = this.out ? "left out" : known ? found : "";
    this.node.classList.toggle("missing", known && !this.present);
    this.right.disabled = !known;
    this.wrong.disabled = !(known && this.present);
  }
}
