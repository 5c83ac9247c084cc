// Recurrence in words: "every second Monday" is FREQ=WEEKLY;INTERVAL=2;BYDAY=MO, and back.

const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const CODES = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
const MONTHS = [
  "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
];
const UNITS = { day: "DAILY", week: "WEEKLY", month: "MONTHLY", year: "YEARLY" };
const SIMPLE = { daily: "DAILY", weekly: "WEEKLY", monthly: "MONTHLY", yearly: "YEARLY", annually: "YEARLY" };
const ORDINALS = ["first", "second", "third", "fourth", "fifth"];
const NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/** The words of a text, in lower case and without the marks around them. */
export function words(text) {
  return text.trim().split(/\s+/).filter(Boolean).map((word) => word.toLowerCase().replace(/[,.]+$/, ""));
}

export function dayCode(word) {
  const found = DAYS.findIndex((day) => day === word || `${day}s` === word || (word.length === 3 && day.startsWith(word)));
  return found < 0 ? null : CODES[found];
}

export function monthNumber(word) {
  const found = MONTHS.findIndex((month) => month === word || (word?.length === 3 && month.startsWith(word)));
  return found < 0 ? null : found + 1;
}

function unit(word) {
  return UNITS[word?.replace(/s$/, "")] ?? null;
}

function ordinal(word) {
  if (word === "last") return -1;
  const spoken = ORDINALS.indexOf(word);
  if (spoken >= 0) return spoken + 1;
  const written = /^(\d{1,3})(st|nd|rd|th)$/.exec(word ?? "");
  return written ? Number(written[1]) : null;
}

function count(word) {
  if (/^\d{1,4}$/.test(word ?? "")) return Number(word);
  const spoken = NUMBERS.indexOf(word);
  return spoken < 0 ? null : spoken + 1;
}

/**
 * Reads a recurrence that begins at a word: gives its rule, what it counts from, and the word after it; null where there is
 * none.
 */
export function readRecurrence(all, start = 0) {
  const reader = { all, at: start };
  const parts = readPattern(reader);
  if (!parts) return null;
  let from = "schedule";
  for (;;) {
    const [first, second] = [all[reader.at], all[reader.at + 1]];
    const times = count(first);
    if (times && (second === "times" || second === "time")) {
      parts.COUNT = times;
      reader.at += 2;
    } else if (first === "until" && /^\d{4}-\d\d-\d\d$/.test(second ?? "")) {
      parts.UNTIL = second.replaceAll("-", "");
      reader.at += 2;
    } else if (first === "after" && second === "completion") {
      from = "completion";
      reader.at += 2;
    } else {
      break;
    }
  }
  const rule = ["FREQ", "INTERVAL", "BYMONTH", "BYMONTHDAY", "BYDAY", "COUNT", "UNTIL"]
    .filter((name) => parts[name] !== undefined)
    .map((name) => `${name}=${parts[name]}`)
    .join(";");
  return { rule, from, end: reader.at };
}

function readPattern(reader) {
  const { all } = reader;
  const next = () => all[reader.at];
  if (SIMPLE[next()]) {
    const parts = { FREQ: SIMPLE[next()] };
    reader.at += 1;
    return withPlace(reader, parts);
  }
  // "the last Friday of every month"
  const before = readPlace({ all, at: reader.at });
  if (before && all[before.end] === "of" && ["every", "each", "the"].includes(all[before.end + 1]) && unit(all[before.end + 2]) === "MONTHLY") {
    reader.at = before.end + 3;
    return { FREQ: "MONTHLY", ...before.parts };
  }
  if (next() !== "every" && next() !== "each") return null;
  reader.at += 1;
  let interval = 1;
  if (next() === "other") {
    interval = 2;
    reader.at += 1;
  } else if (count(next()) && unit(all[reader.at + 1])) {
    interval = count(next());
    reader.at += 1;
  } else if (ordinal(next()) > 0 && (unit(all[reader.at + 1]) || dayCode(all[reader.at + 1] ?? ""))) {
    const [, day, of, the, month] = all.slice(reader.at);
    // "every second Monday" is every other week; "every second Monday of the month" is not.
    if (dayCode(day) && of === "of" && (the === "the" || the === "every") && unit(month) === "MONTHLY") {
      const parts = { FREQ: "MONTHLY", BYDAY: `${ordinal(next())}${dayCode(day)}` };
      reader.at += 5;
      return parts;
    }
    interval = ordinal(next());
    reader.at += 1;
  } else if (next() === "last" && dayCode(all[reader.at + 1] ?? "")) {
    const parts = { FREQ: "MONTHLY", BYDAY: `-1${dayCode(all[reader.at + 1])}` };
    reader.at += 2;
    if (next() === "of" && unit(all[reader.at + 2]) === "MONTHLY") reader.at += 3;
    return parts;
  }
  const parts = {};
  if (interval < 1 || interval > 1000) return null;
  if (interval > 1) parts.INTERVAL = interval;
  if (next() === "weekday" || next() === "workday" || next() === "weekdays") {
    reader.at += 1;
    return { FREQ: "WEEKLY", ...parts, BYDAY: "MO,TU,WE,TH,FR" };
  }
  if (unit(next())) {
    parts.FREQ = unit(next());
    reader.at += 1;
    return withPlace(reader, parts);
  }
  const days = readDays(reader);
  return days && { FREQ: "WEEKLY", ...parts, BYDAY: days };
}

