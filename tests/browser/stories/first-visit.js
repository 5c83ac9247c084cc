// What a first visit loads, and how soon something is seen. And the words for recurrence, as the page's own modules read them.

import assert from "node:assert/strict";
import { DESK } from "../stage.js";

const MOST = 150_000;

const RECURRENCES = {
  "every day": "FREQ=DAILY",
  "every weekday": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
  "every Monday and Thursday": "FREQ=WEEKLY;BYDAY=MO,TH",
  "every second Monday": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO",
  "every 3 weeks on Friday": "FREQ=WEEKLY;INTERVAL=3;BYDAY=FR",
  "every month on the 15th": "FREQ=MONTHLY;BYMONTHDAY=15",
  "every month on the 22nd": "FREQ=MONTHLY;BYMONTHDAY=22",
  "every month on the last day": "FREQ=MONTHLY;BYMONTHDAY=-1",
  "every 3 months on the last Friday": "FREQ=MONTHLY;INTERVAL=3;BYDAY=-1FR",
  "every month on the second Tuesday": "FREQ=MONTHLY;BYDAY=2TU",
  "every year on 24 December": "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24",
  "every day 10 times": "FREQ=DAILY;COUNT=10",
  "every week until 2027-01-31": "FREQ=WEEKLY;UNTIL=20270131",
};
const SAME = {
  daily: "every day", "every other week": "every 2 weeks", "the last Friday of every month": "every month on the last Friday",
  "every second Monday of the month": "every month on the second Monday", "each mon, wed and fri": "every Monday, Wednesday and Friday",
};
const NO_RECURRENCES = ["", "every", "every blue moon", "every 0 days", "every 1001 days", "every month on the 32nd", "every day and so on", "monday"];

// At ten o'clock on Saturday, 28 November 2026.
const LINES = {
  "Buy milk": { title: "Buy milk" },
  "Buy milk today": { title: "Buy milk", due_date: "2026-11-28T23:59" },
  "Buy milk today at 17": { title: "Buy milk", due_date: "2026-11-28T17:00" },
  "Buy milk, on Monday at 5pm #shop !1": { title: "Buy milk,", due_date: "2026-11-30T17:00", tags: ["shop"], priority: "high" },
  "Read \"every Monday today\" in 2 weeks": { title: "Read every Monday today", due_date: "2026-12-12T09:00" },
  "Report 31 dec": { title: "Report", due_date: "2026-12-31T09:00" },
  "March 5 miles": { title: "March 5 miles" },
  "Sun cream": { title: "Sun cream" },
  "Clean on the last Friday of every month": { title: "Clean", due_date: "2026-12-25T09:00", recurrence: { rule: "FREQ=MONTHLY;BYDAY=-1FR", from: "schedule" } },
  "Water every 3 days after completion": { title: "Water", due_date: "2026-11-29T09:00", recurrence: { rule: "FREQ=DAILY;INTERVAL=3", from: "completion" } },
};

const REMINDERS = { "": null, none: [], "1 day before, 30 minutes before": [{ before: "P1D" }, { before: "PT30M" }], "2 weeks before": [{ before: "P2W" }], "1 hour 30 minutes before": [{ before: "PT1H30M" }] };

export default async function firstVisit(stage, { given, say }) {
  const context = await stage.context(DESK);
  const page = await context.newPage();
  const responses = [];
  context.on("response", (response) => responses.push(response));
  await page.goto(given.url, { waitUntil: "networkidle" });
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  const sizes = await Promise.all(responses.filter((each) => !each.request().serviceWorker()).map((each) => each.request().sizes()));
  const bytes = sizes.reduce((sum, each) => sum + each.responseBodySize + each.responseHeadersSize, 0);
  const bodies = sizes.reduce((sum, each) => sum + each.responseBodySize, 0);
  say(`the page is ${sizes.length} files, ${(bodies / 1000).toFixed(1)} KB compressed (${(bytes / 1000).toFixed(1)} KB with headers); first paint after ${paint.toFixed(0)} ms`);
  assert.ok(sizes.length > 10 && bytes < MOST, `${bytes} bytes in ${sizes.length} files`);

  const found = await page.evaluate(readAll, { RECURRENCES, SAME, NO_RECURRENCES, LINES, REMINDERS });
  for (const [words, rule] of Object.entries(RECURRENCES)) assert.deepEqual(found.recurrences[words], [rule, words]);
  for (const [words, canonical] of Object.entries(SAME)) assert.equal(found.same[words], canonical);
  assert.deepEqual(found.none, []);
  const due = (date) => (date ? { due_date: new Date(`${date}:00+01:00`).toISOString() } : {});
  for (const [line, { due_date, ...fields }] of Object.entries(LINES)) assert.deepEqual(found.lines[line], { ...fields, ...due(due_date) }, line);
  for (const [words, reminders] of Object.entries(REMINDERS)) assert.deepEqual(found.reminders[words], [reminders, words]);
}

// In the page, whose modules these are.
async function readAll({ RECURRENCES, SAME, NO_RECURRENCES, LINES, REMINDERS }) {
  const { fromWords, toWords } = await import("/app/recurrence.js");
  const { read } = await import("/app/quick-add.js");
  const { remindersFromWords, remindersInWords } = await import("/app/dates.js");
  const now = new Date(2026, 10, 28, 10);
  const each = (object, then) => Object.fromEntries(Object.keys(object).map((key) => [key, then(key)]));
  const canonical = (words) => {
    const { rule, from } = fromWords(words) ?? {};
    return rule && toWords(rule, from);
  };
  return {
    recurrences: each(RECURRENCES, (words) => [fromWords(words)?.rule, canonical(words)]),
    same: each(SAME, canonical),
    none: NO_RECURRENCES.filter(fromWords),
    lines: each(LINES, (line) => read(line, now)),
    reminders: each(REMINDERS, (words) => [remindersFromWords(words), remindersInWords(remindersFromWords(words))]),
  };
}
