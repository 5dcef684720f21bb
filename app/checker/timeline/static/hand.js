// Keys, the pointer, paper; and the page is opened.

const KEYS = {
  ArrowRight: (shift) => step(1, shift ? scene.effects : undefined),
  ArrowLeft: (shift) => step(-1, shift ? scene.effects : undefined),
  ArrowDown: () => changeLane(1),
  ArrowUp: () => changeLane(-1),
  Home: () => select(scene.operations[0]),
  End: () => select(scene.operations[scene.operations.length - 1]),
  "+": () => zoom(STEP),
  "=": () => zoom(STEP),
  "-": () => zoom(1 / STEP),
  0: showAll,
  g: showGuilty,
  Escape: () => select(null),
};
// Elsewhere these move the page itself.
const ONLY_IN_THE_CHART = new Set(["ArrowDown", "ArrowUp", "Home", "End"]);

document.addEventListener("keydown", (event) => {
  const action = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  const elsewhere = document.activeElement !== chart && ONLY_IN_THE_CHART.has(event.key);
  if (!action || elsewhere || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
  event.preventDefault();
  action(event.shiftKey);
});

// --- pointing ---

/** The operation, or else the fault, that is drawn at this place. */
function at(event) {
  const bounds = canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
  if (x < layout.gutter || y < layout.top) return null;
  const picture = new Picture(null, scene, layout, view, canvas.drawnHeight, palette, patterns);
  const down = y + view.scrolled;
  const lane = scene.lanes.find((one) => down >= one.top && down < one.top + one.height);
  if (!lane) return null;
  let [best, nearest] = [null, CLICK];
  for (const operation of lane.operations) {
    const box = picture.boxOf(operation);
    const away = Math.max(box.x - x, x - box.x - box.wide, box.y - 3 - y, y - box.y - box.high - 6, 0);
    if (away < nearest) [best, nearest] = [operation, away];
  }
  const ms = view.window.from + (x - layout.gutter) / picture.perMs;
  const row = Math.floor(((down - lane.top) / lane.height) * Math.max(lane.spanRows, 1));
  return best ?? lane.spans.find((span) => span.row === row && span.from <= ms && span.to >= ms) ?? null;
}

function hover(event) {
  const found = at(event);
  const tip = byId("tip");
  tip.hidden = !found;
  if (found) {
    write(tip, found.op ? tell(found, scene) : tellSpan(found));
    const bounds = byId("frame").getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    tip.style.left = `${Math.max(4, Math.min(x + 14, bounds.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + 20 + tip.offsetHeight < bounds.height ? y + 20 : Math.max(2, y - tip.offsetHeight - 14)}px`;
  }
  if (found !== view.hovered) {
    view.hovered = found;
    redraw();
  }
}

let drag = null;

chart.addEventListener("pointerdown", (event) => {
  if (event.button === 0 && event.offsetX < chart.clientWidth) drag = { x: event.clientX, window: view.window, far: false };
});
chart.addEventListener("pointermove", (event) => {
  if (!drag) return hover(event);
  const pixels = event.clientX - drag.x;
  if (!drag.far && Math.abs(pixels) < CLICK) return undefined;
  if (!drag.far) chart.setPointerCapture(event.pointerId);
  drag.far = true;
  byId("tip").hidden = true;
  chart.classList.add("moving");
  const perPixel = (drag.window.to - drag.window.from) / layout.plot;
  view.window = clampWindow(moved(drag.window, -pixels * perPixel), scene.extent);
  return redraw();
});
function dropped(event) {
  if (drag && !drag.far && event.type === "pointerup") {
    const found = at(event);
    if (found?.op) select(found);
  }
  drag = null;
  chart.classList.remove("moving");
}
chart.addEventListener("pointerup", dropped);
chart.addEventListener("pointercancel", dropped);
chart.addEventListener("pointerleave", () => {
  byId("tip").hidden = true;
  view.hovered = null;
  redraw();
});
chart.addEventListener("wheel", (event) => {
  const sideways = event.shiftKey ? event.deltaY : event.deltaX;
  if (!event.ctrlKey && !event.metaKey && Math.abs(sideways) < Math.abs(event.deltaY) && !event.shiftKey) return;
  event.preventDefault();
  const perPixel = (view.window.to - view.window.from) / layout.plot;
  if (event.ctrlKey || event.metaKey) {
    const x = event.clientX - canvas.getBoundingClientRect().left;
    zoom(Math.exp(-event.deltaY / 240), view.window.from + (x - layout.gutter) * perPixel);
  } else {
    view.window = clampWindow(moved(view.window, sideways * perPixel), scene.extent);
    redraw();
  }
}, { passive: false });
chart.addEventListener("dblclick", (event) => {
  const x = event.clientX - canvas.getBoundingClientRect().left;
  zoom(STEP * STEP, view.window.from + ((x - layout.gutter) * (view.window.to - view.window.from)) / layout.plot);
});
chart.addEventListener("scroll", redraw);

/** The part that is shown has its middle where the pointer is. */
function moveTo(event) {
  if (!(event.buttons & 1)) return;
  const whole = scene.extent;
  const x = event.clientX - overview.getBoundingClientRect().left - layout.gutter;
  const middle = whole.from + (x / (overview.clientWidth - layout.gutter)) * (whole.to - whole.from);
  view.window = clampWindow(moved(view.window, middle - (view.window.from + view.window.to) / 2), whole);
  redraw();
}
overview.addEventListener("pointerdown", (event) => {
  overview.setPointerCapture(event.pointerId);
  moveTo(event);
});
overview.addEventListener("pointermove", moveTo);

// --- the rest ---

byId("key").addEventListener("change", (event) => showKey(scene.chapter, Number(event.target.value)));
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("in").addEventListener("click", () => zoom(STEP));
byId("out").addEventListener("click", () => zoom(1 / STEP));
byId("fit").addEventListener("click", showAll);
byId("guilty").addEventListener("click", showGuilty);
byId("list").addEventListener("toggle", (event) => {
  const place = event.target.lastElementChild;
  if (event.target.open && !place.hasChildNodes()) place.append(tableOf(scene));
});

/**
 * Paper is white and has no scrollbars: all lanes, on one page, in four times the pixels. Chromium prints a
 * canvas as lines and text, and rounds its scale down to 1/64: so it is given a scale that is a multiple of it.
 */
function toPaper() {
  if (onPaper) return;
  onPaper = true;
  document.documentElement.classList.add("paper");
  layout = layoutOf(scene, PAPER.width, { least: 3, most: 34, height: PAPER.height });
  prepare(PAPER.width, layout.height, PAPER.ratio);
  const sixtyFourths = Math.max(1, Math.floor((64 / PAPER.ratio) * Math.min(1, PAPER.height / layout.height)));
  canvas.style.width = `${(canvas.width * sixtyFourths) / 64}px`;
}
function fromPaper() {
  onPaper = false;
  document.documentElement.classList.remove("paper");
  canvas.style.width = "";
  resize();
}
window.addEventListener("beforeprint", toPaper);
window.addEventListener("afterprint", fromPaper);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => onPaper || resize());
new ResizeObserver(() => onPaper || resize()).observe(byId("frame"));

for (const chapter of book.chapters.length > 1 ? book.chapters : []) {
  const button = made("button", `${chapter.name}: ${chapter.verdict.outcome}`);
  button.type = "button";
  button.addEventListener("click", () => showChapter(chapter));
  byId("chapters").append(button);
}
showChapter(book.chapters[0]);
chart.focus({ preventScroll: true });
