// A table whose columns sort, and lists that grow page by page.
import { announce, h, show } from "./dom.js";
import { plural } from "./format.js";

/** `columns`: {title, cell(row), value(row)?, text?, header?, hint?}; `value` makes a column sortable. */
export function table(columns, rows, { caption, sorted, goes }) {
  const body = h("tbody", {});
  let [by, up] = sorted ?? [-1, false];
  const heads = columns.map((column, i) => {
    const kind = column.text ? "text" : "";
    if (!column.value) return h("th", { scope: "col", class: kind, title: column.hint }, column.title);
    return h("th", { scope: "col", class: kind, title: column.hint }, h("button", { type: "button", class: "sort", onclick: () => sort(i) }, column.title));
  });
  const sort = (i) => {
    up = by === i ? !up : Boolean(columns[i].text);
    by = i;
    fill();
    announce(`Sorted by ${columns[i].title}, ${up ? "ascending" : "descending"}`);
  };
  const fill = () => {
    heads.forEach((head, i) => (i === by ? head.setAttribute("aria-sort", up ? "ascending" : "descending") : head.removeAttribute("aria-sort")));
    const value = columns[by]?.value;
    const ordered = value ? rows.toSorted((a, b) => (up ? 1 : -1) * compare(value(a), value(b))) : rows;
    show(body, ordered.map((row) => line(columns, row, goes)));
  };
  fill();
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, heads)), body));
}

function line(columns, row, goes) {
  const cells = columns.map((column) => h(column.header ? "th" : "td", { scope: column.header ? "row" : null, class: column.text ? `text${column.wrap ? " wrap" : ""}` : null }, column.cell(row)));
  return h("tr", { class: goes ? "goes" : null }, cells);
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(String(b), "en", { numeric: true });
  return (a ?? -Infinity) - (b ?? -Infinity);
}

/** Rows that come page by page: `fetch(cursor)` gives {rows, next}, `draw(rows)` the element that shows them all. */
export async function paged(fetch, draw) {
  const first = await fetch("");
  let { rows, next } = first;
  const place = h("div", {});
  const redraw = () => show(place, draw(rows), next ? h("div", { class: "more" }, more) : null);
  const more = h("button", { type: "button", onclick: async () => {
    more.disabled = true;
    const page = await fetch(next).catch((error) => ({ rows: [], next, problem: error.message }));
    rows = rows.concat(page.rows);
    next = page.next;
    more.disabled = false;
    redraw();
    announce(page.problem ?? `${plural(rows.length, "row")} shown`);
  } }, "Show more");
  redraw();
  return { place, redraw, rows: () => rows };
}
