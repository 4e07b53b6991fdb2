// Lineage: find a version, see its family, follow its ancestors and descendants.
import * as api from "../api.js";
import { announce, h, show } from "../dom.js";
import { plural } from "../format.js";
import { empty, failed, loading, withCode } from "../states.js";
import { HEALTH, healthOf } from "../words.js";
import { Graph } from "./graph.js";
import { Kin } from "./kin.js";
import { legend } from "./legend.js";
import { outline } from "./outline.js";
import { showVersion } from "./panel.js";
import { searchField } from "./search.js";

// what is fetched of a family at first; the rest comes when it is asked for
const AT_FIRST = 2000;
const AT_LEAST = 100; // of each root, however much is there already
const A_STEP = 500;

export async function render(root, { id }) {
  const page = new Page(root);
  const opened = id || (await page.someVersion());
  if (!opened) {
    show(root, page.filling ? filling(() => render(root, { id })) : nothing());
    return undefined;
  }
  await page.open(opened, Boolean(id));
  return () => page.leave();
}

const nothing = () =>
  empty("No model versions yet", h("p", {}, withCode("Register one with `heritage register`, or see a whole family with `heritage demo`. Versions that were registered in MLflow by hand come in with the DAG `heritage_ingest`.")));

const filling = (again) => empty("The index is being filled", "That takes some seconds for each thousand versions, and happens once.", h("button", { type: "button", onclick: again }, "Look again"));

class Page {
  constructor(root) {
    this.root = root;
    this.kin = new Kin();
    this.view = "graph";
    this.panel = h("aside", { class: "panel", "aria-label": "Chosen version", tabindex: 0 });
    this.canvas = h("div", { class: "canvas", tabindex: 0, role: "application", "aria-label": "Lineage graph. Arrow keys walk: left to the parent, right to a child, up and down among siblings. Enter shows hidden relatives, plus and minus zoom, 0 shows all." });
    this.list = h("div", { class: "listing", hidden: true, tabindex: 0, role: "region", "aria-label": "Lineage as a list" });
    this.told = h("p", { class: "told small faint" });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.slash = (event) => {
      if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
      event.preventDefault();
      this.search.input.focus();
    };
    addEventListener("keydown", this.slash);
  }

  /** A version to begin with: the worst one, else the first; null where there is none. */
  async someVersion() {
    const { models: worst } = await api.fleet({ limit: 1 }).catch(() => ({ models: [] }));
    if (worst.length) return worst[0].address;
    const { models, complete } = await api.models({ limit: 1 });
    this.filling = complete === false;
    return models[0]?.address ?? null;
  }

  async open(id, given) {
    this.search = searchField((card) => this.to(card.digest || card.address));
    show(this.root, h("h1", { class: "unseen" }, "Lineage"), this.bar(), h("div", { class: "stage" }, h("div", { class: "drawing" }, h("div", { class: "surface" }, this.canvas, this.list, this.told, this.zoomButtons()), legend()), this.panel));
    this.graph = new Graph(this.canvas, this.kin, { choose: (node) => this.to(node), expand: (node) => this.expand(node), placed: () => this.placed() });
    this.resized = new ResizeObserver(() => this.graph.cy.resize());
    this.resized.observe(this.canvas);
    await this.load(id, given);
  }

  bar() {
    const modes = { both: "All kin", ancestors: "Ancestors", descendants: "Descendants" };
    const kin = Object.entries(modes).map(([mode, text]) => h("button", { type: "button", "aria-pressed": String(mode === "both"), onclick: (event) => this.highlight(mode, event.target) }, text));
    const views = ["graph", "list"].map((view) => h("button", { type: "button", "aria-pressed": String(view === "graph"), onclick: (event) => this.show(view, event.target) }, view === "graph" ? "Graph" : "List"));
    return h("div", { class: "bar" }, this.search.field, h("div", { class: "segments", role: "group", "aria-label": "Highlight" }, kin), h("div", { class: "segments", role: "group", "aria-label": "View" }, views));
  }

  zoomButtons() {
    const button = (sign, text, work) => h("button", { type: "button", "aria-label": text, title: text, onclick: work }, sign);
    return h("div", { class: "zoom segments" }, button("+", "Zoom in", () => this.graph.zoom(1.3)), button("−", "Zoom out", () => this.graph.zoom(1 / 1.3)), button("⤢", "Show all", () => this.graph.fit()));
  }

