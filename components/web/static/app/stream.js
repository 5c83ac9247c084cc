// Follows the user's changes: a stream of server-sent events, read by `fetch`, since `EventSource` can send no token.

import { accepted, Refused, Unreachable } from "./api.js";

// A comment comes every 5 s.
const SILENCE = 15_000;
const LONGEST_PAUSE = 10_000;

/** The events of a text that arrives in pieces. `take` gives what is complete. */
export class Parser {
  #rest = "";

  take(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop();
    const found = [];
    for (const block of blocks) {
      const event = { data: "" };
      for (const line of block.split("\n")) {
        const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
        if (name === "id") event.id = value;
        if (name === "data") event.data += value;
      }
      if (event.id !== undefined) found.push(event);
    }
    return found;
  }
}

/**
 * Calls `onEvent` with each change after `number`, until `signal` is aborted. `onState` hears "live", or "lost" with the
 * reason. Ends by itself if the changes after the number are gone: then the copy has to be read anew.
 */
export async function follow(api, number, { onEvent, onState, signal }) {
  let failures = 0;
  while (!signal.aborted) {
    let pause = 0;
    try {
      number = await readStream(api, number, onEvent, signal, () => {
        failures = 0;
        onState("live");
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.status === 410) return;
      number = error.number ?? number;
      if (error instanceof Refused && error.status === 401) return;
      failures += 1;
      onState("lost", error instanceof Refused || error instanceof Unreachable ? error.message : "The connection broke off.");
      pause = Math.max(Math.min(500 * 2 ** (failures - 1), LONGEST_PAUSE) * (0.5 + Math.random()), (error.retryAfter ?? 0) * 1000);
    }
    if (pause) await sleep(pause, signal);
  }
}

async function readStream(api, number, onEvent, signal, onOpen) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE);
  const abort = () => silence.abort();
  signal.addEventListener("abort", abort);
  try {
    const headers = { accept: "text/event-stream", "last-event-id": String(number) };
    const response = await accepted(await api.ask("/changes", { headers, signal: silence.signal }));
    onOpen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return number;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
      for (const { id, data } of parser.take(value)) {
        number = Number(id);
        if (data) onEvent(JSON.parse(data), number);
      }
    }
  } catch (error) {
    error.number = number;
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      removeEventListener("online", done);
      resolve();
    }
    signal.addEventListener("abort", done);
    addEventListener("online", done);
  });
}