/** "Monday", "Monday and Thursday", "Monday, Wednesday and Friday". */
function readDays(reader) {
  const found = [];
  for (;;) {
    const joined = found.length && reader.all[reader.at] === "and" ? 1 : 0;
    const code = dayCode(reader.all[reader.at + joined] ?? "");
    if (!code) break;
    found.push(code);
    reader.at += joined + 1;
  }
  return found.length ? CODES.filter((code) => found.includes(code)).join(",") : null;
}

/** "on the 15th", "on the last day", "on the first Monday", "on Monday and Thursday", "on 24 December". */
function withPlace(reader, parts) {
  if (reader.all[reader.at] !== "on") return parts;
  const inside = { all: reader.all, at: reader.at + 1 };
  if (parts.FREQ === "WEEKLY") {
    const days = readDays(inside);
    if (days) {
      reader.at = inside.at;
      return { ...parts, BYDAY: days };
    }
  }
  if (parts.FREQ === "YEARLY") {
    const day = count(inside.all[inside.at]) ?? ordinal(inside.all[inside.at]);
    const month = monthNumber(inside.all[inside.at + 1]);
    if (day > 0 && day <= 31 && month) {
      reader.at = inside.at + 2;
      return { ...parts, BYMONTH: month, BYMONTHDAY: day };
    }
  }
  if (parts.FREQ === "MONTHLY") {
    const place = readPlace(inside);
    if (place) {
      reader.at = place.end;
      return { ...parts, ...place.parts };
    }
  }
  return parts;
}

/** A place in a month: "the 15th", "the last day", "the second Tuesday". */
function readPlace({ all, at }) {
  if (all[at] === "the") at += 1;
  const number = ordinal(all[at]);
  if (!number) return null;
  const day = dayCode(all[at + 1] ?? "");
  if (day && (number === -1 || number <= 5)) return { parts: { BYDAY: `${number}${day}` }, end: at + 2 };
  const named = unit(all[at + 1]) === "DAILY";
  if (number > 31 || (number === -1 && !named)) return null;
  return { parts: { BYMONTHDAY: number }, end: at + (named ? 2 : 1) };
}

/** Reads a text that is nothing but a recurrence: words, or a rule as it is; null where it is neither. */
export function fromWords(text) {
  if (/^(RRULE:)?FREQ=/i.test(text.trim())) {
    return { rule: text.trim().replace(/^RRULE:/i, "").toUpperCase(), from: "schedule" };
  }
  const all = words(text);
  const found = readRecurrence(all);
  return found && found.end === all.length ? { rule: found.rule, from: found.from } : null;
}

const capital = (word) => word[0].toUpperCase() + word.slice(1);
const dayName = (code) => capital(DAYS[CODES.indexOf(code)]);
const list = (names) => (names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0]);

const place = (number) => (number === -1 ? "last" : ORDINALS[number - 1]);

function nth(number) {
  const isTeen = number > 10 && number < 14;
  return `${number}${(!isTeen && ["", "st", "nd", "rd"][number % 10]) || "th"}`;
}

/** A rule in words that `fromWords` reads; the rule itself where it says more than these words can. */
export function toWords(rule, from = "schedule") {
  const parts = Object.fromEntries(rule.split(";").map((part) => part.split("=")));
  const { FREQ, INTERVAL = "1", BYMONTH, BYMONTHDAY, BYDAY, COUNT, UNTIL, WKST = "MO", ...others } = parts;
  const pattern = patternInWords(FREQ, Number(INTERVAL), BYMONTH, BYMONTHDAY, BYDAY);
  if (!pattern || Object.keys(others).length || WKST !== "MO") return rule;
  const ends = [];
  if (COUNT) ends.push(`${COUNT} times`);
  if (UNTIL) {
    if (UNTIL.length !== 8) return rule;
    ends.push(`until ${UNTIL.slice(0, 4)}-${UNTIL.slice(4, 6)}-${UNTIL.slice(6)}`);
  }
  if (from === "completion") ends.push("after completion");
  return [pattern, ...ends].join(" ");
}

function patternInWords(frequency, interval, month, monthDay, days) {
  const name = Object.keys(UNITS).find((key) => UNITS[key] === frequency);
  if (!name) return null;
  const every = interval === 1 ? `every ${name}` : `every ${interval} ${name}s`;
  if (!month && !monthDay && !days) return every;
  if (frequency === "WEEKLY" && days && !monthDay && !month) {
    const codes = days.split(",");
    if (interval === 1 && codes.join() === "MO,TU,WE,TH,FR") return "every weekday";
    const names = list(codes.map(dayName));
    if (interval === 1) return `every ${names}`;
    return codes.length === 1 && interval === 2 ? `every second ${names}` : `${every} on ${names}`;
  }
  if (frequency === "MONTHLY" && !month && Boolean(monthDay) !== Boolean(days)) {
    if (monthDay && /^(-1|\d+)$/.test(monthDay)) {
      return `${every} on the ${monthDay === "-1" ? "last day" : nth(Number(monthDay))}`;
    }
    const one = /^(-1|[1-5])([A-Z]{2})$/.exec(days ?? "");
    if (one) return `${every} on the ${place(Number(one[1]))} ${dayName(one[2])}`;
  }
  if (frequency === "YEARLY" && /^\d+$/.test(month ?? "") && /^\d+$/.test(monthDay ?? "") && !days) {
    return `${every} on ${monthDay} ${capital(MONTHS[month - 1])}`;
  }
  return null;
}
