// A tree drawn in time linear in its size: columns by depth, leaves in rows, parents beside their first child,
// so that wherever one looks into a large family, a version and its kin are seen together.
// Many leaves of one parent stand in a block of several columns, so that a thousand children still fit a screen.

const ROW = 34;
const GAP = 90;
const BLOCK = 24;
// rows for each column of a block, so that it comes out about as wide as a screen
const STEEP = 2.4;

/** `positions` are [id, x, y] of each node. A node with several parents hangs from the deepest of them. */
export function tidyTree(nodes, edges) {
  const up = new Map(nodes.map(({ id }) => [id, []]));
  const down = new Map(nodes.map(({ id }) => [id, []]));
  for (const [parent, child] of edges) {
    up.get(child).push(parent);
    down.get(parent).push(child);
  }
  const depth = depths(nodes, up, down);
  const own = new Map(nodes.map(({ id }) => [id, []]));
  const roots = [];
  for (const { id } of nodes) {
    const parents = up.get(id);
    if (!parents.length) roots.push(id);
    else own.get(parents.reduce((a, b) => (depth.get(b) > depth.get(a) ? b : a))).push(id);
  }
  smallestFirst(own, depth);
  const { y, shift } = rows(roots, own, new Map(nodes.map(({ id, width }) => [id, width])));
  const starts = columns(nodes, depth);
  const positions = nodes.map(({ id, width }) => [id, starts[depth.get(id)] + width / 2 + (shift.get(id) ?? 0), y.get(id)]);
  return { positions, via: [] };
}

/** Longest way from a root; every child lies right of all its parents. */
function depths(nodes, up, down) {
  const open = new Map(nodes.map(({ id }) => [id, up.get(id).length]));
  const depth = new Map(nodes.map(({ id }) => [id, 0]));
  const waiting = nodes.map(({ id }) => id).filter((id) => open.get(id) === 0);
  while (waiting.length) {
    const id = waiting.pop();
    for (const child of down.get(id)) {
      depth.set(child, Math.max(depth.get(child), depth.get(id) + 1));
      open.set(child, open.get(child) - 1);
      if (open.get(child) === 0) waiting.push(child);
    }
  }
  return depth;
}

/** Order children by the size of what hangs from them: leaves stand next to their parent. */
function smallestFirst(own, depth) {
  const size = new Map([...own.keys()].map((id) => [id, 1]));
  const deepestFirst = [...own.keys()].sort((a, b) => depth.get(b) - depth.get(a));
  for (const id of deepestFirst) size.set(id, own.get(id).reduce((sum, child) => sum + size.get(child), 1));
  for (const children of own.values()) children.sort((a, b) => size.get(a) - size.get(b));
}

/** Heights, children first; a stack of our own, because a chain may be longer than the engine's. */
function rows(roots, own, widths) {
  const y = new Map();
  const shift = new Map();
  let next = 0;
  const place = (id) => y.set(id, ROW * next++);
  const stack = roots.toReversed().map((id) => [id, null]);
  while (stack.length) {
    const [id, began] = stack.pop();
    const children = own.get(id);
    if (began !== null) {
      y.set(id, began);
    } else if (!children.length) {
      place(id);
    } else {
      const leaves = children.filter((child) => !own.get(child).length);
      const block = leaves.length > BLOCK ? leaves : [];
      stack.push([id, ROW * next]);
      if (block.length) next = inBlock(block, next, y, shift, widths);
      stack.push(...children.filter((child) => !block.length || own.get(child).length).toReversed().map((child) => [child, null]));
    }
  }
  return { y, shift };
}

/** Place the leaves of one parent in columns from row `first`; says where the next free row is. */
function inBlock(leaves, first, y, shift, widths) {
  const high = Math.ceil(leaves.length / Math.max(1, Math.round(Math.sqrt(leaves.length / STEEP))));
  const wide = Math.max(...leaves.map((id) => widths.get(id))) + 22;
  leaves.forEach((id, i) => {
    y.set(id, ROW * (first + (i % high)));
    shift.set(id, wide * Math.floor(i / high));
  });
  return first + high;
}

function columns(nodes, depth) {
  const widths = [];
  for (const { id, width } of nodes) widths[depth.get(id)] = Math.max(widths[depth.get(id)] ?? 0, width);
  const starts = [0];
  for (let i = 0; i < widths.length; i++) starts.push(starts[i] + widths[i] + GAP);
  return starts;
}
