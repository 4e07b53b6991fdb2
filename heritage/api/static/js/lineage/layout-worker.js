// Places nodes away from the page's own thread, so that a large family never freezes it.
import dagre from "../../vendor/dagre.js";
import { tidyTree } from "./tidy.js";

// dagre's ranking takes seconds beyond this many nodes; the tidy tree takes milliseconds
const DAGRE_NODES = 260;

onmessage = ({ data: { turn, nodes, edges } }) => {
  const place = nodes.length <= DAGRE_NODES ? layered : tidyTree;
  postMessage({ turn, ...place(nodes, edges) });
};

function layered(nodes, edges) {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 12, ranksep: 92, marginx: 20, marginy: 20 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of nodes) graph.setNode(id, { width, height });
  for (const [parent, child] of edges) graph.setEdge(parent, child);
  dagre.layout(graph);
  // ranks line up at their left ends, as text does
  const left = new Map();
  for (const { id, width } of nodes) {
    const { x } = graph.node(id);
    left.set(x, Math.max(left.get(x) ?? 0, width));
  }
  const positions = nodes.map(({ id, width }) => {
    const { x, y } = graph.node(id);
    return [id, x - left.get(x) / 2 + width / 2, y];
  });
  const columns = [...left.keys()].sort((a, b) => a - b);
  const via = edges.map(([parent, child]) => passed(graph.edge(parent, child).points, columns, left, [graph.node(parent).x, graph.node(child).x]));
  return { positions, via };
}

/** Where an edge crosses the columns between its ends ([x, y, half the column's width]): dagre keeps room for it there. */
function passed(points, columns, wide, [from, to]) {
  return columns.filter((x) => x > from && x < to).map((x) => [x, heightAt(points, x), wide.get(x) / 2]);
}

function heightAt(points, x) {
  const next = points.findIndex((point) => point.x >= x);
  if (next <= 0) return points.at(next).y;
  const [a, b] = [points[next - 1], points[next]];
  return b.x === a.x ? b.y : a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x);
}
