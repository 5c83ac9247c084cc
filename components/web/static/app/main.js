// The page for users.

import { html, nothing, render } from "./vendor/lit-html-3.3.3/lit-html.js";
import { live } from "./vendor/lit-html-3.3.3/directives/live.js";
import { Api } from "./api.js";
import { Copy, forgetCopies } from "./copy.js";
import { spoken, timezone } from "./dates.js";
import { details, patchOf } from "./details.js";
import { listen } from "./keyboard.js";
import { List } from "./list.js";
import { lists } from "./lists.js";
import { banner, events, help, notifications, signIn } from "./panels.js";
import { read as readLine } from "./quick-add.js";
import { toWords } from "./recurrence.js";
import { row } from "./row.js";
import { forgetToken, keepToken, read, takeToken } from "./session.js";
import { Store } from "./store.js";

const VIEWS = { today: "Today", upcoming: "Upcoming", all: "All", done: "Done" };
const THEMES = ["auto", "light", "dark"];
const ANNOUNCED = 10_000;

const ui = {
  view: "today",
  filter: { query: "", tag: "", priority: "" },
  line: "",
  selected: null,
  renaming: null,
  dialog: null,
  detailsOf: null,
  error: null,
  said: null,
  signInReason: "",
  shortcuts: localStorage.getItem("todo-events.shortcuts") !== "off",
  theme: localStorage.getItem("todo-events.theme") ?? "auto",
};
let store = null;
let user = null;
let copy = null;
let isWaiting = false;
let sayTimer = 0;

function update() {
  if (isWaiting) return;
  isWaiting = true;
  queueMicrotask(() => {
    isWaiting = false;
    draw();
  });
}

const list = new List(update);

const cache = { tasks: null, key: "", lists: null };

function listsNow() {
  const tasks = store.all();
  const key = JSON.stringify([ui.filter, new Date().toDateString()]);
  if (cache.tasks !== tasks || cache.key !== key) Object.assign(cache, { tasks, key, lists: lists(tasks, ui.filter) });
  return cache.lists;
}

const tasksNow = () => listsNow()[ui.view];

function say(text, undo) {
  ui.said = { text, undo };
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => {
    ui.said = null;
    update();
  }, ANNOUNCED);
  update();
}

