// The user's tasks: the server's, as far as known here, and what this page has changed and not yet heard of.

import { randomKey, Refused, Unreachable } from "./api.js";
import { follow } from "./stream.js";

const EVENTS_SHOWN = 50;
// What an event has besides its task.
const NOT_OF_TASK = ["task_id", "timestamp", "changed_fields"];
const HOLDS_TASK = ["task.created", "task.updated", "task.completed", "task.skipped"];
/** How long a deletion waits for "undo". */
const REGRET = 6_000;
/** After how long a next instance is late, and after how long it is not expected any more. */
export const LATE = 3_000;
const GIVEN_UP = 600_000;

export class Store extends EventTarget {
  #api;
  #copy;
  #end = new AbortController();
  /** What the server has, by id. */
  #tasks = new Map();
  /** Ids that are gone: a late answer does not bring them back. */
  #gone = new Set();
  /** Changes under way, by id: each a function from task to task, or to null where the task is not to be shown. */
  #overlays = new Map();
  /** The last request about each task: those of one task are sent one after another. */
  #chains = new Map();
  #regrets = new Map();
  #shown = null;
  #numberOfCopy = null;
  #isRefreshing = false;

  connection = { state: "starting", detail: "", since: Date.now() };
  /** While the tasks are read for the first time: how many there are so far. */
  loading = null;
  events = [];
  notifications = [];
  unread = 0;
  /** Series whose next instance is expected: by series, the title and since when. */
  awaited = new Map();

  constructor(api, copy) {
    super();
    this.#api = api;
    this.#copy = copy;
  }

