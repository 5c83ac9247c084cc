// The page for operators: a dead letter is replayed by click, one is discarded, who is no operator is refused; and axe at both
// sizes and in both colour schemes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DESK, PHONE } from "../stage.js";

const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"];

export default async function operator(stage, { ask, given, say }) {
  const axe = readFileSync(join(given.packages, "node_modules/axe-core/axe.min.js"), "utf8");
  const letters = await ask("dead letters");
  let views = 0;
  async function check(page, view) {
    const { violations } = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: { type: "tag", values: tags } }), TAGS);
    assert.deepEqual(violations.map((each) => `${view}: ${each.id}: ${each.nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`), []);
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(beyond, 0, `${view}: one has to scroll sideways`);
    views += 1;
  }
  const open = async (size, token, options) => {
    const context = await stage.context(size, options);
    await context.addInitScript({ content: axe });
    const page = await context.newPage();
    await page.goto(`${given.url}/operator#token=${token}`);
    return page;
  };

  // A user's token shows nothing. The browser notes the refusals in the console.
  stage.mayFail = true;
  const stranger = await open(DESK, letters.stranger);
  await stranger.getByText("does not have the role operator").waitFor();
  assert.equal(await stranger.getByRole("heading", { name: "Dead letters" }).count(), 0);
  await check(stranger, "refused");
  await stranger.close();
  stage.mayFail = false;

  const desk = await open(DESK, given.token);
  await desk.getByRole("heading", { name: "Dead letters" }).waitFor();
  assert.equal(new URL(desk.url()).hash, "", "the address keeps no token");
  const replay = desk.getByRole("button", { name: `Replay ${letters.replayed}` });
  await replay.waitFor();
  await check(desk, "desk, light");
  await stage.picture(desk, "operator-light");

  // Asked once nothing happens; with the keyboard, Escape takes it back.
  await replay.focus();
  await desk.keyboard.press("Enter");
  await desk.getByRole("dialog").getByText("Replay this dead letter?").waitFor();
  await check(desk, "the second question");
  await desk.keyboard.press("Escape");
  await desk.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal(await ask("status", letters.replayed), "open");

  await replay.click();
  await desk.getByRole("dialog").getByRole("button", { name: "Replay it" }).click();
  await desk.getByText(`Dead letter ${letters.replayed} is published again.`).waitFor();
  await replay.waitFor({ state: "detached" });
  assert.equal(await ask("status", letters.replayed), "replayed");

  await desk.getByRole("button", { name: `Discard ${letters.discarded}` }).click();
  await desk.getByRole("dialog").getByRole("button", { name: "Discard it" }).click();
  await desk.getByText(`Dead letter ${letters.discarded} is discarded.`).waitFor();
  assert.equal(await ask("status", letters.discarded), "discarded");
  await desk.close();

  for (const colorScheme of ["light", "dark"]) {
    const phone = await open(PHONE, given.token, { colorScheme });
    await phone.getByRole("heading", { name: "Dead letters" }).waitFor();
    await check(phone, `phone, ${colorScheme}`);
    if (colorScheme === "dark") await stage.picture(phone, "operator-phone-dark");
    await phone.close();
  }
  say(`axe: ${views} views of the operator's page, no violation of ${TAGS.join(", ")}`);
}
