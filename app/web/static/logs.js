// A pane for each pod's log. No log is read until they are shown.

import { badge, clock, found, h, say } from "./dom.js";

const MOST_LINES = 150;
const MOST_HELD = 300;

export class Logs {
  constructor(onShow) {
    this.panes = new Map(); // pod -> {list, last}
    this.held = []; // what has come while paused
    this.paused = false;
    const show = found("show-logs");
    show.addEventListener("click", () => {
      const shown = show.getAttribute("aria-expanded") !== "true";
      show.setAttribute("aria-expanded", String(shown));
      say(show, shown ? "Hide logs" : "Show logs");
      found("panes").hidden = found("pause").hidden = !shown;
      onShow(shown);
    });
    found("pause").addEventListener("click", () => this.pause(!this.paused));
  }

  pause(paused) {
    this.paused = paused;
    found("pause").setAttribute("aria-pressed", String(paused));
    say(found("pause"), paused ? "Go on" : "Pause");
    if (!paused) for (const told of this.held.splice(0)) this.write(told);
    this.tellHeld();
  }

  take(told) {
    if (!this.paused) return this.write(told);
    this.held.push(told);
    this.held.splice(0, this.held.length - MOST_HELD);
    this.tellHeld();
  }

  tellHeld() {
    const lines = this.held.reduce((sum, { lines }) => sum + lines.length, 0);
    say(found("held"), this.paused ? `paused; ${lines} line${lines === 1 ? "" : "s"} waiting` : "");
  }

  write({ pod, lines }) {
    const pane = this.pane(pod);
    const list = pane.list;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    for (const { n, at, level, line } of lines) {
      if (n <= pane.last) continue; // had already, before a connection was lost
      pane.last = n;
      const bad = level === "ERROR" || level === "CRITICAL";
      const mark = bad || level === "WARNING" ? h("strong", {}, level === "WARNING" ? "warning " : "error ") : null;
      list.append(h("p", { class: bad ? "error" : level === "WARNING" ? "warning" : false }, h("time", {}, clock(at * 1000)), " ", mark, line));
    }
    while (list.childElementCount > MOST_LINES) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  pane(pod) {
    let pane = this.panes.get(pod);
    if (!pane) {
      const list = h("div", { tabindex: "0", role: "log", "aria-live": "off", "aria-label": `log of ${pod}` });
      pane = { list, last: 0, element: h("section", { class: "pane" }, h("h3", {}, badge(pod), h("span", {}, pod)), list) };
      this.panes.set(pod, pane);
      const names = [...this.panes.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      const next = names[names.indexOf(pod) + 1];
      found("panes").insertBefore(pane.element, next ? this.panes.get(next).element : null);
      for (const old of [...this.panes.keys()].slice(0, -10)) {
        this.panes.get(old).element.remove();
        this.panes.delete(old);
      }
    }
    return pane;
  }
}
