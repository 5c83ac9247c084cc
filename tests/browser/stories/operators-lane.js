// A lane that rests, on the operator's page: it is retried by click, its event is skipped, and what waited behind it comes to
// Kafka. Then the database is killed: the page says so, keeps what it has, and goes on by itself.

import assert from "node:assert/strict";
import { DESK, PHONE } from "../stage.js";

const RECOVERY = { timeout: 70_000 };

export default async function operatorsLane(stage, { ask, given, say }) {
  const lane = await ask("lane");
  const context = await stage.context(DESK);
  const page = await context.newPage();
  await page.goto(`${given.url}/operator#token=${given.token}`);
  const retry = page.getByRole("button", { name: `Retry ${lane}` });
  const skip = page.getByRole("button", { name: `Skip event 2 of ${lane}` });
  await skip.waitFor();
  await stage.picture(page, "operator-lane");

  const before = await ask("attempts");
  await retry.click();
  await page.getByRole("dialog").getByRole("button", { name: "Retry it" }).click();
  await page.getByText(`The next event of ${lane} is tried now.`).waitFor();
  assert.ok((await ask("tried again", before)) > before, "it was tried again");

  await skip.click();
  await page.getByRole("dialog").getByText("Skip event 2?").waitFor();
  await page.keyboard.press("Escape");
  await skip.click();
  await page.getByRole("dialog").getByRole("button", { name: "Skip event 2" }).click();
  await page.getByText(`Event 2 of ${lane} is skipped; it is a dead letter now.`).waitFor();
  await retry.waitFor({ state: "detached" });
  const clicked = Date.now();
  assert.deepEqual(await ask("settled"), ["published", "behind it"], "what waited is at the broker");
  say(`skipped by click, and what waited behind it on Kafka ${Date.now() - clicked} ms later`);

  const phone = await (await stage.context(PHONE)).newPage();
  await phone.goto(`${given.url}/operator#token=${given.token}`);
  await phone.getByRole("heading", { name: "Dead letters" }).waitFor();
  stage.mayFail = true;
  await ask("kill", "database");
  for (const each of [page, phone]) {
    await each.getByText("What you see is of before").waitFor(RECOVERY);
    await each.getByRole("heading", { name: "Dead letters" }).waitFor();
  }
  const back = Date.now();
  await ask("start", "database");
  for (const each of [page, phone]) await each.getByText("What you see is of before").waitFor({ state: "detached", ...RECOVERY });
  say(`without the database: the page keeps what it has; it reads again ${Date.now() - back} ms after the database's start began`);
}