  #changed() {
    this.#shown = null;
    this.dispatchEvent(new Event("change"));
  }

  #say(text, undo) {
    this.dispatchEvent(new CustomEvent("say", { detail: { text, undo } }));
  }

  /** Shows the copy at once, then follows what has happened since, for as long as the page is open. */
  async run() {
    const { tasks, number, at } = await this.#copy.load();
    for (const task of tasks) this.#tasks.set(task.id, task);
    if (number !== null) this.connection.since = at;
    this.#changed();
    const signal = this.#end.signal;
    while (!signal.aborted) {
      try {
        const begin = number !== null && this.#numberOfCopy === null ? number : this.#numberOfCopy ?? (await this.#readAll());
        this.#numberOfCopy = begin;
        this.refreshNotifications();
        await follow(this.#api, begin, {
          signal,
          onEvent: (event, number) => this.#onEvent(event, number),
          onState: (state, detail = "") => this.#onState(state, detail),
        });
        if (signal.aborted || this.connection.state === "refused") return;
        // The changes after this number are gone.
        this.#numberOfCopy = await this.#readAll();
      } catch (error) {
        this.loading = null;
        this.#onState("lost", error.message);
        if (error instanceof Refused && error.status === 401) return;
        if (!(error instanceof Unreachable) && !(error instanceof Refused)) console.error(error);
        await new Promise((resolve) => setTimeout(resolve, 2_000));
      }
    }
  }

  stop() {
    this.#end.abort();
    this.flushDeletions();
  }

  #onState(state, detail) {
    const before = this.connection.state;
    // What is shown before the first connection is as old as the copy.
    const since = before === "live" && state === "lost" ? Date.now() : this.connection.since;
    this.connection = { state, detail, since };
    if (before === "lost" && state === "live") this.refreshNotifications();
    this.#changed();
  }

  /** Reads all tasks anew: the newest number first, so that no change between is missed. */
  async #readAll() {
    const { last } = await this.#api.json("GET", "/changes?after=latest&limit=1");
    const found = new Map();
    this.loading = 0;
    const isFirst = this.#tasks.size === 0;
    this.#copy.write({ clear: true });
    for await (const page of this.#api.pages("/tasks")) {
      for (const task of page) {
        found.set(task.id, task);
        if (isFirst) this.#take(task);
      }
      this.#copy.write({ put: page });
      this.loading = found.size;
      this.#changed();
    }
    this.#tasks = found;
    this.#copy.write({ number: last });
    this.loading = null;
    this.#changed();
    return last;
  }

  #onEvent(event, number) {
    const arrived = Date.now();
    const { data, type } = event;
    const title = data.title ?? data.task_title ?? this.#tasks.get(data.task_id)?.title ?? "";
    const latency = Math.max(0, arrived - Date.parse(event.time));
    this.events = [{ number, type, title, latency, arrived }, ...this.events].slice(0, EVENTS_SHOWN);
    this.#numberOfCopy = number;
    if (HOLDS_TASK.includes(type)) {
      const task = { ...data, id: data.task_id };
      for (const name of NOT_OF_TASK) delete task[name];
      this.#take(task);
      if (type === "task.created" && task.occurrence > 1) this.awaited.delete(task.series_id);
      this.#copy.write({ put: [this.#tasks.get(task.id) ?? task], number });
    } else if (type === "task.deleted") {
      this.#remove(data.task_id);
      this.#copy.write({ remove: [data.task_id], number });
    } else {
      this.#copy.write({ number });
    }
    // Where one is put off on another device, say.
    if (type === "reminder.scheduled") this.refreshNotifications();
    if (type === "reminder.triggered") this.#expectNotification(data.task_id, data.remind_at);
    this.#changed();
  }

  #take(task) {
    const known = this.#tasks.get(task.id);
    if (this.#gone.has(task.id) || (known && known.version >= task.version)) return;
    this.#tasks.set(task.id, task);
  }

  #remove(id) {
    this.#gone.add(id);
    this.#tasks.delete(id);
  }

  get(id) {
    let task = this.#tasks.get(id) ?? null;
    for (const overlay of this.#overlays.get(id) ?? []) task = overlay(task);
    return task;
  }

  /** All tasks as they are to be shown. */
  all() {
    if (!this.#shown) {
      this.#shown = [];
      for (const id of new Set([...this.#tasks.keys(), ...this.#overlays.keys()])) {
        const task = this.get(id);
        if (task) this.#shown.push(task);
      }
    }
    return this.#shown;
  }

  /** Promises the version of what is shown: with changes of one's own that are on their way, the one that they will make. */
  shownVersion(id) {
    return (this.#chains.get(id) ?? Promise.resolve()).then(() => this.#tasks.get(id)?.version);
  }

  #overlay(id, change) {
    const overlays = this.#overlays.get(id) ?? [];
    this.#overlays.set(id, [...overlays, change]);
    this.#changed();
    return () => {
      const left = this.#overlays.get(id).filter((each) => each !== change);
      left.length ? this.#overlays.set(id, left) : this.#overlays.delete(id);
      this.#changed();
    };
  }

  /**
   * Shows a change at once, asks the server for it, and takes it back with a sentence if the server refuses. Gives whether
   * it was done.
   */
  async #attempt(id, what, change, send) {
    const takeBack = this.#overlay(id, change);
    const before = this.#chains.get(id) ?? Promise.resolve();
    const request = before.then(() => send(this.#tasks.get(id)?.version));
    this.#chains.set(id, request.catch(() => {}));
    try {
      const task = await request;
      if (task) {
        this.#take(task);
        this.#copy.write({ put: [task] });
      }
      return true;
    } catch (error) {
      await this.#explain(id, what, error);
      return false;
    } finally {
      takeBack();
    }
  }

  async #explain(id, what, error) {
    if (error instanceof Unreachable) {
      this.#say(`${what} was not saved, and is taken back: ${error.message}`);
    } else if (!(error instanceof Refused)) {
      throw error;
    } else if (error.status === 412 || error.status === 404) {
      const now = await this.#api.ask(`/tasks/${id}`).catch(() => null);
      if (now?.ok) this.#take(await now.json());
      if (now?.status === 404) this.#remove(id);
      const reason = now?.status === 404 ? "it is deleted" : "it was changed elsewhere; this is how it is now";
      this.#say(`${what} was refused, and is taken back: ${reason}.`);
    } else {
      this.#say(`${what} was refused, and is taken back: ${error.message}`);
    }
  }

  /** Creates a task; gives it, or null where that failed. A request without an answer is sent again, with the same key. */
  async create(fields) {
    const key = randomKey();
    const id = `new-${key}`;
    const now = new Date().toISOString();
    const shown = { description: null, priority: "medium", tags: [], due_date: null, recurrence: null, reminders: null, ...fields };
    const draft = { ...shown, id, completed: false, completed_at: null, skipped_at: null, created_at: now, isDraft: true };
    const takeBack = this.#overlay(id, () => draft);
    try {
      for (let attempt = 1; ; attempt += 1) {
        try {
          const task = await this.#api.json("POST", "/tasks", { body: fields, key });
          this.#take(task);
          this.#copy.write({ put: [task] });
          this.#say(`Added “${task.title}”.`);
          return task;
        } catch (error) {
          if (!(error instanceof Unreachable) || attempt === 3) throw error;
          await new Promise((resolve) => setTimeout(resolve, 500 * attempt));
        }
      }
    } catch (error) {
      if (!(error instanceof Unreachable) && !(error instanceof Refused)) throw error;
      const how = error instanceof Refused ? "refused" : "not saved";
      this.#say(`“${fields.title}” was ${how}, and is back in the line above: ${error.message}`);
      return null;
    } finally {
      takeBack();
    }
  }

  /** Changes fields of the task at the version that was seen (a promise), or that is known now. What they were is one click away. */
  async edit(id, patch, { mayUndo = true, version: seen } = {}) {
    const before = this.get(id);
    const names = Object.keys(patch).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(patch[name]));
    if (!names.length) return true;
    const body = Object.fromEntries(names.map((name) => [name, patch[name]]));
    const was = Object.fromEntries(names.map((name) => [name, before[name]]));
    // The form of the rule is the server's: what it derives from the rule is not a field to send.
    const done = await this.#attempt(id, `The change of “${before.title}”`, (task) => task && { ...task, ...body }, async (version) =>
      this.#api.json("PATCH", `/tasks/${id}`, { body, version: (await seen) ?? version }));
    if (done && mayUndo) this.#say(`Changed “${this.get(id)?.title ?? before.title}”.`, () => this.edit(id, was, { mayUndo: false }));
    return done;
  }

  async complete(id) {
    const { title, series_id: series } = this.get(id);
    const now = new Date().toISOString();
    this.#await(this.get(id));
    const done = await this.#attempt(id, `The completion of “${title}”`, (task) => task && { ...task, completed: true, completed_at: now }, (version) =>
      this.#api.json("POST", `/tasks/${id}/complete`, { version }));
    if (!done) this.awaited.delete(series);
    else this.#say(`Completed “${title}”.`, () => this.reopen(id));
  }

  async reopen(id) {
    const { title } = this.get(id);
    const done = await this.#attempt(id, `The reopening of “${title}”`, (task) => task && { ...task, completed: false, completed_at: null, skipped_at: null }, (version) =>
      this.#api.json("POST", `/tasks/${id}/reopen`, { version }));
    if (done) this.#say(`Reopened “${title}”.`);
  }

  async skip(id) {
    const { title, series_id: series } = this.get(id);
    const now = new Date().toISOString();
    this.#await(this.get(id));
    const done = await this.#attempt(id, `The skipping of “${title}”`, (task) => task && { ...task, skipped_at: now }, (version) =>
      this.#api.json("POST", `/tasks/${id}/skip`, { version }));
    if (!done) this.awaited.delete(series);
    else this.#say(`Skipped “${title}”.`, () => this.reopen(id));
  }

  /** Expects the next instance, where the task has one and it is not there yet. */
  #await({ title, recurrence, series_id: series, occurrence }) {
    if (!recurrence || /UNTIL=/.test(recurrence.rule)) return;
    if (Number(/COUNT=(\d+)/.exec(recurrence.rule)?.[1] ?? Infinity) <= occurrence) return;
    for (const other of this.#tasks.values()) if (other.series_id === series && other.occurrence > occurrence) return;
    const awaited = { title, since: Date.now() };
    this.awaited.set(series, awaited);
    setTimeout(() => this.#changed(), LATE + 100);
    // A task that was completed before has no second successor.
    setTimeout(() => this.awaited.get(series) === awaited && this.awaited.delete(series), GIVEN_UP);
  }

  /** Deletes a task after a moment in which that can be undone. */
  delete(id) {
    const { title } = this.get(id);
    const takeBack = this.#overlay(id, () => null);
    const send = async (keepalive) => {
      clearTimeout(this.#regrets.get(id)?.timer);
      this.#regrets.delete(id);
      const version = this.#tasks.get(id)?.version;
      try {
        await this.#api.send("DELETE", `/tasks/${id}`, { version, keepalive });
        this.#remove(id);
        this.#copy.write({ remove: [id] });
      } catch (error) {
        await this.#explain(id, `The deletion of “${title}”`, error);
      } finally {
        takeBack();
      }
    };
    this.#regrets.set(id, { timer: setTimeout(send, REGRET), send });
    this.#say(`Deleted “${title}”.`, () => {
      clearTimeout(this.#regrets.get(id)?.timer);
      if (this.#regrets.delete(id)) takeBack();
    });
  }

  /** Sends deletions that still wait: the page is about to go. */
  flushDeletions() {
    for (const { send } of this.#regrets.values()) send(true);
  }

  async refreshNotifications() {
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    // What comes at the same time is one request.
    await new Promise((resolve) => setTimeout(resolve, 100));
    this.#isRefreshing = false;
    try {
      const [newest, unread] = await Promise.all([
        this.#api.json("GET", "/notifications?limit=50"),
        this.#api.json("GET", "/notifications?unread=true&limit=200"),
      ]);
      this.notifications = newest;
      this.unread = unread.length;
      this.#changed();
    } catch (error) {
      if (!(error instanceof Unreachable) && !(error instanceof Refused)) throw error;
    }
  }

  /** The event is ahead of what its handler makes of it, by the way over Kafka and back. */
  async #expectNotification(task, moment) {
    const isThere = () => this.notifications.some((each) => each.task_id === task && each.remind_at === moment);
    for (const pause of [50, 150, 400, 1_000, 2_000, 5_000, 15_000, 30_000]) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      await this.refreshNotifications();
      if (isThere() || this.#end.signal.aborted) return;
    }
  }

  async #onNotification(what, path, options) {
    try {
      await this.#api.send("POST", path, options);
      return true;
    } catch (error) {
      if (!(error instanceof Unreachable) && !(error instanceof Refused)) throw error;
      this.#say(`${what} was refused: ${error.message}`);
      return false;
    } finally {
      await this.refreshNotifications();
    }
  }

  markRead(id) {
    return this.#onNotification("Marking it as read", `/notifications/${id}/read`);
  }

  markAllRead() {
    return this.#onNotification("Marking all as read", "/notifications/read-all");
  }

  async snooze(id, body, words) {
    if (await this.#onNotification("Putting it off", `/notifications/${id}/snooze`, { body })) {
      this.#say(`You will be reminded again ${words}.`);
    }
  }
}
