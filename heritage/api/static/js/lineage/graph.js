// The graph on its canvas: what is loaded, where it stands, what is chosen, and how keys walk through it.
import cytoscape from "../../vendor/cytoscape.js";
import { healthOf, originOf, relationOf } from "../words.js";
import { FAMILY, FONT, graphStyle, signOf } from "./graph-style.js";
import { curve } from "./curve.js";

// from here on lines have corners and no arrows: that is what keeps 2,000 nodes smooth
const LARGE = 260;
const NATURAL = 1.15; // no small family is blown up beyond this
const SMALL = 0.35; // zoom under which no name can be read
const FEW = 60; // relatives up to which their edges carry words
const pen = document.createElement("canvas").getContext("2d");

export class Graph {
  /** `told` has: choose(id), expand(id), placed(). */
  constructor(container, kin, told) {
    this.kin = kin;
    this.told = told;
    this.turn = 0;
    this.mode = "both";
    this.worker = new Worker(new URL("./layout-worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => data.turn === this.turn && this.#place(data);
    this.cy = cytoscape({
      container,
      style: [],
      minZoom: 0.04,
      maxZoom: 2.2,
      autoungrabify: true,
      boxSelectionEnabled: false,
      hideEdgesOnViewport: false,
      pixelRatio: Math.min(devicePixelRatio, 2),
    });
    this.cy.on("tap", "node", (event) => told.choose(event.target.id()));
    this.cy.on("dbltap", "node", (event) => told.expand(event.target.id()));
    this.restyle = () => {
      this.styled = this.large;
      this.cy.style(graphStyle(this.styled));
    };
    addEventListener("heritage-theme", this.restyle);
  }

  get large() {
    return this.kin.nodes.size > LARGE;
  }

  /** Draw what the lineage holds now; the layout runs beside the page and ends in `told.placed`. */
  async draw() {
    await document.fonts.load(`600 ${FONT}px Inter`);
    const nodes = [...this.kin.nodes.values()].map((node) => this.#node(node));
    const edges = [...this.kin.edges.entries()].map(([id, edge]) => edgeData(id, edge));
    this.waiting = { nodes, edges };
    const plain = nodes.map(({ data: { id, width, height } }) => ({ id, width, height }));
    this.worker.postMessage({ turn: ++this.turn, nodes: plain, edges: edges.map(({ data }) => [data.source, data.target]) });
  }

  #node(node) {
    const hidden = this.kin.hiddenChildren(node.id);
    const health = healthOf(node.health);
    const name = clip(node.label || node.id.slice(0, 12), 34);
    const first = `${signOf(health)}  ${name}${hidden ? `   +${hidden}` : ""}`;
    const aliases = clip((node.aliases ?? []).join(", "), 34);
    pen.font = `600 ${FONT}px ${FAMILY}`;
    const width = Math.ceil(Math.max(pen.measureText(first).width, pen.measureText(aliases).width)) + 20;
    return {
      data: {
        id: node.id,
        text: aliases ? `${first}\n${aliases}` : first,
        width,
        height: aliases ? 42 : 26,
        health,
        present: node.present !== false,
        champion: (node.aliases ?? []).includes("champion"),
      },
    };
  }

  #place({ positions, via }) {
    const at = new Map(positions.map(([id, x, y]) => [id, { x, y }]));
    const { nodes, edges } = this.waiting;
    const size = new Map(nodes.map(({ data }) => [data.id, data]));
    for (const node of nodes) node.position = at.get(node.data.id);
    this.bounds = bounds(nodes);
    edges.forEach(({ data }, i) => {
      const { source, target } = data;
      Object.assign(data, curve(at.get(source), size.get(source), at.get(target), size.get(target), via[i]));
    });
    const first = this.cy.elements().empty();
    // styles before elements, and marks with them: each is then styled once
    if (this.styled !== this.large) this.restyle();
    this.cy.batch(() => {
      this.cy.elements().remove();
      this.cy.add([...nodes, ...edges]);
      this.mark();
    });
    if (first) this.fit();
    if (first && this.cy.zoom() < SMALL) this.#near(this.chosen);
    this.told.placed();
  }

  /** Choose a node (or none); `move` brings it into view. */
  choose(id, move = true) {
    this.chosen = id;
    this.mark();
    const node = id && this.cy.getElementById(id);
    if (!move || !node?.nonempty()) return;
    const box = this.cy.extent();
    const { x, y } = node.position();
    const seen = x > box.x1 && x < box.x2 && y > box.y1 && y < box.y2;
    if (seen && this.cy.zoom() > 0.55) return;
    this.cy.animate({ center: { eles: node }, zoom: Math.max(this.cy.zoom(), 0.9) }, { duration: still() ? 0 : 220 });
  }

  /** A first look at a family that is too large for the screen: the chosen version towards the upper left. */
  #near(id) {
    const node = this.cy.getElementById(id);
    if (node.empty()) return;
    this.cy.zoom(0.85);
    const { x, y } = node.renderedPosition();
    this.cy.panBy({ x: this.cy.width() * 0.3 - x, y: this.cy.height() * 0.3 - y });
  }

