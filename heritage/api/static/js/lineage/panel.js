// The panel beside the graph: all that is known of the chosen version, with ways to its relatives.
import * as api from "../api.js";
import { sparkline } from "../charts.js";
import { announce, h, outside } from "../dom.js";
import { bytes, figure, moment, percent, plural, series, short, whole } from "../format.js";
import { fillFrom } from "../states.js";
import { badge, chip, edgeSign, originOf, relationOf, sign, healthOf } from "../words.js";

const SHOWN = 12;

/** Fill `place` with node `id`; `go(id)` moves to another, `expand(id)` loads hidden relatives. */
export function showVersion(place, kin, id, { go, expand }) {
  const node = kin.nodes.get(id);
  if (node && node.present === false) return place.replaceChildren(absent(kin, node, go));
  return fillFrom(place, async () => {
    const detail = await api.model(node ? node.id : id);
    return [heading(detail, node), verdict(detail), relatives(kin, detail, { go, expand }), links(detail), manifest(detail)];
  }, 8);
}

function absent(kin, node, go) {
  const children = kin.children(node.id).map((edge) => relative(kin, edge.child, edge, go));
  return h(
    "div",
    {},
    h("h2", {}, short(node.id)),
    h("p", { class: "faint" }, "A parent that nobody registered. Its children are known from their own manifests; register it to see its record here."),
    h("h3", {}, "Children"),
    h("ul", { class: "relatives" }, children),
  );
}

function heading(detail, node) {
  const { model } = detail;
  const aliases = model.aliases.map((alias) => badge(alias, alias === "champion" ? "champion" : ""));
  const others = (node?.addresses ?? []).filter((address) => address !== model.address);
  return h(
    "div",
    { class: "who" },
    h("h2", {}, model.address),
    h("p", { class: "badges" }, chip(model.health), aliases, model.family ? badge(`family ${model.family}`) : null),
    others.length ? h("p", { class: "small faint" }, `Same content as ${others.join(", ")}`) : null,
    detail.problem ? h("p", { class: "small warning" }, detail.problem) : null,
  );
}

function verdict({ model, verdict: last }) {
  if (!last) {
    return h("p", { class: "small faint" }, "No window has been judged. Windows are written by the drift agent or ", h("code", {}, "heritage observe"), ".");
  }
  const place = h("span", { class: "spark" });
  api.drift(model.address, { windows: 20, columns: 1 }).then(
    ({ timeline }) => place.replaceChildren(sparkline(timeline.map((v) => v.effect), last.status, `Effect of the last ${timeline.length} windows`)),
    () => {}, // the figures beside it say the same
  );
  const said = last.moved.length ? `${series(last.moved)} moved, effect ${figure(last.effect)}` : `effect ${figure(last.effect)}`;
  return h(
    "div",
    { class: "last" },
    h("div", {}, h("a", { href: `#/drift/${encodeURIComponent(model.address)}` }, `Window ${last.window}`), h("div", { class: "small faint" }, `${said}, ${whole(last.rows)} rows`)),
    place,
  );
}

function relatives(kin, detail, { go, expand }) {
  const { model } = detail;
  const id = model.digest;
  const hidden = kin.hiddenChildren(id) + kin.hiddenParents(id);
  const counts = `${plural(kin.ancestors(id).size, "ancestor")}, ${plural(kin.descendants(id).size, "descendant")} shown`;
  return h(
    "div",
    {},
    side("Parents", detail.parents, kin, go, "None: it is a root."),
    side("Children", detail.children, kin, go, "None."),
    h("p", { class: "small faint" }, counts),
    hidden ? h("button", { type: "button", onclick: () => expand(id) }, `Show ${plural(hidden, "more relative")}`) : null,
  );
}

function side(title, edges, kin, go, none) {
  const list = h("ul", { class: "relatives" }, edges.slice(0, SHOWN).map((edge) => relative(kin, edge.digest, edge, go)));
  const rest = edges.slice(SHOWN);
  if (rest.length) {
    const more = h("button", { type: "button", class: "plain", onclick: () => {
      more.parentElement.remove();
      list.append(...rest.slice(0, 500).map((edge) => relative(kin, edge.digest, edge, go)));
      announce(`${rest.length} more shown`);
    } }, `${whole(rest.length)} more`);
    list.append(h("li", {}, more));
  }
  return [h("h3", {}, title, h("span", { class: "faint" }, edges.length ? ` ${whole(edges.length)}` : "")), edges.length ? list : h("p", { class: "small faint" }, none)];
}

function relative(kin, digest, edge, go) {
  const node = kin.nodes.get(digest);
  const name = edge.address || node?.label || short(digest);
  const sure = originOf(edge.origin) === "recovered" ? `recovered, ${percent(edge.confidence, 0)} sure` : edge.origin;
  return h(
    "li",
    {},
    h("span", { class: healthOf(node?.health) }, sign(node?.health)),
    h("button", { type: "button", class: "plain", onclick: () => go(digest) }, name),
    h("span", { class: "how" }, edgeSign(edge.relation, edge.origin), `${relationOf(edge.relation)}, ${sure}`),
  );
}

function links({ model, links: own }) {
  const here = h("a", { href: `#/drift/${encodeURIComponent(model.address)}` }, "Drift");
  return h("p", { class: "ways" }, model.health === "unknown" ? null : here, outside(own.mlflow, "Version in MLflow"), outside(own.run, "Airflow run"));
}

function manifest({ manifest: record, model, tags, description }) {
  if (!record) return h("p", { class: "small faint" }, "No manifest: this version was registered without heritage. ", h("code", {}, "heritage_ingest"), " writes one.");
  const size = record.files?.reduce((sum, file) => sum + (file.size_bytes ?? 0), 0);
  const made = record.made_by ?? {};
  const rows = [
    ["Made", moment(record.created_at)],
    ["By", [made.dag, made.tool_version && `heritage ${made.tool_version}`].filter(Boolean).join(", ") || "hand"],
    ["Parameters", record.parameters ? `${whole(record.parameters)} in ${record.dtype}` : null],
    ["Files", record.files ? `${record.files.length}, ${bytes(size)}` : null],
    ["Network", record.architecture?.builder],
    ["Trained on", record.training_data ? `${whole(record.training_data.rows)} rows, profile ${short(record.training_data.signature, 8)}` : null],
    ...Object.entries(record.metrics ?? {}).slice(0, 8).map(([name, value]) => [name.replaceAll("_", " "), figure(value)]),
    ["Digest", h("code", { title: model.digest }, short(model.digest, 16))],
  ].filter(([, value]) => value);
  return h(
    "div",
    {},
    h("h3", {}, "Manifest"),
    h("dl", { class: "pairs" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    description ? fold("Description", description) : null,
    fold("Tags", tags),
    fold("Whole manifest", record),
  );
}

function fold(title, content) {
  const text = typeof content === "string" ? content : JSON.stringify(content, null, 2);
  return h("details", {}, h("summary", {}, title), h("pre", { tabindex: 0 }, text));
}
