// The product's words for health, relations and origins, each with its sign: colour never stands alone.
import { h, s } from "./dom.js";

/** Health levels, worst first; `shape` is the node's shape in the graph. */
export const HEALTH = {
  schema: { label: "schema", shape: "rectangle", says: "columns are missing or of another type" },
  drift: { label: "drift", shape: "triangle", says: "what it sees has moved away from its reference" },
  warning: { label: "warning", shape: "diamond", says: "small but real differences" },
  insufficient: { label: "too few rows", shape: "ellipse", says: "too few rows to tell" },
  ok: { label: "ok", shape: "ellipse", says: "nothing differs by more than chance" },
  unknown: { label: "not watched", shape: "ellipse", says: "no window has been judged" },
};

export const healthOf = (name) => (name in HEALTH ? name : "unknown");
export const severity = (name) => Object.keys(HEALTH).indexOf(healthOf(name));

export const RELATIONS = {
  finetune: "trained on from its parent",
  lora: "a low-rank adapter, merged",
  prune: "weights set to zero",
  quantize: "stored in fewer bits",
  distill: "trained on its parent's answers",
  merge: "mixed from several parents",
  repair: "repaired from its relatives' weights",
  copy: "the same weights",
  unknown: "made in a way nobody wrote down",
};
export const relationOf = (name) => (name in RELATIONS ? name : "unknown");

export const ORIGINS = {
  declared: "someone said so",
  attested: "the process that made it said so",
  recovered: "inferred from the weights, with a confidence",
};
export const originOf = (name) => (name in ORIGINS ? name : "declared");

const SHAPES = {
  rectangle: () => s("rect", { x: 2.5, y: 2.5, width: 11, height: 11, rx: 1 }),
  triangle: () => s("path", { d: "M8 1.8 15 14H1Z" }),
  diamond: () => s("path", { d: "M8 1 15 8 8 15 1 8Z" }),
  ellipse: () => s("circle", { cx: 8, cy: 8, r: 5.6 }),
};

/** The small sign of a health level. */
export function sign(health) {
  const level = healthOf(health);
  return s("svg", { class: `sign ${level}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, SHAPES[HEALTH[level].shape]());
}

/** Sign and word of a health level. */
export function chip(health) {
  const level = healthOf(health);
  return h("span", { class: `chip ${level}`, title: HEALTH[level].says }, sign(level), HEALTH[level].label);
}

/** A short piece of an edge as it is drawn in the graph. */
export function edgeSign(relation, origin = "declared") {
  const line = { x1: 1, y1: 6, x2: 27, y2: 6 };
  const lines = origin === "attested" ? [s("line", { ...line, y1: 4, y2: 4 }), s("line", { ...line, y1: 8, y2: 8 })] : [s("line", line)];
  return s("svg", { class: `edge-sign ${relationOf(relation)} ${originOf(origin)}`, viewBox: "0 0 28 12", "aria-hidden": "true" }, ...lines);
}

/** A plain small label, such as an alias. */
export const badge = (text, kind = "") => h("span", { class: `badge ${kind}`.trim() }, text);
