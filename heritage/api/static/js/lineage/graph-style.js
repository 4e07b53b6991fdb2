// How the graph is drawn: fill and sign by health, line colour by relation, line style by origin.
import { colour } from "../dom.js";
import { HEALTH, RELATIONS } from "../words.js";

export const FONT = 13;
export const FAMILY = "Inter, system-ui, sans-serif";
const SIGNS = { schema: "■", drift: "▲", warning: "◆", insufficient: "○", ok: "●", unknown: "○" };
export const signOf = (health) => SIGNS[health];

/** Cytoscape's stylesheet in the colours of the theme that is shown; plain lines for `large` graphs. */
export function graphStyle(large) {
  const ink = colour("--ink");
  const line = colour("--line-strong");
  return [
    { selector: "node", style: nodes(ink, line, large) },
    ...Object.keys(HEALTH).map((level) => ({ selector: `node[health = "${level}"]`, style: health(level, line) })),
    { selector: "node[!present]", style: { "border-style": "dashed", "background-opacity": 0, color: colour("--faint") } },
    { selector: "node[?champion]", style: { "border-width": 2.5, "font-weight": 700 } },
    { selector: "edge", style: edges(large) },
    ...Object.keys(RELATIONS).map((name) => ({ selector: `edge[relation = "${name}"]`, style: relation(name) })),
    { selector: 'edge[origin = "recovered"]', style: { "line-style": "dashed", "line-dash-pattern": [7, 5] } },
    { selector: "edge.labelled", style: labelled() },
    { selector: ".other", style: { opacity: 0.42 } },
    { selector: "edge.other", style: { opacity: 0.3, "text-opacity": 0, "text-background-opacity": 0 } },
    { selector: "edge.kin", style: { width: 2.6, "z-index": 2 } },
    { selector: 'edge[origin = "attested"]', style: attested(large) },
    { selector: "node.chosen", style: chosen() },
    { selector: "core", style: { "active-bg-opacity": 0.06, "selection-box-opacity": 0 } },
  ];
}

function nodes(ink, line, large) {
  return {
    shape: large ? "rectangle" : "round-rectangle",
    width: "data(width)",
    height: "data(height)",
    label: "data(text)",
    color: ink,
    "font-family": FAMILY,
    "font-size": FONT,
    "font-weight": 500,
    "line-height": 1.25,
    "text-valign": "center",
    "text-halign": "center",
    "text-wrap": "wrap",
    "text-max-width": 1000,
    "min-zoomed-font-size": 6,
    "border-width": 1.25,
    "border-color": line,
    "background-color": colour("--raised"),
    "overlay-opacity": 0,
  };
}

function health(level, line) {
  const plain = level === "insufficient" || level === "unknown";
  return {
    "background-color": colour(plain ? "--raised" : `--${level}-ground`),
    "border-color": plain ? line : colour(`--${level}`),
  };
}

function edges(large) {
  const shared = { width: 1.7, "line-color": colour("--other"), "overlay-opacity": 0 };
  if (large) return { ...shared, "curve-style": "taxi", "taxi-direction": "rightward", "taxi-turn": 36, width: 1.4 };
  return {
    ...shared,
    "curve-style": "unbundled-bezier",
    "control-point-distances": "data(away)",
    "control-point-weights": "data(along)",
    "edge-distances": "endpoints",
    "source-endpoint": "50% 0%",
    "target-endpoint": "-50% 0%",
    "target-arrow-shape": "triangle",
    "arrow-scale": 0.8,
    "target-arrow-color": colour("--other"),
    "font-family": FAMILY,
    "font-size": 11,
  };
}

function relation(name) {
  const shown = colour(name === "unknown" ? "--other" : `--${name}`);
  return { "line-color": shown, "line-outline-color": shown, "target-arrow-color": shown, color: shown };
}

/** Two lines: the colour as an outline, the ground between. */
function attested(large) {
  if (large) return { width: 3.4 };
  return { width: 2, "line-color": colour("--ground"), "line-outline-width": 1.7, "arrow-scale": 0.9 };
}

function labelled() {
  return {
    label: "data(text)",
    "min-zoomed-font-size": 8,
    "text-background-color": colour("--ground"),
    "text-background-opacity": 0.92,
    "text-background-padding": 2,
  };
}

function chosen() {
  return {
    "border-width": 3,
    "border-color": colour("--accent"),
    "outline-width": 4,
    "outline-offset": 1,
    "outline-color": colour("--accent"),
    "outline-opacity": 0.28,
    "z-index": 5,
  };
}
