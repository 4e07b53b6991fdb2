// Which classes were taken for which, before and after, as two shaded tables.
import { h } from "../dom.js";
import { percent } from "../format.js";

const MOST = 20;

/** `current` holds `before` and `after`: counts[i][j] rows of class i taken for class j. */
export function confusion(current, classes) {
  if (!current?.before?.length || current.before.length > MOST) return null;
  const names = classes ?? current.before.map((_, i) => String(i));
  return h(
    "section",
    {},
    h("h2", {}, "What is taken for what"),
    h("p", { class: "faint small" }, "Rows: the true class. Columns: the answer. Stronger colour is a larger share of the class; the diagonal is right."),
    h("div", { class: "pair" }, matrix("Deployed", current.before, names), matrix("Candidate", current.after, names)),
  );
}

function matrix(title, counts, names) {
  const right = counts.reduce((sum, row, i) => sum + row[i], 0);
  const all = counts.flat().reduce((a, b) => a + b, 0) || 1;
  const body = counts.map((row, i) => {
    const total = row.reduce((a, b) => a + b, 0) || 1;
    return h("tr", {}, h("th", { scope: "row" }, names[i]), row.map((count, j) => h("td", { class: `shade-${Math.ceil((5 * count) / total)} ${i === j ? "right" : ""}` }, count ? String(count) : "")));
  });
  const head = h("tr", {}, h("td", {}), names.map((name) => h("th", { scope: "col" }, name)));
  return h("figure", { class: "card" }, h("figcaption", {}, h("span", {}, title), h("span", { class: "number faint" }, percent(right / all))), h("div", { class: "matrix", tabindex: 0, role: "region", "aria-label": `${title}: confusion counts` }, h("table", {}, h("thead", {}, head), h("tbody", {}, body))));
}
