// The gate's four answers in words and signs.
import { h } from "../dom.js";
import { HEALTH, sign } from "../words.js";

// each borrows the sign of the health level that asks for as much attention
const DECISIONS = {
  accept: { level: "ok", label: "accepted", says: "It is better on current rows and no worse on the original domain." },
  shadow: { level: "warning", label: "shadow", says: "Better, but too little to replace the deployed version: run it beside it." },
  ask_labels: { level: "insufficient", label: "labels needed", says: "The rows cannot tell. A request for labels says which ones help most." },
  refuse: { level: "drift", label: "refused", says: "Nothing that the lineage offers is better. The deployed version stays." },
};

export const decisionOf = (name) => DECISIONS[name] ?? { level: "unknown", label: name || "open", says: "" };

export function decisionChip(name) {
  const { level, label, says } = decisionOf(name);
  return h("span", { class: `chip ${level in HEALTH ? level : "unknown"}`, title: says }, sign(level), label);
}
