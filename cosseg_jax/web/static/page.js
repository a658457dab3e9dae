// The page: takes photos in, follows the server's work on them, and shows the masks.

import { listenForFiles } from "./files.js";
import * as notices from "./notices.js";
import * as server from "./server.js";
import { Tile } from "./tile.js";

const POLL_MS = 300; // between two questions for the state, and so much more for each group ahead
const SLOWEST_POLL_MS = 3000;
const SETTLE_MS = 500; // after which a change of the group is sent
const BEAT_MS = 60_000; // between signs that the page is still open
const RETURN_MS = 5000; // after a reload, when the server has surely been told that the old page was left
const KEY = "cosseg-session";

const part = (id) => document.getElementById(id);
const [welcome, work, list, status, progress] = ["welcome", "work", "photos", "status", "progress"].map(part);
const [slider, download, controls, undo] = ["threshold", "download", "controls", "undo"].map(part);
const limits = document.body.dataset;

let session = null; // its id
let tiles = [];
let earlier = []; // { tile, marks, absent } before each change of the marks
let result = null; // of the server, with its version
let following = false;
let settling = 0;
let [changes, sent] = [0, 0]; // numbers of the last change of the group, and of the last one answered
let latest = 0; // version of the last job that was asked for

const threshold = () => Number(slider.value) / 100;
const how = () => ({ view: controls.querySelector("[name=view]:checked").value, threshold: threshold() });
const counted = (count) => (count === 1 ? "1 photo" : `${count} photos`);

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.tile.setVisible(isIntersecting);
}, { rootMargin: "200px" });

// Shows a status. share: how much of the work is done, 0..1; null if nothing is being done.
function say(text, share = null) {
  list.ariaBusy = String(share !== null);
  if (status.textContent !== text) status.textContent = text;
  progress.classList.toggle("on", share !== null);
  if (share !== null) progress.value = share;
}

function fail(error) {
  notices.tell(error.message);
  say("");
  if (error.gone) close();
}

// What is on the page

function open(id) {
  session = id;
  sessionStorage.setItem(KEY, id);
  welcome.hidden = true;
  work.hidden = false;
}

function close() {
  sessionStorage.removeItem(KEY);
  clearTimeout(settling);
  [session, tiles, earlier, result, latest] = [null, [], [], null, 0];
  undo.disabled = true;
  sent = changes;
  list.replaceChildren();
  download.disabled = true;
  say("");
  welcome.hidden = false;
  work.hidden = true;
}

function discard() {
  server.forget(session).catch(() => {});
  close();
}

function addTile(photo) {
  const tile = new Tile(session, photo, {
    marked: (tile, mark) => setMarks(tile, [...tile.marks, mark]),
    cleared: (tile) => setMarks(tile, []),
    toggled: (tile) => setMarks(tile, [], !tile.absent),
    right: setRight,
    wrong: setWrong,
    left: leaveOut,
  });
  tile.stage.tile = tile;
  tile.show(how());
  tiles[photo.number] = tile;
  list.append(tile.node);
  seen.observe(tile.stage);
}

let drawing = 0;
function redraw() {
  part("threshold-value").value = `${slider.value} %`;
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => tiles.forEach((tile) => tile.show(how())));
}

// As a download, so that an error of the server does not replace the page.
function downloadArchive() {
  const link = document.createElement("a");
  link.href = server.archiveAddress(session, result.version, threshold());
  link.download = "cosseg.zip";
  link.click();
}

// What the user does with the group

function setMarks(tile, marks, absent = false) {
  if (tile.out) return;
  earlier.push({ tile, marks: tile.marks, absent: tile.absent });
  undo.disabled = false;
  tile.setMarks(marks, absent);
  segment();
}

// The mask that is shown is right, or that is taken back. An empty one says that the object is absent.
function setRight(tile) {
  const others = tile.marks.filter((mark) => !mark.found || mark.wrong);
  if (others.length < tile.marks.length) setMarks(tile, others);
  else if (!tile.present) setMarks(tile, [], true);
  else judge(tile, others, false);
}

// The mask that is shown is wrong: what it covers is not the object.
function setWrong(tile) {
  judge(tile, tile.marks.filter((mark) => !mark.found || mark.wrong), true);
}

