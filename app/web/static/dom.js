// Small things that every panel uses. Whatever comes from outside is set as text, never as HTML.

export const found = (id) => document.getElementById(id);

/** An element: h("td", {class: "x", title: "..."}, "text", another). */
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** Set the text only if it is another one: a screen reader hears a change, and not every event. */
export function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

export const zxid = (version) =>
  version == null ? "none" : `${Math.floor(version / 2 ** 32)}:${version % 2 ** 32}`;

export const clock = (ms) => new Date(ms).toLocaleTimeString();

export function ms(value) {
  if (value == null) return "";
  return value < 1000 ? `${Math.round(value * 10) / 10} ms` : `${(value / 1000).toFixed(1)} s`;
}

/** The reply to a request; an Error with the server's own sentence where it refused. */
export async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  let body = null;
  try {
    body = await answer.json();
  } catch {
    body = { error: `answered ${answer.status}, and nothing that can be read` };
  }
  if (!answer.ok) throw Object.assign(new Error(body.error ?? `answered ${answer.status}`), { status: answer.status, body });
  return body;
}

/** Whether it may have happened: no answer, or one that says so. Never called refused, or failed. */
export const inDoubt = (error) => error.status === undefined || [500, 504].includes(error.status);

export const why = (error) => (error.status ? error.message : "no answer; the master may have changed");

const ANSWER_MS = 15_000; // the longest of the master's own deadlines, and some more

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(ANSWER_MS) });

// -- a pod's colour and letter: kept while this page is open, so that its tasks can be told apart --

const COLOURS = 8;
const known = new Map();

export function lookOf(pod) {
  if (!known.has(pod)) {
    const number = known.size;
    known.set(pod, { letter: String.fromCharCode(65 + (number % 26)), colour: number % COLOURS });
  }
  return known.get(pod);
}

export function badge(pod) {
  const { letter, colour } = lookOf(pod);
  return h("span", { class: `badge c${colour}`, "aria-hidden": "true" }, letter);
}
