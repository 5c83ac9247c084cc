// Which tasks a list shows, and in which order.

import { midnight } from "./dates.js";

const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const RANKS = { high: 0, medium: 1, low: 2 };
const NEVER = "9999";
const byDue = (a, b) => byText(a.due_date ?? NEVER, b.due_date ?? NEVER) || RANKS[a.priority] - RANKS[b.priority] || byText(b.created_at, a.created_at);
const byEnd = (a, b) => byText(b.completed_at ?? b.skipped_at, a.completed_at ?? a.skipped_at);

/** Each list's tasks that pass the filter, by the list's name. */
export function lists(tasks, filter) {
  const tomorrow = midnight(1).toISOString();
  const found = { today: [], upcoming: [], all: [], done: [] };
  const query = filter.query.trim().toLowerCase();
  for (const task of tasks) {
    if (filter.priority && task.priority !== filter.priority) continue;
    if (filter.tag && !task.tags.includes(filter.tag)) continue;
    if (query && ![task.title, task.description ?? "", ...task.tags].some((text) => text.toLowerCase().includes(query))) continue;
    if (task.completed || task.skipped_at) {
      found.done.push(task);
      continue;
    }
    found.all.push(task);
    if (task.due_date) (task.due_date < tomorrow ? found.today : found.upcoming).push(task);
  }
  for (const name of ["today", "upcoming", "all"]) found[name].sort(byDue);
  found.done.sort(byEnd);
  return found;
}
