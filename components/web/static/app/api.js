// Requests to the REST API.

const PATIENCE = 20_000;
const PAGE = 200;

/** The service refused the request; `message` is for people. */
export class Refused extends Error {
  constructor(status, problem) {
    const places = (problem.errors ?? []).map((each) => `${each.pointer ?? each.parameter ?? each.header ?? ""} ${each.detail}`);
    super([problem.detail ?? problem.title ?? `The service answered ${status}.`, ...places].join(" "));
    this.status = status;
    this.type = problem.type ?? "";
  }
}

/** There was no answer, or the service said that it cannot answer now. */
export class Unreachable extends Error {
  constructor(message, retryAfter = 0) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/** Requires that the service did what it was asked for. */
export async function accepted(response) {
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // Not from the service itself.
  }
  if (response.status === 401) dispatchEvent(new CustomEvent("token-refused"));
  if (response.status >= 500) {
    const isDatabase = problem.type === "urn:todo-events:problem:unavailable";
    const detail = isDatabase ? "The service does not reach its database." : problem.detail;
    throw new Unreachable(detail ?? `The service answered ${response.status}.`, Number(response.headers.get("retry-after")));
  }
  throw new Refused(response.status, problem);
}

export class Api {
  #token;
  #root;

  constructor(token, user) {
    this.#token = token;
    this.#root = `/api/${encodeURIComponent(user)}`;
  }

  /** Asks, and gives the response whatever its status is. */
  async ask(path, { headers, ...options } = {}) {
    try {
      return await fetch(this.#root + path, {
        ...options,
        cache: "no-store",
        headers: { ...headers, authorization: `Bearer ${this.#token}` },
      });
    } catch (error) {
      if (options.signal?.aborted && options.signal.reason?.name !== "TimeoutError") throw error;
      throw new Unreachable("The service does not answer.");
    }
  }

  /** Asks for a change or a page; gives the response if it is a success. */
  async send(method, path, { body, version, key, keepalive } = {}) {
    const headers = {};
    if (body !== undefined) headers["content-type"] = "application/json";
    if (version !== undefined) headers["if-match"] = `"${version}"`;
    if (key !== undefined) headers["idempotency-key"] = key;
    const signal = AbortSignal.timeout(PATIENCE);
    return accepted(await this.ask(path, { method, headers, body: body && JSON.stringify(body), keepalive, signal }));
  }

  async json(method, path, options) {
    return (await this.send(method, path, options)).json();
  }

  /** All items of a list, page by page. */
  async *pages(path) {
    let next = `${path}?limit=${PAGE}`;
    while (next) {
      const response = await this.send("GET", next);
      const link = /<([^>]*)>;\s*rel="next"/.exec(response.headers.get("link") ?? "");
      next = link && path + new URL(link[1], location.href).search;
      yield await response.json();
    }
  }
}

/** Random, in pages without TLS too. */
export function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
