// What one does in a day, on a desk and on a phone: each change is shown at once, kept, and undone where one wants.

import assert from "node:assert/strict";
import { DESK, PHONE, add, api, event, poll, row, show } from "../stage.js";

export default async function day(stage, { ask, given, say }) {
  for (const [name, size] of Object.entries({ desk: DESK, phone: PHONE })) {
    const began = Date.now();
    await dayAt(await stage.signedIn(size), name, given);
    say(`a day at ${name}: ${Date.now() - began} ms`);
  }
  const events = await ask("published");
  const types = events.map((each) => each.type);
  const of = (type) => types.filter((each) => each === type).length;
  assert.ok(of("task.completed") === 2 && of("task.skipped") === 2 && of("task.deleted") === 2, JSON.stringify(types));
}

async function dayAt(page, name, given) {
  const [report, stretch, milk] = ["report", "stretch", "milk"].map((what) => `${what} of the ${name}`);
  const said = page.locator(".said");

  // Added in one line; what names no day is for today.
  await add(page, `${report} today 23:58 !high #work`);
  await add(page, `${stretch} every day at 23:57`);
  await add(page, milk);
  await row(page, report).getByText("high priority").waitFor();
  await row(page, milk).getByText("today 23:59").waitFor();
  await row(page, stretch).getByText("every day").waitFor();
  await said.getByText(`Added “${milk}”.`).waitFor();

  // The title is edited in its place, and that is undone.
  await row(page, milk).getByRole("button", { name: milk, exact: true }).click();
  const field = page.getByRole("textbox", { name: "Title" });
  await field.fill(`oat ${milk}`);
  await field.press("Enter");
  await row(page, `oat ${milk}`).waitFor();
  await said.getByText(`Changed “oat ${milk}”.`).waitFor();
  // The answer to the undo comes late, when the details are open already: what is saved there is based on the undo.
  let isLate = true;
  await page.route("**/api/*/tasks/*", async (route) => {
    if (isLate && route.request().method() === "PATCH") {
      isLate = false;
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
    await route.continue();
  });
  await said.getByRole("button", { name: "Undo" }).click();
  await row(page, milk).waitFor();

  // Everything else is in the details; what cannot be read is said at its field, and changes nothing.
  await row(page, milk).getByRole("button", { name: "Details" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Notes").fill(`two litres for the ${name}`);
  await dialog.getByLabel("Repeats").fill("every blue moon");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByRole("alert").getByText("no pattern known here").waitFor();
  await dialog.getByLabel("Repeats").fill("every month on the last Friday");
  await dialog.getByLabel("Reminders").fill("1 day before, 30 minutes before");
  await dialog.getByLabel("Tags").fill("shop, food");
  await dialog.getByLabel("Priority").selectOption("low");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "hidden" });
  await row(page, milk).getByText("every month on the last Friday").waitFor();
  await said.getByText(`Changed “${milk}”.`).waitFor();
  const tasks = await api(given, "GET", `/tasks?q=${encodeURIComponent(milk)}`);
  const kept = tasks[0];
  assert.deepEqual(
    [kept.description, kept.recurrence.rule, kept.reminders, kept.tags, kept.priority],
    [`two litres for the ${name}`, "FREQ=MONTHLY;BYDAY=-1FR", [{ before: "P1D" }, { before: "PT30M" }], ["shop", "food"], "low"],
  );

  // Searched, and shown by tag and by priority.
  await page.getByLabel("Search").fill(`LITRES for the ${name}`);
  await poll("one task is found", async () => (await page.locator(".row").count()) === 1);
  await page.getByLabel("Search").fill("");
  await row(page, report).getByRole("button", { name: "Tag work: show only these" }).click();
  await poll("one task has the tag", async () => (await page.locator(".row").count()) === 1);
  await page.getByRole("button", { name: "Tag work: show all again" }).click();
  await page.getByLabel("Priority").selectOption("low");
  await row(page, stretch).waitFor({ state: "hidden" });
  await row(page, milk).waitFor();
  await page.getByLabel("Priority").selectOption("");

  // Done, and not done after all.
  await row(page, report).getByRole("checkbox").click();
  await said.getByText(`Completed “${report}”.`).waitFor();
  await show(page, "Done");
  await row(page, report).waitFor();
  await said.getByRole("button", { name: "Undo" }).click();
  await said.getByText(`Reopened “${report}”.`).waitFor();
  await row(page, report).waitFor({ state: "hidden" });
  await show(page, "Today");
  await row(page, report).waitFor();

  // Skipped: the next instance comes, for tomorrow.
  await row(page, stretch).getByRole("button", { name: "Details" }).click();
  await dialog.getByRole("button", { name: "Skip" }).click();
  await show(page, "Upcoming");
  await row(page, stretch).getByText("tomorrow 23:57").waitFor();
  await event(page, "task.skipped", stretch).waitFor();

  // Deleted, undone, and deleted.
  await show(page, "Today");
  const remove = async () => {
    await row(page, report).getByRole("button", { name: "Details" }).click();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await row(page, report).waitFor({ state: "hidden" });
  };
  await remove();
  await said.getByRole("button", { name: "Undo" }).click();
  await row(page, report).waitFor();
  await remove();
  // Whoever leaves does not regret it.
  await page.reload();
  await row(page, milk).waitFor();
  await poll("it is deleted", async () => (await api(given, "GET", `/tasks?q=${encodeURIComponent(report)}`)).length === 0);
  await page.close();
}
