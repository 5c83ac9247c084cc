// Each view of the page at both sizes and in both colour schemes, checked by axe for WCAG 2.2 A and AA, and pictured for the
// documents.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DESK, PHONE, add, api, event, row, show } from "../stage.js";

const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"];

const LINES = [
  "Water the plants every second Monday at 9:00 #home",
  "Send the invoice to Ada today 23:30 #work !high",
  "Stand-up every weekday at 9:30 #work",
  "Pay the rent every month on the last day #home !high",
  "Call grandmother in 1 day at 17:00 #family",
  "Read about consistent hashing in 2 days #reading !low",
  "Back up the laptop every 2 weeks on Friday 18:00",
  "Book the train to Lisbon in 3 days #travel",
];

export default async function accessible(stage, { given, say }) {
  const axe = readFileSync(join(given.packages, "node_modules/axe-core/axe.min.js"), "utf8");
  let checks = 0;
  let views = 0;
  async function check(page, view) {
    // Before the page's scripts there is no policy that forbids this one; here it stands in for a person with a checker.
    const { violations, passes } = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: { type: "tag", values: tags } }), TAGS);
    const found = violations.map((each) => `${view}: ${each.id}: ${each.help}: ${each.nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
    assert.deepEqual(found, []);
    checks += passes.length;
    views += 1;
  }
  const open = async (size, options) => {
    const context = await stage.context(size, options);
    await context.addInitScript({ content: axe });
    return context;
  };

  const first = await open(DESK);
  const signIn = await first.newPage();
  await signIn.goto(given.url);
  await signIn.getByLabel("Your token").waitFor();
  await check(signIn, "sign-in");
  await signIn.close();

  const desk = await stage.signedIn(DESK, { context: first });
  await api(given, "POST", "/tasks", {
    title: "Renew the passport",
    due_date: new Date(Date.now() + 2 * 86_400_000).toISOString(),
    reminders: [{ at: new Date(Date.now() + 2_500).toISOString() }],
  });
  for (const line of LINES) await add(desk, line);
  await show(desk, "All");
  await row(desk, "Book the train to Lisbon").waitFor();
  await row(desk, "Stand-up").getByRole("checkbox").click();
  await event(desk, "task.completed", "Stand-up").waitFor();
  await desk.getByRole("button", { name: "Notifications: 1 unread" }).waitFor({ timeout: 75_000 });
  await desk.locator(".awaited").waitFor({ state: "hidden" });
  await stage.picture(desk, "desk-light");
  await check(desk, "the list");
  await desk.getByRole("button", { name: "Details: Pay the rent" }).click();
  await check(desk, "details");
  await desk.getByRole("dialog").getByLabel("Reminders").fill("soon");
  await desk.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await check(desk, "details with an error");
  await desk.keyboard.press("Escape");
  await desk.getByRole("button", { name: /^Notifications/ }).click();
  await desk.getByText("is due").waitFor();
  await check(desk, "notifications");
  await desk.keyboard.press("Escape");
  await desk.getByRole("button", { name: "Help and keyboard" }).click();
  await check(desk, "help");
  await desk.close();

  const dark = await stage.signedIn(DESK, { context: await open(DESK, { colorScheme: "dark" }) });
  await show(dark, "All");
  await row(dark, "Pay the rent").waitFor();
  await check(dark, "the list, dark");
  await dark.getByRole("button", { name: "Details: Pay the rent" }).click();
  await dark.getByRole("dialog").waitFor();
  await check(dark, "details, dark");
  await stage.picture(dark, "details-dark");
  await dark.close();

  for (const colorScheme of ["light", "dark"]) {
    const phone = await stage.signedIn(PHONE, { context: await open(PHONE, { colorScheme }) });
    if (colorScheme === "light") {
      await show(phone, "Done");
      await row(phone, "Stand-up").waitFor();
      await check(phone, "what is done, phone");
    }
    await show(phone, "All");
    await row(phone, "Pay the rent").waitFor();
    await check(phone, `the list, phone, ${colorScheme}`);
    if (colorScheme === "dark") await stage.picture(phone, "phone-dark");
    await phone.getByRole("button", { name: /^Notifications/ }).click();
    await phone.getByText("is due").waitFor();
    await check(phone, `notifications, phone, ${colorScheme}`);
    if (colorScheme === "light") await stage.picture(phone, "phone-notifications");
    await phone.close();
  }

  // Text at twice its size, and the narrowest screen: nothing is cut off sideways (WCAG 1.4.10).
  const narrow = await stage.signedIn({ viewport: { width: 320, height: 640 } });
  const beyond = await narrow.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(beyond, 0, "at 320 pixels one has to scroll sideways");
  say(`axe: ${views} views, no violation of ${TAGS.join(", ")}; ${checks} checks passed`);
}
