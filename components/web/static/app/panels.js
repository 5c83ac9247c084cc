// The dialogs of notifications and of help, the events beside the list, and the sign-in.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { repeat } from "./vendor/lit-html-3.3.3/directives/repeat.js";
import { exactTime, midnight, spoken } from "./dates.js";
import { LATE } from "./store.js";

function tomorrowMorning() {
  const morning = midnight(1);
  morning.setHours(9);
  return morning.toISOString();
}

export function notifications(store, act) {
  const snoozes = [
    ["10 minutes", () => ({ for: "PT10M" }), "in 10 minutes"],
    ["1 hour", () => ({ for: "PT1H" }), "in an hour"],
    ["Tomorrow", () => ({ until: tomorrowMorning() }), "tomorrow at 9"],
  ];
  return html`<h2 id="dialog-title">Notifications</h2>
    <div class="buttons">
      <button @click=${() => store.markAllRead()} ?disabled=${store.unread === 0}>Mark all as read</button>
      <span class="gap"></span>
      <button @click=${act.close}>Close</button>
    </div>
    ${store.notifications.length ? nothing : html`<p class="empty">Nothing yet. A task that is due reminds you here, a day before unless you say otherwise.</p>`}
    <ul class="notifications" role="list">
      ${repeat(store.notifications, (each) => each.id, (each) => html`<li class=${each.read ? "read" : "unread"}>
        <p><strong>${each.task_title}</strong> ${each.due_date ? html`is due ${spoken(each.due_date)}` : nothing}</p>
        <p class="hint">${each.read ? "read" : "new"}, ${spoken(each.created_at)}${each.snoozed_until ? `, again ${spoken(each.snoozed_until)}` : ""}</p>
        <div class="buttons">
          ${each.read ? nothing : html`<button aria-label=${`Read: ${each.task_title}`} @click=${() => store.markRead(each.id)}>Read</button>`}
          ${snoozes.map(([label, body, words]) => html`<button aria-label=${`${label}: remind me again of ${each.task_title}`}
            @click=${() => store.snooze(each.id, body(), words)}>${label}</button>`)}
        </div>
      </li>`)}
    </ul>`;
}

const KEYS = [
  ["n", "add a task"], ["/", "search"], ["1 2 3 4", "today, upcoming, all, done"], ["j k, ↓ ↑", "next and previous task"],
  ["Space, x", "complete or reopen"], ["Enter", "details"], ["e", "edit the title in place"], ["s", "skip to the next instance"],
  ["Delete", "delete"], ["u", "undo"], ["b", "notifications"], ["?", "this help"], ["Esc", "close, or clear the search"],
];

export function help(ui, act) {
  return html`<h2 id="dialog-title">Keyboard</h2>
    <dl class="keys">${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
    <label class="choice"><input type="checkbox" .checked=${ui.shortcuts} @change=${act.toggleShortcuts}> Keys of one character are shortcuts</label>
    <h3>Adding a task in one line</h3>
    <p class="hint">Water the plants every second Monday at 9:00 #home !high. Call Ada tomorrow 17:30. What is in quotation marks is only title.</p>
    <div class="buttons"><button class="main" @click=${act.close}>Close</button></div>`;
}

export function events(store) {
  const awaited = [...store.awaited.values()];
  return html`<h2 id="events-title">Your events, live</h2>
    ${awaited.map(({ title, since }) => html`<p class="awaited">${Date.now() - since < LATE
      ? html`The next “${title}” is on its way.`
      : html`The next “${title}” takes longer than usual. Nothing is lost: it appears here as soon as the event is delivered.`}</p>`)}
    ${store.events.length ? nothing : html`<p class="hint">Each change is an event. It appears here when it arrives, also if you made it elsewhere.</p>`}
    <ol class="events" role="list">
      ${repeat(store.events, (event) => event.number, (event) => html`<li>
        <span class="number">${event.number}</span> <span class="type">${event.type}</span>
        <span class="latency" title="from commit to arrival">${event.latency} ms</span>
        <span class="subject">${event.title}</span> <time>${exactTime(event.arrived)}</time>
      </li>`)}
    </ol>`;
}

/** How the connection is, in a sentence; nothing while all is well. */
export function banner(connection) {
  if (connection.state !== "lost") return nothing;
  return html`<p class="banner"><strong>Not connected.</strong> ${connection.detail} You see your tasks as they were
    ${spoken(connection.since)}. Trying again; what you change now may be refused.</p>`;
}

export function signIn(reason, act) {
  const onSubmit = (event) => {
    event.preventDefault();
    act.signIn(event.target.elements.token.value.trim());
  };
  return html`<main class="sign-in"><form @submit=${onSubmit}>
    <h1>todo-events</h1>
    <label for="token">Your token</label>
    <input id="token" name="token" type="password" autocomplete="off" required aria-describedby="token-hint">
    <p class="hint" id="token-hint">It stays in this tab and is sent to nobody but this service. <code>cargo xtask up</code> prints a link with one.</p>
    ${reason ? html`<p class="error" role="alert">${reason}</p>` : nothing}
    <button class="main">Sign in</button>
  </form></main>`;
}
