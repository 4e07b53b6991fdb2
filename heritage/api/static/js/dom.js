// Elements without HTML text: whatever comes from outside ends as a text node or a checked attribute.

const SVG = "http://www.w3.org/2000/svg";
const SAFE_URL = /^(https?:\/\/|#|\.{0,2}\/(?![/\\])|[\w-]+(\/|$|\?))/i;

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else if (name.startsWith("on") || name === "style") throw new Error(`attribute ${name} is not for text`);
    else if (name === "href" || name === "src") element.setAttribute(name, safeUrl(String(value)));
    else if (name === "value" && "value" in element) element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element; functions among `props` are listeners (`onclick`), the rest attributes. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** `url` if it leads to a web page or stays here, else '#'. */
export function safeUrl(url) {
  return SAFE_URL.test(url.trim()) ? url.trim() : "#";
}

/** Put `children` in place of what is in `element`. */
export function show(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(Boolean));
  return element;
}

/** A link to another server, in a tab of its own; null where there is no address. */
export function outside(url, text) {
  if (!url || safeUrl(url) === "#") return null;
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer", class: "outside", onclick: throughParent }, text);
}

/** A link to another page of the site that this one may be framed in, such as Airflow's. */
export function upward(url, text) {
  return h("a", { class: "button", href: url, target: "_top", onclick: throughParent }, text);
}

/** Airflow's frame (3.3: no allow-popups, no allow-top-navigation) lets no link out of it. The document around it has
 *  our origin, though, and may follow the link in our place. */
function throughParent(event) {
  if (window.parent === window) return;
  try {
    const link = window.parent.document.createElement("a");
    link.href = event.currentTarget.href;
    link.target = event.currentTarget.target === "_top" ? "_self" : "_blank";
    link.rel = "noopener noreferrer";
    link.click();
    event.preventDefault();
  } catch {
    // a frame of another origin: the link does what the browser allows
  }
}

/** Call `work` once nobody has called again for `ms`. */
export function debounced(work, ms = 180) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), ms);
  };
}

/** What a CSS variable that holds a colour comes to in the theme that is shown. */
export function colour(name) {
  const probe = document.getElementById("probe");
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/** Tell people who listen rather than look. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
