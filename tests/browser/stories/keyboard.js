// Everything by keyboard, without the mouse once.

import assert from "node:assert/strict";
import { DESK, event, poll, row } from "../stage.js";

export default async function keyboard(stage) {
  const page = await stage.signedIn(DESK);
  const { keyboard: keys } = page;
  const type = async (text) => {
    await keys.type(text);
    await keys.press("Enter");
  };
  await keys.press("3");
  await page.getByRole("button", { name: /^All/, pressed: undefined }).and(page.locator("[aria-current=page]")).waitFor();
  await keys.press("n");
  await type("First tomorrow");
  await type("Second in 2 days");
  await type("Third every day");
  await keys.press("Escape");
  await poll("the rows are there", async () => (await page.locator(".row:not(.draft)").count()) === 3);
  const focused = () => page.evaluate(() => document.activeElement.querySelector?.(".title")?.textContent ?? document.activeElement.id);
  const at = (title) => poll(`the focus is on ${title}`, async () => (await focused()) === title || focused());

  await keys.press("Home");
  await keys.press("j");
  await keys.press("Home");
  await at("Third");
  await keys.press("j");
  await at("First");
  await keys.press("ArrowDown");
  await at("Second");
  await keys.press("k");
  await at("First");

  await keys.press("e");
  await keys.press("Control+A");
  await type("Foremost");
  await row(page, "Foremost").waitFor();
  await at("Foremost");

  await keys.press("Enter");
  await page.getByRole("dialog").waitFor();
  await keys.press("Tab");
  await keys.type("Notes by keyboard");
  await keys.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await at("Foremost");

  await keys.press("x");
  await event(page, "task.completed", "Foremost").waitFor();
  // The keyboard goes on with the next.
  await at("Second");
  await keys.press("u");
  await row(page, "Foremost").waitFor();

  await keys.press("Home");
  await keys.press("j");
  await keys.press("Home");
  await at("Third");
  await keys.press("s");
  await event(page, "task.skipped", "Third").waitFor();
  await keys.press("j");
  await keys.press("End");
  await keys.press("Delete");
  await event(page, "task.deleted", "").waitFor();

  await keys.press("/");
  await keys.type("nothing has this");
  await page.getByText("No task fits.").waitFor();
  await keys.press("Escape");
  await row(page, "Foremost").waitFor();

  await keys.press("b");
  await page.getByRole("heading", { name: "Notifications" }).waitFor();
  await keys.press("Escape");
  await keys.press("?");
  const shortcuts = page.getByLabel("Keys of one character are shortcuts");
  await shortcuts.focus();
  await keys.press(" ");
  await keys.press("Escape");
  await keys.press("4");
  assert.equal(await page.locator("nav [aria-current=page]").innerText().then((text) => text.split(" ")[0]), "All", "shortcuts are off");
}
