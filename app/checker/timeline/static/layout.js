// Where everything stands, and in which colours: lanes downwards, time to the right.

const AXIS = 26;
const COPY = 30;
const GAP = 8;
const DENSE = 500;
const LEAST_BAR = 4;
// Below the bars of somebody who also met faults: their names.
const FOOT = 15;
const FONT = "system-ui, 'Segoe UI', 'Liberation Sans', sans-serif";
const COLOURS = ["sheet", "band", "ink", "quiet", "line", "accent", "on-accent", "bad", "bad-soft", "fault", "hatch", "moment", "copy"];

/** The colours of the style sheet as they are now: light, dark, or on paper. */
function paletteOf() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Where everything stands, for a sheet of so many pixels; rows as high as the room allows, within reason. */
function layoutOf(scene, width, room) {
  const rows = scene.lanes.reduce((sum, lane) => sum + Math.max(lane.rows, 1), 0);
  const top = AXIS + (scene.copy ? COPY : 0);
  const row = Math.max(room.least, Math.min(room.most, Math.floor((room.height - top - 2 * GAP) / Math.max(rows, 1)) - 4));
  const longest = Math.max(8, ...scene.lanes.map((lane) => lane.name.length));
  const gutter = Math.max(Math.min(longest * 8.6 + 20, width * 0.24, 210), 104);
  let y = top;
  let group = scene.lanes[0]?.group;
  for (const lane of scene.lanes) {
    if (lane.group !== group) y += GAP;
    group = lane.group;
    lane.top = y;
    lane.foot = lane.operations.length && lane.spans.length ? Math.min(FOOT, row) : 0;
    const padding = Math.min(4, row * 0.2);
    lane.height = lane.operations.length ? lane.rows * row + padding + lane.foot : Math.min(row, 26) + padding;
    y += lane.height;
  }
  return { width, row, gutter, top, height: y + GAP, plot: width - gutter };
}

function patternOf(kind) {
  if (/^slow/.test(kind)) return "dots";
  if (/^(pause|stop)/.test(kind)) return "lines";
  return /^(crash|kill|gone)/.test(kind) ? "grid" : "slanting";
}

/** Fills that stay apart without any colour, sharp on every screen. */
function patternsOf(context, palette, ratio) {
  const drawings = {
    slanting: (pen) => { pen.moveTo(-2, 12); pen.lineTo(12, -2); pen.moveTo(-2, 2); pen.lineTo(2, -2); pen.moveTo(8, 12); pen.lineTo(12, 8); },
    grid: (pen) => { pen.moveTo(0, 0); pen.lineTo(10, 10); pen.moveTo(10, 0); pen.lineTo(0, 10); },
    lines: (pen) => { pen.moveTo(0, 3); pen.lineTo(10, 3); pen.moveTo(0, 8); pen.lineTo(10, 8); },
    dots: (pen) => { pen.rect(2, 2, 1, 1); pen.rect(7, 7, 1, 1); },
  };
  const patternWith = (drawing) => {
    const tile = document.createElement("canvas");
    tile.width = tile.height = Math.round(10 * ratio);
    const pen = tile.getContext("2d");
    pen.scale(tile.width / 10, tile.width / 10);
    pen.strokeStyle = palette.hatch;
    pen.beginPath();
    drawing(pen);
    pen.stroke();
    const pattern = context.createPattern(tile, "repeat");
    pattern.setTransform(new DOMMatrix().scale(10 / tile.width));
    return pattern;
  };
  return Object.fromEntries(Object.entries(drawings).map(([name, drawing]) => [name, patternWith(drawing)]));
}
