// Small charts as SVG, drawn in the page's own colours. Axes say their unit; every chart has a text for those who listen.
import { s } from "./dom.js";
import { figure } from "./format.js";
import { healthOf, HEALTH } from "./words.js";

const MARK = {
  triangle: (x, y) => s("path", { d: `M${x} ${y - 5}l5 9h-10Z` }),
  diamond: (x, y) => s("path", { d: `M${x} ${y - 5.5}l5.5 5.5-5.5 5.5-5.5-5.5Z` }),
  rectangle: (x, y) => s("rect", { x: x - 4, y: y - 4, width: 8, height: 8 }),
  ellipse: (x, y) => s("circle", { cx: x, cy: y, r: 3.6 }),
};
const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

/** Effects of the last windows as one line with a mark at its end. */
export function sparkline(values, health, label) {
  const known = values.map((value) => value ?? 0);
  const top = Math.max(0.25, ...known);
  const at = (value, i) => [3 + (known.length > 1 ? (82 * i) / (known.length - 1) : 82), 20 - (16 * Math.min(value, top)) / top];
  const points = known.map(at);
  const end = points.at(-1) ?? [85, 20];
  return s(
    "svg",
    { class: "spark chart", viewBox: "0 0 92 24", role: "img", "aria-label": label },
    s("path", { d: path(points) }),
    s("g", { class: healthOf(health) }, MARK[HEALTH[healthOf(health)].shape](end[0], end[1])),
  );
}

