// Marks that a user sets in a photo: clicks, drags, or keys. Coordinates are shares of the photo,
// 0..1; a mark is { point: [x, y], on: whether it is on the object }, { box: [left, top, right,
// bottom] }, or { found: { version, threshold }, wrong } for a whole mask that is right or wrong,
// which is not drawn.

const DRAGGED = 6; // pixels on the screen beyond which a click becomes a box
const STEP = 0.02;

const within = (value) => Math.min(Math.max(value, 0), 1);
const percent = (value) => `${(100 * value).toFixed(3)}%`;

// Places an element where a mark is, or hides it.
function place(element, mark) {
  element.hidden = !mark;
  if (!mark) return;
  const [left, top, right, bottom] = mark.box ?? [...mark.point, ...mark.point];
  element.classList.toggle("box", Boolean(mark.box));
  element.classList.toggle("negative", mark.on === false);
  element.style.left = percent(left);
  element.style.top = percent(top);
  element.style.width = mark.box ? percent(right - left) : "";
  element.style.height = mark.box ? percent(bottom - top) : "";
}

// Shows marks as elements in a container.
export function show(container, marks) {
  container.replaceChildren(
    ...marks.filter((mark) => !mark.found).map((mark) => {
      const element = document.createElement("div");
      element.className = "prompt";
      place(element, mark);
      return element;
    }),
  );
}

// Calls marked(mark) when the user has set a point or drawn a box on the stage. A point is on the
// object unless Shift is held, or the stage is in an element of the class "excluding".
export function listen(stage, marked) {
  byPointer(stage, marked);
  byKeys(stage, marked);
}

const isOn = (event) => !event.shiftKey && !event.currentTarget.closest(".excluding");

function byPointer(stage, marked) {
  const drawn = stage.querySelector(".drawn");
  let start = null;

  const at = (event) => {
    const { left, top, width, height } = stage.getBoundingClientRect();
    return [within((event.clientX - left) / width), within((event.clientY - top) / height)];
  };
  const far = (event) =>
    Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > DRAGGED;
  const boxTo = (event) => {
    const [a, b] = [start.at, at(event)];
    return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
  };
  const stop = () => {
    start = null;
    place(drawn, null);
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button")) return;
    start = { at: at(event), clientX: event.clientX, clientY: event.clientY };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (start && far(event)) place(drawn, { box: boxTo(event) });
  });
  stage.addEventListener("pointerup", (event) => {
    if (!start) return;
    const mark = far(event) ? { box: boxTo(event) } : { point: start.at, on: isOn(event) };
    stop();
    const [left, top, right, bottom] = mark.box ?? [0, 0, 1, 1];
    if (right > left && bottom > top) marked(mark);
  });
  stage.addEventListener("pointercancel", stop); // the finger scrolls the page
  stage.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && start) stop();
  });
}

function byKeys(stage, marked) {
  const cross = stage.querySelector(".cross");
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let at = null;

  const move = (point) => {
    at = point;
    cross.hidden = !at;
    if (at) [cross.style.left, cross.style.top] = at.map(percent);
  };
  stage.addEventListener("keydown", (event) => {
    if (event.target !== stage) return;
    const step = moves[event.key];
    if (event.key === "Enter" || event.key === " ") {
      if (at) marked({ point: at, on: isOn(event) });
      move(at ? null : [0.5, 0.5]);
    } else if (event.key === "Escape" && at) {
      move(null);
    } else if (step && at) {
      const far = event.shiftKey ? 4 * STEP : STEP;
      move([within(at[0] + far * step[0]), within(at[1] + far * step[1])]);
    } else {
      return;
    }
    event.preventDefault();
  });
  stage.addEventListener("blur", () => move(null));
}
