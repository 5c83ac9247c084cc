// A line of text as a task: "Water the plants every second Monday at 9:00 #home !high".

import { dayCode, monthNumber, readRecurrence } from "./recurrence.js";

const CODES = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];
const PRIORITIES = { high: "high", medium: "medium", low: "low", 1: "high", 2: "medium", 3: "low" };
const SPANS = { day: 1, days: 1, week: 7, weeks: 7 };

/** The task's fields. What is between quotation marks is the title's, whatever it means. */
export function read(line, now = new Date()) {
  const quoted = [];
  const text = line.replaceAll(/"([^"]*)"/g, (_, inside) => `\u0001${quoted.push(inside) - 1}`);
  const original = text.trim().split(/\s+/).filter(Boolean);
  const all = original.map((word) => word.toLowerCase().replace(/[,.]+$/, ""));
  const title = [];
  const found = { tags: [], priority: undefined, recurrence: undefined, day: undefined, time: undefined };
  for (let at = 0; at < all.length; ) {
    const end = take(all, at, original, found, now);
    if (end > at) {
      at = end;
    } else {
      title.push(original[at]);
      at += 1;
    }
  }
  const task = { title: title.join(" ").replaceAll(/\u0001(\d+)/g, (_, number) => quoted[number]).trim() };
  if (found.tags.length) task.tags = found.tags;
  if (found.priority) task.priority = found.priority;
  if (found.recurrence) task.recurrence = found.recurrence;
  const due = dueDate(found, now);
  if (due) task.due_date = due.toISOString();
  return task;
}

/** Reads what begins at a word; gives the word after it, or the same one where it is the title's. */
function take(all, at, original, found, now) {
  const word = all[at];
  const tag = /^#([^\s,#]{1,50})$/u.exec(original[at]);
  if (tag) {
    if (!found.tags.includes(tag[1])) found.tags.push(tag[1]);
    return at + 1;
  }
  if (word[0] === "!" && PRIORITIES[word.slice(1)]) {
    found.priority = PRIORITIES[word.slice(1)];
    return at + 1;
  }
  if (!found.recurrence) {
    const recurrence = readRecurrence(all, word === "on" ? at + 1 : at);
    if (recurrence) {
      found.recurrence = { rule: recurrence.rule, from: recurrence.from };
      return recurrence.end;
    }
  }
  const joined = ["at", "on", "next", "in", "by"].includes(word) ? 1 : 0;
  if (found.time === undefined) {
    const time = readTime(all[at + joined], word === "at");
    if (time && (!joined || word === "at" || word === "by")) {
      found.time = time;
      return at + joined + 1;
    }
  }
  if (found.day === undefined) {
    const day = readDay(all, at, joined, now);
    if (day) {
      found.day = day.date;
      return day.end;
    }
  }
  return at;
}

function readTime(word, isSaid) {
  const [, hours, minutes, half] = /^(\d{1,2})(?::(\d\d))?(am|pm)?$/.exec(word ?? "") ?? [];
  if (hours === undefined || (!minutes && !half && !isSaid)) return null;
  const hour = half ? (Number(hours) % 12) + (half === "pm" ? 12 : 0) : Number(hours);
  return hour < 24 && Number(minutes ?? 0) < 60 ? [hour, Number(minutes ?? 0)] : null;
}

function readDay(all, at, joined, now) {
  const day = (days) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days);
  const word = all[at + joined] ?? "";
  if (all[at] === "in") {
    const span = SPANS[all[at + 2]];
    return /^\d{1,3}$/.test(word) && span ? { date: day(Number(word) * span), end: at + 3 } : null;
  }
  const end = at + joined + 1;
  if (word === "today") return { date: day(0), end };
  if (word === "tomorrow") return { date: day(1), end };
  if (/^\d{4}-\d\d-\d\d$/.test(word)) {
    const date = new Date(`${word}T00:00`);
    return Number.isNaN(date.getTime()) ? null : { date, end };
  }
  // Short names only where a word before says that a day is meant: "sun" and "sat" are words of their own.
  const code = word.length > 3 || joined ? dayCode(word) : null;
  if (code && !word.endsWith("s")) {
    return { date: day((CODES.indexOf(code) - now.getDay() + 7) % 7 || 7), end };
  }
  const month = monthNumber(all[at + joined + 1]);
  if (/^([1-9]|[12]\d|3[01])$/.test(word) && month) {
    const date = new Date(now.getFullYear(), month - 1, Number(word));
    if (date < day(0)) date.setFullYear(date.getFullYear() + 1);
    return { date, end: end + 1 };
  }
  return null;
}

/** A day without a time is meant for nine o'clock, or, where that has passed, for its end. */
function dueDate({ day, time, recurrence }, now) {
  if (!day && !time && !recurrence) return null;
  const at = (date, [hours, minutes]) => new Date(date.getFullYear(), date.getMonth(), date.getDate(), hours, minutes);
  if (day) {
    const due = at(day, time ?? [9, 0]);
    return time || due > now ? due : at(day, [23, 59]);
  }
  // The first day that fits, from now on.
  for (let days = 0; days < 400; days += 1) {
    const date = new Date(now.getFullYear(), now.getMonth(), now.getDate() + days);
    if (!recurrence || fits(recurrence.rule, date)) {
      const due = at(date, time ?? [9, 0]);
      if (due > now) return due;
    }
  }
  return at(now, time ?? [23, 59]);
}

/** Whether a day is one that a rule of these words names. */
function fits(rule, date) {
  const { BYDAY, BYMONTHDAY, BYMONTH } = Object.fromEntries(rule.split(";").map((part) => part.split("=")));
  if (BYMONTH && Number(BYMONTH) !== date.getMonth() + 1) return false;
  const length = new Date(date.getFullYear(), date.getMonth() + 1, 0).getDate();
  if (BYMONTHDAY && (Number(BYMONTHDAY) < 0 ? length + 1 + Number(BYMONTHDAY) : Number(BYMONTHDAY)) !== date.getDate()) return false;
  return !BYDAY || BYDAY.split(",").some((each) => {
    const [, number, code] = /^(-?\d+)?([A-Z]{2})$/.exec(each);
    if (CODES[date.getDay()] !== code) return false;
    if (!number) return true;
    return Number(number) < 0 ? date.getDate() + 7 > length : Math.ceil(date.getDate() / 7) === Number(number);
  });
}
