// One version: verdict in a sentence, its windows in time, its columns worst first.
import * as api from "../api.js";
import { histogram, sparkline, timeline } from "../charts.js";
import { h, outside, show } from "../dom.js";
import { capital, figure, percent, plural, series, whole } from "../format.js";
import { empty, fillFrom, withCode } from "../states.js";
import { table } from "../table.js";
import { chip, HEALTH, healthOf, sign } from "../words.js";

const WINDOWS = 48;
// effect from which a window calls for a repair; the default of HERITAGE_DRIFT__TRIGGER_EFFECT
const TRIGGER = 0.2;

export async function versionPage(root, id) {
  const place = h("div", {});
  const up = h("p", { class: "crumb" }, h("a", { href: "#/drift" }, "Drift"));
  show(root, up, h("div", { class: "head" }, h("h1", {}, id), h("a", { href: `#/lineage/${encodeURIComponent(id)}` }, "Lineage")), place);
  await fillFrom(place, () => content(id), 9);
}

async function content(id) {
  const found = await api.drift(id, { windows: WINDOWS, columns: 100 });
  if (!found.timeline.length) {
    return empty("No window of this version has been judged", h("p", {}, withCode("Windows are written by the drift agent or `heritage observe`, and judged by `heritage_drift_check`. Only deployed versions are watched.")));
  }
  const last = found.timeline.at(-1);
  const plots = h("section", {});
  drawPlots(plots, id, last.window);
  return [banner(last, found.report), facts(last, found.performance), windows(found.timeline), plots, columns(found)];
}

function banner(last, report) {
  const health = healthOf(last.status);
  const moved = last.moved.length ? `${capital(series(last.moved))} moved in window ${last.window}` : `Window ${last.window}: ${HEALTH[health].says}`;
  return h("div", { class: `banner ${health}` }, h("strong", {}, sign(health), moved), h("p", {}, last.muted ? "This window is muted: it triggers nothing. " : "", last.columns.length ? `${plural(last.columns.length, "column")} drifted: ${last.columns.slice(0, 8).join(", ")}${last.columns.length > 8 ? " and more" : ""}. ` : "", outside(report, "Full report")));
}

function facts(last, performance) {
  const was = performance?.reference?.accuracy;
  const entries = [
    ["Effect", figure(last.effect)],
    ["Rows", whole(last.rows)],
    ["Drifted columns", whole(last.columns.length)],
    ["Accuracy now", percent(last.accuracy)],
    ...(was === undefined ? [] : [["Accuracy of the reference", percent(was)]]),
  ];
  return h("section", {}, h("dl", { class: "facts" }, entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

function windows(verdicts) {
  const rows = verdicts.toReversed();
  const list = table(
    [
      { title: "Window", text: true, header: true, value: (v) => v.window, cell: (v) => v.window },
      { title: "Status", text: true, cell: (v) => [chip(v.status), v.muted ? h("span", { class: "faint small" }, " muted") : null] },
      { title: "Effect", value: (v) => v.effect, cell: (v) => figure(v.effect) },
      { title: "Moved", text: true, cell: (v) => v.moved.join(", ") || "–" },
      { title: "Accuracy", value: (v) => v.accuracy, cell: (v) => percent(v.accuracy) },
      { title: "Rows", value: (v) => v.rows, cell: (v) => whole(v.rows) },
    ],
    rows,
    { caption: "Windows, newest first" },
  );
  return h("section", {}, h("h2", {}, "Windows"), h("div", { class: "card" }, timeline(verdicts, TRIGGER, Math.min(1150, Math.max(300, document.getElementById("content").clientWidth - 75)))), h("details", { class: "below" }, h("summary", {}, `Figures of ${plural(rows.length, "window")}`), list));
}

async function drawPlots(place, id, window) {
  const { plots } = await api.plots(id, { window, columns: 12 }).catch(() => ({ plots: [] }));
  if (!plots.length) return;
  const key = h("p", { class: "faint small" }, h("span", { class: "key" }, h("i", {}), "reference"), h("span", { class: "key" }, h("i", { class: "current" }), `window ${window}`), h("span", { class: "key" }, "% of values"));
  const pictures = plots.map((plot) =>
    h("figure", { class: "card" }, h("figcaption", {}, h("span", {}, plot.name), chip(plot.level)), histogram(plot, `${plot.name}: reference and current distribution; effect ${figure(plot.effect)}`)),
  );
  show(place, h("h2", {}, "Distributions"), key, h("div", { class: "plots" }, pictures));
}

function columns({ columns: all, series: past, timeline: verdicts }) {
  const history = (column) => past[column.name]?.psi_debiased;
  const list = table(
    [
      { title: "Column", text: true, header: true, value: (c) => c.name, cell: (c) => [c.name, c.family === "output" ? h("span", { class: "faint small" }, " output") : null] },
      { title: "Level", text: true, cell: (c) => chip(c.level) },
      { title: "Effect", value: (c) => c.effect, cell: (c) => figure(c.effect), hint: "larger of KS distance and debiased PSI" },
      { title: "PSI", value: (c) => c.psi, cell: (c) => figure(c.psi) },
      { title: "debiased", value: (c) => c.psi_debiased, cell: (c) => figure(c.psi_debiased), hint: "PSI less what chance alone gives" },
      { title: "KL", value: (c) => c.kl, cell: (c) => figure(c.kl), hint: "of current rows from the reference, nats" },
      { title: "JS", value: (c) => c.js, cell: (c) => figure(c.js) },
      { title: "KS", value: (c) => c.ks, cell: (c) => figure(c.ks), hint: "certain lower bound" },
      { title: "Over time", text: true, cell: (c) => (history(c) ? sparkline(history(c), c.level, `Debiased PSI of ${c.name} over ${verdicts.length} windows`) : "") },
    ],
    all,
    { caption: `Columns of the newest window, ${all.length}` },
  );
  return h("section", {}, h("h2", {}, "Columns"), list);
}
