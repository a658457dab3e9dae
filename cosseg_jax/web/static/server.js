// What the page asks its server for. Every function rejects with an Error whose message is for the
// user; it has `gone` if the session no longer exists, `outdated` if a newer result replaced this one.

const TRIES = 30; // while the server is busy

let tellBusy = () => {};

// Calls tell() whenever the server is busy and a request is about to wait and be sent again.
export const whenBusy = (tell) => (tellBusy = tell);

async function ask(path, options = {}) {
  let response;
  for (let tries = 1; ; tries++) {
    response = await sent(path, options);
    const seconds = Number(response.headers.get("Retry-After"));
    if (response.status !== 503 || !seconds || tries === TRIES) break;
    tellBusy();
    await pause(seconds);
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  const error = new Error(said.error ?? `The server answered ${response.status}.`);
  error.gone = response.status === 404;
  error.outdated = response.status === 409;
  throw error;
}

async function sent(path, options, tries = options.method ? 1 : 3) {
  try {
    return await fetch(path, { credentials: "omit", ...options });
  } catch {
    if (tries === 1) throw new Error("The server does not answer. Is cosseg app still running?");
    await pause(1);
    return sent(path, options, tries - 1);
  }
}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

const post = (path, body) => ask(path, { method: "POST", body });
const json = async (answer) => (await answer).json();

export const newSession = async () => (await json(post("/api/sessions"))).id;
export const stateOf = (id) => json(ask(`/api/sessions/${id}`));
export const forget = (id) => ask(`/api/sessions/${id}`, { method: "DELETE" });
export const leave = (id) => navigator.sendBeacon(`/api/sessions/${id}/leave`);
export const addPhoto = (id, file) =>
  json(post(`/api/sessions/${id}/photos?name=${encodeURIComponent(file.name)}`, file));
export const addExample = async (id, group) =>
  (await json(post(`/api/sessions/${id}/examples/${group}`))).photos;
export const segment = (id, leftOut, prompts) =>
  json(post(`/api/sessions/${id}/segment`, JSON.stringify({ left_out: leftOut, prompts })));
export const mapsOf = async (id, version) =>
  new Uint8Array(await (await ask(`/api/sessions/${id}/maps/${version}`)).arrayBuffer());
export const photoAddress = (id, number) => `/api/sessions/${id}/photos/${number}`;
export const archiveAddress = (id, version, threshold) =>
  `/api/sessions/${id}/archive/${version}?threshold=${threshold}`;
