// Without a network the page opens and shows the tasks that it knows, says so, and catches up.

import assert from "node:assert/strict";
import { PHONE, add, api, row, show } from "../stage.js";

export default async function offline(stage, { given, say }) {
  const page = await stage.signedIn(PHONE);
  await show(page, "All");
  for (const title of ["Known before", "Changed meanwhile", "Deleted meanwhile"]) {
    await add(page, title);
    await page.locator(".said").getByText(`Added “${title}”.`).waitFor();
  }
  await page.evaluate(() => navigator.serviceWorker.ready.then((ready) => ready.active.state));
  await page.waitForTimeout(200);

  stage.mayFail = true;
  await page.context().setOffline(true);
  await page.reload();
  await page.getByText("Not connected.").waitFor();
  await show(page, "All");
  for (const title of ["Known before", "Changed meanwhile", "Deleted meanwhile"]) await row(page, title).waitFor();
  await add(page, "In vain");
  await page.locator(".said").getByText("was not saved, and is back in the line above").waitFor();
  assert.equal(await page.getByLabel("Add a task").inputValue(), "In vain");

  const tasks = await api(given, "GET", "/tasks");
  const id = (title) => tasks.find((task) => task.title === title).id;
  await api(given, "PATCH", `/tasks/${id("Changed meanwhile")}`, { title: "Changed" });
  await api(given, "DELETE", `/tasks/${id("Deleted meanwhile")}`);
  await api(given, "POST", "/tasks", { title: "Added meanwhile" });
  const back = Date.now();
  await page.context().setOffline(false);
  await row(page, "Added meanwhile").waitFor();
  say(`from the network's return to what was missed: ${Date.now() - back} ms`);
  await row(page, "Changed").waitFor();
  await row(page, "Deleted meanwhile").waitFor({ state: "hidden" });
  await page.getByText("Not connected.").waitFor({ state: "hidden" });
}
