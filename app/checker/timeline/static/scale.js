// Time on the x axis: the part that is shown, in milliseconds since the first operation.

const SHORTEST = 0.001;

/** As much of `wanted` as may be shown: not shorter than a microsecond, not outside the whole. */
function clampWindow(wanted, whole) {
  const length = Math.min(Math.max(wanted.to - wanted.from, SHORTEST), whole.to - whole.from);
  const from = Math.min(Math.max(wanted.from, whole.from), whole.to - length);
  return { from, to: from + length };
}

/** `window` magnified so many times around `at`. */
function zoomed(window, factor, at) {
  return { from: at - (at - window.from) / factor, to: at + (window.to - at) / factor };
}

function moved(window, by) {
  return { from: window.from + by, to: window.to + by };
}

/** Round moments for the axis, at least `apart` pixels from each other. */
function ticksOf(window, width, apart) {
  const least = ((window.to - window.from) / width) * apart;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((times) => times * power >= least);
  const digits = Math.max(0, Math.ceil(3 - Math.log10(step) - 1e-9));
  const ticks = [];
  for (let nth = Math.ceil(window.from / step); nth * step <= window.to; nth += 1) {
    ticks.push({ at: nth * step, text: ((nth * step) / 1000).toFixed(digits) });
  }
  return ticks;
}

/** A moment as the verdict's sentence tells it. */
function moment(ms) {
  return `${(ms / 1000).toFixed(3)} s`;
}

function duration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return ms >= 1 ? `${ms.toFixed(1)} ms` : `${Math.round(ms * 1000)} µs`;
}
