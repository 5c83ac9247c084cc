// Ages, numbers and links in words.

const RUNBOOKS = "https://github.com/todo-events/todo-events/blob/main/docs/operations.md";
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const time = (moment) => TIME.format(new Date(moment));
export const minute = (moment) => MINUTE.format(new Date(moment));
export const day = (moment) => (moment ? DAY.format(new Date(moment)) : "–");
export const runbook = (anchor) => `${RUNBOOKS}#${anchor}`;

/** How much time lies between two instants, in one unit. */
export function between(from, to) {
  const seconds = Math.max(0, Math.round((new Date(to) - new Date(from)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** A number, or that there are so many or more. */
export const atLeast = (number, more) => `${number}${more ? " or more" : ""}`;

export const times = (number) => (number === 1 ? "once" : `${number} times`);

export const plural = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/** Milliseconds as people read them. */
export const took = (milliseconds) =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : milliseconds < 120_000 ? `${(milliseconds / 1000).toFixed(1)} s` : `${Math.round(milliseconds / 60_000)} min`;

/** A payload: indented where it is JSON, else as it is. */
export function payload({ payload, encoding, is_cut: isCut }) {
  if (encoding === "utf-8" && !isCut) {
    try {
      return JSON.stringify(JSON.parse(payload), null, 2);
    } catch {
      // No JSON.
    }
  }
  return payload;
}
