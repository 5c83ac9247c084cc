// A task in the list.

import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";
import { live } from "./vendor/lit-html-3.3.3/directives/live.js";
import { spoken } from "./dates.js";
import { toWords } from "./recurrence.js";

const isOver = (task) => task.completed || task.skipped_at;

/** `act` is what a user can do with a task; `ui` is what is selected and edited. */
export function row(task, place, count, ui, act) {
  const isEdited = ui.renaming === task.id;
  const classes = ["row", isOver(task) && "over", task.isDraft && "draft", `priority-${task.priority}`].filter(Boolean).join(" ");
  return html`<li class=${classes} id=${`task-${task.id}`} .style=${`transform: translateY(${place * 4}rem)`}
      tabindex=${ui.selected === task.id ? 0 : -1} aria-setsize=${count} aria-posinset=${place + 1} data-id=${task.id}
      @focus=${() => act.select(task.id)}>
    <input type="checkbox" class="check" aria-label=${`Done: ${task.title}`} .checked=${live(task.completed)}
      ?disabled=${Boolean(task.isDraft || (task.skipped_at && !task.completed))} tabindex="-1" @change=${() => act.toggle(task)}>
    <div class="what">
      ${isEdited ? titleField(task, act) : html`<button class="title" tabindex="-1" title="Edit the title" ?disabled=${Boolean(task.isDraft)}
        @click=${() => act.rename(task.id)}>${task.title}</button>`}
      <p class="about">${about(task, act)}</p>
    </div>
    <div class="actions">
      ${task.recurrence && !isOver(task) ? html`<button tabindex="-1" class="quiet" aria-label=${`Skip: ${task.title}`} @click=${() => act.skip(task)}>Skip</button>` : nothing}
      <button tabindex="-1" class="quiet" aria-label=${`Details: ${task.title}`} ?disabled=${Boolean(task.isDraft)} @click=${() => act.open(task.id)}>Details</button>
      <button tabindex="-1" class="quiet" aria-label=${`Delete: ${task.title}`} ?disabled=${Boolean(task.isDraft)} @click=${() => act.remove(task)}>Delete</button>
    </div>
  </li>`;
}

function titleField(task, act) {
  const end = (event) => act.renamed(task, event.target.value);
  const onKey = (event) => {
    event.stopPropagation();
    if (event.key === "Enter") end(event);
    if (event.key === "Escape") act.renamed(task, task.title);
  };
  return html`<input class="title-field" aria-label="Title" maxlength="200" .value=${task.title} @keydown=${onKey} @blur=${end}>`;
}

function about(task, act) {
  const now = new Date();
  const isLate = task.due_date && !isOver(task) && new Date(task.due_date) < now;
  const parts = [];
  if (task.skipped_at && !task.completed) parts.push(html`<span>skipped ${spoken(task.skipped_at)}</span>`);
  if (task.completed && task.completed_at) parts.push(html`<span>done ${spoken(task.completed_at)}</span>`);
  if (task.due_date && !isOver(task)) {
    parts.push(html`<time class=${isLate ? "late" : ""} datetime=${task.due_date}>${isLate ? "overdue, " : ""}${spoken(task.due_date)}</time>`);
  }
  if (task.recurrence) parts.push(html`<span class="repeats">${toWords(task.recurrence.rule, task.recurrence.from)}</span>`);
  if (task.priority !== "medium") parts.push(html`<span class="priority">${task.priority} priority</span>`);
  for (const tag of task.tags) {
    parts.push(html`<button class="tag" tabindex="-1" aria-label=${`Tag ${tag}: show only these`} @click=${() => act.filterByTag(tag)}>#${tag}</button>`);
  }
  return parts;
}
