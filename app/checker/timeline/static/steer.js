// What a reader does: choose, step, zoom, move, print. All that can change is in `view`.

const byId = (id) => document.getElementById(id);
const chart = byId("chart");
const canvas = byId("canvas");
const overview = byId("overview");
const STEP = 1.6;
const CLICK = 4;
// What fits on A4 and on letter paper, landscape, below the verdict and above the legend.
const PAPER = { width: 984, height: 470, ratio: 4 };

const view = { window: null, scrolled: 0, selected: null, hovered: null };
let scene, layout, palette, patterns;
let frame = 0;
let onPaper = false;

// --- drawing ---

/** Once a frame, however much has changed. */
function redraw() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    if (!onPaper) drawNow();
  });
}

/** Sizes and colours anew, then everything. */
function resize() {
  const room = { least: 24, most: 46, height: Math.max(220, window.innerHeight * 0.55) };
  layout = layoutOf(scene, chart.clientWidth, room);
  byId("sheet").style.height = `${layout.height}px`;
  const height = Math.min(layout.height, chart.clientHeight);
  prepare(chart.clientWidth, height, window.devicePixelRatio || 1);
}

function prepare(width, height, ratio) {
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  palette = paletteOf();
  patterns = patternsOf(context, palette, ratio);
  canvas.drawnHeight = height;
  mapOf.image = null;
  drawNow();
}

function drawNow() {
  const began = performance.now();
  view.scrolled = onPaper ? 0 : chart.scrollTop;
  new Picture(canvas.getContext("2d"), scene, layout, view, canvas.drawnHeight, palette, patterns).draw();
  if (!onPaper) drawOverview();
  // For who measures: how long after the start of the page, and how long it took.
  document.documentElement.dataset.drawn = `${performance.now().toFixed(1)} ${(performance.now() - began).toFixed(2)}`;
}

/** The whole history in small: bars and faults, drawn once; the frame over it is the part that is shown. */
function drawOverview() {
  const [width, height] = [overview.clientWidth, overview.clientHeight];
  mapOf.image ??= mapOf(width, height);
  const context = overview.getContext("2d");
  context.drawImage(mapOf.image, 0, 0);
  const [whole, shown] = [scene.extent, view.window];
  const x = (ms) => layout.gutter + ((ms - whole.from) / (whole.to - whole.from)) * (width - layout.gutter);
  context.save();
  context.scale(overview.width / width, overview.height / height);
  Object.assign(context, { strokeStyle: palette.ink, lineWidth: 2 });
  context.strokeRect(x(shown.from) + 1, 1, Math.max(x(shown.to) - x(shown.from) - 2, 4), height - 2);
  context.restore();
}

function mapOf(width, height) {
  const ratio = window.devicePixelRatio || 1;
  const image = document.createElement("canvas");
  image.width = overview.width = Math.round(width * ratio);
  image.height = overview.height = Math.round(height * ratio);
  const pen = image.getContext("2d");
  pen.scale(ratio, ratio);
  pen.fillStyle = palette.sheet;
  pen.fillRect(0, 0, width, height);
  const whole = scene.extent;
  const perMs = (width - layout.gutter) / (whole.to - whole.from);
  const high = Math.max(1, (height - 8) / Math.max(scene.lanes.length, 1));
  const put = (one, colour) => {
    const from = layout.gutter + (Math.max(one.from, whole.from) - whole.from) * perMs;
    pen.fillStyle = colour;
    const to = Math.min(one.to ?? one.from, whole.to);
    pen.fillRect(from, 4 + scene.lanes.indexOf(one.home) * high, Math.max((to - one.from) * perMs, 1), Math.max(high * 0.8, 1));
  };
  for (const span of scene.spans) put(span, palette.hatch);
  for (const operation of scene.operations) put(operation, palette.accent);
  for (const operation of scene.operations) if (scene.guilty.has(operation.number)) put(operation, palette.bad);
  return image;
}

// --- choosing ---

