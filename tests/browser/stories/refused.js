// What the server refuses is taken back, and said.

import assert from "node:assert/strict";
import { DESK, add, api, row, show } from "../stage.js";

export default async function refused(stage, { given }) {
  const page = await stage.signedIn(DESK);
  stage.mayFail = true;
  await show(page, "All");
  const said = page.locator(".said");
  await add(page, "Paint the fence");
  await said.getByText("Added “Paint the fence”.").waitFor();
  const [task] = await api(given, "GET", "/tasks");

  // The page does not hear of the change that somebody else makes.
  await page.context().route("**/changes**", (route) => route.abort());
  await page.reload();
  await page.getByText("Not connected.").waitFor();
  await show(page, "All");
  await api(given, "PATCH", `/tasks/${task.id}`, { priority: "high" });
  await row(page, "Paint the fence").getByRole("button", { name: "Paint the fence", exact: true }).click();
  const field = page.getByRole("textbox", { name: "Title" });
  await field.fill("Paint the house");
  await field.press("Enter");
  await said.getByText("was refused, and is taken back: it was changed elsewhere; this is how it is now.").waitFor();
  await row(page, "Paint the fence").getByText("high priority").waitFor();
  assert.equal((await api(given, "GET", `/tasks/${task.id}`)).title, "Paint the fence");

  // Deleted elsewhere.
  await api(given, "DELETE", `/tasks/${task.id}`);
  await row(page, "Paint the fence").getByRole("checkbox").click();
  await said.getByText("it is deleted").waitFor();
  await row(page, "Paint the fence").waitFor({ state: "hidden" });

  // Not acceptable: the line is there again.
  await page.context().unroute("**/changes**");
  await add(page, "x".repeat(201));
  await said.getByText("was refused, and is back in the line above").waitFor();
  assert.equal(await page.getByLabel("Add a task").inputValue(), "x".repeat(201));

  // A token that is not accepted ends the session, and says so.
  const stranger = await (await stage.context(DESK)).newPage();
  await stranger.goto(`${given.url}/#token=${given.token.slice(0, -6)}AAAAAA`);
  await stranger.getByRole("alert").getByText("The service did not accept the token.").waitFor();
  assert.equal(await stranger.evaluate(() => sessionStorage.length), 0);
  await stranger.getByLabel("Your token").fill("nonsense");
  await stranger.getByRole("button", { name: "Sign in" }).click();
  await stranger.getByRole("alert").getByText("This is no token").waitFor();
  await stranger.getByLabel("Your token").fill(given.token);
  await stranger.getByRole("button", { name: "Sign in" }).click();
  await stranger.getByText("live", { exact: true }).waitFor();
  await stranger.getByRole("button", { name: "Sign out" }).click();
  await stranger.getByLabel("Your token").waitFor();
  assert.deepEqual(await stranger.evaluate(async () => [sessionStorage.length, (await indexedDB.databases()).length]), [0, 0]);

  // A start link that is opened in a tab where the page is already.
  await stranger.goto(`${given.url}/#token=${given.token}`);
  await stranger.getByText("live", { exact: true }).waitFor();
  assert.equal(new URL(stranger.url()).hash, "");
}
