// Prompts for the object in a photo: a click, a drag, or keys. Coordinates are shares of the photo,
// 0..1; a prompt is { point: [x, y] } or { box: [left, top, right, bottom] }.

const DRAGGED = 6; // pixels on the screen beyond which a click becomes a box
const STEP = 0.02;

const within = (value) => Math.min(Math.max(value, 0), 1);
const percent = (value) => `${(100 * value).toFixed(3)}%`;

// Shows a prompt in its element, or hides the element.
export function show(element, prompt) {
  element.hidden = !prompt;
  if (!prompt) return;
  const [left, top, right, bottom] = prompt.box ?? [...prompt.point, ...prompt.point];
  element.classList.toggle("box", Boolean(prompt.box));
  element.style.left = percent(left);
  element.style.top = percent(top);
  element.style.width = prompt.box ? percent(right - left) : "";
  element.style.height = prompt.box ? percent(bottom - top) : "";
}

// Calls prompted(prompt) when the user has set a point or drawn a box on the stage.
export function listen(stage, prompted) {
  byPointer(stage, prompted);
  byKeys(stage, prompted);
}

function byPointer(stage, prompted) {
  const drawn = stage.querySelector(".prompt");
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
    stage.dispatchEvent(new Event("promptcancelled"));
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button")) return;
    start = { at: at(event), clientX: event.clientX, clientY: event.clientY };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (start && far(event)) show(drawn, { box: boxTo(event) });
  });
  stage.addEventListener("pointerup", (event) => {
    if (!start) return;
    const prompt = far(event) ? { box: boxTo(event) } : { point: start.at };
    start = null;
    const [left, top, right, bottom] = prompt.box ?? [0, 0, 1, 1];
    if (right > left && bottom > top) prompted(prompt);
  });
  stage.addEventListener("pointercancel", stop); // the finger scrolls the page
  stage.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && start) stop();
  });
}

function byKeys(stage, prompted) {
  const cross = stage.querySelector(".cross");
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let at = null;

  const place = (point) => {
    at = point;
    cross.hidden = !at;
    if (at) [cross.style.left, cross.style.top] = at.map(percent);
  };
  stage.addEventListener("keydown", (event) => {
    if (event.target !== stage) return;
    const move = moves[event.key];
    if (event.key === "Enter" || event.key === " ") {
      if (at) prompted({ point: at });
      place(at ? null : [0.5, 0.5]);
    } else if (event.key === "Escape" && at) {
      place(null);
    } else if (move && at) {
      const step = event.shiftKey ? 4 * STEP : STEP;
      place([within(at[0] + step * move[0]), within(at[1] + step * move[1])]);
    } else {
      return;
    }
    event.preventDefault();
  });
  stage.addEventListener("blur", () => place(null));
}
