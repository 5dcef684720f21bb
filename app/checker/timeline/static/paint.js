// The picture: operations on their lanes. A canvas, for thousands of bars move in every frame.

class Picture extends Sheet {
  draw() {
    const { context, layout, palette } = this;
    context.fillStyle = palette.sheet;
    context.fillRect(0, 0, layout.width, this.height);
    this.ticks = ticksOf(this.view.window, layout.plot, 90);
    this.inside(layout.top, () => {
      for (const lane of this.visibleLanes()) this.drawLane(lane);
      this.drawGrid();
      this.drawOperations();
      this.drawSelection();
    });
    this.drawNames();
    if (this.scene.copy) this.inside(AXIS, () => this.drawCopy());
    this.drawAxis();
  }

  drawOperations() {
    const { from, to } = this.view.window;
    const { scrolled } = this.view;
    const seen = this.scene.operations.filter((one) => {
      const y = one.home.top - scrolled;
      return one.from <= to && (one.to === null || one.to >= from || one.outcome === "unknown" || this.x(one.to) > 0)
        && y < this.height && y + one.home.height > this.layout.top;
    });
    this.dense = seen.length > DENSE;
    const late = [];
    for (const one of seen) {
      if (this.scene.guilty.has(one.number)) late.push(one);
      else if (!this.dense || !this.isCovered(one)) this.drawOperation(one);
    }
    this.lastBadge = new Map();
    for (const one of late) this.drawOperation(one);
    for (const one of late) this.drawBadge(one);
  }

  /** Whether it would only be drawn over another one, in the same pixels: thousands need not be. */
  isCovered(operation) {
    const { x, wide } = this.boxOf(operation);
    const { home, row } = operation;
    home.inked ??= [];
    const ink = home.inked[row];
    if (ink?.picture === this && x - ink.x < 1 && x + wide - ink.end < 1) return true;
    home.inked[row] = { picture: this, x, end: x + wide };
    return false;
  }

  boxOf(operation) {
    const { row } = this.layout;
    const x = this.x(operation.from);
    const end = operation.to === null ? x + 18 : this.x(operation.to);
    const y = operation.home.top - this.view.scrolled + 2 + operation.row * row + Math.max(1, row * 0.08);
    return { x, y, wide: Math.max(end - x, LEAST_BAR), high: Math.max(2, row * 0.72) };
  }

  drawOperation(operation) {
    const box = this.boxOf(operation);
    const { context, view, palette } = this;
    const guilty = this.scene.guilty.has(operation.number);
    const other = view.selected && operation.same !== view.selected.same;
    context.globalAlpha = other && !guilty ? 0.5 : 1;
    const solid = operation.op === "write" && operation.outcome === "ok";
    context.strokeStyle = guilty ? palette.ink : palette.accent;
    context.lineWidth = guilty ? 3 : box.wide > 8 ? 2 : 1;
    context.fillStyle = guilty ? palette["bad-soft"] : solid ? palette.accent : palette.sheet;
    if (guilty && solid) context.fillStyle = palette.bad;
    this.drawBar(operation, box);
    if (box.wide > LEAST_BAR || !this.dense) this.drawLabel(operation, box, guilty, solid);
    this.drawMoment(operation, box);
    context.globalAlpha = 1;
  }

  drawBar(operation, { x, y, wide, high }) {
    const { context } = this;
    const edge = context.lineWidth / 2;
    if (operation.outcome === "unknown") {
      this.drawOpenBar(operation, { x, y, wide, high });
      return;
    }
    context.fillRect(x, y, wide, high);
    context.strokeRect(x + edge, y + edge, Math.max(wide - 2 * edge, 1), high - 2 * edge);
    if (operation.outcome === "refused") {
      context.beginPath();
      context.moveTo(x + 1, y + high - 1);
      context.lineTo(x + wide - 1, y + 1);
      context.stroke();
    }
  }

  /** Nobody knows when it ends: dashed, open to the right, with an arrow up to whatever comes next. */
  drawOpenBar(operation, { x, y, wide, high }) {
    const { context, layout } = this;
    const room = (operation.next === undefined ? layout.width : this.x(operation.next)) - 5;
    const tip = Math.max(x + wide + 8, Math.min(room, operation.to === null ? layout.width - 4 : x + wide + 46));
    context.fillRect(x, y, wide, high);
    context.setLineDash([5, 3]);
    context.beginPath();
    context.moveTo(x + wide, y + 1);
    context.lineTo(x + 1, y + 1);
    context.lineTo(x + 1, y + high - 1);
    context.lineTo(x + wide, y + high - 1);
    context.moveTo(x + wide, y + high / 2);
    context.lineTo(tip, y + high / 2);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.moveTo(tip - 5, y + high / 2 - 4);
    context.lineTo(tip, y + high / 2);
    context.lineTo(tip - 5, y + high / 2 + 4);
    context.stroke();
  }

