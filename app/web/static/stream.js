// One connection to the master. It reconnects by itself, with the number of the last event that it has had:
// the same master goes on from there, another one sends a snapshot of everything.

const KINDS = ["snapshot", "resumed", "job", "tasks", "pods", "object", "trail", "log", "beat", "cluster"];
const SILENCE_MS = 25_000; // the master gives a sign of life every ten seconds
const HIDDEN_MS = 10_000; // a hidden page gives its connection back
const LONGEST_PAUSE_MS = 1_500;

export class Stream {
  /** `on[kind](data, ms since the event before)` for every event; `on.lost(why)` when the connection has ended, why as far as it is known. */
  constructor(on) {
    this.on = on;
    this.logs = false;
    this.last = "";
    this.tries = 0;
    this.heard = this.told = Date.now();
    setInterval(() => {
      if (this.source && Date.now() - this.heard > SILENCE_MS) this.fail("the master has fallen silent");
    }, 5_000);
    document.addEventListener("visibilitychange", () => this.seen());
  }

  open() {
    clearTimeout(this.again);
    this.source?.close();
    this.heard = Date.now();
    const source = new EventSource(`/events?page${this.logs ? "&logs" : ""}${this.last ? `&after=${encodeURIComponent(this.last)}` : ""}`);
    this.source = source;
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        const silence = Date.now() - this.told;
        this.told = this.heard = Date.now();
        this.tries = 0;
        if (event.lastEventId) this.last = event.lastEventId;
        this.on[kind]?.(JSON.parse(event.data), silence);
      });
    }
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      const refused = source.readyState === EventSource.CLOSED;
      this.fail("");
      if (refused) this.ask();
    });
  }

  fail(why) {
    this.source?.close();
    this.source = null;
    this.on.lost(why);
    const pause = Math.min(150 * 2 ** this.tries++, LONGEST_PAUSE_MS);
    clearTimeout(this.again);
    this.again = setTimeout(() => this.open(), pause);
  }

  /** Something answered, and not with events: it says why. */
  async ask() {
    try {
      const answer = await fetch("/jobs", { signal: AbortSignal.timeout(3_000) });
      if (!answer.ok && this.tries) this.on.lost((await answer.json()).error);
    } catch {
      // No reply: the next attempt shows.
    }
  }

  show(logs) {
    this.logs = logs;
    this.open();
  }

  seen() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => {
        clearTimeout(this.again);
        this.source?.close();
        this.source = null;
      }, HIDDEN_MS);
    } else if (!this.source) this.open();
  }
}
