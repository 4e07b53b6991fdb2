// What a page shows while it waits, when there is nothing, and when something failed: always with what to do next.
import { h, show, upward } from "./dom.js";

export const loading = (lines = 5) =>
  h("div", { class: "skeleton", role: "status", "aria-label": "Loading" }, Array.from({ length: lines }, () => h("span")));

/** Nothing to show. `steps` are texts or elements. */
export const empty = (title, ...steps) =>
  h("div", { class: "state" }, h("h2", {}, title), steps.map((step) => (typeof step === "string" ? h("p", {}, step) : step)));

const ADVICE = {
  0: "Is it running? Start it with `heritage serve`, or look at Airflow's api-server.",
  401: "You are not logged in, or the session is over.",
  403: "Your role may not see this. Ask an administrator of Airflow for it.",
  404: "It may have been deleted, or the address is mistyped.",
  503: "A server behind it does not answer. `heritage doctor` says which one.",
};

/** A failure, with a button that tries again. */
export function failed(error, again) {
  const status = error.status ?? -1;
  const advice = ADVICE[status] ?? (status >= 500 ? ADVICE[503] : "Try again; if it stays, look at the server's log.");
  const title = status === 401 ? "Log in first" : status === 404 ? "Not found" : "This could not be loaded";
  const login = upward("../auth/login", "Log in to Airflow");
  return h(
    "div",
    { class: "state error", role: "alert" },
    h("h2", {}, title),
    h("p", {}, error.message),
    h("p", {}, withCode(advice)),
    status === 401 ? login : h("button", { type: "button", onclick: again }, "Try again"),
  );
}

/** Text in which `commands` between backticks are set as code. */
export function withCode(text) {
  return text.split("`").map((piece, i) => (i % 2 ? h("code", {}, piece) : piece));
}

/** Fill `place` with what `work` gives; a skeleton meanwhile, the failure with a way back otherwise. */
export async function fillFrom(place, work, lines = 5) {
  show(place, loading(lines));
  place.setAttribute("aria-busy", "true");
  try {
    const content = await work();
    if (content) show(place, content);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error.status >= 0)) console.error(error);
    show(place, failed(error, () => fillFrom(place, work, lines)));
  } finally {
    place.removeAttribute("aria-busy");
  }
}