  /** The value, with its version if there is room: in the bar, or beside a short one. */
  drawLabel(operation, { x, y, wide, high }, guilty, solid) {
    const { context, layout, palette } = this;
    const beside = wide < 26 || (operation.next === undefined && wide < 90);
    const start = beside ? x + wide + (operation.outcome === "unknown" ? 50 : 5) : Math.max(x, layout.gutter) + 5;
    const end = beside ? (operation.next === undefined ? layout.width : this.x(operation.next)) - 3 : x + wide - 4;
    const indent = !beside && guilty ? 12 : 0;
    if (end - start - indent < 12 || high < 9) return;
    context.font = `${Math.min(15, Math.max(9, high * 0.7))}px ${FONT}`;
    const letter = operation.op === "write" ? "W" : "R";
    const texts = [`${letter} ${operation.value}`, operation.value, operation.value.replaceAll('"', "")];
    if (operation.version !== null) texts.unshift(`${texts[0]} · ${operation.version}`);
    const text = texts.find((one) => this.widthOf(operation, one) <= end - start - indent);
    if (text === undefined) return;
    context.fillStyle = beside || !solid ? palette.ink : guilty ? palette.sheet : palette["on-accent"];
    context.textBaseline = "middle";
    context.fillText(text, start + indent, y + high / 2 + 0.5);
  }

  /** Measuring is what a frame would spend most of its time on; so it is done once for each text and font. */
  widthOf(operation, text) {
    const { font } = this.context;
    if (operation.font !== font) Object.assign(operation, { font, widths: new Map() });
    if (!operation.widths.has(text)) operation.widths.set(text, this.context.measureText(text).width);
    return operation.widths.get(text);
  }

  /** A diamond on the lower edge, where the operation takes effect; a cross if no moment fits. */
  drawMoment(operation, { x, y, wide, high }) {
    const { context, palette } = this;
    if (operation.at === null && operation.fits) return;
    const low = y + high;
    if (!operation.fits) {
      const middle = x + wide / 2;
      const size = Math.min(6, high / 3);
      for (const [colour, line] of [[palette.sheet, 5], [palette.bad, 2.5]]) {
        Object.assign(context, { strokeStyle: colour, lineWidth: line });
        context.beginPath();
        context.moveTo(middle - size, low - size);
        context.lineTo(middle + size, low + size);
        context.moveTo(middle + size, low - size);
        context.lineTo(middle - size, low + size);
        context.stroke();
      }
      return;
    }
    const at = this.x(operation.at);
    const size = this.dense ? 2.5 : Math.min(6, high * 0.32);
    context.fillStyle = palette.moment;
    if (this.dense) {
      context.fillRect(at - 1, low - size, 2, 2 * size);
      return;
    }
    Object.assign(context, { strokeStyle: palette.sheet, lineWidth: 1.5 });
    context.beginPath();
    context.moveTo(at, low - size);
    context.lineTo(at + size, low);
    context.lineTo(at, low + size);
    context.lineTo(at - size, low);
    context.closePath();
    context.fill();
    context.stroke();
  }

  /** The number by which the list above calls it; moved aside where another one stands. */
  drawBadge(operation) {
    const { context, palette, lastBadge } = this;
    const { x, y, high } = this.boxOf(operation);
    const before = lastBadge.get(operation.home) ?? -Infinity;
    const at = Math.max(x + 2, before + 19);
    lastBadge.set(operation.home, at);
    context.beginPath();
    context.arc(at, y + Math.min(4, high / 3), 9, 0, 7);
    Object.assign(context, { fillStyle: palette.bad, strokeStyle: palette.sheet, lineWidth: 2 });
    context.fill();
    context.stroke();
    Object.assign(context, { fillStyle: palette.sheet, textAlign: "center", textBaseline: "middle", font: `bold 12px ${FONT}` });
    context.fillText(String(this.scene.guilty.get(operation.number)), at, y + Math.min(4, high / 3) + 0.5);
    context.textAlign = "start";
  }

  /** Rings, and for what is selected the lines of its two ends: whatever they cut is concurrent. */
  drawSelection() {
    const { context, palette, view } = this;
    for (const [one, line] of [[view.hovered, 2], [view.selected, 3]]) {
      if (!one?.op) continue;
      const { x, y, wide, high } = this.boxOf(one);
      Object.assign(context, { strokeStyle: palette.ink, lineWidth: line });
      context.strokeRect(x - 3, y - 3, wide + 6, high + 6);
    }
    const { selected } = view;
    if (!selected) return;
    Object.assign(context, { strokeStyle: palette.ink, lineWidth: 1 });
    for (const end of [selected.from, selected.to]) {
      if (end !== null) this.drawUpright(end, this.layout.top, this.height, [3, 4]);
    }
    const box = this.boxOf(selected);
    if (selected.at === null) return;
    context.lineWidth = 2;
    this.drawUpright(selected.at, 0, box.y + box.high, []);
  }
}
