// One repair: the decision, what it rests on, what it is made of, and where it waits for approval.
import * as api from "../api.js";
import { curves } from "../charts.js";
import { h, outside, show, upward } from "../dom.js";
import { figure, percent, plural, points, short, whole } from "../format.js";
import { fillFrom } from "../states.js";
import { table } from "../table.js";
import { sign } from "../words.js";
import { confusion } from "./confusion.js";
import { decisionChip, decisionOf } from "./decision.js";

export async function planPage(root, plan) {
  const place = h("div", {});
  show(root, h("p", { class: "crumb" }, h("a", { href: "#/repairs" }, "Repairs")), place);
  await fillFrom(place, () => content(plan), 9);
}

async function content(plan) {
  const found = await api.repair(plan);
  const { repair, decision, evidence } = found;
  const model = repair.champion || repair.model;
  return [
    h("div", { class: "head" }, h("h1", {}, repair.kind === "validation" ? "Validation against " : "Repair of ", model), h("p", { class: "faint" }, "Plan ", h("code", { title: plan }, short(plan, 16)), decision.windows?.length ? `, on ${decision.windows.join(", ")}` : "")),
    banner(found),
    accuracies(repair, decision),
    gate(decision.gate),
    recipe(found),
    rungs(evidence),
    walked(evidence, decision),
    donors(decision),
    evidence ? confusion(evidence.current, decision.classes) : null,
    h("section", {}, fold("Decision as stored", decision), found.plan ? fold("Plan as stored", found.plan) : null),
  ];
}

function banner({ repair, decision, challenger, links }) {
  const { level, label, says } = decisionOf(repair.decision);
  const lead = { accept: "Accepted", refuse: "Refused", shadow: "Shadow", ask_labels: "Labels needed" }[repair.decision] ?? label;
  const ways = [
    challenger ? h("a", { href: `#/lineage/${encodeURIComponent(challenger)}` }, challenger) : null,
    outside(links?.mlflow, "In MLflow"),
    outside(links?.report, "Full report"),
  ].filter(Boolean);
  const approve = repair.decision === "accept" && links?.approval ? upward(links.approval, "Go to the approval") : null;
  return h("div", { class: `banner ${level}` }, h("strong", {}, sign(level), `${lead}${decision.dry_run ? " (dry run)" : ""}`), h("p", {}, says), reasons(repair.reason), ways.length || approve ? h("p", { class: "ways" }, approve, ways) : null);
}

const reasons = (text) => (text ? h("p", { class: "faint" }, text) : null);

/** Accuracy on guard rows: deployed, rolled back, repaired. */
function accuracies(repair, decision) {
  const rows = [
    ["Deployed", repair.before, "was"],
    ["Rolled back", decision.rollback?.accuracy, "was"],
    [repair.kind === "validation" ? "Candidate" : "Repaired", repair.after, "is"],
  ].filter(([, value]) => typeof value === "number");
  if (!rows.length) return null;
  const bars = rows.map(([name, value, kind]) => h("div", { class: "bar-row" }, h("span", {}, name), h("meter", { min: 0, max: 1, value, class: kind, "aria-hidden": "true" }), h("span", { class: "number" }, percent(value))));
  return h("section", {}, h("h2", {}, "Accuracy on guard rows"), h("div", { class: "card bars" }, bars, h("p", { class: "small faint" }, `Gain ${points(repair.gain)}. No row of these was used for tuning.`)));
}

