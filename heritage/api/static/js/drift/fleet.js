// All versions that were judged, worst first.
import * as api from "../api.js";
import { debounced, h, show } from "../dom.js";
import { figure, percent, plural, whole } from "../format.js";
import { empty, fillFrom, withCode } from "../states.js";
import { paged, table } from "../table.js";
import { badge, chip, HEALTH, severity, sign } from "../words.js";

export async function fleetPage(root) {
  const place = h("div", {});
  show(root, h("div", { class: "head" }, h("h1", {}, "Drift"), h("p", { class: "faint" }, "What deployed versions see now, against what they were made on. Worst first.")), place);
  await fillFrom(place, content);
}

async function content() {
  const wanted = { text: "", health: "" };
  const list = await paged(
    async (cursor) => {
      const page = await api.fleet({ limit: 200, cursor });
      return { rows: page.models, next: page.next };
    },
    (rows) => draw(rows, wanted),
  );
  if (!list.rows().length) {
    return empty("No window has been judged yet", h("p", {}, withCode("Write windows with the drift agent or `heritage observe`; the DAG `heritage_drift_check` judges them every hour, `heritage drift run MODEL` at once.")));
  }
  return [filters(list, wanted), list.place];
}

function filters(list, wanted) {
  const redraw = debounced(list.redraw, 80);
  const search = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name", oninput: (event) => {
    wanted.text = event.target.value.toLowerCase();
    redraw();
  } });
  const counts = Object.groupBy(list.rows(), (row) => row.health);
  const buttons = Object.keys(HEALTH).filter((health) => counts[health]).map((health) =>
    h("button", { type: "button", "aria-pressed": "false", onclick: (event) => {
      wanted.health = wanted.health === health ? "" : health;
      for (const other of event.currentTarget.parentElement.children) other.setAttribute("aria-pressed", "false");
      event.currentTarget.setAttribute("aria-pressed", String(wanted.health === health));
      list.redraw();
    } }, h("span", { class: health }, sign(health)), HEALTH[health].label, h("span", { class: "faint number" }, whole(counts[health].length))));
  return h("div", { class: "filters" }, search, h("div", { class: "segments", role: "group", "aria-label": "Filter by status" }, buttons));
}

function draw(rows, { text, health }) {
  const shown = rows.filter((row) => (!health || row.health === health) && row.address.toLowerCase().includes(text));
  if (!shown.length) return empty("No version fits this filter", "Clear the filter to see all of them.");
  return table(COLUMNS, shown, { caption: `Drift of ${plural(shown.length, "version")}`, goes: true });
}

const to = (row) => `#/drift/${encodeURIComponent(row.address)}`;
const COLUMNS = [
  { title: "Version", text: true, header: true, value: (row) => row.address, cell: (row) => [h("a", { href: to(row) }, row.address), " ", row.aliases.map((alias) => badge(alias, alias === "champion" ? "champion" : ""))] },
  { title: "Status", text: true, value: (row) => String(severity(row.health)), cell: (row) => [chip(row.health), row.verdict.muted ? h("span", { class: "faint small" }, " muted") : null] },
  { title: "Effect", value: (row) => row.verdict.effect, cell: (row) => meter(row.verdict.effect, row.health), hint: "larger of KS distance and debiased PSI of the worst drifted column" },
  { title: "Moved", text: true, cell: (row) => row.verdict.moved.join(", ") || h("span", { class: "faint" }, "nothing") },
  { title: "Columns", value: (row) => row.verdict.columns.length, cell: (row) => row.verdict.columns.length || h("span", { class: "faint" }, "0"), hint: "drifted columns" },
  { title: "Accuracy", value: (row) => row.verdict.accuracy, cell: (row) => percent(row.verdict.accuracy), hint: "on labelled rows of the window" },
  { title: "Rows", value: (row) => row.verdict.rows, cell: (row) => whole(row.verdict.rows) },
  { title: "Window", text: true, value: (row) => row.verdict.window, cell: (row) => row.verdict.window },
  { title: "Family", text: true, value: (row) => row.family, cell: (row) => row.family || "–" },
];

/** A figure with a bar as long as it is large; the mark is where a repair starts. */
function meter(effect, health) {
  return h("span", { class: "meter" }, h("span", { class: "number" }, figure(effect)), h("meter", { min: 0, max: 0.5, value: Math.min(effect ?? 0, 0.5), class: health, "aria-hidden": "true" }));
}