/** Round steps between 0 (or `low`) and `high`. */
export function ticks(low, high, wanted = 4) {
  const span = high - low || 1;
  const raw = span / wanted;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((m) => m * unit >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(Number(at.toPrecision(10)));
  return found;
}

/** Largest effect of each window as bars with the verdict's sign; `limit` is where a repair starts. */
export function timeline(verdicts, limit, width = 860) {
  const height = 190;
  const [left, right, top, bottom] = [40, 62, 20, 40];
  const high = Math.min(1, Math.max(0.3, ...verdicts.map((v) => v.effect ?? 0)) * 1.08);
  const y = (value) => top + (height - top - bottom) * (1 - Math.min(value, high) / high);
  const slot = (width - left - right) / Math.max(verdicts.length, 12);
  const bars = verdicts.map((verdict, i) => {
    const x = left + slot * (i + 0.5);
    const health = healthOf(verdict.status);
    const value = verdict.effect ?? 0;
    const text = `${verdict.window}: ${HEALTH[health].label}, effect ${figure(value)}, ${verdict.rows} rows`;
    const bar = s("rect", { x: x - slot * 0.32, y: y(value), width: slot * 0.64, height: Math.max(0, y(0) - y(value)), rx: 1.5 });
    const over = slot > 26 && value >= high / 12 ? s("text", { x, y: y(value) - 5, "text-anchor": "middle" }, figure(value, 2)) : null;
    const marks = s("g", { class: health }, bar, MARK[HEALTH[health].shape](x, y(0) + 11));
    return s("g", { class: "bar" }, s("title", {}, text), s("rect", { class: "hit", x: x - slot / 2, y: top, width: slot, height: height - top - bottom + 20 }), marks, over);
  });
  const every = Math.ceil((verdicts.length * 112) / (width - left - right)) || 1;
  const names = verdicts.map((verdict, i) =>
    (verdicts.length - 1 - i) % every ? null : s("text", { x: left + slot * (i + 0.5), y: height - 6, "text-anchor": "middle" }, tail(verdict.window)),
  );
  return s(
    "svg",
    { class: "chart timeline", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Largest effect of ${verdicts.length} windows; the table below has the figures` },
    ticks(0, high, 3).map((value) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }), s("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, figure(value))]),
    s("line", { class: "axis", x1: left, x2: width - right, y1: y(0), y2: y(0) }),
    bars,
    limit <= high ? [s("line", { class: "limit", x1: left, x2: width - right, y1: y(limit), y2: y(limit) }), s("text", { x: width - right + 6, y: y(limit) + 4 }, "repair")] : null,
    names,
  );
}

const tail = (window) => (window.length > 13 ? `…${window.slice(-12)}` : window);

/** Reference as filled bars, current rows as an outline; `plot` as the API gives it. */
export function histogram(plot, label) {
  const width = 400;
  const height = 150;
  const [left, right, top, bottom] = [34, 6, 8, 24];
  const [was, is] = [plot.reference, plot.current].map((shares) => shares.map((share) => 100 * share));
  const high = Math.max(1, ...was, ...is) * 1.05;
  const n = was.length;
  const span = width - left - right;
  const [low, far] = plot.edges ? [plot.edges[0], plot.edges[n] - plot.edges[0] || 1] : [0, n];
  const x = (i) => left + (span * (plot.edges ? plot.edges[i] - low : i)) / far;
  const y = (value) => top + (height - top - bottom) * (1 - value / high);
  const levels = !plot.edges;
  const bars = was.map((value, i) => s("rect", { class: "reference", x: x(i) + (levels ? 3 : 0.25), y: y(value), width: Math.max(0.5, (x(i + 1) - x(i)) * (levels ? 0.46 : 1) - (levels ? 3 : 0.5)), height: y(0) - y(value) }));
  const now = levels
    ? is.map((value, i) => s("rect", { class: "current-bar", x: (x(i) + x(i + 1)) / 2, y: y(value), width: (x(1) - x(0)) * 0.5 - 3, height: y(0) - y(value) }))
    : [s("path", { class: "current", d: path([[x(0), y(0)], ...is.flatMap((value, i) => [[x(i), y(value)], [x(i + 1), y(value)]]), [x(n), y(0)]]) })];
  const names = levels ? plot.labels.map((name, i) => s("text", { x: (x(i) + x(i + 1)) / 2, y: height - 8, "text-anchor": "middle" }, clip(name, Math.max(2, Math.floor(56 / n))))) : ends(plot.edges, x, height, n);
  return s(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ticks(0, high, 2).map((value) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }), s("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, `${figure(value)}%`)]),
    bars,
    now,
    s("line", { class: "axis", x1: left, x2: width - right, y1: y(0), y2: y(0) }),
    names,
  );
}

const clip = (text, length) => (text.length > length ? `${text.slice(0, Math.max(1, length - 1))}…` : text);

function ends(edges, x, height, n) {
  return [0, n].map((i, place) => s("text", { x: x(i), y: height - 8, "text-anchor": ["start", "end"][place] }, figure(edges[i], 2)));
}

/** Lines through points: `lines` are {name, points: [[x, y]], kind}; the lowest point of each is marked. */
export function curves(lines, { xLabel, label, width = 520 }) {
  const height = 230;
  const [left, right, top, bottom] = [44, 14, 8, 38];
  const all = lines.flatMap((line) => line.points);
  const [low, high] = [Math.min(...all.map((p) => p[1])), Math.max(...all.map((p) => p[1]))];
  const room = (high - low || 1) * 0.08;
  const far = Math.max(1, ...all.map((p) => p[0]));
  const x = (value) => left + ((width - left - right) * value) / far;
  const y = (value) => top + ((height - top - bottom) * (high + room - value)) / (high - low + 2 * room || 1);
  const drawn = lines.map((line, i) => {
    const best = line.points.reduce((a, b) => (b[1] < a[1] ? b : a));
    return s("g", { class: `line line-${i % 6}` }, s("title", {}, line.name), s("path", { d: path(line.points.map(([a, b]) => [x(a), y(b)])) }), line.points.map(([a, b]) => s("circle", { cx: x(a), cy: y(b), r: 1.8 })), s("circle", { class: "best", cx: x(best[0]), cy: y(best[1]), r: 4.5 }));
  });
  return s(
    "svg",
    { class: "chart curves", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ticks(low - room, high + room, 4).map((value) => [s("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }), s("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, figure(value))]),
    ticks(0, far, 5).map((value) => s("text", { x: x(value), y: height - 22, "text-anchor": "middle" }, figure(value))),
    s("text", { x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" }, xLabel),
    s("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    drawn,
  );
}
