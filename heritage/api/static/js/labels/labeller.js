// One row at a time, answered by keys. Answers go out as they are given; what could not be sent is kept and sent again.
import * as api from "../api.js";
import { announce, h, show } from "../dom.js";
import { plural } from "../format.js";
import { failed, loading } from "../states.js";
import { Outbox } from "./outbox.js";
import { peopleOf } from "./page.js";
import { picture } from "./picture.js";

const PAGE = 500;
const KEYS = "1234567890";

export async function labelPage(root, request) {
  const labeller = new Labeller(root, request);
  show(root, loading(6));
  try {
    await labeller.open();
  } catch (error) {
    show(root, failed(error, () => labelPage(root, request)));
  }
  return () => labeller.leave();
}

class Labeller {
  constructor(root, request) {
    this.root = root;
    this.request = request;
    this.at = 0;
    this.typed = "";
    this.onkey = (event) => this.key(event);
    this.outbox = new Outbox(request, (state, problem) => this.sent(state, problem));
  }

  async open() {
    const [state, first] = await Promise.all([api.request(this.request), api.tasks(this.request, { limit: PAGE })]);
    this.state = state;
    this.classes = first.classes;
    this.tasks = first.tasks;
    while (this.tasks.length < first.total) {
      const page = await api.tasks(this.request, { limit: PAGE, offset: this.tasks.length });
      if (!page.tasks.length) break;
      this.tasks.push(...page.tasks);
    }
    this.given = new Map(this.tasks.filter((task) => task.label !== null && task.label !== undefined).map((task) => [task.sample_id, Number(task.label)]));
    for (const [id, label] of this.outbox.kept()) this.given.set(id, label);
    this.at = Math.max(0, this.tasks.findIndex((task) => !this.given.has(task.sample_id)));
    this.draw();
    this.outbox.send();
    addEventListener("keydown", this.onkey);
  }

  draw() {
    this.shown = h("div", { class: "shown" });
    this.choices = h("div", { class: "choices", role: "group", "aria-label": "Classes" }, this.classes.map((name, i) => this.choice(name, i)));
    this.bar = h("progress", { max: this.tasks.length, "aria-label": "Your answers" });
    this.told = h("p", { class: "small faint number" });
    this.people = h("p", { class: "small faint" });
    this.problem = h("p", { class: "problem drift", role: "alert" });
    const step = (text, by, key) => h("button", { type: "button", class: "plain", onclick: () => this.go(this.at + by) }, text, h("kbd", {}, key));
    show(
      this.root,
      h("p", { class: "crumb" }, h("a", { href: "#/labels" }, "Labelling")),
      h("div", { class: "head" }, h("h1", {}, this.state.model), h("p", { class: "faint" }, `Window ${this.state.window}. Which class is it?`)),
      h("div", { class: "desk" },
        h("div", { class: "card" }, this.bar, this.told, this.shown, h("div", { class: "steps" }, step("Back", -1, "←"), step("Skip", 1, "→"))),
        h("div", {}, this.choices, h("p", { class: "small faint hint" }, this.hint()), this.people, this.problem)),
    );
    this.go(this.at);
  }

  hint() {
    if (this.classes.length <= KEYS.length) return "Press the key on a class. Answers are kept as you give them; you can leave and come back.";
    return "Type the beginning of a class and press Enter. Answers are kept as you give them; you can leave and come back.";
  }

  choice(name, i) {
    const key = this.keyOf(i);
    return h("button", { type: "button", "aria-pressed": "false", onclick: () => this.answer(i) }, key ? h("kbd", {}, key) : null, h("span", {}, name));
  }

  /** Classes that are digits have their own keys, others are counted through. */
  keyOf(i) {
    if (this.classes.length > KEYS.length) return "";
    const digits = this.classes.every((name) => /^\d$/.test(name));
    return digits ? this.classes[i] : KEYS[i];
  }

  go(to) {
    this.at = Math.min(Math.max(to, 0), this.tasks.length - 1);
    this.typed = "";
    const task = this.tasks[this.at];
    show(this.shown, picture(task.data, this.tasks));
    const mine = this.given.get(task.sample_id);
    [...this.choices.children].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === mine));
      button.classList.remove("typed");
    });
    this.count();
    const said = mine === undefined ? "not answered" : `answered ${this.classes[mine]}`;
    announce(`Row ${this.at + 1} of ${this.tasks.length}, ${said}`);
  }

  count() {
    const { size } = this.given;
    this.bar.value = size;
    this.told.textContent = `Row ${this.at + 1} of ${this.tasks.length}; you answered ${size}`;
    const done = size === this.tasks.length;
    this.people.textContent = done ? `All done, thank you. ${peopleOf(this.state)}` : peopleOf(this.state);
  }

  answer(label) {
    const task = this.tasks[this.at];
    this.given.set(task.sample_id, label);
    this.outbox.add({ sample_id: task.sample_id, row_sha256: task.row_sha256, label });
    const order = [...this.tasks.keys()];
    const next = [...order.slice(this.at + 1), ...order.slice(0, this.at)].find((i) => !this.given.has(this.tasks[i].sample_id));
    if (next === undefined) {
      this.go(this.at);
      announce(`All ${plural(this.tasks.length, "row")} answered`);
    } else this.go(next);
  }

  sent(state, problem) {
    if (state) this.state = state;
    this.problem.textContent = problem;
    this.count();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const { key } = event;
    if (key === "ArrowLeft" || key === "Backspace") this.go(this.at - 1);
    else if (key === "ArrowRight") this.go(this.at + 1);
    else if (this.classes.length <= KEYS.length) {
      const chosen = this.classes.findIndex((_, i) => this.keyOf(i) === key);
      if (chosen < 0) return;
      this.answer(chosen);
    } else if (!this.type(event)) return;
    event.preventDefault();
  }

  /** With many classes: what was typed so far, and the first class that begins with it. */
  type({ key, target }) {
    if (key === "Enter" && this.typed) {
      const chosen = this.matching();
      if (chosen >= 0) this.answer(chosen);
      return true;
    }
    if (key === "Escape") this.typed = "";
    else if (key.length === 1 && (key !== " " || this.typed) && !target.matches("a")) this.typed += key.toLowerCase();
    else return false;
    const chosen = this.matching();
    [...this.choices.children].forEach((button, i) => button.classList.toggle("typed", i === chosen));
    if (chosen >= 0) announce(this.classes[chosen]);
    else this.typed = "";
    return true;
  }

  matching() {
    return this.typed ? this.classes.findIndex((name) => name.toLowerCase().startsWith(this.typed)) : -1;
  }

  leave() {
    removeEventListener("keydown", this.onkey);
    this.outbox.close();
  }
}