  /** Which relatives of the chosen node stand out: both, ancestors, descendants. */
  highlight(mode) {
    this.mode = mode;
    this.mark();
  }

  mark() {
    const { kin, cy, chosen, mode } = this;
    if (!chosen || !kin.nodes.has(chosen)) {
      cy.elements().removeClass("chosen kin other labelled");
      return;
    }
    const up = mode === "descendants" ? new Set() : kin.ancestors(chosen);
    const down = mode === "ancestors" ? new Set() : kin.descendants(chosen);
    const along = (set, edge) => (set.has(edge.data("source")) || edge.data("source") === chosen) && (set.has(edge.data("target")) || edge.data("target") === chosen);
    const few = up.size + down.size <= FEW || kin.edges.size <= FEW;
    cy.batch(() => {
      cy.nodes().forEach((node) => {
        const near = node.id() === chosen || up.has(node.id()) || down.has(node.id());
        node.toggleClass("chosen", node.id() === chosen).toggleClass("other", !near);
      });
      cy.edges().forEach((edge) => {
        const near = along(up, edge) || along(down, edge);
        edge.toggleClass("kin", near).toggleClass("other", !near).toggleClass("labelled", near && few);
      });
    });
  }

  /** Everything in view. Cytoscape's own fit measures every label first, which takes longer than all the rest. */
  fit() {
    if (!this.bounds) return;
    this.cy.resize();
    const { left, right, top, bottom } = this.bounds;
    const [width, height] = [this.cy.width(), this.cy.height()];
    const zoom = Math.min((width - 72) / (right - left), (height - 72) / (bottom - top), NATURAL);
    const level = Math.max(zoom, this.cy.minZoom());
    this.cy.viewport({ zoom: level, pan: { x: width / 2 - (level * (left + right)) / 2, y: height / 2 - (level * (top + bottom)) / 2 } });
  }

  zoom(factor) {
    const at = { x: this.cy.width() / 2, y: this.cy.height() / 2 };
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: at });
  }

  /** The node that an arrow key leads to from the chosen one. */
  toward(key) {
    const { kin, chosen } = this;
    if (!chosen) return kin.roots()[0];
    const [before, after] = kin.neighbours(chosen);
    if (key === "ArrowLeft") return kin.parents(chosen)[0]?.parent;
    if (key === "ArrowRight") return kin.children(chosen)[0]?.child;
    return key === "ArrowUp" ? before : after;
  }

  destroy() {
    removeEventListener("heritage-theme", this.restyle);
    this.worker.terminate();
    this.cy.destroy();
  }
}

function bounds(nodes) {
  const box = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  for (const { position: { x, y }, data: { width, height } } of nodes) {
    box.left = Math.min(box.left, x - width / 2);
    box.right = Math.max(box.right, x + width / 2);
    box.top = Math.min(box.top, y - height / 2);
    box.bottom = Math.max(box.bottom, y + height / 2);
  }
  return box;
}

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function edgeData(id, edge) {
  const sure = originOf(edge.origin) === "recovered" ? ` ${Math.round(100 * edge.confidence)} %` : "";
  return {
    data: {
      id,
      source: edge.parent,
      target: edge.child,
      relation: relationOf(edge.relation),
      origin: originOf(edge.origin),
      text: `${relationOf(edge.relation)}${sure}`,
    },
  };
}