function judge(tile, others, wrong) {
  if (list.ariaBusy === "true") notices.tell("Wait until the masks are there.");
  else setMarks(tile, [...others, { found: { version: result.version, threshold: threshold() }, wrong }]);
}

function undoMarks() {
  const { tile, marks, absent } = earlier.pop();
  undo.disabled = !earlier.length;
  tile.setMarks(marks, absent);
  segment();
}

function leaveOut(tile) {
  const left = tiles.filter((each) => !each.out).length;
  if (!tile.out && left === 1) {
    notices.tell("One photo has to stay.");
    return;
  }
  tile.setOut(!tile.out);
  tile.show(how());
  change();
  settling = setTimeout(segment, SETTLE_MS);
}

async function takeIn(count, add) {
  try {
    say("Reading…", 0);
    if (!session) open(await server.newSession());
    const own = session;
    for (let k = 0; k < count && session === own; k++) {
      say(count === 1 ? "Reading…" : `Reading ${k + 1} of ${count}…`, k / count);
      try {
        for (const photo of await add(own, k)) if (session === own) addTile(photo);
      } catch (error) {
        fail(error);
      }
    }
    if (session !== own) return;
    if (tiles.length) await segment();
    else discard();
  } catch (error) {
    fail(error);
  }
}

async function takeFiles(files) {
  notices.clear();
  const most = Number(limits.mostPhotos) - tiles.length;
  const fitting = files.filter((file) => file.size <= Number(limits.mostBytes));
  for (const file of files) {
    if (!fitting.includes(file)) {
      notices.tell(`${file.name} is larger than ${limits.fileSize}, the most for one photo; make it smaller first.`);
    }
  }
  if (fitting.length > most) {
    notices.tell(`A group has ${limits.mostPhotos} photos at most; ${fitting.length - most} were not added.`);
  }
  const taken = fitting.slice(0, most);
  if (taken.length) await takeIn(taken.length, async (id, k) => [await server.addPhoto(id, taken[k])]);
}

// The marks of a photo in its own pixels, as prompts of the server: points belong to a box if there
// is only one.
function promptsOf({ width, height, number, marks, absent }) {
  if (absent) return [{ photo: number, absent }];
  const scaled = (values) => values.map((value, k) => value * (k % 2 ? height : width));
  const points = marks.filter((mark) => mark.point);
  const boxes = marks.filter((mark) => mark.box).map((mark) => ({ photo: number, box: scaled(mark.box) }));
  const whole = marks.filter((mark) => mark.found).map(({ found, wrong }) => ({ photo: number, found, wrong }));
  if (!points.length) return [...whole, ...boxes];
  const pointed = {
    photo: number,
    points: points.map((mark) => scaled(mark.point)),
    labels: points.map((mark) => Number(mark.on)),
  };
  return boxes.length === 1 ? [...whole, { ...boxes[0], ...pointed }] : [...whole, ...boxes, pointed];
}

function prompts() {
  return tiles.filter((tile) => !tile.out).flatMap(promptsOf);
}

// Notes a change of the group; the masks of the old group can no longer be downloaded.
function change() {
  list.ariaBusy = "true";
  download.disabled = true;
  clearTimeout(settling);
  return ++changes;
}

async function segment() {
  const [own, id] = [change(), session];
  const out = tiles.filter((tile) => tile.out).map((tile) => tile.number);
  try {
    const state = await server.segment(id, out, prompts());
    if (own !== changes || id !== session) return;
    [sent, latest] = [own, state.job.version];
    if (await take(id, state)) follow();
  } catch (error) {
    if (id !== session) return;
    sent = own;
    fail(error);
  }
}

// What the server does meanwhile

async function follow() {
  if (following) return;
  following = true;
  const own = session;
  let ahead = 0;
  try {
    for (;;) {
      await new Promise((done) => setTimeout(done, Math.min(POLL_MS * (1 + ahead), SLOWEST_POLL_MS)));
      if (session !== own) break;
      const state = await server.stateOf(own);
      ahead = state.job?.ahead ?? 0;
      if (session !== own || !(await take(own, state))) break;
    }
  } catch (error) {
    if (session === own) fail(error);
  } finally {
    following = false;
  }
  if (session && session !== own) follow();
}

