// A phase's tasks as cells: the colour and letter of the pod that has done a task, or holds it now.

import { h, lookOf } from "./dom.js";

const MOST_CELLS = 400; // with more tasks, a cell stands for several
const FEW = 64; // up to this many have room for a letter

/** "0-3,7" -> 0, 1, 2, 3, 7 */
function* each(ranges) {
  for (const part of ranges.split(",")) {
    const [begin, end = begin] = part.split("-").map(Number);
    for (let index = begin; index <= end; index++) yield index;
  }
}

export class Phase {
  constructor(name, total) {
    this.name = name;
    this.total = total;
    this.group = Math.max(1, Math.ceil(total / MOST_CELLS));
    this.did = new Array(total).fill(null);
    this.held = new Map();
    this.dirty = new Set();
    this.cells = Array.from({ length: Math.ceil(total / this.group) }, () => h("i"));
    const size = total <= FEW ? "few" : total <= 200 ? "many" : "most";
    this.grid = h("div", { class: `cells ${size}`, role: "img" }, ...this.cells);
    this.count = h("span", { class: "count" });
    this.legend = h("p", { class: "quiet" });
    this.element = h("div", { class: "phase" }, h("h4", {}, h("span", {}, name), this.count), this.grid, this.legend);
    this.cells.forEach((_, index) => this.dirty.add(index));
  }

  get done() {
    return this.did.reduce((sum, pod) => sum + (pod ? 1 : 0), 0);
  }

  take({ did, held }) {
    const touch = (index) => this.dirty.add(Math.floor(index / this.group));
    for (const [pod, ranges] of Object.entries(did)) {
      for (const index of each(ranges)) {
        if (index < this.total) this.did[index] = pod;
        touch(index);
      }
    }
    for (const index of this.held.keys()) touch(index);
    this.held = new Map();
    for (const [pod, ranges] of Object.entries(held)) {
      for (const index of each(ranges)) {
        this.held.set(index, pod);
        touch(index);
      }
    }
  }

  /** `alive(pod)`: the tasks of a dead one are about to move. */
  paint(alive) {
    for (const index of this.held.keys()) this.dirty.add(Math.floor(index / this.group));
    for (const number of this.dirty) if (number < this.cells.length) this.paintCell(number, alive);
    this.dirty.clear();
    const done = this.done;
    this.count.textContent = ` ${done} of ${this.total}`;
    const shares = this.shares();
    const told = [...shares].map(([pod, { did, held }]) =>
      `${lookOf(pod).letter} ${pod} ${did}${held ? `, holds ${held}${alive(pod) ? "" : " (gone: they will move)"}` : ""}`);
    const each = this.group > 1 ? `; a cell is ${this.group} tasks` : "";
    this.legend.textContent = told.join(" · ") + each;
    this.grid.setAttribute("aria-label", `${this.name}: ${done} of ${this.total} tasks done. ${told.join("; ")}`);
  }

  shares() {
    const shares = new Map();
    const of = (pod) => shares.get(pod) ?? shares.set(pod, { did: 0, held: 0 }).get(pod);
    for (const pod of this.did) if (pod) of(pod).did++;
    for (const [index, pod] of this.held) if (!this.did[index]) of(pod).held++;
    return shares;
  }

  paintCell(number, alive) {
    const begin = number * this.group;
    const end = Math.min(begin + this.group, this.total);
    const counts = new Map();
    let done = 0;
    let holder = null;
    for (let index = begin; index < end; index++) {
      const pod = this.did[index];
      if (pod) {
        done++;
        counts.set(pod, (counts.get(pod) ?? 0) + 1);
      } else holder ??= this.held.get(index) ?? null;
    }
    const most = [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
    const pod = holder ?? most;
    const tasks = this.group === 1 ? `task ${begin}` : `tasks ${begin} to ${end - 1}`;
    const state = holder ? `held by ${holder}${alive(holder) ? "" : ", which is gone"}` : done === end - begin ? `done by ${most}` : done ? `${done} done, mostly by ${most}` : "open";
    const cell = this.cells[number];
    cell.title = `${tasks}: ${state}`;
    cell.textContent = pod && this.cells.length <= FEW ? lookOf(pod).letter : "";
    cell.className = !pod ? "" : holder ? `c${lookOf(pod).colour} ${alive(pod) ? "held" : "held lost"}` : `c${lookOf(pod).colour}${done < end - begin ? " part" : ""}`;
  }
}
