// What the page shows when the sidecar, the broker and the database are killed in turn: what one does is kept or taken back and
// said, and what is missing appears by itself.

import assert from "node:assert/strict";
import { DESK, add, event, row, show } from "../stage.js";

const RECOVERY = { timeout: 70_000 };

export default async function outages(stage, { ask, say }) {
  const page = await stage.signedIn(DESK);
  stage.mayFail = true;
  const said = page.locator(".said");
  await show(page, "All");

  for (const part of ["sidecar", "broker"]) {
    const title = `Without the ${part}`;
    await add(page, `${title} every day at 9`);
    await said.getByText(`Added “${title}”.`).waitFor();
    await ask("kill", part);
    // Done as always; the event is there, since it comes from the database. The next instance has to wait.
    await row(page, title).getByRole("checkbox").click();
    await event(page, "task.completed", title).waitFor();
    await row(page, title).waitFor({ state: "hidden" });
    await page.getByText(`The next “${title}” takes longer than usual. Nothing is lost`).waitFor();
    await add(page, `Meanwhile, without the ${part}`);
    await row(page, `Meanwhile, without the ${part}`).waitFor();
    if (part === "sidecar") await stage.picture(page, "without-sidecar");
    const back = Date.now();
    await ask("start", part);
    await row(page, title).waitFor(RECOVERY);
    await page.locator(".awaited").waitFor({ state: "hidden" });
    say(`without the ${part}: the page works on; the next instance came ${Date.now() - back} ms after the ${part}'s start began`);
  }

  await ask("kill", "database");
  await add(page, "Without the database");
  await said.getByText("“Without the database” was not saved, and is back in the line above").waitFor();
  assert.equal(await page.getByLabel("Add a task").inputValue(), "Without the database");
  await row(page, "Without the sidecar").getByRole("checkbox").click();
  await said.getByText("The completion of “Without the sidecar” was not saved, and is taken back").waitFor();
  await row(page, "Without the sidecar").waitFor();
  // A page that is opened now shows its copy, and says so.
  await page.reload();
  await page.getByText("Not connected. The service does not reach its database.").waitFor();
  await show(page, "All");
  await row(page, "Without the sidecar").waitFor();
  await stage.picture(page, "without-database");
  const back = Date.now();
  await ask("start", "database");
  await page.getByText("live", { exact: true }).waitFor(RECOVERY);
  await page.getByText("Not connected.").waitFor({ state: "hidden" });
  await add(page, "After all");
  await said.getByText("Added “After all”.").waitFor();
  await event(page, "task.created", "After all").waitFor(RECOVERY);
  say(`without the database: changes are taken back and said, the copy is shown; live again ${Date.now() - back} ms after its start began`);

  await ask("kill", "app");
  await page.getByText("Not connected.").waitFor();
  await row(page, "After all").waitFor();
  await ask("start", "app");
  await page.getByText("live", { exact: true }).waitFor(RECOVERY);
  say("without the app: the page shows what it has, and goes on when the app is back");
}
