// The cards: each pod, its role and its work. A pod that has gone stays for a while, grey.

import { badge, clock, found, h, lookOf, say, zxid } from "./dom.js";

const KEPT_MS = 120_000;
const MOST_GONE = 5;
const SIGNS = { master: "★ master", backup: "◆ backup", worker: "worker" };

export class Pods {
  constructor() {
    this.cards = new Map(); // pod -> {element, fields, gone}
    this.works = new Map(); // pod -> what it does for the job that the page follows
    this.live = new Map();
    this.blind = false; // silent for too long to know when a pod went
    setInterval(() => this.forget(), 5_000);
  }

  show({ pods, epoch }) {
    this.live = new Map(pods.map((pod) => [pod.pod, pod]));
    for (const pod of pods) lookOf(pod.pod);
    for (const pod of pods) this.update(this.card(pod.pod), pod);
    for (const [name, card] of this.cards) {
      if (!this.live.has(name) && !card.gone) this.bury(card);
    }
    this.blind = false;
    const backup = epoch.backup ? `, backed up by ${epoch.backup}` : ", without a backup";
    say(found("leader"), epoch.primary ? `Epoch ${epoch.number}: ${epoch.primary} leads${backup}` : "No pod leads");
  }

  isLive(name) {
    return this.live.has(name);
  }

  card(name) {
    let card = this.cards.get(name);
    if (!card) {
      const fields = {};
      const row = (label) => {
        fields[label] = h("dd");
        return h("div", {}, h("dt", {}, label), fields[label]);
      };
      const role = h("p", { class: "role" });
      const element = h("li", { class: "card" }, h("h3", {}, badge(name), h("span", {}, name)), role,
        h("dl", {}, ...["epoch", "replica", "config", "doing"].map(row)));
      card = { element, fields, role, gone: 0 };
      this.cards.set(name, card);
      const after = [...this.cards.keys()].sort(byName);
      const next = after[after.indexOf(name) + 1];
      found("cards").insertBefore(element, next ? this.cards.get(next).element : null);
    }
    return card;
  }

  update(card, pod) {
    card.gone = 0;
    card.element.className = `card ${pod.role}`;
    card.pod = pod;
    say(card.role, SIGNS[pod.role] ?? pod.role);
    say(card.fields.epoch, pod.epoch == null ? "–" : String(pod.epoch));
    say(card.fields.replica, pod.slot == null ? "none" : `hosts ${pod.slot}`);
    say(card.fields.config, zxid(pod.config_version));
    this.tellWork(card, pod);
  }

  tellWork(card, pod) {
    const work = this.works.get(pod.pod);
    const jobs = pod.doing.length;
    say(card.fields.doing, work || (jobs ? `${jobs} job${jobs > 1 ? "s" : ""}` : "idle"));
  }

  /** What each pod has done, or holds, of the job that is shown: Map of pod -> words. */
  work(works) {
    this.works = works;
    for (const card of this.cards.values()) if (!card.gone && card.pod) this.tellWork(card, card.pod);
  }

  /** The connection to this one is lost; whether it is alive is known once a pod leads. */
  silent(name) {
    const card = this.cards.get(name);
    if (!card || card.gone) return;
    card.element.className = "card silent";
    say(card.role, "★ master, silent");
  }

  bury(card) {
    card.gone = Date.now();
    card.element.className = "card gone";
    say(card.role, this.blind ? "✕ gone, while this page was away" : `✕ gone at ${clock(card.gone)}`);
    say(card.fields.replica, "–");
    say(card.fields.doing, "its session has expired");
    const gone = [...this.cards].filter(([, one]) => one.gone).sort((a, b) => b[1].gone - a[1].gone);
    for (const [name] of gone.slice(MOST_GONE)) this.drop(name);
  }

  forget() {
    for (const [name, card] of this.cards) if (card.gone && Date.now() - card.gone > KEPT_MS) this.drop(name);
  }

  drop(name) {
    this.cards.get(name).element.remove();
    this.cards.delete(name);
  }
}

const byName = (a, b) => a.localeCompare(b, "en", { numeric: true });
