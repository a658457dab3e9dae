// What the page asks of its server. Every function rejects with an Error whose message is for the
// user; `gone` is set on it where the session does not exist any more.

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "omit", ...options });
  } catch {
    throw new Error("The server does not answer. Is cosseg app still running?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  const error = new Error(said.error ?? `The server answered ${response.status}.`);
  error.gone = response.status === 404;
  throw error;
}

const post = (path, body) => ask(path, { method: "POST", body });
const json = async (answer) => (await answer).json();

export const newSession = async () => (await json(post("/api/sessions"))).id;
export const stateOf = (id) => json(ask(`/api/sessions/${id}`));
export const forget = (id) => ask(`/api/sessions/${id}`, { method: "DELETE" });
export const addPhoto = (id, file) =>
  json(post(`/api/sessions/${id}/photos?name=${encodeURIComponent(file.name)}`, file));
export const addExample = async (id, category) =>
  (await json(post(`/api/sessions/${id}/examples/${category}`))).photos;
export const segment = (id, leftOut, mark) =>
  json(post(`/api/sessions/${id}/segment`, JSON.stringify({ left_out: leftOut, mark })));
export const mapsOf = async (id, version) =>
  new Uint8Array(await (await ask(`/api/sessions/${id}/maps/${version}`)).arrayBuffer());
export const photoAddress = (id, number) => `/api/sessions/${id}/photos/${number}`;
export const archiveAddress = (id, threshold) =>
  `/api/sessions/${id}/archive?threshold=${threshold}`;
