// The job that is shown: sending it, its phases and tasks, its pictures, its end; and the list of the last ones.

import { Phase } from "./task_grid.js";
import { ask, found, h, inDoubt, say, why } from "./dom.js";

const JOBS_KEPT = 10;
const CELLS_KEPT = 4;
const PATIENCE_MS = 60_000;
const UPLOAD_MS = 300_000; // a large picture over a slow network
const PICTURE_AFTER_MS = 300; // jobs that follow each other quickly are not shown
const HEAD_LETTERS = 600;

export class Job {
  constructor(pods) {
    this.pods = pods;
    this.jobs = new Map(); // id -> the last event
    this.phases = new Map(); // id -> Map of phase -> Phase
    this.followed = null;
    this.chosen = false; // by a person: it stays
    this.painting = false;
    this.mine = null; // the latest upload from here, until it has ended
    this.rows = new Map(); // id -> the row of the last jobs' table
    found("upload").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(new FormData(event.target));
    });
    this.listenForDrops(found("drop"), found("upload").elements.image);
    found("drop").addEventListener("change", (event) => say(found("said"), event.target.files[0] ? `${event.target.files[0].name}: ready to send` : ""));
  }

  listenForDrops(zone, input) {
    const over = (is) => (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      zone.classList.toggle("over", is);
    };
    // Anywhere: a browser leaves the page for a file that is dropped on no element that takes it.
    window.addEventListener("dragover", over(true));
    window.addEventListener("dragleave", over(false));
    window.addEventListener("drop", (event) => {
      over(false)(event);
      if (event.dataTransfer?.files.length) {
        input.files = event.dataTransfer.files;
        const kinds = found("kinds");
        if (/\.txt$|\.md$/i.test(input.files[0].name)) kinds.value = "wordcount";
        else if (kinds.value === "wordcount") kinds.value = "equalize";
        found("upload").requestSubmit();
      }
    });
  }

  // -- sending --

  /** A persistent client: it repeats the request under the same key until the outcome is known. */
  async send(form) {
    const name = form.get("image").name;
    let key = newKey();
    let doubt = false; // an attempt with an unknown outcome
    const until = Date.now() + PATIENCE_MS;
    say(found("said"), `${name}: sending; the answer comes once it is on two disks`);
    for (;;) {
      try {
        const { job_id: id } = await ask("/upload", { method: "POST", body: form, headers: { "Idempotency-Key": key }, signal: AbortSignal.timeout(UPLOAD_MS) });
        say(found("said"), `${name}: stored on two disks`);
        this.follow(id, true);
        this.mine = id;
        this.announce();
        return;
      } catch (error) {
        doubt ||= inDoubt(error);
        if (error.body?.aborted) [key, doubt] = [newKey(), false]; // that key is aborted: the next attempt takes a new one
        const mayPass = error.status === undefined || [403, 503, 504].includes(error.status);
        if (!mayPass || Date.now() > until) {
          say(found("said"), `${name}: ${doubt ? "in doubt: it may be stored, or not; see the recent jobs" : "not done"}: ${why(error)}`);
          return;
        }
        say(found("said"), `${name}: ${why(error)} (trying again)`);
        await new Promise((resolve) => setTimeout(resolve, 700));
      }
    }
  }

  // -- what the stream brings --

  reset(jobs, tasks, kinds) {
    this.jobs = new Map([...jobs].reverse().map((job) => [job.id, job]));
    const own = this.followed && this.phases.get(this.followed);
    this.phases = new Map(own ? [[this.followed, own]] : []);
    for (const told of tasks) this.takeTasks(told);
    const select = found("kinds");
    const chosen = select.value;
    select.replaceChildren(...kinds.map((kind) => h("option", {}, kind)));
    select.value = kinds.includes(chosen) ? chosen : kinds[0];
    this.choose();
    found("jobs").replaceChildren();
    this.rows.clear();
    this.list();
    this.announce();
    this.paintSoon();
  }

  take(job) {
    const isNew = !this.jobs.has(job.id);
    this.jobs.set(job.id, job);
    for (const id of [...this.jobs.keys()].slice(0, -JOBS_KEPT)) if (id !== this.followed) this.jobs.delete(id);
    if (isNew) this.choose();
    this.announce();
    this.listSoon();
    if (job.id === this.followed) this.paintSoon();
  }

  takeTasks(told) {
    const phases = this.phases.get(told.job) ?? new Map();
    this.phases.set(told.job, phases);
    let phase = phases.get(told.phase);
    if (!phase || phase.total !== told.total) {
      phase = new Phase(told.phase, told.total);
      phases.set(told.phase, phase);
    }
    phase.take(told);
    for (const id of [...this.phases.keys()].slice(0, -CELLS_KEPT)) if (id !== this.followed) this.phases.delete(id);
    if (told.job === this.followed) this.paintSoon();
  }

  /** That the job which was sent from here has ended, and how: for a screen reader. */
  announce() {
    const job = this.jobs.get(this.mine);
    if (!job || !hasEnded(job)) return;
    say(found("ended"), `${job.name}: ${words(job, 0)}`);
    this.mine = null;
  }

  /** Show the newest job, unless a person has chosen one, or one is still running. */
  choose() {
    const now = this.jobs.get(this.followed);
    const running = now && !hasEnded(now);
    const newest = [...this.jobs.keys()].pop();
    if (newest && newest !== this.followed && !running && !this.chosen) this.follow(newest, false);
  }

  follow(id, chosen) {
    this.chosen = chosen && this.jobs.get(id)?.state !== undefined && id !== [...this.jobs.keys()].pop();
    if (id !== this.followed) {
      this.followed = id;
      found("phases").replaceChildren();
      found("pictures").replaceChildren();
      found("result").replaceChildren();
      this.pictured = "";
    }
    this.paintSoon();
  }

  // -- what is shown --

  paintSoon() {
    if (this.painting) return;
    this.painting = true;
    requestAnimationFrame(() => {
      this.painting = false;
      this.paint();
    });
  }

  paint() {
    const job = this.jobs.get(this.followed);
    found("followed").hidden = !job;
    found("nothing").hidden = Boolean(job);
    if (!job) return;
    say(found("job-name"), `${job.name} (${job.job}, ${size(job.size)})`);
    found("job-state").className = job.state;
    say(found("job-state"), words(job, this.done(job)));
    this.paintPhases(job);
    this.paintResult(job);
    this.picture(job);
  }

  /** Tasks of its phase that are done. A master that has just taken over counts what it has looked at so far. */
  done(job) {
    return Math.max(job.tasks_done, this.phases.get(job.id)?.get(job.phase)?.done ?? 0);
  }

  paintPhases(job) {
    const phases = this.phases.get(job.id) ?? new Map();
    const alive = (pod) => this.pods.isLive(pod);
    for (const name of job.phases) {
      const phase = phases.get(name);
      if (phase && phase.element.parentNode !== found("phases")) {
        const old = [...found("phases").children].find((child) => child.dataset.phase === name);
        phase.element.dataset.phase = name;
        if (old) old.replaceWith(phase.element);
        else found("phases").append(phase.element);
      }
      phase?.paint(alive);
    }
    const at = job.state === "done" ? job.phases.length : Math.max(0, job.phases.indexOf(job.phase));
    const part = job.tasks_total ? this.done(job) / job.tasks_total : 0;
    found("progress").max = job.phases.length || 1;
    found("progress").value = job.state === "done" ? found("progress").max : at + part;
    this.tellWork(job, phases.get(job.phase));
  }

  tellWork(job, phase) {
    const works = new Map();
    if (phase && job.state === "running") {
      for (const [pod, { did, held }] of phase.shares()) works.set(pod, `${job.phase}: ${did} done${held ? `, ${held} held` : ""}`);
    }
    this.pods.work(works);
  }

  paintResult(job) {
    const wanted = job.download ?? "";
    if (found("result").dataset.of === wanted) return;
    found("result").dataset.of = wanted;
    found("result").replaceChildren(...(wanted ? [h("a", { href: wanted, download: `${job.name.replace(/\.[^.]*$/, "")}_${job.job}.${wanted.split(".").pop()}` }, `Download the result (${wanted.split(".").pop()})`)] : []));
  }

  picture(job) {
    const state = `${job.id} ${job.state === "done"}`;
    if (this.pictured === state || job.state === "failed") return;
    this.pictured = state;
    clearTimeout(this.picturing);
    this.picturing = setTimeout(() => this.look(job, state), PICTURE_AFTER_MS);
  }

  async look(job, state) {
    const figures = [];
    for (const which of job.state === "done" ? ["before", "after"] : ["before"]) {
      const image = h("img", { alt: `${job.name}, ${which}`, src: `/preview/${encodeURIComponent(job.id)}_${which}.png` });
      try {
        await image.decode();
        figures.push(h("figure", {}, image, h("figcaption", {}, which)));
      } catch {
        // No picture: a text, or one that is no longer kept.
      }
    }
    if (this.pictured !== state) return;
    if (!figures.length && job.download && /\.(json|txt)$/.test(job.download)) figures.push(await beginning(job));
    if (this.pictured === state) found("pictures").replaceChildren(...figures);
  }

  // -- the last jobs --

  listSoon() {
    this.listing ??= setTimeout(() => {
      this.listing = null;
      this.list();
    }, 200);
  }

  /** A row is made once and then only changed: a button must not vanish under a click. */
  list() {
    for (const [id, row] of this.rows) {
      if (this.jobs.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    for (const job of this.jobs.values()) {
      if (!this.rows.has(job.id)) {
        this.rows.set(job.id, this.row(job));
        found("jobs").prepend(this.rows.get(job.id));
      }
      tell(this.rows.get(job.id), job);
    }
  }

  row(job) {
    const show = h("button", { type: "button", class: "link" }, job.name);
    show.addEventListener("click", () => this.follow(job.id, true));
    return h("tr", {}, h("td", {}, show), h("td", {}, job.job), h("td"), h("td"), h("td"));
  }
}

function tell(row, job) {
  const [, , state, seconds, result] = row.children;
  row.className = job.state;
  say(state, job.state === "failed" ? `failed: ${job.error}` : job.state);
  say(seconds, job.seconds == null ? "" : job.seconds.toFixed(2));
  if (job.download && !result.firstChild) result.append(h("a", { href: job.download, title: `result of ${job.name}` }, job.download.split(".").pop()));
}

const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const hasEnded = (job) => ["done", "failed"].includes(job.state);

function words(job, done) {
  if (job.state === "failed") return `Failed: ${job.error}`;
  if (job.state === "done") return `Done in ${job.seconds.toFixed(2)} s`;
  if (!job.phase) return "Stored on two disks; being planned";
  return `Running: ${job.phase}, ${done} of ${job.tasks_total} tasks`;
}

const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** The first letters of a result that is text; nothing where it is unavailable. */
async function beginning(job) {
  try {
    const answer = await fetch(job.download);
    if (!answer.ok) return "";
    const reader = answer.body.getReader();
    const { value } = await reader.read();
    reader.cancel();
    const text = new TextDecoder().decode(value ?? new Uint8Array());
    const shown = text.length > HEAD_LETTERS ? `${text.slice(0, HEAD_LETTERS)}…` : text;
    return h("figure", { class: "text" }, h("pre", { tabindex: "0", "aria-label": "the beginning of the result" }, shown), h("figcaption", {}, "after"));
  } catch {
    return ""; // the master has gone meanwhile: the link is there
  }
}