function gate(told) {
  if (!told) return null;
  const entries = [
    ["Rows", whole(told.rows ?? told.n)],
    ["Fixed", whole(told.fixed)],
    ["Broken", whole(told.broken)],
    ["p", figure(told.p, 2)],
    ["Gain that could be shown", points(told.detectable)],
    ["On the original domain", points(told.original_gain)],
  ].filter(([, value]) => value !== "–");
  return h("section", {}, h("h2", {}, "Gate"), h("dl", { class: "facts" }, entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

function recipe({ plan, decision }) {
  const shares = Object.entries(decision.coefficients ?? {}).filter(([, share]) => share);
  if (!shares.length) return null;
  const kept = 1 - shares.reduce((sum, [, share]) => sum + share, 0);
  const all = [...shares, [`${decision.champion} itself`, Math.max(0, kept)]].filter(([, share]) => share > 0.0005);
  const more = plan?.recipe ?? {};
  const steps = more.steps ? `, then ${plural(more.steps, "step")} on labelled rows` : "";
  return h(
    "section",
    {},
    h("h2", {}, "What it is made of"),
    h("p", {}, `Rung ${decision.rung}${steps}.`),
    h("div", { class: "card bars" }, all.map(([name, share]) => h("div", { class: "bar-row" }, h("span", {}, name), h("meter", { min: 0, max: 1, value: share, class: "share", "aria-hidden": "true" }), h("span", { class: "number" }, figure(share, 2))))),
  );
}

function rungs(evidence) {
  if (!evidence?.rungs?.length) return null;
  return h("section", {}, h("h2", {}, "Rungs, simplest first"), table(
    [
      { title: "Rung", text: true, header: true, cell: (r) => r.rung },
      { title: "NLL held out", cell: (r) => figure(r.held_out_nll), hint: "nats, on labelled rows that the rung was not tuned on" },
      { title: "Accuracy", cell: (r) => percent(r.accuracy), hint: "on guard rows" },
      { title: "p", cell: (r) => figure(r.p, 2) },
      { title: "Gate", text: true, cell: (r) => (r.verdict ? decisionChip(r.verdict) : h("span", { class: "faint" }, "no candidate")) },
    ],
    evidence.rungs,
    { caption: "Rungs" },
  ));
}

function walked(evidence, decision) {
  const lines = (evidence?.curves ?? decision.curves ?? []).filter((curve) => curve.points.length > 1);
  if (!lines.length) return null;
  const [first, later] = [true, false].map((plain) => finest(lines.filter((line) => plain === !Object.keys(line.start ?? {}).length)));
  return h(
    "section",
    {},
    h("h2", {}, "Along the lines"),
    first.length ? lineChart(first, "From the drifted version to each donor.") : null,
    later.length ? h("details", {}, h("summary", {}, "From the best mix to each donor"), lineChart(later, "From the mix that was best so far to each donor.")) : null,
  );
}

/** Of several walks to one donor, the one with the most looks, and of those the last. */
const finest = (lines) => {
  const best = new Map();
  for (const line of lines) if (line.points.length >= (best.get(line.donor)?.points.length ?? 0)) best.set(line.donor, line);
  return [...best.values()];
};

function lineChart(lines, what) {
  const key = lines.map((line, i) => h("span", { class: "key" }, h("i", { class: `line-${i % 6}` }), line.donor));
  const chart = curves(lines.map(({ donor, points: looks }) => ({ name: donor, points: looks })), { xLabel: "share of the donor", label: `Loss along ${plural(lines.length, "line")}`, width: Math.min(560, document.getElementById("content").clientWidth - 70) });
  return h("div", { class: "card" }, h("p", {}, key), chart, h("p", { class: "small faint" }, `${what} Mean negative log-likelihood (nats) on tuning rows; the larger dot is the lowest.`));
}

function donors(decision) {
  const known = Object.entries(decision.donors ?? {}).map(([label, health]) => ({ label, health, reason: "" }));
  const barred = Object.entries(decision.rejected ?? {}).map(([label, reason]) => ({ label, health: null, reason }));
  if (!known.length && !barred.length) return null;
  return h("section", {}, h("h2", {}, "Relatives"), table(
    [
      { title: "Version", text: true, header: true, cell: (d) => h("a", { href: `#/lineage/${encodeURIComponent(d.label)}` }, d.label) },
      { title: "Drift now", value: (d) => d.health?.drift, cell: (d) => figure(d.health?.drift) },
      { title: "Accuracy now", value: (d) => d.health?.accuracy, cell: (d) => percent(d.health?.accuracy) },
      { title: "Use", text: true, wrap: true, cell: (d) => d.reason || "donor" },
    ],
    [...known, ...barred],
    { caption: "Relatives that were looked at" },
  ));
}

const fold = (title, content) => h("details", {}, h("summary", {}, title), h("pre", { tabindex: 0 }, JSON.stringify(content, null, 2)));
