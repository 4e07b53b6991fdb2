// The JSON behind the pages. Addresses are relative to the page, so that any mount point works.

/** An answer other than the one hoped for; `status` is 0 where the server did not answer at all. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const part = (value) => encodeURIComponent(value);

async function call(path, options = {}) {
  let reply;
  try {
    reply = await fetch(new URL(`api/${path}`, document.baseURI), { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer.");
  }
  const body = await reply.json().catch(() => null);
  if (reply.ok && body !== null) return body;
  const detail = typeof body?.detail === "string" ? body.detail : (body?.detail?.[0]?.msg ?? reply.statusText);
  throw new ApiError(reply.status, detail || `status ${reply.status}`);
}

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const get = (path, values = {}, signal = undefined) => call(path + query(values), { signal });

export const session = () => get("session");
export const models = (values, signal) => get("models", values, signal);
export const model = (id) => get(`models/${part(id)}`);
export const lineage = (id, values = {}) => get(`models/${part(id)}/lineage`, values);
export const fleet = (values = {}) => get("drift", values);
export const drift = (id, values = {}) => get(`models/${part(id)}/drift`, values);
export const plots = (id, values = {}) => get(`models/${part(id)}/plots`, values);
export const repairs = (values = {}) => get("repairs", values);
export const repair = (plan) => get(`repairs/${part(plan)}`);
export const requests = (values = {}) => get("labels", values);
export const request = (id) => get(`labels/${part(id)}`);
export const tasks = (request, values = {}) => get(`labels/${part(request)}/tasks`, values);
export const audit = (values = {}) => get("audit", values);

export const answer = (request, body) =>
  call(`labels/${part(request)}/answers`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
