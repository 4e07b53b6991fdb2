// Figures and times as people read them. Missing values are an en dash.

const NONE = "–";
const absent = (value) => value === null || value === undefined || Number.isNaN(value);

/** Three significant digits, without noise. */
export function figure(value, digits = 3) {
  if (absent(value)) return NONE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(Math.max(digits, size >= 1 ? Math.ceil(Math.log10(size + 1)) : 0))));
}

export const whole = (value) => (absent(value) ? NONE : Math.round(value).toLocaleString("en"));

export const percent = (value, digits = 1) => (absent(value) ? NONE : `${(100 * value).toFixed(digits)} %`);

/** A difference of shares, in percentage points with its sign. */
export function points(value) {
  if (absent(value)) return NONE;
  const shown = (100 * value).toFixed(1);
  return `${value > 0 ? "+" : value < 0 ? "−" : "±"}${shown.replace("-", "")} points`;
}

/** '22 Nov 2026, 07:15 UTC' of ISO text; the text itself where it is no time. */
export function moment(text) {
  const at = new Date(typeof text === "number" ? text : String(text ?? ""));
  if (!text || Number.isNaN(at.getTime())) return text ? String(text) : NONE;
  const day = at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
  return `${day}, ${at.toISOString().slice(11, 16)} UTC`;
}

/** How long until (or since) a time, in words. */
export function distance(text, now = Date.now()) {
  const minutes = Math.round((new Date(text).getTime() - now) / 60000);
  if (Number.isNaN(minutes)) return NONE;
  const size = Math.abs(minutes);
  const [amount, unit] = size < 90 ? [size, "minute"] : size < 2880 ? [Math.round(size / 60), "hour"] : [Math.round(size / 1440), "day"];
  const words = `${amount} ${unit}${amount === 1 ? "" : "s"}`;
  return minutes < 0 ? `${words} ago` : `in ${words}`;
}

export const bytes = (size) => {
  if (absent(size)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, size ? Math.floor(Math.log10(size) / 3) : 0);
  return `${figure(size / 1000 ** step)} ${units[step]}`;
};

/** A digest short enough to be compared by eye. */
export const short = (digest, length = 12) => (digest ? String(digest).slice(0, length) : NONE);

/** One form of a word or the other. */
export const plural = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;

/** 'a, b and c'. */
export const series = (words) => (words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : (words[0] ?? ""));

export const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