// Shows a state; returns whether more is to come.
async function take(own, { job, result: found }) {
  if (changes !== sent || (job && job.version < latest)) return true; // overtaken by the user
  if (found && found.version !== result?.version && !(await showResult(own, found))) return true;
  if (session !== own) return false;
  if (changes !== sent) return true; // the user was quicker than the maps
  if (job?.stage === "waiting") {
    const others = job.ahead === 1 ? "one other group" : `${job.ahead} other groups`;
    const reason = job.starting ? "until the network is ready" : `for ${others}`;
    say(job.ahead ? `Waiting ${reason}…` : "Waiting…", 0);
    return true;
  }
  if (job?.stage === "working") {
    say(`Looking for what ${counted(job.of)} share…`, job.share);
    return true;
  }
  if (job?.stage === "failed") {
    say("");
    notices.tell(job.message);
  } else if (found) {
    download.disabled = false;
    say(summary(found));
  }
  return false;
}

// Shows a result; returns false if a newer one has replaced it meanwhile.
async function showResult(own, found) {
  let maps;
  try {
    maps = await server.mapsOf(own, found.version);
  } catch (error) {
    if (error.outdated) return false;
    throw error;
  }
  if (session !== own) return true;
  result = found;
  const size = found.side ** 2;
  for (const tile of tiles) {
    const place = found.numbers.indexOf(tile.number);
    const map = place < 0 ? null : maps.subarray(place * size, (place + 1) * size);
    tile.setMap(map, found.side, found.presence[place]);
  }
  redraw();
  return true;
}

function summary({ numbers, category, doubtful }) {
  return `${counted(numbers.length)} segmented${doubtful ? doubt(numbers.length, category) : likeness(category)}.`;
}

function likeness(category) {
  return category ? `; it looks like “${category.name}” (${Math.round(100 * category.probability)} %)` : "";
}

function doubt(count, category) {
  const [they, masks] = count === 1 ? ["it looks", "the mask"] : ["they look", "the masks"];
  if (category) return `; it may be “${category.name}”, but check ${masks}`;
  return `; ${they} like nothing the network was trained on, so check ${masks}`;
}

// After a reload the session is still there.
async function resume(id) {
  try {
    const state = await server.stateOf(id);
    if (!state.photos.length) return;
    open(id);
    state.photos.forEach(addTile);
    for (const number of state.job?.left_out ?? []) tiles[number].setOut(true);
    for (const prompt of state.job?.prompts ?? []) showPrompt(prompt);
    if (!state.job) await segment();
    else if (await take(id, state)) follow();
  } catch {
    sessionStorage.removeItem(KEY);
  }
}

function showPrompt({ photo, points = [], labels, box, found: judged, wrong, absent = false }) {
  const tile = tiles[photo];
  const share = (pixels) => pixels.map((value, k) => value / (k % 2 ? tile.height : tile.width));
  const found = points.map((point, k) => ({ point: share(point), on: labels[k] === 1 }));
  const others = [...(judged ? [{ found: judged, wrong }] : []), ...(box ? [{ box: share(box) }] : [])];
  tile.setMarks([...tile.marks, ...others, ...found], absent);
}

listenForFiles(takeFiles);
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    notices.clear();
    takeIn(1, (id) => server.addExample(id, button.dataset.example));
  });
}
slider.addEventListener("input", redraw);
controls.addEventListener("change", redraw);
for (const [id, name] of [["box", "boxing"], ["exclude", "excluding"]]) {
  part(id).addEventListener("change", (event) => list.classList.toggle(name, event.target.checked));
}
undo.addEventListener("click", undoMarks);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
download.addEventListener("click", downloadArchive);
part("restart").addEventListener("click", () => {
  notices.clear();
  discard();
  part("choose").focus();
});

function beat() {
  if (session && !document.hidden) server.stateOf(session).catch((error) => error.gone && fail(error));
}
setInterval(beat, BEAT_MS);
server.whenBusy(() => say("The server is busy; trying again in a few seconds…", 0));
addEventListener("pagehide", () => session && server.leave(session));
addEventListener("pageshow", (event) => event.persisted && beat());
const stored = sessionStorage.getItem(KEY);
if (stored) {
  resume(stored);
  setTimeout(beat, RETURN_MS);
}
