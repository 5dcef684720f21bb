// The three protocols: the copies of the configuration, an upload's ACK trail, the replicas of an object.

import { badge, found, h, inDoubt, ms, post, say, why, zxid } from "./dom.js";

let typed = false; // and not yet published: what a person has typed stays

export function wireConfiguration() {
  found("chunk").addEventListener("input", () => { typed = true; });
  found("publish").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const { chunk_size: size, config_version: version } = await post("/config", { chunk_size: Number(found("chunk").value) });
      typed = false;
      say(found("config-said"), `published chunk_size ${size} as version ${zxid(version)}`);
    } catch (error) {
      say(found("config-said"), `${inDoubt(error) ? "in doubt: it may be published, or not" : "not published"}: ${why(error)}`);
    }
  });
}

/** Each pod's copy, and how long after the write it reported it. */
export function showConfiguration({ pods, config }) {
  if (!config) return;
  const input = found("chunk");
  if (!typed && document.activeElement !== input) input.value = config.chunk_size ?? "";
  const longest = Math.max(100, ...pods.map((pod) => pod.lag_ms ?? 0));
  found("copies").replaceChildren(...pods.map((pod) => {
    const has = pod.config_version != null && pod.config_version >= config.version;
    const words = !has ? `still has ${zxid(pod.config_version)}` : pod.lag_ms == null ? "has it" : `has it after ${pod.lag_ms} ms`;
    const bar = h("meter", { min: 0, max: longest, value: pod.lag_ms ?? 0, "aria-label": `lag of ${pod.pod}` });
    return h("li", { class: has ? "has" : "old" }, badge(pod.pod), h("span", {}, pod.pod), has ? bar : h("span", { class: "bar" }), h("span", { class: "words" }, words));
  }));
  say(found("config-now"), config.error ? `Not applied: ${config.error}` : `ZooKeeper has chunk_size ${config.chunk_size}, version ${zxid(config.version)}`);
}

// -- the ACK trail --

const STEPS = [
  // lane from, lane to, step, words
  [1, 1, "copied", (t) => `${t.primary} has it on its disk`],
  [1, 2, "published", (t) => `creates /jobs/${t.job.slice(0, 8)}…`],
  [2, 3, "copying", () => "a watch; copies, fsync"],
  [3, 2, "acking", () => "creates backup_ack"],
  [2, 1, "acknowledged", () => "a watch: the ACK counts"],
  [1, 2, "decided", (t) => `creates outcome${t.ms.committed != null ? ": committed" : t.ms.aborted != null ? ": aborted" : ""}`],
];

export function showTrail(trail) {
  if (!trail) {
    found("lanes").replaceChildren(h("p", { class: "quiet" }, "No upload since this page was opened, or since this master leads."));
    say(found("trail-said"), "");
    return;
  }
  const at = { ...trail.ms, decided: trail.ms.committed ?? trail.ms.aborted };
  const acked = at.acknowledged != null;
  const open = at.decided != null ? "never came" : at.known != null ? "by an earlier attempt" : "waiting";
  const heads = [["primary", trail.primary], ["ZooKeeper", ""], ["backup", trail.backup]].map(([what, who]) =>
    h("p", { class: "lane" }, h("b", {}, what), who ? h("span", {}, who) : null));
  const steps = STEPS.map(([from, to, step, words]) => {
    const seen = ["copying", "acking"].includes(step) ? acked : at[step] != null;
    const store = step === "acking" ? trail.store_ms?.acknowledged : step === "decided" ? trail.store_ms?.decided : null;
    const when = at[step] != null ? `${ms(at[step])}` : "";
    const stored = store != null ? `stored at +${store} ms` : "";
    const way = from === to ? "at" : from < to ? "right" : "left";
    return h("li", { class: `step ${way} from${Math.min(from, to)} ${seen ? "seen" : "open"}` },
      h("span", { class: "what" }, words(trail)), h("span", { class: "when" }, [when, stored].filter(Boolean).join(" · ") || (seen ? "" : open)));
  });
  found("lanes").replaceChildren(h("div", { class: "heads" }, ...heads), h("ol", { class: "steps" }, ...steps));
  say(found("trail-said"), `Measured by the primary, from its own copy on; "stored" by the clock of ZooKeeper's leader, from the record on. Epoch ${trail.epoch}.`);
}

