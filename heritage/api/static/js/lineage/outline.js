// The same lineage as nested lists: for those who read rather than look, and for narrow screens.
import { h } from "../dom.js";
import { percent, plural } from "../format.js";
import { edgeSign, healthOf, HEALTH, originOf, relationOf, sign, badge } from "../words.js";

const MOST = 1500;

/** A nested list of everything loaded. A merge stands under its first parent; under the others it is only named. */
export function outline(kin, chosen, go) {
  const drawn = new Set();
  const top = h("ul", { class: "outline" });
  const stack = kin.roots().toReversed().map((id) => ({ id, edge: null, into: top }));
  let cut = 0;
  while (stack.length) {
    const { id, edge, into } = stack.pop();
    if (drawn.size >= MOST) {
      cut += 1;
      continue;
    }
    const again = drawn.has(id);
    drawn.add(id);
    const inner = h("ul", {});
    const item = line(kin, id, edge, { again, chosen, go });
    into.append(item);
    if (again) continue;
    const children = kin.children(id);
    if (children.length) item.append(inner);
    for (const next of children.toReversed()) stack.push({ id: next.child, edge: next, into: inner });
  }
  return h("div", {}, top, cut ? h("p", { class: "faint" }, `${plural(cut, "more version")} not listed; search for one to start there.`) : null);
}

function line(kin, id, edge, { again, chosen, go }) {
  const node = kin.nodes.get(id);
  const sure = edge && originOf(edge.origin) === "recovered" ? ` ${percent(edge.confidence, 0)}` : "";
  const how = edge ? h("span", { class: "how" }, edgeSign(edge.relation, edge.origin), `${relationOf(edge.relation)}, ${edge.origin}${sure}`) : null;
  return h(
    "li",
    {},
    h("span", { class: healthOf(node.health), title: HEALTH[healthOf(node.health)].label }, sign(node.health), h("span", { class: "unseen" }, HEALTH[healthOf(node.health)].label)),
    h("button", { type: "button", class: "plain", "aria-current": id === chosen && !again ? "true" : null, onclick: () => go(id) }, node.label || id.slice(0, 12)),
    (node.aliases ?? []).map((alias) => badge(alias, alias === "champion" ? "champion" : "")),
    how,
    again ? h("span", { class: "faint small" }, "(above)") : null,
    kin.hiddenChildren(id) ? h("span", { class: "faint small" }, `+${kin.hiddenChildren(id)} more`) : null,
  );
}
