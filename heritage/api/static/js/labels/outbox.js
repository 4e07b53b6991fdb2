// Answers on their way: kept in the browser until the server has them, so that a lost connection loses nothing.
import * as api from "../api.js";

const RETRY_MS = 4000;
// answers of this kind can never be taken: asking again would only repeat the refusal
const FINAL = new Set([400, 404, 409, 413, 422]);

export class Outbox {
  /** `told(state, problem)` hears the request's progress after each sending, or what is wrong ('' for nothing). */
  constructor(request, told) {
    this.request = request;
    this.told = told;
    this.key = `heritage.answers.${request}`;
    this.waiting = new Map(read(this.key).map((answer) => [answer.sample_id, answer]));
    this.sending = false;
    this.timer = 0;
  }

  /** [sample id, label] of what was given but not sent yet. */
  kept() {
    return [...this.waiting.values()].map(({ sample_id, label }) => [sample_id, label]);
  }

  add(answer) {
    this.waiting.set(answer.sample_id, answer);
    this.#keep();
    this.send();
  }

  async send() {
    clearTimeout(this.timer);
    if (this.sending || !this.waiting.size) return;
    this.sending = true;
    const batch = [...this.waiting.values()].slice(0, 500);
    try {
      const state = await api.answer(this.request, { answers: batch });
      this.#forget(batch);
      this.told(state, "");
    } catch (error) {
      const lost = FINAL.has(error.status);
      if (lost) this.#forget(batch);
      this.told(null, lost ? `Not taken: ${error.message}` : `${this.waiting.size} not sent yet: ${error.message} They are kept here and sent again.`);
      if (!lost) this.timer = setTimeout(() => this.send(), RETRY_MS);
      return;
    } finally {
      this.sending = false;
    }
    if (this.waiting.size) this.send();
  }

  #forget(batch) {
    for (const answer of batch) if (this.waiting.get(answer.sample_id) === answer) this.waiting.delete(answer.sample_id);
    this.#keep();
  }

  #keep() {
    try {
      if (this.waiting.size) localStorage.setItem(this.key, JSON.stringify([...this.waiting.values()]));
      else localStorage.removeItem(this.key);
    } catch {
      // storage may be full or forbidden; the answers are in memory still
    }
  }

  close() {
    clearTimeout(this.timer);
    this.send();
  }
}

function read(key) {
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(found) ? found.filter((answer) => typeof answer?.sample_id === "string") : [];
  } catch {
    return [];
  }
}