// -- the quorum --

let lit = null; // what the last read or write touched: {object, classes by replica}

export function wireQuorum() {
  found("quorum").addEventListener("submit", async (event) => {
    event.preventDefault();
    const op = event.submitter?.value ?? "write";
    say(found("quorum-said"), op === "write" ? "writing …" : "reading …");
    let told;
    try {
      told = await post(`/quorum/${op}`, op === "write" ? { value: found("value").value } : {});
    } catch (error) {
      told = error.body?.op ? error.body : { ending: inDoubt(error) ? "in doubt" : "refused", op, error: why(error), answered: [], acknowledged: [], stale: [] };
    }
    light(told);
    say(found("quorum-said"), sentence(told));
  });
}

function light(told) {
  const classes = new Map();
  const add = (replica, name) => classes.set(replica, `${classes.get(replica) ?? ""} ${name}`);
  for (const { replica } of told.answered) add(replica, "answered");
  for (const replica of told.stale) add(replica, "stale");
  for (const { replica } of told.acknowledged) add(replica, told.op === "write" ? "stored" : "back");
  lit = { object: told.object, classes };
  if (last) showObject(last);
}

function sentence(told) {
  const list = (ones) => ones.map((one) => one.replica ?? one).join(", ");
  const asked = told.answered.length ? `; ${list(told.answered)} answered${told.stale.length ? `, ${list(told.stale)} stale` : ""}` : "";
  if (told.ending !== "done") return `${told.op} ${told.ending}: ${told.error}${asked}`;
  const stored = told.acknowledged.length ? `; ${told.op === "write" ? "stored at" : "written back to"} ${list(told.acknowledged)}` : "";
  const what = told.op === "write" ? `wrote version ${told.counter}` : told.counter ? `read version ${told.counter}, “${told.text ?? told.digest}”,` : "read: nothing has been written yet";
  return `${what} in ${ms(told.ms)} (N=${told.n}, W=${told.w}, R=${told.r})${asked}${stored}`;
}

let last = null;

export function showObject(object) {
  if (!object) return;
  last = object;
  say(found("object-name"), object.id ? `${named(object.id)}${object.gone ? ": gone with its job; its last state" : ""}` : "No object yet: write one.");
  const newest = Math.max(0, ...object.replicas.map((one) => one?.counter ?? 0));
  found("replicas").replaceChildren(...object.replicas.map((replica, at) => box(object, replica, at + 1, newest)));
}

const named = (id) => (id.endsWith("_matrix") ? `The matrix of job ${id.slice(0, 8)}…` : `/objects/${id}`);

function box(object, replica, number, newest) {
  const host = object.hosts[number - 1];
  const old = replica?.counter != null && replica.counter < newest;
  const marks = lit && lit.object === object.id && !object.gone ? lit.classes.get(number) ?? "" : "";
  const held = !replica ? ["no data"] : replica.error ? [replica.error] : [h("b", {}, `v${replica.counter}`), h("code", {}, replica.digest),
    h("span", { class: "value" }, replica.counter === 0 ? "unwritten" : replica.text ?? `${replica.size} bytes`)];
  const state = [!host ? "offline" : "", old ? "behind" : "", marks.includes("stale") ? "was stale" : "", marks.includes("back") ? "written back" : "", marks.includes("stored") ? "stored it" : marks.trim() === "answered" ? "answered" : ""].filter(Boolean).join(", ");
  return h("li", { class: `replica${host ? "" : " offline"}${old ? " behind" : ""}${marks}`, title: replica?.writer ? `written by ${replica.writer}` : false },
    h("h3", {}, `replica ${number}`), h("p", { class: "host", title: host ?? false }, ...(host ? [badge(host), h("span", {}, host)] : ["no host"])),
    ...held, h("span", { class: "state" }, state));
}
