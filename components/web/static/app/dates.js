// Moments and durations, as people write and read them.

const LOCALE = navigator.languages?.find((language) => language.startsWith("en")) ?? "en-GB";
const format = (options) => new Intl.DateTimeFormat(LOCALE, options);
const TIME = format({ hour: "2-digit", minute: "2-digit" });
const WEEKDAY = format({ weekday: "long" });
const DAY = format({ weekday: "short", day: "numeric", month: "short" });
const DAY_OF_YEAR = format({ day: "numeric", month: "short", year: "numeric" });
const EXACT = format({ hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

export const timezone = () => Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";

/** The first moment of a day, so many days from now. */
export function midnight(days = 0, now = new Date()) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + days);
}

/** A due date, as near as people speak of it: "today 18:00", "Monday 09:00", "24 Dec 2027, 09:00". */
export function spoken(moment, now = new Date()) {
  const date = new Date(moment);
  const days = Math.round((midnight(0, date) - midnight(0, now)) / 86_400_000);
  const time = TIME.format(date);
  if (days === 0) return `today ${time}`;
  if (days === 1) return `tomorrow ${time}`;
  if (days === -1) return `yesterday ${time}`;
  if (days > 0 && days < 7) return `${WEEKDAY.format(date)} ${time}`;
  return `${date.getFullYear() === now.getFullYear() ? DAY.format(date) : DAY_OF_YEAR.format(date)}, ${time}`;
}

export const exactTime = (moment) => EXACT.format(moment);

/** A day and a time without a zone, as `datetime-local` has it. */
export function toLocal(moment) {
  if (!moment) return "";
  const date = new Date(moment);
  const two = (number) => String(number).padStart(2, "0");
  const year = String(date.getFullYear()).padStart(4, "0");
  return `${year}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

export const fromLocal = (text) => (text ? new Date(text).toISOString() : null);


/** Reminders in words: "1 day before, 30 minutes before"; null is the usual one. */
export function remindersInWords(reminders) {
  if (reminders === null || reminders === undefined) return "";
  if (!reminders.length) return "none";
  return reminders.map((each) => (each.at ? `at ${toLocal(each.at).replace("T", " ")}` : `${durationInWords(each.before)} before`)).join(", ");
}

export function durationInWords(duration) {
  const [, w, d, h, m, s] = /^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/.exec(duration) ?? [];
  const parts = Object.entries({ week: w, day: d, hour: h, minute: m, second: s })
    .filter(([, number]) => number)
    .map(([name, number]) => `${number} ${name}${number === "1" ? "" : "s"}`);
  return parts.join(" ") || duration;
}

/** The reverse of [remindersInWords]; throws with a sentence where it cannot be read. */
export function remindersFromWords(text) {
  const trimmed = text.trim().toLowerCase();
  if (!trimmed) return null;
  if (trimmed === "none" || trimmed === "never") return [];
  return trimmed.split(",").map((each) => {
    const at = /^at (\d{4}-\d\d-\d\d)[ t](\d\d:\d\d)$/.exec(each.trim());
    if (at) return { at: fromLocal(`${at[1]}T${at[2]}`) };
    return { before: durationFromWords(each.trim().replace(/ before$/, "")) };
  });
}

function durationFromWords(text) {
  const amounts = {};
  const rest = text.replaceAll(/(\d{1,4}|an?)\s*(w(?:eeks?)?|d(?:ays?)?|h(?:ours?)?|m(?:in(?:ute)?s?)?)(?=\s|\d|$)/g, (_, number, name) => {
    amounts[name[0]] = (amounts[name[0]] ?? 0) + (Number(number) || 1);
    return "";
  });
  if (rest.replace(/\band\b/g, "").trim() || !Object.keys(amounts).length) {
    throw new Error(`“${text}” is no time before the due date; write “30 minutes before”, “1 day before”, or “none”.`);
  }
  const { w, d, h, m } = amounts;
  if (w && !d && !h && !m) return `P${w}W`;
  const days = (w ?? 0) * 7 + (d ?? 0);
  const time = `${h ? `${h}H` : ""}${m ? `${m}M` : ""}`;
  return `P${days ? `${days}D` : ""}${time ? `T${time}` : ""}`;
}
