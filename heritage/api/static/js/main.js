// The frame: which page is shown, the navigation, and the theme.
import * as api from "./api.js";
import { announce, h, show } from "./dom.js";
import { failed, loading } from "./states.js";

const PAGES = {
  lineage: { title: "Lineage", load: () => import("./lineage/page.js"), wide: true },
  drift: { title: "Drift", load: () => import("./drift/page.js") },
  repairs: { title: "Repairs", load: () => import("./repairs/page.js") },
  labels: { title: "Labelling", load: () => import("./labels/page.js") },
  audit: { title: "Audit", load: () => import("./audit.js") },
};
const main = document.getElementById("content");
let leave = () => {};
let turn = 0;

/** Where we are: '#/drift/name%2F1?window=x' is page, id and query. */
function place() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decoded);
  return { name: Object.hasOwn(PAGES, name) ? name : opened(), id: rest.join("/"), query: new URLSearchParams(search) };
}

/** The page that the address itself names, as links from outside do: '.../drift'. */
function opened() {
  const last = location.pathname.split("/").at(-1);
  return Object.hasOwn(PAGES, last) ? last : "lineage";
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand; nothing will be found under it
  }
}

async function render() {
  if (location.hash === "#content") return;
  const own = ++turn;
  const { name, id, query } = place();
  const page = PAGES[name];
  leave();
  leave = () => {};
  for (const link of document.querySelectorAll("#pages a")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page.title} · heritage`;
  main.className = page.wide ? "wide" : "";
  show(main, loading());
  try {
    const module = await page.load();
    if (own !== turn) return;
    show(main);
    const left = await module.render(main, { id, query });
    if (own !== turn) left?.();
    else leave = left ?? (() => {});
    announce(`${document.title}`);
  } catch (error) {
    if (own !== turn) return;
    console.error(error);
    show(main, failed(error, render));
  }
}

function navigation() {
  const items = Object.entries(PAGES).map(([name, page]) =>
    h("li", {}, h("a", { href: `#/${name}`, "data-page": name }, page.title)),
  );
  show(document.getElementById("pages"), items);
}

const THEMES = ["auto", "light", "dark"];
const SIGNS = { auto: "◐", light: "○", dark: "●" };
const chosen = () => (THEMES.includes(localStorage.getItem("heritage.theme")) ? localStorage.getItem("heritage.theme") : "auto");

function themeButton() {
  const button = document.getElementById("theme");
  const draw = () => {
    const next = THEMES[(THEMES.indexOf(chosen()) + 1) % THEMES.length];
    button.textContent = SIGNS[chosen()];
    button.setAttribute("aria-label", `Theme: ${chosen()}. Change to ${next}`);
    button.title = `Theme: ${chosen()}`;
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(chosen()) + 1) % THEMES.length];
    localStorage.setItem("heritage.theme", next);
    dispatchEvent(new Event("heritage-theme-chosen"));
    draw();
    announce(`Theme: ${next}`);
  });
  draw();
}

navigation();
themeButton();
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", render);
render();
api.session().then(
  (session) => {
    document.getElementById("user").textContent = session.user ?? "";
  },
  () => {}, // the page itself says what is wrong
);
