// A row as people can judge it: an image, a table of values, or text.
import { h, s } from "../dom.js";
import { figure } from "../format.js";

const MOST_VALUES = 240;

/** The element for a task's `data`; `tasks` give each value its usual range. */
export function picture(data, tasks) {
  if (data.kind === "text") return h("p", { class: "text-row", tabindex: 0 }, data.text);
  if (!data.values) return h("p", { class: "faint" }, `A row of ${data.shape.join(" × ")} numbers: too large to show here. Label it with `, h("code", {}, "heritage label answer"), ".");
  return data.kind === "image" ? image(data) : values(data, tasks);
}

/** Height, width, and how many colours; channels come first or last. */
function layout(shape) {
  if (shape.length === 2) return { height: shape[0], width: shape[1], channels: 1, first: true };
  const first = shape[0] <= 4 && shape[0] <= shape[2];
  const [height, width, channels] = first ? [shape[1], shape[2], shape[0]] : shape;
  return { height, width, channels, first };
}

function image(data) {
  const { height, width, channels, first } = layout(data.shape);
  const canvas = h("canvas", { width, height, role: "img", "aria-label": `Image of ${width} by ${height} points` });
  let low = Infinity;
  let high = -Infinity;
  for (const value of data.values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const scale = 255 / (high - low || 1);
  const at = (x, y, c) => data.values[first ? (c * height + y) * width + x : (y * width + x) * channels + c];
  const shade = (x, y, c) => (at(x, y, Math.min(c, channels - 1)) - low) * scale;
  const pixels = canvas.getContext("2d").createImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const grey = channels < 3;
      pixels.data.set([shade(x, y, 0), shade(x, y, grey ? 0 : 1), shade(x, y, grey ? 0 : 2), 255], 4 * (y * width + x));
    }
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** Values with a mark for where each lies among the same column of all rows. */
function values(data, tasks) {
  const rows = tasks.map((task) => task.data.values).filter((row) => row?.length === data.values.length);
  const shown = data.values.slice(0, MOST_VALUES);
  const cells = shown.map((value, i) => {
    const column = rows.map((row) => row[i]);
    const [low, high] = [Math.min(...column), Math.max(...column)];
    const x = high > low ? 2 + (56 * (value - low)) / (high - low) : 30;
    const mark = s("svg", { class: "range", viewBox: "0 0 60 10", "aria-hidden": "true" }, s("line", { x1: 2, x2: 58, y1: 5, y2: 5 }), s("circle", { cx: x, cy: 5, r: 3.4 }));
    return h("div", {}, h("dt", {}, `x${i}`), h("dd", {}, h("span", { class: "number" }, figure(value)), mark));
  });
  const rest = data.values.length - shown.length;
  return [h("dl", { class: "values", tabindex: 0 }, cells), rest > 0 ? h("p", { class: "small faint" }, `${rest} more values are not shown`) : null];
}