// What a user can do.
export const act = {
  select(id) {
    if (ui.selected === id) return;
    ui.selected = id;
    update();
  },
  show(view) {
    ui.view = view;
    ui.selected = null;
    list.scrollToTop();
    update();
  },
  search(query) {
    ui.filter.query = query;
    list.scrollToTop();
    update();
  },
  filterByTag(tag) {
    ui.filter.tag = ui.filter.tag === tag ? "" : tag;
    list.scrollToTop();
    update();
  },
  filterByPriority(priority) {
    ui.filter.priority = priority;
    list.scrollToTop();
    update();
  },
  toggle(task) {
    act.leave(task.id);
    return task.completed ? store.reopen(task.id) : store.complete(task.id);
  },
  skip(task) {
    act.leave(task.id);
    return store.skip(task.id);
  },
  reopen: (task) => store.reopen(task.id),
  remove(task) {
    act.leave(task.id);
    store.delete(task.id);
  },
  /** The task is about to go from this list: the focus, if it has it, goes to the next, so that the keyboard goes on there. */
  leave(id) {
    const tasks = tasksNow();
    const place = tasks.findIndex((task) => task.id === id);
    const next = tasks[place + 1] ?? tasks[place - 1];
    if (place >= 0 && next && document.activeElement?.closest(".row")?.dataset.id === id) act.focusRow(next.id);
  },
  rename(id) {
    ui.renaming = id;
    // At once: who types on must not have the first letters selected, and so replaced.
    draw();
    document.querySelector(".title-field")?.select();
  },
  renamed(task, title) {
    if (ui.renaming !== task.id) return;
    ui.renaming = null;
    if (title.trim() && title.trim() !== task.title) store.edit(task.id, { title: title.trim() });
    act.focusRow(task.id);
  },
  open(id) {
    ui.detailsOf = id;
    ui.version = store.shownVersion(id);
    ui.error = null;
    act.dialog("details");
  },
  async save(task, form) {
    let patch;
    try {
      patch = patchOf(form, task);
    } catch (error) {
      if (!error.field) throw error;
      ui.error = error;
      form.elements[error.field].focus();
      return update();
    }
    act.close();
    await store.edit(task.id, patch, { version: ui.version });
  },
  dialog(name) {
    if (name === "notifications") store.refreshNotifications();
    ui.dialog = name;
    draw();
    const dialog = document.querySelector("dialog");
    if (!dialog.open) dialog.showModal();
  },
  close() {
    document.querySelector("dialog")?.close();
  },
  closed() {
    // The event comes late: another dialog may be open by now.
    if (document.querySelector("dialog")?.open) return;
    const { detailsOf } = ui;
    ui.dialog = ui.detailsOf = null;
    update();
    if (detailsOf) act.focusRow(detailsOf);
  },
  closing(then) {
    act.close();
    then();
  },
  async add() {
    const line = ui.line.trim();
    const fields = readLine(line);
    if (!fields.title) return;
    // On the list of today, what names no day is for today.
    if (!fields.due_date && ui.view === "today") fields.due_date = readLine("x today").due_date;
    if (fields.due_date) fields.timezone = timezone();
    ui.line = "";
    update();
    if (!(await store.create(fields)) && !ui.line) {
      ui.line = line;
      update();
    }
  },
  undo() {
    const undo = ui.said?.undo;
    ui.said = null;
    update();
    undo?.();
  },
  /** Selects the task so many places from this one. */
  move(by, from = ui.selected) {
    const tasks = tasksNow();
    const place = tasks.findIndex((task) => task.id === from);
    const next = tasks[place < 0 ? 0 : Math.min(Math.max(place + by, 0), tasks.length - 1)];
    if (next) act.focusRow(next.id);
  },
  focusRow(id) {
    const place = tasksNow().findIndex((task) => task.id === id);
    if (place < 0) return;
    ui.selected = id;
    list.focus(id, place);
  },
  selected: () => (ui.selected ? store.get(ui.selected) : null),
  toggleShortcuts() {
    ui.shortcuts = !ui.shortcuts;
    localStorage.setItem("todo-events.shortcuts", ui.shortcuts ? "on" : "off");
    update();
  },
  nextTheme() {
    ui.theme = THEMES[(THEMES.indexOf(ui.theme) + 1) % THEMES.length];
    localStorage.setItem("todo-events.theme", ui.theme);
    update();
  },
  signIn(token) {
    const claims = read(token);
    if (!claims) {
      ui.signInReason = "This is no token: it should have three parts with dots between them.";
    } else {
      keepToken(token);
      start(token, claims);
    }
    update();
  },
  async signOut(reason = "") {
    store?.stop();
    await copy?.settled();
    copy?.close();
    store = user = copy = null;
    forgetToken();
    ui.signInReason = reason;
    if (!reason) await forgetCopies(null);
    update();
  },
};

function quickAdd() {
  const fields = ui.line.trim() ? readLine(ui.line) : null;
  const understood = fields && [
    fields.due_date && spoken(fields.due_date),
    fields.recurrence && toWords(fields.recurrence.rule, fields.recurrence.from),
    fields.priority && `${fields.priority} priority`,
    ...(fields.tags ?? []).map((tag) => `#${tag}`),
  ].filter(Boolean);
  const onSubmit = (event) => {
    event.preventDefault();
    act.add();
  };
  const onInput = (event) => {
    ui.line = event.target.value;
    update();
  };
  return html`<form class="quick-add" @submit=${onSubmit}>
    <label for="line" class="hidden">Add a task</label>
    <input id="line" autocomplete="off" placeholder="Add a task: Water the plants every second Monday #home" .value=${live(ui.line)}
      @input=${onInput} aria-describedby="understood">
    <button class="main">Add</button>
    <p id="understood" class="hint" role="status">${understood?.length ? `${fields.title} — ${understood.join(", ")}` : ""}</p>
  </form>`;
}

function emptyText() {
  if (store.loading !== null || (store.connection.state === "starting" && store.connection.since)) return "Reading your tasks…";
  if (ui.filter.query || ui.filter.tag || ui.filter.priority) return "No task fits.";
  return { today: "Nothing is due today.", upcoming: "Nothing is due later.", all: "Nothing to do.", done: "Nothing is done yet." }[ui.view];
}