function showChapter(chapter) {
  const keys = byId("key");
  const every = chapter.keys.length > 1 ? [option("all keys", EVERY_KEY)] : [];
  keys.replaceChildren(...every, ...chapter.keys.map((key, number) => option(key.name, number)));
  keys.disabled = chapter.keys.length < 2;
  const guiltyKeys = new Set(chapter.witness.map((number) => chapter.operations[number].key));
  const chosen = guiltyKeys.size === 1 ? [...guiltyKeys][0] : chapter.keys.length === 1 ? 0 : EVERY_KEY;
  keys.value = String(chosen);
  book.chapters.forEach((one, number) => byId("chapters").children[number]?.setAttribute("aria-pressed", String(one === chapter)));
  const mark = { held: "✓", violated: "✗" }[chapter.verdict.outcome] ?? "?";
  byId("verdict").className = chapter.verdict.outcome;
  byId("outcome").textContent = `${mark} ${chapter.verdict.outcome}`;
  byId("guarantee").textContent = chapter.guarantee;
  byId("sentence").textContent = chapter.verdict.sentence;
  showKey(chapter, chosen);
}

function showKey(chapter, key) {
  scene = sceneOf(chapter, key);
  Object.assign(view, { window: scene.extent, selected: null, hovered: null });
  byId("why").textContent = scene.why;
  byId("guilty").hidden = !scene.guilty.size;
  listGuilty();
  byId("tip").hidden = true;
  const size = `${counted(scene.operations.length, "operation")} in ${counted(scene.lanes.length, "lane")}`;
  byId("said").classList.add("idle");
  write(byId("said"), [size, "→ steps through them; point at one to see what it is."]);
  byId("list").open = false;
  byId("list").lastElementChild.replaceChildren();
  chart.scrollTop = 0;
  resize();
}

function option(text, value) {
  return new Option(text, String(value));
}

function listGuilty() {
  const guilty = scene.operations.filter((one) => scene.guilty.has(one.number)).slice(0, 12);
  byId("witness").replaceChildren(...guilty.map((operation) => {
    const button = made("button", ` ${titleOf(operation)}`);
    button.type = "button";
    button.prepend(made("b", String(scene.guilty.get(operation.number))));
    button.addEventListener("click", () => select(operation));
    const item = made("li");
    item.append(button);
    return item;
  }));
}

/** Mark one operation, bring it into view, and say what it is. */
function select(operation) {
  view.selected = operation ?? null;
  if (operation) {
    bringIntoView(operation);
    byId("said").classList.remove("idle");
    write(byId("said"), tell(operation, scene));
  }
  redraw();
}

function bringIntoView(operation) {
  const { from, to } = view.window;
  const [begin, end] = [operation.from, operation.to ?? operation.from];
  if (begin < from || end > to) {
    const middle = end - begin < to - from ? (begin + end) / 2 : begin;
    view.window = clampWindow(moved(view.window, middle - (from + to) / 2), scene.extent);
  }
  const { top, height } = operation.home;
  if (top < chart.scrollTop + layout.top) chart.scrollTop = top - layout.top;
  else if (top + height > chart.scrollTop + chart.clientHeight) chart.scrollTop = top + height - chart.clientHeight;
}

// --- stepping ---

function step(by, among = scene.operations) {
  if (!among.length) return;
  const place = among.indexOf(view.selected);
  const first = by > 0 ? 0 : among.length - 1;
  select(among[place < 0 ? first : Math.min(Math.max(place + by, 0), among.length - 1)]);
}

/** The operation of the next lane that begins next to the selected one. */
function changeLane(by) {
  const busy = scene.lanes.filter((lane) => lane.operations.length);
  if (!view.selected) return step(1);
  const lane = busy[busy.indexOf(view.selected.home) + by];
  if (!lane) return undefined;
  const distance = (one) => Math.abs(one.from - view.selected.from);
  return select(lane.operations.reduce((best, one) => (distance(one) < distance(best) ? one : best)));
}

function zoom(factor, at = view.selected?.from ?? (view.window.from + view.window.to) / 2) {
  view.window = clampWindow(zoomed(view.window, factor, at), scene.extent);
  redraw();
}

/** As much as the guilty operations take, and some more on either side. */
function showGuilty() {
  const guilty = scene.operations.filter((one) => scene.guilty.has(one.number));
  if (!guilty.length) return;
  const from = Math.min(...guilty.map((one) => one.from));
  const to = Math.max(...guilty.map((one) => one.to ?? one.from));
  const margin = Math.max((to - from) * 0.2, 1);
  view.window = clampWindow({ from: from - margin, to: to + margin }, scene.extent);
  select(guilty[guilty.length - 1]);
}

function showAll() {
  view.window = scene.extent;
  redraw();
}
