// Labelling: which requests wait for answers, and the place where they are given.
import * as api from "../api.js";
import { h, show } from "../dom.js";
import { distance, moment, percent, plural } from "../format.js";
import { empty, fillFrom, withCode } from "../states.js";
import { labelPage } from "./labeller.js";

export async function render(root, { id }) {
  if (id) return labelPage(root, id);
  const place = h("div", {});
  show(root, h("div", { class: "head" }, h("h1", {}, "Labelling"), h("p", { class: "faint" }, "Where the lineage cannot help a model, a few labels can. Nearest deadline first.")), place);
  await fillFrom(place, content);
  return undefined;
}

async function content() {
  const { requests } = await api.requests();
  if (!requests.length) {
    return empty("Nobody waits for labels", h("p", {}, withCode("A request appears when a repair needs answers. By hand: the DAG `heritage_label`, or `heritage label request MODEL`.")));
  }
  return h("ul", { class: "requests" }, requests.map(card));
}

function card(request) {
  const bar = h("progress", { max: request.tasks, value: 0, "aria-label": `Answered of ${request.tasks}` });
  const told = h("span", { class: "small faint number" }, plural(request.tasks, "task"));
  const people = h("p", { class: "small faint" });
  api.request(request.request).then(
    (state) => {
      bar.value = state.answered;
      told.textContent = `${state.answered} of ${plural(state.tasks, "row")} answered, ${request.min_labels} are needed`;
      people.textContent = peopleOf(state);
    },
    () => {}, // the card says enough without it
  );
  return h(
    "li",
    { class: "card" },
    h("h2", {}, h("a", { href: `#/labels/${encodeURIComponent(request.request)}` }, request.model)),
    h("p", { class: "small faint" }, `Window ${request.window}, rows picked by ${request.strategy}. `, h("span", { title: moment(request.deadline) }, `Closes ${distance(request.deadline)}.`)),
    bar,
    told,
    people,
    h("a", { class: "button", href: `#/labels/${encodeURIComponent(request.request)}` }, "Answer"),
  );
}

/** Who answered how much, and how well they agree. */
export function peopleOf({ annotators, agreement }) {
  const names = Object.entries(annotators ?? {}).map(([name, count]) => `${name} ${count}`);
  const agree = typeof agreement === "number" ? `; agreement (alpha) ${percent(agreement, 0)}` : "";
  return names.length ? `${names.join(", ")}${agree}` : "";
}
