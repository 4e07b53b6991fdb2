// The search field: a combobox whose list is asked from the server as one types.
import * as api from "../api.js";
import { announce, debounced, h, show } from "../dom.js";
import { plural } from "../format.js";
import { badge, healthOf, sign } from "../words.js";

/** The field and its list; `choose(card)` is called with what was picked. */
export function searchField(choose) {
  const list = h("ul", { id: "found", role: "listbox", "aria-label": "Model versions", hidden: true });
  const input = h("input", {
    type: "search",
    role: "combobox",
    placeholder: "Find a model",
    "aria-label": "Find a model version",
    "aria-expanded": "false",
    "aria-controls": "found",
    "aria-autocomplete": "list",
    autocomplete: "off",
    spellcheck: "false",
  });
  let cards = [];
  let at = -1;
  let asked = null;

  const open = (shown) => {
    list.hidden = !shown;
    input.setAttribute("aria-expanded", String(shown));
    if (!shown) input.removeAttribute("aria-activedescendant");
  };
  const mark = (index) => {
    at = index;
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === at)));
    const item = list.children[at];
    if (!item) return;
    input.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  };
  const pick = (card) => {
    open(false);
    input.value = card.address;
    choose(card);
  };
  const ask = async () => {
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await api.models({ query: input.value.trim(), limit: 30 }, asked.signal);
      cards = answer.models;
      show(list, cards.length ? cards.map((card, i) => option(card, i, pick)) : nothing("No version has this in its name."));
      announce(`${plural(answer.total ?? cards.length, "version")} found`);
    } catch (error) {
      if (error.name === "AbortError") return;
      cards = [];
      show(list, nothing(error.message));
    }
    open(true);
    mark(-1);
  };
  const soon = debounced(ask);
  input.addEventListener("input", soon);
  input.addEventListener("focus", () => (list.children.length && !input.value ? open(true) : input.value ? null : soon()));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return open(false);
    if (event.key === "Enter" && cards.length && !list.hidden) return pick(cards[Math.max(at, 0)]);
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return undefined;
    event.preventDefault();
    if (list.hidden) return ask();
    return mark((at + (event.key === "ArrowDown" ? 1 : cards.length - 1) + (at < 0 && event.key === "ArrowUp" ? 1 : 0)) % (cards.length || 1));
  });
  const field = h("div", { class: "search" }, input, list);
  field.addEventListener("focusout", (event) => !field.contains(event.relatedTarget) && open(false));
  return { field, input };
}

const nothing = (text) => h("li", { class: "faint", role: "option", "aria-disabled": "true" }, text);

function option(card, index, pick) {
  return h(
    "li",
    { id: `found-${index}`, role: "option", "aria-selected": "false", tabindex: -1, onmousedown: (e) => e.preventDefault(), onclick: () => pick(card) },
    h("span", { class: healthOf(card.health) }, sign(card.health)),
    h("span", { class: "name" }, card.address),
    card.aliases.map((alias) => badge(alias, alias === "champion" ? "champion" : "")),
  );
}
