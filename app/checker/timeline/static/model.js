// What the page was given, and what of it is shown: a scene is one chapter, with all its keys or one.

const book = JSON.parse(document.getElementById("history").textContent);
const EVERY_KEY = -1;
// A process does one thing at a time, so a few rows are enough for what it saw at one moment.
const MOST_ROWS = 8;

/** The operations and faults of a chapter, laid out in lanes and, where they overlap, in rows. */
function sceneOf(chapter, key) {
  const chosen = chapter.operations
    .map((operation, number) => ({ ...operation, number }))
    .filter((operation) => key === EVERY_KEY || operation.key === key);
  const lanes = chapter.lanes.map((lane) => ({ ...lane, operations: [], spans: [], rows: 0, spanRows: 0 }));
  for (const operation of chosen) {
    operation.home = lanes[operation.lane];
    operation.home.operations.push(operation);
  }
  const extent = extentOf(chosen, chapter.end);
  const spans = chapter.spans
    .map((span) => ({ ...span, home: lanes[span.lane], to: span.to ?? Infinity }))
    .filter((span) => span.from <= extent.to && span.to >= extent.from);
  for (const span of spans) span.home.spans.push(span);
  const shown = lanes.filter((lane) => lane.operations.length || lane.group);
  for (const lane of shown) {
    lane.rows = pack(lane.operations);
    lane.spanRows = pack(lane.spans);
  }
  const complaint = complaintOf(chapter, key);
  const guilty = new Map(complaint.witness.map((number, index) => [number, index + 1]));
  const scene = { chapter, key, operations: chosen, lanes: shown, spans, guilty, why: complaint.why };
  const effects = chosen.filter((operation) => operation.nth !== null).sort((a, b) => a.at - b.at || a.nth - b.nth);
  return Object.assign(scene, { effects, extent, copy: copyOf(effects, key) });
}

/** Which operations are marked: those of the verdict; for a single key without any, those that spoil its order. */
function complaintOf(chapter, key) {
  const orders = chapter.keys;
  const witness = chapter.witness.filter((number) => key === EVERY_KEY || chapter.operations[number].key === key);
  if (key !== EVERY_KEY) return { witness: witness.length ? witness : orders[key].witness, why: orders[key].why };
  const without = orders.filter((one) => !one.ordered).length;
  const many = `${orders.length - without} of ${orders.length} keys have an order that explains every read`;
  const crosses = without ? " A cross marks a read that fits none." : "";
  const why = orders.length === 1 ? orders[0].why : `${many}; choose one to see it, and the single copy it makes.${crosses}`;
  return { witness, why };
}

/** First fit: an item goes into the first row whose last item has ended. Returns how many rows there are. */
function pack(items) {
  const rows = [];
  for (const item of items) {
    let row = rows.findIndex((last) => (last.to ?? last.from) <= item.from && last.from < item.from);
    if (row < 0) row = Math.min(rows.length, MOST_ROWS - 1);
    else rows[row].next = item.from;
    rows[row] = item;
    item.row = row;
  }
  return rows.length;
}

/** From when to when there is something to see, with room for the text beside the last bars. */
function extentOf(operations, end) {
  let [from, to] = [Infinity, -Infinity];
  for (const operation of operations) {
    from = Math.min(from, operation.from);
    to = Math.max(to, operation.to ?? operation.from, operation.at ?? operation.from);
  }
  if (from > to) [from, to] = [0, end];
  const length = Math.max(to - from, 0.01);
  return { from: from - length * 0.03, to: to + length * 0.09 };
}

/** What a single copy would have held, from one write's effect to the next; only for a single key. */
function copyOf(effects, key) {
  if (key === EVERY_KEY || !effects.length) return null;
  const held = [{ value: "null", from: -Infinity, to: Infinity, same: null }];
  for (const write of effects.filter((operation) => operation.op === "write")) {
    held[held.length - 1].to = write.at;
    held.push({ value: write.value, from: write.at, to: Infinity, same: write.same });
  }
  return held;
}
