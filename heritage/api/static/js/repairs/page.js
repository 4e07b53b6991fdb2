// Repairs: what the search found and what the gate said, and each plan in full.
import * as api from "../api.js";
import { h, show } from "../dom.js";
import { percent, plural, points, short } from "../format.js";
import { empty, fillFrom, withCode } from "../states.js";
import { paged, table } from "../table.js";
import { decisionChip } from "./decision.js";
import { planPage } from "./plan.js";

export async function render(root, { id }) {
  if (id) return planPage(root, id);
  const place = h("div", {});
  show(root, h("div", { class: "head" }, h("h1", {}, "Repairs"), h("p", { class: "faint" }, "What the lineage could do for a drifted version, and what the gate said on rows that nothing was tuned on.")), place);
  await fillFrom(place, content);
  return undefined;
}

async function content() {
  const list = await paged(
    async (cursor) => {
      const page = await api.repairs({ limit: 100, cursor });
      return { rows: page.repairs, next: page.next };
    },
    (rows) => table(COLUMNS, rows, { caption: plural(rows.length, "repair"), goes: true }),
  );
  if (!list.rows().length) {
    return empty("No repair yet", h("p", {}, withCode("One starts by itself when two of the last three windows of a deployed version call for it. By hand: the DAG `heritage_repair`, or `heritage repair plan MODEL`.")));
  }
  return list.place;
}

const COLUMNS = [
  { title: "Plan", text: true, header: true, cell: (row) => h("a", { href: `#/repairs/${encodeURIComponent(row.plan)}` }, h("code", {}, short(row.plan))) },
  { title: "Model", text: true, wrap: true, value: (row) => row.champion, cell: (row) => row.champion || row.model },
  { title: "Decision", text: true, value: (row) => row.decision, cell: (row) => decisionChip(row.decision) },
  { title: "How", text: true, value: (row) => row.rung, cell: (row) => (row.kind === "validation" ? h("span", { class: "faint" }, "validation") : row.rung) },
  { title: "Before", value: (row) => row.before, cell: (row) => percent(row.before) },
  { title: "After", value: (row) => row.after, cell: (row) => percent(row.after) },
  { title: "Gain", value: (row) => row.gain, cell: (row) => points(row.gain) },
  { title: "Window", text: true, value: (row) => row.window, cell: (row) => row.window || "–" },
];
