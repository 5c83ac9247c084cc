// A reminder comes due: its notification is counted, read, and put off.

import { DESK, PHONE, api, event, poll } from "../stage.js";

export default async function notifications(stage, { given, say }) {
  const pages = [await stage.signedIn(DESK), await stage.signedIn(PHONE)];
  const moment = Date.now() + 3_000;
  await api(given, "POST", "/tasks", {
    title: "Water the plants",
    due_date: new Date(moment + 86_400_000).toISOString(),
    reminders: [{ at: new Date(moment).toISOString() }],
  });
  const [desk, phone] = pages;
  for (const page of pages) await page.getByRole("button", { name: "Notifications: 1 unread" }).waitFor({ timeout: 75_000 });
  say(`the notification is on both pages ${Date.now() - moment} ms after its moment`);
  await event(desk, "reminder.triggered", "Water the plants").waitFor();

  await desk.getByRole("button", { name: "Notifications: 1 unread" }).click();
  const dialog = desk.getByRole("dialog");
  await dialog.getByText("is due tomorrow").waitFor();
  await dialog.getByRole("button", { name: "10 minutes: remind me again of Water the plants" }).click();
  await dialog.getByText(/read, .*, again /).waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await desk.locator(".said").getByText("You will be reminded again in 10 minutes.").waitFor();
  await desk.getByRole("button", { name: "Notifications: 0 unread" }).waitFor();
  // The other device hears of it: putting off is an event, too.
  await poll("the other page counts none", async () => {
    await phone.getByRole("button", { name: /Notifications/ }).click();
    const text = await phone.getByRole("dialog").innerText();
    await phone.getByRole("dialog").getByRole("button", { name: "Close" }).click();
    return text.includes("again") || text;
  });
}
