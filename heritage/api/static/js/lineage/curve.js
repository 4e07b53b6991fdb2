// An edge as an S: it leaves to the right and arrives from the left, past whatever stands between.

const BEND = 34;

/** Cytoscape's control points of an edge, as distances from and weights along the straight line between its ends.
 *  `via` are places that a long edge must pass level ([x, y, half width], from left to right); between neighbouring
 *  columns there are none. */
export function curve(from, fromSize, to, toSize, via = []) {
  const start = [from.x + fromSize.width / 2, from.y];
  const end = [to.x - toSize.width / 2, to.y];
  const middle = (start[0] + end[0]) / 2;
  const points = via.length
    ? [[start[0] + BEND, start[1]], ...via.flatMap(([x, y, half]) => [[x - half, y], [x + half, y]]), [end[0] - BEND, end[1]]]
    : [[middle, start[1]], [middle, end[1]]];
  return relative(start, end, points);
}

function relative([x0, y0], [x1, y1], points) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = Math.hypot(dx, dy) || 1;
  return {
    along: points.map(([x, y]) => ((x - x0) * dx + (y - y0) * dy) / length ** 2),
    away: points.map(([x, y]) => ((y - y0) * dx - (x - x0) * dy) / length),
  };
}
