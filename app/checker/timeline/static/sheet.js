// What the operations stand on: lanes with their names, the time, faults, and what one copy would have held.

/** One drawing of a scene. `view`: the window, how far down it is scrolled, what is selected and hovered. */
class Sheet {
  constructor(context, scene, layout, view, height, palette, patterns) {
    Object.assign(this, { context, scene, layout, view, height, palette, patterns });
    this.perMs = layout.plot / (view.window.to - view.window.from);
  }

  x(ms) {
    return this.layout.gutter + (ms - this.view.window.from) * this.perMs;
  }

  /** Draw within the plot, below `top`. */
  inside(top, drawing) {
    const { context, layout } = this;
    context.save();
    context.beginPath();
    context.rect(layout.gutter, top, layout.plot, this.height - top);
    context.clip();
    drawing();
    context.restore();
  }

  visibleLanes() {
    const { scrolled } = this.view;
    return this.scene.lanes.filter((lane) => lane.top + lane.height > scrolled && lane.top < scrolled + this.height);
  }

  drawLane(lane) {
    const { context, layout, palette } = this;
    const y = lane.top - this.view.scrolled;
    if (this.scene.lanes.indexOf(lane) % 2 === 0) {
      context.fillStyle = palette.band;
      context.fillRect(layout.gutter, y, layout.plot, lane.height);
    }
    const high = lane.height / Math.max(lane.spanRows, 1);
    for (const span of lane.spans) this.drawSpan(span, y + span.row * high, high);
  }

  /** A shaded span with the fault's name: dots for a slow link, lines for a stop, slanting lines for the rest. */
  drawSpan(span, y, high) {
    const { context, layout, palette } = this;
    const from = Math.max(this.x(span.from), layout.gutter - 2);
    const to = Math.min(this.x(span.to), layout.width + 2);
    if (to < layout.gutter || from > layout.width) return;
    const wide = Math.max(to - from, 3);
    for (const style of [palette.fault, this.patterns[patternOf(span.kind)]]) {
      context.fillStyle = style;
      context.fillRect(from, y + 1, wide, high - 2);
    }
    context.fillStyle = palette.hatch;
    context.fillRect(from, y + 1, 2, high - 2);
    if (span.to !== Infinity) context.fillRect(from + wide - 2, y + 1, 2, high - 2);
    const room = span.home.foot && span.home.spanRows === 1 ? span.home.foot : high;
    if (room < 9) return;
    context.font = `${Math.max(9, Math.min(13, room - 4))}px ${FONT}`;
    const text = context.measureText(span.kind).width;
    if (text + 12 > wide) return;
    context.fillStyle = palette.fault;
    context.fillRect(from + 4, y + high - room + 2, text + 6, room - 4);
    context.fillStyle = palette.ink;
    context.textBaseline = "middle";
    context.fillText(span.kind, from + 7, y + high - room / 2 + 0.5);
  }

  drawGrid() {
    const { context, palette } = this;
    context.fillStyle = palette.line;
    for (const tick of this.ticks) context.fillRect(Math.round(this.x(tick.at)), this.layout.top, 1, this.height);
  }

  drawUpright(ms, from, to, dashes) {
    const { context } = this;
    context.setLineDash(dashes);
    context.beginPath();
    context.moveTo(this.x(ms), from);
    context.lineTo(this.x(ms), to);
    context.stroke();
    context.setLineDash([]);
  }

  /** What one copy would have held; where the value changes, a write has taken effect. */
  drawCopy() {
    const { context, layout, palette, view } = this;
    context.fillStyle = palette.sheet;
    context.fillRect(layout.gutter, AXIS, layout.plot, COPY);
    context.font = `13px ${FONT}`;
    context.textBaseline = "middle";
    let pixel = -1;
    this.scene.copy.forEach((held, nth) => {
      const from = Math.max(this.x(held.from), layout.gutter);
      const to = Math.min(this.x(held.to), layout.width);
      if (to <= from || Math.floor(to) === pixel) return;
      pixel = Math.floor(to);
      const same = view.selected && held.same === view.selected.same;
      context.fillStyle = nth % 2 ? palette.copy : palette.band;
      context.fillRect(from, AXIS + 3, to - from, COPY - 8);
      context.fillStyle = palette.ink;
      if (same) context.fillRect(from, AXIS + COPY - 6, to - from, 3);
      if (nth && to - from > 3) context.fillRect(from - 0.5, AXIS + 3, 1.5, COPY - 8);
      if (to - from < 14) return;
      held.wide ??= context.measureText(held.value).width;
      if (held.wide + 10 < to - from) context.fillText(held.value, from + 6, AXIS + COPY / 2 - 1);
    });
  }

  drawNames() {
    const { context, layout, palette } = this;
    context.save();
    context.fillStyle = palette.sheet;
    context.fillRect(0, 0, layout.gutter, this.height);
    context.textBaseline = "middle";
    for (const lane of this.visibleLanes()) {
      const y = lane.top - this.view.scrolled;
      context.fillStyle = palette.line;
      context.fillRect(0, y + lane.height, layout.width, 1);
      context.fillStyle = palette.ink;
      context.font = `${lane.group ? "" : "600 "}${Math.min(15, lane.height * 0.7)}px ${FONT}`;
      context.fillText(this.shortened(lane, layout.gutter - 14), 8, y + lane.height / 2);
    }
    context.fillStyle = palette.sheet;
    context.fillRect(0, 0, layout.width, layout.top);
    if (this.scene.copy) {
      context.fillStyle = palette.quiet;
      context.font = `italic 13px ${FONT}`;
      context.fillText("as one copy", 8, AXIS + COPY / 2 - 1);
    }
    context.fillStyle = palette.line;
    context.fillRect(layout.gutter - 1, 0, 1, this.height);
    context.restore();
  }

  shortened(lane, room) {
    const { context } = this;
    const asked = `${context.font} ${room}`;
    if (lane.asked !== asked) {
      let text = lane.name;
      while (text.length > 1 && context.measureText(text).width > room) text = `${text.replace(/…$/, "").slice(0, -1)}…`;
      Object.assign(lane, { asked, short: text });
    }
    return lane.short;
  }

  drawAxis() {
    const { context, layout, palette } = this;
    Object.assign(context, { fillStyle: palette.quiet, textBaseline: "middle", textAlign: "center", font: `12px ${FONT}` });
    for (const tick of this.ticks) {
      const x = this.x(tick.at);
      if (x > layout.gutter + 16 && x < layout.width - 20) context.fillText(tick.text, x, AXIS / 2);
    }
    context.textAlign = "start";
    context.fillText("seconds", 8, AXIS / 2);
    context.fillStyle = palette.line;
    context.fillRect(0, layout.top - 1, layout.width, 1);
  }
}
