// The part of the lineage that is loaded: nodes by id, edges both ways, and who descends from whom.

export class Kin {
  constructor() {
    this.nodes = new Map();
    this.edges = new Map();
    this.up = new Map();
    this.down = new Map();
  }

  /** Add what an answer of the API tells; says whether anything was new. */
  add({ nodes, edges }) {
    const before = this.nodes.size + this.edges.size;
    for (const node of nodes) this.nodes.set(node.id, { ...this.nodes.get(node.id), ...node });
    for (const edge of edges) {
      if (!this.nodes.has(edge.parent) || !this.nodes.has(edge.child)) continue;
      this.edges.set(`${edge.parent}>${edge.child}>${edge.origin}`, edge);
      link(this.up, edge.child, edge);
      link(this.down, edge.parent, edge);
    }
    return this.nodes.size + this.edges.size > before;
  }

  parents(id) {
    return [...(this.up.get(id)?.values() ?? [])];
  }

  children(id) {
    return [...(this.down.get(id)?.values() ?? [])];
  }

  /** Children that exist but are not loaded. */
  hiddenChildren(id) {
    const seen = new Set(this.children(id).map((edge) => edge.child)).size;
    return Math.max(0, (this.nodes.get(id)?.children ?? seen) - seen);
  }

  hiddenParents(id) {
    const seen = new Set(this.parents(id).map((edge) => edge.parent)).size;
    return Math.max(0, (this.nodes.get(id)?.parents ?? seen) - seen);
  }

  ancestors(id) {
    return this.#reached(id, (at) => this.parents(at).map((edge) => edge.parent));
  }

  descendants(id) {
    return this.#reached(id, (at) => this.children(at).map((edge) => edge.child));
  }

  roots() {
    return [...this.nodes.keys()].filter((id) => !this.up.get(id)?.size);
  }

  /** Ids next to `id` among the children of its first parent: [before, after]. */
  neighbours(id) {
    const parent = this.parents(id)[0]?.parent;
    const all = parent ? [...new Set(this.children(parent).map((edge) => edge.child))] : this.roots();
    const at = all.indexOf(id);
    return [all[at - 1], all[at + 1]];
  }

  #reached(start, near) {
    const found = new Set();
    const waiting = [start];
    while (waiting.length) {
      for (const id of near(waiting.pop())) {
        if (id === start || found.has(id)) continue;
        found.add(id);
        waiting.push(id);
      }
    }
    return found;
  }
}

function link(table, id, edge) {
  if (!table.has(id)) table.set(id, new Map());
  table.get(id).set(`${edge.parent}>${edge.child}>${edge.origin}`, edge);
}
