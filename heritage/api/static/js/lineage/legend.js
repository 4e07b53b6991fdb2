// What signs, colours and line styles mean.
import { h } from "../dom.js";
import { edgeSign, HEALTH, ORIGINS, RELATIONS, sign } from "../words.js";

export function legend() {
  return h(
    "details",
    { class: "legend", open: matchMedia("(min-width: 901px) and (min-height: 700px)").matches },
    h("summary", {}, "Legend"),
    h("div", { class: "columns" },
      h("ul", {}, Object.entries(HEALTH).map(([name, { label, says }]) => h("li", { title: says }, h("span", { class: name }, sign(name)), label))),
      h("ul", {}, Object.entries(RELATIONS).map(([name, says]) => h("li", { title: says }, edgeSign(name), name))),
      h("ul", {}, Object.entries(ORIGINS).map(([name, says]) => h("li", { title: says }, edgeSign("unknown", name), name))),
    ),
  );
}
