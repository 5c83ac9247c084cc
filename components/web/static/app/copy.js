// The copy of a user's tasks in this browser (IndexedDB), with the number of the change that it is of.

const PREFIX = "todo-events:";

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export class Copy {
  #database;
  #waiting = null;
  #last = Promise.resolve();

  /** Opens the user's copy. A browser that has no place for one works without. */
  static async open(user) {
    const copy = new Copy();
    try {
      const request = indexedDB.open(PREFIX + user, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("tasks", { keyPath: "id" });
        request.result.createObjectStore("state");
      };
      copy.#database = await done(request);
    } catch {
      copy.#database = null;
    }
    return copy;
  }

  async load() {
    if (!this.#database) return { tasks: [], number: null, at: null };
    const transaction = this.#database.transaction(["tasks", "state"]);
    const state = transaction.objectStore("state");
    const [tasks, number, at] = await Promise.all([
      done(transaction.objectStore("tasks").getAll()),
      done(state.get("number")),
      done(state.get("at")),
    ]);
    return { tasks, number: number ?? null, at: at ?? null };
  }

  /** Keeps changes, those of a moment in one write: tasks to put, ids to remove, and the number with them. */
  write({ put = [], remove = [], number, clear = false }) {
    if (!this.#database) return;
    if (!this.#waiting || clear) {
      this.#waiting = { changes: new Map(), number: undefined, clear: clear || (this.#waiting?.clear ?? false) };
      const waiting = this.#waiting;
      setTimeout(() => this.#waiting === waiting && this.#flush(), 50);
    }
    for (const task of put) this.#waiting.changes.set(task.id, task);
    for (const id of remove) this.#waiting.changes.set(id, null);
    if (number !== undefined) this.#waiting.number = number;
  }

  #flush() {
    const { changes, number, clear } = this.#waiting;
    this.#waiting = null;
    const transaction = this.#database.transaction(["tasks", "state"], "readwrite");
    const tasks = transaction.objectStore("tasks");
    const state = transaction.objectStore("state");
    if (clear) {
      tasks.clear();
      state.delete("number");
    }
    for (const [id, task] of changes) task ? tasks.put(task) : tasks.delete(id);
    if (number !== undefined) state.put(number, "number");
    state.put(Date.now(), "at");
    this.#last = new Promise((resolve) => {
      transaction.oncomplete = transaction.onerror = transaction.onabort = resolve;
    });
  }

  /** Waits until what was written is kept. */
  async settled() {
    if (this.#waiting) this.#flush();
    await this.#last;
  }

  close() {
    this.#database?.close();
    this.#database = null;
  }
}

/** Removes the copies of all users but this one. */
export async function forgetCopies(except) {
  const databases = (await indexedDB.databases?.().catch(() => [])) ?? [];
  for (const { name } of databases) {
    if (name?.startsWith(PREFIX) && name !== PREFIX + except) indexedDB.deleteDatabase(name);
  }
}
