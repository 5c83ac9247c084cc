// The dialog with everything about a task.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { fromLocal, remindersFromWords, remindersInWords, timezone, toLocal } from "./dates.js";
import { fromWords, toWords } from "./recurrence.js";

const SUGGESTIONS = [
  "every day", "every weekday", "every Monday", "every second Monday", "every month on the 1st", "every month on the last day",
  "every month on the first Monday", "every 3 days after completion", "every year",
];

/** What the form says as a patch; throws with a sentence about the field that cannot be read. */
export function patchOf(form, task) {
  const field = (name) => form.elements[name].value.trim();
  const fail = (name, message) => {
    throw Object.assign(new Error(message), { field: name });
  };
  if (!field("title")) fail("title", "A task needs a title.");
  const patch = {
    title: field("title"),
    description: field("description") || null,
    priority: field("priority"),
    tags: [...new Set(field("tags").split(",").map((tag) => tag.trim().replace(/^#/, "")).filter(Boolean))],
  };
  // A field for minutes must not cut off the seconds that were there.
  if (field("due_date") !== toLocal(task.due_date)) patch.due_date = fromLocal(field("due_date"));
  if (patch.due_date && task.timezone !== timezone()) patch.timezone = timezone();
  const repeats = field("recurrence");
  if (!repeats) {
    patch.recurrence = null;
  } else {
    const recurrence = fromWords(repeats);
    if (!recurrence) fail("recurrence", `“${repeats}” is no pattern known here. Write for example “${SUGGESTIONS[3]}”, or a rule such as FREQ=DAILY;INTERVAL=3.`);
    const missed = form.elements.missed.checked ? "keep" : "skip";
    // As it was, where it says the same.
    const said = task.recurrence && toWords(task.recurrence.rule, task.recurrence.from) === toWords(recurrence.rule, recurrence.from);
    patch.recurrence = { ...(said ? task.recurrence : recurrence), missed };
  }
  try {
    const said = remindersInWords(task.reminders) === field("reminders");
    patch.reminders = said ? task.reminders : remindersFromWords(field("reminders"));
  } catch (error) {
    fail("reminders", error.message);
  }
  if (patch.reminders?.length && !field("due_date")) fail("reminders", "Reminders need a due date.");
  return patch;
}

export function details(task, error, act) {
  if (!task) return html`<h2 id="dialog-title">Details</h2><p>This task is deleted.</p><div class="buttons"><button @click=${act.close}>Close</button></div>`;
  const field = (name, label, input, hint) => html`<label for=${`field-${name}`}>${label}</label>
    ${input}
    ${hint ? html`<p class="hint" id=${`hint-${name}`}>${hint}</p>` : nothing}
    ${error?.field === name ? html`<p class="error" role="alert" id=${`error-${name}`}>${error.message}</p>` : nothing}`;
  const described = (name) => (error?.field === name ? `error-${name} hint-${name}` : `hint-${name}`);
  const invalid = (name) => String(error?.field === name);
  const onSubmit = (event) => {
    event.preventDefault();
    act.save(task, event.target);
  };
  const isOver = task.completed || task.skipped_at;
  return html`<form class="details" @submit=${onSubmit} novalidate>
    <h2 id="dialog-title">Details</h2>
    ${field("title", "Title", html`<input id="field-title" name="title" maxlength="200" required .value=${task.title} aria-invalid=${invalid("title")}>`)}
    ${field("description", "Notes", html`<textarea id="field-description" name="description" rows="3" maxlength="1000" .value=${task.description ?? ""}></textarea>`)}
    ${field("due_date", "Due", html`<input id="field-due_date" name="due_date" type="datetime-local" .value=${toLocal(task.due_date)}>`)}
    ${field("recurrence", "Repeats", html`<input id="field-recurrence" name="recurrence" list="recurrences" autocomplete="off"
      aria-describedby=${described("recurrence")} aria-invalid=${invalid("recurrence")}
      .value=${task.recurrence ? toWords(task.recurrence.rule, task.recurrence.from) : ""}>
      <datalist id="recurrences">${SUGGESTIONS.map((words) => html`<option value=${words}></option>`)}</datalist>`, "In words: every second Monday")}
    <label class="choice"><input type="checkbox" name="missed" .checked=${task.recurrence?.missed === "keep"}> Missed dates are made up for</label>
    ${field("reminders", "Reminders", html`<input id="field-reminders" name="reminders" autocomplete="off" aria-describedby=${described("reminders")}
      aria-invalid=${invalid("reminders")} .value=${remindersInWords(task.reminders)}>`, "1 day before, 30 minutes before; or none. Empty: a day before")}
    ${field("tags", "Tags", html`<input id="field-tags" name="tags" autocomplete="off" aria-describedby="hint-tags" .value=${task.tags.join(", ")}>`, "With commas between them")}
    ${field("priority", "Priority", html`<select id="field-priority" name="priority" .value=${task.priority}>
      ${["high", "medium", "low"].map((each) => html`<option value=${each} ?selected=${task.priority === each}>${each}</option>`)}</select>`)}
    <div class="buttons">
      <button type="submit" class="main">Save</button>
      <button type="button" @click=${act.close}>Cancel</button>
      <span class="gap"></span>
      ${isOver ? html`<button type="button" @click=${() => act.closing(() => act.reopen(task))}>Reopen</button>` : nothing}
      ${task.recurrence && !isOver ? html`<button type="button" @click=${() => act.closing(() => act.skip(task))}>Skip</button>` : nothing}
      <button type="button" class="danger" @click=${() => act.closing(() => act.remove(task))}>Delete</button>
    </div>
  </form>`;
}