  /** Fetch the version's kin, then the rest of its family from its roots. */
  async load(id, given) {
    show(this.panel, loading(8));
    try {
      const own = await api.lineage(id, { limit: AT_FIRST });
      this.kin.add(own);
      this.cut = own.truncated;
      const roots = own.nodes.filter((node) => node.parents === 0 && node.id !== own.root).slice(0, 4);
      for (const { id: top } of roots) {
        const room = Math.max(AT_LEAST, AT_FIRST - this.kin.nodes.size);
        const rest = await api.lineage(top, { direction: "descendants", limit: room });
        this.kin.add(rest);
        this.cut ||= rest.truncated;
      }
      this.chosen = own.root;
      this.graph.chosen = own.root;
      await this.graph.draw();
      this.describe();
      if (given) announce(this.spoken(own.root));
    } catch (error) {
      show(this.panel, failed(error, () => this.load(id, given)));
    }
  }

  placed() {
    this.graph.choose(this.chosen, true);
    const { size } = this.kin.nodes;
    const more = this.cut ? "; more exist: a number behind a name tells how many children are hidden, Enter or a double click shows them" : "";
    this.told.textContent = `${plural(size, "version")}, ${plural(this.kin.edges.size, "edge")}${more}`;
    this.canvas.dataset.placed = String(size);
    if (this.view === "list") this.drawList();
  }

  /** Choose a version: where it is loaded go there, else open it afresh. */
  to(id) {
    if (!this.kin.nodes.has(id)) {
      location.hash = `#/lineage/${encodeURIComponent(id)}`;
      return;
    }
    this.chosen = id;
    this.graph.choose(id);
    const { label, present } = this.kin.nodes.get(id);
    if (present !== false) history.replaceState(null, "", `#/lineage/${encodeURIComponent(label)}`);
    this.describe();
    if (this.view === "list") this.drawList();
    announce(this.spoken(id));
  }

  describe() {
    showVersion(this.panel, this.kin, this.chosen, { go: (id) => this.to(id), expand: (id) => this.expand(id) });
  }

  spoken(id) {
    const node = this.kin.nodes.get(id);
    const parents = this.kin.parents(id).map((edge) => `${edge.relation} of ${this.kin.nodes.get(edge.parent).label}`);
    const hidden = this.kin.hiddenChildren(id);
    return [node.label, HEALTH[healthOf(node.health)].label, ...parents, plural(this.kin.children(id).length, "child", "children"), hidden ? `${hidden} hidden` : ""].filter(Boolean).join(", ");
  }

  async expand(id) {
    try {
      const more = await api.lineage(id, { depth: 1, limit: A_STEP });
      if (!this.kin.add(more)) return announce("Nothing more to show");
      await this.graph.draw();
      this.describe();
      return announce(`${plural(this.kin.nodes.size, "version")} shown`);
    } catch (error) {
      this.told.textContent = error.message;
      return announce(error.message);
    }
  }

  highlight(mode, button) {
    press(button);
    this.graph.highlight(mode);
  }

  show(view, button) {
    press(button);
    this.view = view;
    this.canvas.hidden = view === "list";
    this.list.hidden = view !== "list";
    this.root.querySelector(".zoom").hidden = view === "list";
    this.root.querySelector(".legend").hidden = view === "list";
    if (view === "list") this.drawList();
    else this.graph.fit();
  }

  drawList() {
    const focused = this.list.contains(document.activeElement);
    show(this.list, outline(this.kin, this.chosen, (id) => this.to(id)));
    const current = this.list.querySelector("[aria-current]");
    if (focused) current?.focus();
    else current?.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key.startsWith("Arrow")) {
      const next = this.graph.toward(key);
      if (next) this.to(next);
    } else if (key === "Enter") this.expand(this.chosen);
    else if (key === "+" || key === "=") this.graph.zoom(1.3);
    else if (key === "-") this.graph.zoom(1 / 1.3);
    else if (key === "0") this.graph.fit();
    else return;
    event.preventDefault();
  }

  leave() {
    removeEventListener("keydown", this.slash);
    this.resized?.disconnect();
    this.graph?.destroy();
  }
}

function press(button) {
  for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
}