function page() {
  const found = listsNow();
  const tasks = found[ui.view];
  if (!tasks.some((task) => task.id === ui.selected)) ui.selected = tasks[0]?.id ?? null;
  const isLive = store.connection.state === "live";
  return html`
    <header>
      <h1>todo-events</h1>
      <label class="hidden" for="search">Search</label>
      <input id="search" type="search" placeholder="Search" .value=${live(ui.filter.query)} @input=${(event) => act.search(event.target.value)}>
      <button class="bell" @click=${() => act.dialog("notifications")} aria-label=${`Notifications: ${store.unread} unread`}>
        <svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path d="M12 3a6 6 0 0 0-6 6c0 6-2 7-2 7h16s-2-1-2-7a6 6 0 0 0-6-6zm-2 16a2 2 0 0 0 4 0z" fill="currentColor"/></svg>${store.unread ? html`<span class="badge" aria-hidden="true">${store.unread >= 200 ? "200+" : store.unread}</span>` : nothing}</button>
      <button @click=${act.nextTheme} aria-label=${`Colours: ${ui.theme}`} title="Colours">${{ auto: "◐", light: "☀", dark: "☾" }[ui.theme]}</button>
      <button @click=${() => act.dialog("help")} aria-label="Help and keyboard">?</button>
      <button class="sign-out" @click=${() => act.signOut()} title=${user}>Sign out</button>
    </header>
    <nav aria-label="Lists">
      ${Object.entries(VIEWS).map(([name, label]) => html`<button aria-current=${ui.view === name ? "page" : "false"} @click=${() => act.show(name)}>
        ${label} <span class="count">${found[name].length}</span></button>`)}
      <label class="filter"><span class="hidden">Priority</span><select @change=${(event) => act.filterByPriority(event.target.value)}>
        <option value="">any priority</option>${["high", "medium", "low"].map((each) => html`<option value=${each} ?selected=${ui.filter.priority === each}>${each}</option>`)}
      </select></label>
      ${ui.filter.tag ? html`<button class="tag" @click=${() => act.filterByTag(ui.filter.tag)} aria-label=${`Tag ${ui.filter.tag}: show all again`}>#${ui.filter.tag} ✕</button>` : nothing}
      <span class=${`state ${store.connection.state}`}>${isLive ? "live" : store.connection.state === "lost" ? "not connected" : "connecting"}</span>
    </nav>
    <div class="banner-place" role="alert">${banner(store.connection)}</div>
    <main>
      <h2 class="hidden">${VIEWS[ui.view]}</h2>
      ${quickAdd()}
      ${store.loading !== null ? html`<p class="hint" role="status">Reading your tasks: ${store.loading} so far.</p>` : nothing}
      ${tasks.length ? list.view(tasks, (task, place, count) => row(task, place, count, ui, act)) : html`<p class="empty">${emptyText()}</p>`}
    </main>
    <aside aria-labelledby="events-title" tabindex="0">${events(store)}</aside>
    <div class="said" role="status">${ui.said ? html`<p>${ui.said.text} ${ui.said.undo ? html`<button @click=${act.undo}>Undo</button>` : nothing}
      <button class="quiet" aria-label="Dismiss" @click=${() => { ui.said = null; update(); }}>✕</button></p>` : nothing}</div>
    <dialog aria-labelledby="dialog-title" @close=${act.closed}>
      ${ui.dialog === "details" ? details(store.get(ui.detailsOf), ui.error, act) : nothing}
      ${ui.dialog === "notifications" ? notifications(store, act) : nothing}
      ${ui.dialog === "help" ? help(ui, act) : nothing}
    </dialog>`;
}

function draw() {
  document.documentElement.dataset.theme = ui.theme;
  const root = document.getElementById("page");
  root.className = store ? "signed-in" : "";
  render(store ? page() : signIn(ui.signInReason, act), root);
  if (store) list.rendered();
}

async function start(token, claims) {
  if (store) await act.signOut("-");
  user = claims.user;
  ui.signInReason = "";
  const opened = await Copy.open(user);
  copy = opened;
  store = new Store(new Api(token, user), opened);
  store.addEventListener("change", update);
  store.addEventListener("say", ({ detail }) => say(detail.text, detail.undo));
  update();
  forgetCopies(user);
  await store.run();
}

function begin() {
  const token = takeToken();
  const claims = token && read(token);
  if (token && !claims) ui.signInReason = "This link has no token that can be read.";
  if (claims) start(token, claims);
  else update();
}

// Each module of a page loads once; so does the page's own copy of its files, for when there is no network.
if (navigator.serviceWorker) {
  const path = "/app/service-worker.js";
  const policy = globalThis.trustedTypes?.createPolicy("service-worker", { createScriptURL: () => path });
  navigator.serviceWorker.register(policy ? policy.createScriptURL("") : path, { scope: "/" }).catch(() => {});
}
addEventListener("token-refused", () => act.signOut("The service did not accept the token. It may have expired; take a new one."));
addEventListener("hashchange", () => location.hash && begin());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && store?.refreshNotifications());
addEventListener("pagehide", () => store?.flushDeletions());
// "Today" ends at midnight.
setInterval(() => store && update(), 60_000);
listen(ui, act);
document.getElementById("page").replaceChildren();
begin();
