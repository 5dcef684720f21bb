// An operation, or a fault, in words: for the eye, and for who can't see the picture.

const MOST_FAULTS = 6;

function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function titleOf(operation) {
  const { home, op, value, outcome } = operation;
  if (outcome === "ok") return `${home.name} ${op === "write" ? "wrote" : "read"} ${value}`;
  return `${home.name}'s ${op}${op === "write" ? ` of ${value}` : ""}: ${outcome}`;
}

/** Everything about one operation, in a few sentences. */
function tell(operation, scene) {
  const guilty = scene.guilty.get(operation.number);
  const key = scene.chapter.keys[operation.key].name;
  const version = operation.version === null ? "" : `, version ${operation.version}`;
  const place = `${scene.operations.indexOf(operation) + 1} of ${scene.operations.length}`;
  return [
    `${guilty ? `Guilty, number ${guilty}: ` : ""}${titleOf(operation)}`,
    `${place}; key ${key}${version}. ${whenOf(operation)} ${effectOf(operation, scene)} ${faultsOf(operation, scene)}`,
  ];
}

function whenOf(operation) {
  const began = `Began at ${moment(operation.from)}`;
  if (operation.to === null) return `${began}, never answered.`;
  if (operation.to === operation.from) return `At ${moment(operation.from)}.`;
  const ended = { ok: "answered", refused: "refused", unknown: "given up" }[operation.outcome];
  return `${began}, ${ended} at ${moment(operation.to)} (${duration(operation.to - operation.from)}).`;
}

function effectOf(operation, scene) {
  if (!operation.fits) return "No moment between fits an order with the others.";
  if (operation.outcome === "refused") return "It did not happen.";
  if (operation.nth !== null) {
    const all = scene.chapter.operations.filter((one) => one.key === operation.key && one.nth !== null).length;
    return `It can have taken effect at ${moment(operation.at)}, number ${operation.nth} of ${all} on this key.`;
  }
  if (operation.outcome === "unknown") {
    return operation.op === "write" ? "Nobody read it: it may never have happened, or happen later." : "It returned nothing.";
  }
  return "";
}

function faultsOf(operation, scene) {
  const end = operation.to ?? operation.from;
  const met = scene.spans.filter((span) => span.from <= end && span.to >= operation.from);
  if (!met.length) return "";
  const named = met.slice(0, MOST_FAULTS).map((span) => `${span.home.name} ${span.kind}`);
  const more = met.length > MOST_FAULTS ? `, and ${met.length - MOST_FAULTS} more` : "";
  return `Meanwhile: ${named.join(", ")}${more}.`;
}

function tellSpan(span) {
  const lasted = span.to === Infinity ? "and never ended here" : `to ${moment(span.to)} (${duration(span.to - span.from)})`;
  return [`${span.home.name}: ${span.kind}`, `From ${moment(span.from)} ${lasted}.`];
}

/** Paragraphs, as text: what stands in a history is never read as HTML. */
function write(element, sentences) {
  element.replaceChildren(...sentences.map((sentence) => made("p", sentence.trim().replace(/ +/g, " "))));
}

function made(name, text = "") {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

const COLUMNS = ["", "Process", "Operation", "Key", "Value", "Version", "Began (s)", "Ended (s)", "Outcome", "Took effect (s)"];

/** The same as a table; made only when somebody wants it. */
function tableOf(scene) {
  const table = made("table");
  const head = table.createTHead().insertRow();
  for (const column of COLUMNS) head.append(made("th", column));
  const body = table.createTBody();
  const seconds = (ms) => (ms === null ? "" : (ms / 1000).toFixed(6));
  scene.operations.forEach((one, place) => {
    const guilty = scene.guilty.get(one.number);
    const cells = [
      guilty ? `${place + 1} (guilty ${guilty})` : `${place + 1}`, one.home.name, one.op,
      scene.chapter.keys[one.key].name, one.value, one.version ?? "", seconds(one.from), seconds(one.to),
      one.outcome, one.fits ? seconds(one.at) : "no moment fits",
    ];
    const row = body.insertRow();
    for (const cell of cells) row.insertCell().textContent = cell;
  });
  return table;
}
