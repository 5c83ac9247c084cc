// Completing a recurring task: its next instance appears by itself, after the way over Kafka and back.

import assert from "node:assert/strict";
import { DESK, PHONE, add, event, row, show } from "../stage.js";

export default async function recurring(stage, { ask, say }) {
  const desk = await stage.signedIn(DESK);
  assert.equal(new URL(desk.url()).hash, "", "the address still has the token");
  const phone = await stage.signedIn(PHONE);
  for (const page of [desk, phone]) await show(page, "All");

  await desk.getByLabel("Add a task").fill("Water the plants every second Monday at 9:00 #home !high");
  await desk.getByText("Water the plants — Monday 09:00, every second Monday, high priority, #home").waitFor();
  await desk.getByLabel("Add a task").press("Enter");
  await row(desk, "Water the plants").getByText("every second Monday").waitFor();
  // On the other device too, which did nothing.
  await row(phone, "Water the plants").waitFor();

  await row(phone, "Water the plants").getByRole("checkbox").click();
  const clicked = Date.now();
  const next = row(phone, "Water the plants").filter({ hasText: /1[0-9]|2[0-9]|[0-9] Dec/ });
  await next.waitFor();
  say(`click to next instance on the page: ${Date.now() - clicked} ms`);
  await row(desk, "Water the plants").waitFor();
  for (const type of ["task.created", "task.completed"]) await event(desk, type, "Water the plants").waitFor();
  const latencies = await desk.locator(".events .latency").allInnerTexts();
  say(`from commit to arrival at the page: ${latencies.join(", ")}`);
  await show(desk, "Done");
  await row(desk, "Water the plants").getByRole("checkbox", { checked: true }).waitFor();

  // The last of a series has no next one, and none is promised.
  await show(desk, "All");
  await add(desk, "Only once every day 1 time");
  await desk.locator(".said").getByText("Added “Only once”.").waitFor();
  await row(desk, "Only once").getByRole("checkbox").click();
  await event(desk, "task.completed", "Only once").waitFor();
  assert.equal(await desk.locator(".awaited").count(), 0);

  const published = (await ask("published")).filter((each) => each.data.title === "Water the plants");
  assert.deepEqual(published.map((each) => each.type), ["task.created", "task.completed", "task.created"]);
  assert.equal(published[0].data.recurrence.rule, "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO");
  const fortnight = Date.parse(published[2].data.due_date) - Date.parse(published[0].data.due_date);
  assert.equal(fortnight, 14 * 86_400_000);
}
