// Audit: what the records say against one another, always with both sides.
import * as api from "./api.js";
import { debounced, h, show } from "./dom.js";
import { capital, distance, moment, plural, whole } from "./format.js";
import { empty, fillFrom, withCode } from "./states.js";
import { paged } from "./table.js";
import { sign } from "./words.js";

// each borrows the sign of the health level that asks for as much attention
const SEVERITY = { error: "drift", warning: "warning", note: "insufficient" };

export async function render(root) {
  const place = h("div", {});
  const told = h("p", { class: "faint" }, "Manifests, tags, the index, weights and locked copies, against one another.");
  show(root, h("div", { class: "head" }, h("h1", {}, "Audit"), told), place);
  await fillFrom(place, () => content(told));
}

async function content(told) {
  const wanted = { severity: "", text: "" };
  let last = {};
  const fetch = async (cursor) => {
    last = await api.audit({ severity: wanted.severity, limit: 200, cursor });
    return { rows: last.findings, next: last.next };
  };
  const first = await paged(fetch, (rows) => draw(rows, wanted));
  if (!last.audited_at) return empty("No audit has run yet", h("p", {}, withCode("The DAG `heritage_audit` runs weekly; at once: `heritage audit`.")));
  told.textContent = `Manifests, tags, the index, weights and locked copies, against one another. Last looked at ${moment(last.audited_at)}, ${distance(last.audited_at)}.`;
  const { counts } = last;
  if (!Object.values(counts).some(Boolean)) return empty("Nothing contradicts anything", "All records of all versions agree with one another and with the weights.");
  const list = h("div", {}, first.place);
  let current = first;
  const filter = async (severity) => {
    wanted.severity = severity;
    await fillFrom(list, async () => {
      current = await paged(fetch, (rows) => draw(rows, wanted));
      return current.place;
    });
  };
  return [bar(counts, wanted, filter, debounced(() => current.redraw(), 80)), list];
}

function bar(counts, wanted, filter, redraw) {
  const search = h("input", { type: "search", placeholder: "Filter by version or kind", "aria-label": "Filter by version or kind", oninput: (event) => {
    wanted.text = event.target.value.toLowerCase();
    redraw();
  } });
  const buttons = Object.entries(SEVERITY).filter(([name]) => counts[name]).map(([name, level]) =>
    h("button", { type: "button", "aria-pressed": "false", onclick: (event) => {
      const chosen = wanted.severity === name ? "" : name;
      for (const other of event.currentTarget.parentElement.children) other.setAttribute("aria-pressed", "false");
      event.currentTarget.setAttribute("aria-pressed", String(Boolean(chosen)));
      filter(chosen);
    } }, h("span", { class: level }, sign(level)), name, h("span", { class: "faint number" }, whole(counts[name]))));
  return h("div", { class: "filters" }, search, h("div", { class: "segments", role: "group", "aria-label": "Filter by severity" }, buttons));
}

const words = (kind) => kind.replaceAll("_", " ");

function draw(findings, { text }) {
  const shown = findings.filter((finding) => `${finding.subject} ${words(finding.kind)}`.toLowerCase().includes(text));
  if (!shown.length) return empty("No finding fits this filter", "Clear the filter to see all of them.");
  return h("div", {}, h("p", { class: "faint small" }, plural(shown.length, "finding")), h("ul", { class: "findings" }, shown.map(card)));
}

function card(finding) {
  const level = SEVERITY[finding.severity] ?? "unknown";
  const sides = Object.entries(finding.sides ?? {});
  return h(
    "li",
    { class: "card" },
    h("h2", { class: level }, sign(level), h("span", { class: "unseen" }, `${finding.severity}: `), capital(words(finding.kind))),
    h("p", {}, finding.subject ? h("a", { href: `#/lineage/${encodeURIComponent(finding.subject)}` }, finding.subject) : null, " ", finding.message),
    sides.length ? h("dl", { class: "sides" }, sides.map(([side, says]) => h("div", {}, h("dt", {}, words(side)), h("dd", { class: "mono" }, String(says) || "nothing")))) : null,
    finding.remedy ? h("p", { class: "faint small" }, withCode(`${capital(finding.remedy)}.`)) : null,
  );
}
