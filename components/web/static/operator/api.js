// Requests to the operator's API, and the token for it.

import { Unreachable, accepted } from "/app/api.js";

const ROOT = "/operator/api";
const PATIENCE = 15_000;
// Not the one of the page for users: whoever is both may be signed in to both.
const KEY = "todo-events.operator-token";

/** The token of a start link (`#token=…`), or the one of this tab. The address loses it at once. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (given) keepToken(given);
  return sessionStorage.getItem(KEY);
}

export const keepToken = (token) => sessionStorage.setItem(KEY, token);
export const forgetToken = () => sessionStorage.removeItem(KEY);

export class Api {
  #token;

  constructor(token) {
    this.#token = token;
  }

  async #ask(path, options = {}) {
    let response;
    try {
      response = await fetch(path, {
        ...options,
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE),
        headers: { ...options.headers, authorization: `Bearer ${this.#token}` },
      });
    } catch {
      throw new Unreachable("The service does not answer.");
    }
    return accepted(response);
  }

  async read(path) {
    return (await this.#ask(ROOT + path)).json();
  }

  /** A page of dead letters, and the path of the next one if there is one. */
  async letters(path) {
    const response = await this.#ask(path ?? `${ROOT}/dead-letters`);
    const next = /<([^>]*)>;\s*rel="next"/.exec(response.headers.get("link") ?? "");
    return { letters: await response.json(), next: next?.[1] ?? null };
  }

  async act(path, body) {
    const headers = { "content-type": "application/json" };
    return (await this.#ask(ROOT + path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  }
}

export const lettersPath = (status) => `${ROOT}/dead-letters?limit=20&status=${status}`;
